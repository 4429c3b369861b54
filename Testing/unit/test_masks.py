from __future__ import annotations

import numpy as np
import pytest

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.agreement import carry_labels, overlap_by_label, volume_ml
from valorlib.ops.masks import both, bounding_grid, clipped, indicator, inverted, outside

GRID = Grid((10, 8, 6), (1.0, 2.0, 3.0), (5.0, 6.0, 7.0))


def block(value=1, low=(1, 2, 3), high=(3, 5, 7)):
    array = np.zeros(GRID.shape, np.int32)
    array[low[0] : high[0], low[1] : high[1], low[2] : high[2]] = value
    return LabelMap(array, GRID, {1: "left"})


def test_a_box_holds_the_mask_and_its_margin_inside_the_grid():
    box = bounding_grid(block(), 2.0)
    assert box.size == (4 + 4, 3 + 2, 2 + 2)
    np.testing.assert_allclose(box.origin, GRID.to_world((1, 1, 0)))
    assert bounding_grid(inverted(LabelMap(np.ones(GRID.shape, np.int32), GRID)), 1.0) is GRID


def test_masks_join_and_none_means_everywhere():
    assert both(None, None) is None
    assert both(block(), inverted(block())).array.sum() == 0
    mask = block()
    assert both(None, mask) is mask
    assert both(mask, None) is mask


def test_the_margin_is_in_mm_along_each_axis():
    near = outside(block(), 2.5).array == 0
    assert near[1, 2, 1]  # 2 mm along i
    assert not near[1, 2, 0]  # 3 mm along i
    assert not near[0, 3, 4]  # 3 mm along k


def test_intensities_are_clipped_only_when_asked():
    image = Image(np.arange(480, dtype=np.float32).reshape(GRID.shape), GRID)
    assert clipped(image, ()) is image
    assert (clipped(image, (10.0, 20.0)).array.min(), clipped(image, (10.0, 20.0)).array.max()) == (10, 20)
    assert indicator(block(2)).array.max() == 1


def test_labels_are_carried_by_whole_voxels_exactly():
    field = DisplacementField(np.broadcast_to(np.float32([1, 0, 0]), (*GRID.shape, 3)).copy(), GRID)
    np.testing.assert_array_equal(carry_labels(block(3), GRID, field).array, np.roll(block(3).array, -1, axis=2))


def test_a_half_voxel_shift_cuts_the_indicator_at_one_half():
    field = DisplacementField(np.broadcast_to(np.float32([0.4, 0, 0]), (*GRID.shape, 3)).copy(), GRID)
    np.testing.assert_array_equal(carry_labels(block(), GRID, field).array, block().array)


def test_overlap_and_volume_by_name():
    assert overlap_by_label(block(), block()) == {"left": 1.0}
    assert overlap_by_label(block(), block(2)) == {"left": 0.0, "2": 0.0}
    assert volume_ml(block()) == pytest.approx({"left": 2 * 3 * 4 * 6 / 1000})
