"""SimpleITK images and transforms, there and back."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from unit.geometry import GRID, ORIENTATIONS, blobs, grid_with, smooth_field, texture, turned

from valorlib.convert.simpleitk import (
    field_from_sitk,
    field_to_sitk,
    grid_from_sitk,
    image_from_sitk,
    image_to_sitk,
    labels_from_sitk,
    labels_to_sitk,
    transform_from_sitk,
    transform_to_sitk,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, VelocityField
from valorlib.ops.transforms import map_points


@pytest.mark.parametrize("number", range(48))
def test_voxels_lie_where_simpleitk_puts_them(number):
    image = texture(grid_with(ORIENTATIONS[number]))
    itk = image_to_sitk(image)
    np.testing.assert_allclose(image.grid.to_world((2, 3, 4)), itk.TransformIndexToPhysicalPoint((2, 3, 4)), atol=1e-9)
    assert itk[2, 3, 4] == image.array[4, 3, 2]
    back = image_from_sitk(itk, "again")
    assert back.grid.matches(image.grid)
    np.testing.assert_array_equal(back.array, image.array)


def test_labels_take_the_smallest_type_that_holds_them():
    for top, kind in ((200, sitk.sitkUInt8), (40_000, sitk.sitkUInt16), (70_000, sitk.sitkInt32)):
        labels = LabelMap(np.array([[[0, top]]]), Grid((2, 1, 1)), {top: "top"})
        itk = labels_to_sitk(labels)
        assert itk.GetPixelID() == kind
        assert labels_from_sitk(itk, labels.names).labels == (top,)
    negative = LabelMap(np.array([[[0, -5]]]), Grid((2, 1, 1)))
    assert labels_from_sitk(labels_to_sitk(negative)).labels == (-5,)
    np.testing.assert_array_equal(labels_from_sitk(labels_to_sitk(blobs())).array, blobs().array)


def test_slices_become_volumes_of_one_slice():
    flat = sitk.GetImageFromArray(np.arange(6.0).reshape(2, 3))
    flat.SetSpacing((0.5, 0.7))
    grid = grid_from_sitk(flat)
    assert grid.size == (3, 2, 1)
    assert grid.spacing == (0.5, 0.7, 1.0)
    assert image_from_sitk(flat).array.shape == (1, 2, 3)
    flat.SetDirection((-1, 0, 0, 1))
    assert grid_from_sitk(flat).direction[2][2] == -1


def test_what_is_no_scalar_volume_is_refused():
    color = sitk.GetImageFromArray(np.zeros((4, 5, 6, 3)), isVector=True)
    for read in (image_from_sitk, labels_from_sitk):
        with pytest.raises(InputError, match="expected one value a voxel, got 3"):
            read(color)
    with pytest.raises(InputError, match="expected 2 or 3 dimensions, got 4"):
        grid_from_sitk(sitk.Image([2, 2, 2, 2], sitk.sitkUInt8))
    with pytest.raises(InputError, match="expected a 3D image of 3 components"):
        field_from_sitk(sitk.Image([4, 4, 4], sitk.sitkFloat32))


def test_fields_keep_millimeters():
    field = smooth_field()
    itk = field_to_sitk(field)
    np.testing.assert_allclose(itk[2, 3, 4], field.array[4, 3, 2], rtol=1e-6)
    back = field_from_sitk(itk)
    np.testing.assert_array_equal(back.array, field.array)
    assert back.grid.matches(GRID)


def test_transforms_come_back():
    assert np.allclose(transform_from_sitk(transform_to_sitk(turned())).matrix, turned().matrix)
    field = transform_from_sitk(transform_to_sitk(smooth_field()))
    np.testing.assert_array_equal(field.array, smooth_field().array)
    chain = transform_from_sitk(transform_to_sitk(Chain((smooth_field(), turned()))))
    assert [type(p) for p in chain.parts] == [DisplacementField, AffineTransform]
    empty = transform_from_sitk(transform_to_sitk(Chain(())))
    assert np.allclose(empty.matrix, np.eye(4))
    with pytest.raises(InputError, match="exponentiate the velocity"):
        transform_to_sitk(VelocityField(smooth_field().array, GRID))


@pytest.mark.parametrize(
    "itk",
    [
        sitk.Euler3DTransform((1, 2, 3), 0.1, 0.2, 0.3, (4, 5, 6)),
        sitk.VersorRigid3DTransform((0, 0, 1), 0.4, (1, 2, 3), (3, 2, 1)),
        sitk.Similarity3DTransform(1.2, (0, 1, 0), 0.3, (1, 2, 3), (3, 2, 1)),
        sitk.TranslationTransform(3, (1, 2, 3)),
        sitk.ScaleTransform(3, (1.1, 1.2, 0.9)),
    ],
)
def test_every_linear_kind_is_an_affine(itk):
    points = np.random.default_rng(0).normal(size=(5, 3)) * 50
    expected = [itk.TransformPoint(p.tolist()) for p in points]
    np.testing.assert_allclose(map_points(transform_from_sitk(itk), points), expected, atol=1e-9)


def test_a_b_spline_is_sampled():
    spline = sitk.BSplineTransformInitializer(image_to_sitk(texture(Grid((40, 40, 40)))), [4, 4, 4])
    spline.SetParameters(np.random.default_rng(0).normal(size=spline.GetNumberOfParameters()).tolist())
    points = 5 + np.random.default_rng(1).random((50, 3)) * 29
    expected = np.asarray([spline.TransformPoint(p.tolist()) for p in points])
    assert np.linalg.norm(map_points(transform_from_sitk(spline), points) - expected, axis=1).max() < 0.05


def test_other_transforms_are_refused():
    with pytest.raises(InputError, match="expected 3 dimensions, got 2"):
        transform_from_sitk(sitk.Euler2DTransform())


def test_a_kind_of_transform_without_a_core_type_is_refused():
    class Wobble:
        """Stands for whatever a later ITK may bring."""

        def GetDimension(self):
            return 3

        def GetTransformEnum(self):
            return -1

        def IsLinear(self):
            return False

        def GetName(self):
            return "WobbleTransform"

    with pytest.raises(InputError, match="expected linear, B-spline or displacement field, got WobbleTransform"):
        transform_from_sitk(Wobble())
