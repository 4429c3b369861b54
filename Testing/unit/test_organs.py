"""Distances between carried organs and their partners."""

from __future__ import annotations

import numpy as np
import pytest

from valorlib.convert.surfaces import Surface
from valorlib.metrics.organs import point_distances, surface_distances


def sheet(step, height):
    """A flat square of 40 mm in triangles of `step` mm."""
    n = 40 // step + 1
    x, y = np.meshgrid(np.arange(n) * float(step), np.arange(n) * float(step), indexing="ij")
    corner = np.arange(n * n).reshape(n, n)
    a, b, c, d = (corner[i : n - 1 + i, j : n - 1 + j].ravel() for i, j in ((0, 0), (1, 0), (0, 1), (1, 1)))
    points = np.stack([x.ravel(), y.ravel(), np.full(n * n, height)], axis=1)
    return Surface(points, np.concatenate([np.stack([a, b, c], 1), np.stack([b, d, c], 1)]))


def test_surfaces_two_millimeters_apart_are_two_millimeters_apart_however_coarse_their_triangles():
    near, far = sheet(20, 0.0), sheet(8, 2.0)
    found = surface_distances(near, far)
    assert found == pytest.approx({"mean_mm": 2.0, "p95_mm": 2.0, "max_mm": 2.0, "hd95_mm": 2.0})
    # Corners alone lie farther from each other than the surfaces.
    assert point_distances(near.points, far.points)["mean_mm"] > 3


def test_a_part_that_sticks_out_counts_in_its_own_direction():
    whole, part = sheet(2, 0.0), sheet(2, 0.0)
    part = Surface(part.points * [0.5, 1, 1], part.faces)
    found = surface_distances(part, whole)
    assert found["max_mm"] == pytest.approx(20)
    assert found["hd95_mm"] > 15
    assert found["mean_mm"] < 6
