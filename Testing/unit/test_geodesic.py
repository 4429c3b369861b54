"""Geodesic distance against formulas, and against Dijkstra on the same grid."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.ops.geodesic import edge_intensity_slowness, geodesic_distance


def at(shape, *places):
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


def test_constant_cost_is_mm_times_cost_along_axes_on_an_anisotropic_grid():
    distance = geodesic_distance(
        np.full((9, 9, 9), 0.5, np.float32), at((9, 9, 9), (4, 4, 4)), (3.0, 2.0, 1.0), limit_mm=1e3
    )
    assert distance[4, 4, 8] == pytest.approx(2.0, abs=1e-5)
    assert distance[4, 0, 4] == pytest.approx(4.0, abs=1e-5)
    assert distance[8, 4, 4] == pytest.approx(6.0, abs=1e-5)


def test_a_wall_costs_its_thickness_and_is_gone_around():
    slowness = np.ones((1, 41, 41), np.float32)
    slowness[0, :, 20] = 100.0
    distance = geodesic_distance(slowness, at(slowness.shape, (0, 20, 10)), (1.0, 1.0, 1.0), limit_mm=1e4)
    assert distance[0, 20, 19] == pytest.approx(9, abs=1e-3)
    assert 100 < distance[0, 20, 21] < 112
    slowness[0, 40, 20] = 1.0  # a gate at the border
    around = geodesic_distance(slowness, at(slowness.shape, (0, 20, 10)), (1.0, 1.0, 1.0), limit_mm=1e4)
    assert around[0, 20, 21] == pytest.approx(np.hypot(20, 10) + np.hypot(20, 1), rel=0.06)


def dijkstra(slowness, source, spacing):
    """Shortest way over 6 neighbors, mean cost of both ends: an upper bound of the geodesic, within a factor 1.75."""
    best = np.full(slowness.shape, np.inf)
    best[source] = 0
    queue = [(0.0, source)]
    while queue:
        cost, here = heapq.heappop(queue)
        if cost > best[here]:
            continue
        for axis in range(3):
            for sign in (-1, 1):
                there = list(here)
                there[axis] += sign
                if not 0 <= there[axis] < slowness.shape[axis]:
                    continue
                there = tuple(there)
                way = cost + spacing[axis] * (slowness[here] + slowness[there]) / 2
                if way < best[there]:
                    best[there] = way
                    heapq.heappush(queue, (way, there))
    return best


def test_lies_between_dijkstra_and_its_bound_on_a_random_smooth_cost():
    rng = np.random.default_rng(0)
    from scipy.ndimage import gaussian_filter

    slowness = (0.3 + 8 * np.abs(gaussian_filter(rng.normal(size=(14, 15, 16)), 2.5))).astype(np.float32)
    spacing = (1.5, 1.0, 0.8)
    ours = geodesic_distance(slowness, at(slowness.shape, (7, 7, 7)), spacing, limit_mm=1e4)
    bound = dijkstra(slowness, (7, 7, 7), spacing)
    far = bound > 2
    ratio = ours[far] / bound[far]
    assert ratio.max() < 1.12
    assert ratio.min() > 1 / 1.85


def test_several_sources_give_the_nearest_one_and_the_limit_cuts():
    shape = (1, 5, 30)
    slowness = np.ones(shape, np.float32)
    both = geodesic_distance(slowness, at(shape, (0, 2, 2), (0, 2, 27)), (1, 1, 1), limit_mm=8.0)
    one, two = (geodesic_distance(slowness, at(shape, p), (1, 1, 1), limit_mm=8.0) for p in ((0, 2, 2), (0, 2, 27)))
    np.testing.assert_allclose(both, np.minimum(one, two), atol=1e-5)
    assert both.max() == pytest.approx(8.0)


def test_slowness_by_hand_and_free_of_the_images_unit():
    image = np.zeros((1, 3, 9), np.float32)
    image[..., 5:] = 100.0
    cost = edge_intensity_slowness(image, (1.0, 1.0, 1.0), inside=100.0, outside=0.0)
    # sigma 50: background 0.05 + 0.5 * (100/50)^2, lesion 0.05, edge slope 50 per mm adds 0.5.
    assert cost[0, 1, 1] == pytest.approx(2.05)
    assert cost[0, 1, 7] == pytest.approx(0.05)
    assert cost[0, 1, 5] == pytest.approx(0.55)
    same = edge_intensity_slowness(7 * image + 3, (1.0, 1.0, 1.0), inside=703.0, outside=3.0)
    np.testing.assert_allclose(cost, same, rtol=1e-5)


def test_no_marker_or_a_cost_of_zero_is_refused():
    ones = np.ones((3, 3, 3), np.float32)
    with pytest.raises(InputError, match="sources"):
        geodesic_distance(ones, np.zeros((3, 3, 3), bool), (1, 1, 1), limit_mm=1)
    with pytest.raises(InputError, match="slowness"):
        geodesic_distance(0 * ones, at((3, 3, 3), (1, 1, 1)), (1, 1, 1), limit_mm=1)
