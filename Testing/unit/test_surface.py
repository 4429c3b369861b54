import numpy as np
import pytest
import SimpleITK as sitk

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.metrics.surface import surface_distance, surface_voxels


def box(shape, start, stop):
    mask = np.zeros(shape, dtype=bool)
    mask[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))] = True
    return mask


def test_a_shifted_box_is_as_far_away_as_the_shift_in_mm():
    grid = Grid((30, 20, 10), (0.7, 1.5, 3.0))
    a, b = box(grid.shape, (2, 5, 5), (7, 15, 15)), box(grid.shape, (2, 5, 9), (7, 15, 19))
    found = surface_distance(a, b, grid)
    assert found.max_mm == pytest.approx(4 * 0.7, abs=1e-5)
    assert found.hd95_mm == pytest.approx(4 * 0.7, abs=1e-5)
    assert 0 < found.mean_mm < 4 * 0.7


def test_spacing_along_the_slices_counts():
    grid = Grid((12, 12, 12), (1.0, 1.0, 5.0))
    a, b = box(grid.shape, (2, 2, 2), (4, 10, 10)), box(grid.shape, (3, 2, 2), (5, 10, 10))
    assert surface_distance(a, b, grid).max_mm == pytest.approx(5.0)


def test_hausdorff_distance_agrees_with_simpleitk():
    rng = np.random.default_rng(2)
    grid = Grid((24, 22, 20), (0.8, 1.1, 2.3))
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    masks = []
    for _ in range(2):
        center, radius = rng.uniform(8, 12, 3), rng.uniform(4, 6, 3)
        masks.append(sum(((v - c) / r) ** 2 for v, c, r in zip((k, j, i), center, radius, strict=True)) < 1)
    images = [sitk.GetImageFromArray(m.astype(np.uint8)) for m in masks]
    for image in images:
        image.SetSpacing(grid.spacing)
    contours = [sitk.LabelContour(image, False) for image in images]
    distances = [sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(c, False, False, True)) for c in contours]
    surfaces = [surface_voxels(m) for m in masks]
    there, back = np.abs(distances[1])[surfaces[0]], np.abs(distances[0])[surfaces[1]]
    found = surface_distance(*masks, grid)
    assert found.max_mm == pytest.approx(max(there.max(), back.max()), abs=1e-4)
    assert found.mean_mm == pytest.approx(np.concatenate([there, back]).mean(), abs=1e-4)


def test_the_surface_of_a_slice_is_its_rim_and_of_a_volume_its_shell():
    assert surface_voxels(np.ones((1, 5, 5), bool)).sum() == 16
    assert surface_voxels(np.ones((5, 5, 5), bool)).sum() == 5**3 - 3**3


def test_equal_masks_are_zero_apart_and_empty_ones_are_refused():
    grid = Grid((6, 6, 6))
    mask = box(grid.shape, (1, 1, 1), (4, 5, 5))
    assert surface_distance(mask, mask, grid).max_mm == 0
    with pytest.raises(InputError, match="empty"):
        surface_distance(mask, np.zeros_like(mask), grid)
