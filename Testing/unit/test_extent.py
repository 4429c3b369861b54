"""A tumor as gray as the tissue it lies in, when its middle and extent are given."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from valorlib.ops.extent import MEAN_REACH, extent_cost
from valorlib.ops.fitting import distance_to
from valorlib.ops.leak import dice

SHAPE, SPACING, MIDDLE = (36, 40, 44), (1.1, 1.0, 0.9), np.array([17.0, 20.0, 22.0])


def offsets():
    """(3, K, J, I) mm from the middle, and the random numbers of a test."""
    axes = [(np.arange(n) - c) * s for n, c, s in zip(SHAPE, MIDDLE, SPACING, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij")), np.random.default_rng(5)


def image(clean, rng):
    return (ndimage.gaussian_filter(clean.astype(float), 0.5) + 0.02 * rng.normal(size=SHAPE)).astype(np.float32)


def ball(radius_mm):
    return distance_to(SHAPE, MIDDLE.tolist(), SPACING) <= radius_mm


def test_a_border_seen_on_one_side_tells_the_shape_of_the_other():
    (k, j, i), rng = offsets()
    turned = (j + i) / np.sqrt(2), (j - i) / np.sqrt(2)
    tumor = (k / 5.5) ** 2 + (turned[0] / 10.0) ** 2 + (turned[1] / 5.5) ** 2 <= 1
    gland = k > 1.0
    found = extent_cost(image(np.where(tumor | gland, 0.6, 0.2), rng), MIDDLE, 10.0, SPACING) < 0
    assert dice(found, tumor) > 0.85
    assert dice(found, tumor) > dice(ball(8.0) & (gland | tumor), tumor) + 0.05


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_end_of_a_drag_gives_the_axis_of_a_tumor_without_borders(side):
    (k, j, i), rng = offsets()
    turned = (j + i) / np.sqrt(2), (j - i) / np.sqrt(2)
    tumor = (k / 7.0) ** 2 + (turned[0] / 11.0) ** 2 + (turned[1] / 7.0) ** 2 <= 1
    values = image(np.full(SHAPE, 0.6), rng)
    end = MIDDLE + side * np.array([0.0, 11.0, 11.0]) / np.sqrt(2) / SPACING
    length_alone = extent_cost(values, MIDDLE, 11.0, SPACING) < 0
    dragged = extent_cost(values, MIDDLE, 11.0, SPACING, end) < 0
    assert dice(dragged, tumor) > max(0.8, dice(length_alone, tumor) + 0.05)


def test_without_any_border_it_is_a_ball_of_about_the_mean_reach():
    _, rng = offsets()
    found = extent_cost(image(np.full(SHAPE, 0.5), rng), MIDDLE, 9.0, SPACING) < 0
    assert dice(found, ball(9.0 * MEAN_REACH + 0.2)) > 0.9


def test_a_vessel_through_the_tumor_is_no_border():
    (k, j, _), rng = offsets()
    vessel = np.hypot(k - 3.0, j) < 0.8
    clean = np.where(ball(8.0), 0.6, 0.2)
    without = extent_cost(image(clean, rng), MIDDLE, 8.0, SPACING) < 0
    crossed = extent_cost(image(np.where(vessel, 1.0, clean), rng), MIDDLE, 8.0, SPACING) < 0
    assert dice(without, ball(8.0)) > 0.93
    assert dice(crossed & ~vessel, without & ~vessel) > 0.97


@pytest.mark.parametrize("way", [(1.2, 0, 0), (0, -1.2, 0)])
def test_a_drag_beside_the_middle_is_put_right_by_the_borders(way):
    _, rng = offsets()
    tumor = ball(7.0)
    found = extent_cost(image(np.where(tumor, 0.6, 0.2), rng), MIDDLE + way, 7.5, SPACING) < 0
    assert dice(found, tumor) > 0.92


def test_one_slice_works():
    (_, j, i), rng = offsets()
    tumor = ((j / 9.0) ** 2 + (i / 6.0) ** 2 <= 1)[17:18]
    values = image(np.where(np.broadcast_to((j / 9.0) ** 2 + (i / 6.0) ** 2 <= 1, SHAPE), 0.6, 0.2), rng)[17:18]
    found = extent_cost(values, np.array([0.0, 20.0, 22.0]), 9.0, (3.0, 1.0, 0.9)) < 0
    assert dice(found, tumor) > 0.93
