"""Resampling in all orientations against SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from unit.geometry import GRID, ORIENTATIONS, STRAIGHT, blobs, grid_with, smooth_field, texture, turned

from valorlib.convert.simpleitk import image_to_sitk, labels_to_sitk, transform_to_sitk
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import Chain
from valorlib.ops.resample import resample_dose, resample_image, resample_labels, resample_mask


def oracle(image, grid, transform=None, interpolation=sitk.sitkLinear, fill=0.0):
    moving = image_to_sitk(image) if isinstance(image, Image) else labels_to_sitk(image)
    like = image_to_sitk(Image(np.zeros(grid.shape, "f4"), grid))
    itk = transform_to_sitk(transform) if transform is not None else sitk.Transform(3, sitk.sitkIdentity)
    return sitk.GetArrayFromImage(sitk.Resample(moving, like, itk, interpolation, fill))


def close_but_for(ours, expected, share, atol):
    """Voxels whose place lies within rounding of the image's border may fall on either side of it."""
    off = np.abs(ours.astype(float) - expected) > atol
    assert off.mean() <= share


@pytest.mark.parametrize("number", range(48))
def test_every_axis_orientation_agrees_with_simpleitk(number):
    grid = grid_with(ORIENTATIONS[number])
    image, labels = texture(grid), blobs(grid)
    target = Grid((8, 9, 10), (1.3, 1.1, 1.7), tuple(grid.center - 6.1), GRID.direction)
    close_but_for(resample_image(image, target, fill=-7).array, oracle(image, target, fill=-7), 0.0, 1e-3)
    ours = resample_labels(labels, target).array
    close_but_for(ours, oracle(labels, target, interpolation=sitk.sitkNearestNeighbor), 0.003, 0)


@pytest.mark.parametrize("grid", [GRID, STRAIGHT])
def test_transforms_agree_with_simpleitk(grid):
    image = texture(grid)
    for transform in (
        turned((2, 3, 1), (1, 2, -1)),
        smooth_field(grid),
        Chain((smooth_field(grid), turned((2, 0, 1)))),
    ):
        close_but_for(resample_image(image, grid, transform, fill=0).array, oracle(image, grid, transform), 0.002, 2e-3)


def test_outside_takes_the_smallest_value_or_what_is_asked():
    image = Image(np.full((3, 3, 3), 5.0, "f4"), Grid((3, 3, 3)))
    image.array[0, 0, 0] = -1000
    far = Grid((2, 2, 2), origin=(50, 50, 50))
    assert (resample_image(image, far).array == -1000).all()
    assert (resample_image(image, far, fill=3).array == 3).all()
    assert not resample_dose(Dose(image.array, image.grid), far).array.any()


def test_half_a_voxel_beyond_the_outermost_centers_still_belongs_to_the_image():
    image = Image(np.full((1, 1, 4), 5.0, "f4"), Grid((4, 1, 1)))
    line = Grid((9, 1, 1), (0.25, 1, 1), (2.75, 0, 0))
    np.testing.assert_array_equal(resample_image(image, line, fill=0).array[0, 0], [5, 5, 5, 5, 0, 0, 0, 0, 0])


def test_labels_are_never_mixed_and_keep_their_names():
    labels = blobs()
    moved = resample_labels(labels, STRAIGHT, turned())
    assert set(moved.labels) <= set(labels.labels)
    assert moved.names == labels.names


def test_large_and_negative_labels_survive():
    array = np.zeros((4, 4, 4), "i4")
    array[1:3, 1:3, 1:3] = 2**30 + 1
    array[0] = -(2**30) - 1
    labels = LabelMap(array, Grid((4, 4, 4)))
    np.testing.assert_array_equal(resample_labels(labels, labels.grid).array, array)
    outside = resample_labels(labels, Grid((2, 2, 2), origin=(99, 0, 0)))
    assert not outside.array.any()


def test_a_mask_becomes_shares_of_voxels():
    mask = LabelMap(np.ones((1, 1, 4), "i4"), Grid((4, 1, 1)))
    mask.array[0, 0, 2:] = 0
    half = Grid((3, 1, 1), origin=(0.5, 0, 0))
    np.testing.assert_allclose(resample_mask(mask, half).array[0, 0], [1, 0.5, 0])


def test_one_slice_images_are_images():
    grid = Grid((12, 10, 1), (0.5, 0.7, 1))
    image = texture(grid)
    np.testing.assert_allclose(resample_image(image, grid).array, image.array, rtol=1e-6)
    shift = turned((0, 0, 0), (0.5, 0, 0))
    moved = resample_image(image, grid, shift)
    np.testing.assert_allclose(moved.array[0, :, :-1], image.array[0, :, 1:], rtol=1e-5)


def test_inputs_are_left_alone():
    image, field = texture(), smooth_field()
    kept = image.array.copy(), field.array.copy()
    resample_image(image, GRID, field).array[:] = 0
    resample_image(image, GRID).array[:] = 0
    np.testing.assert_array_equal(image.array, kept[0])
    np.testing.assert_array_equal(field.array, kept[1])
