"""The dense field of a point registration: an organ's own map inside it, a taper outside, no folds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.run import Run
from valorlib.demo_organs import make_organs
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import PRESETS
from valorlib.metrics.folding import fold_summary
from valorlib.ops.organ_field import TAPER_MM, organ_field, own_map, similarity_back, smooth_field


@pytest.fixture(scope="module")
def case():
    return make_organs(2, points_per_organ=200, spacing_mm=5.0)


@pytest.fixture(scope="module")
def result(case):
    return register(case.truth, dataclasses.replace(PRESETS["quick"], coarse_points=0), Run())


@pytest.fixture(scope="module")
def field(case, result):
    return organ_field(result.model, case.fixed)


def world_of(grid: Grid, mask):
    return grid.to_world(np.argwhere(mask)[:, ::-1])


def test_the_own_map_takes_moved_points_back(case, result):
    moving = case.truth.moving
    for label in np.unique(moving.labels):
        own = moving.labels == label
        organ = int(result.model.organs(np.array([label]), 1)[0])
        back = own_map(result.model, organ, result.moved.points[own])
        assert np.abs(back - moving.points[own]).max() < 0.05


def test_inside_an_organ_the_field_is_its_own_map(case, result, field):
    for label in case.fixed.labels:
        core = ndimage.binary_erosion(case.fixed.array == label, iterations=2)
        points = world_of(case.fixed.grid, core)
        organ = int(result.model.organs(np.array([label]), 1)[0])
        error = np.linalg.norm(field.array[core] + points - own_map(result.model, organ, points), axis=1)
        assert np.percentile(error, 95) < 0.3


def test_no_voxel_folds(field):
    assert fold_summary(field).strict_count == 0


def test_far_from_organs_the_similarity_is_left(case, result, field):
    grid = case.fixed.grid
    distance = ndimage.distance_transform_edt(case.fixed.array == 0, sampling=grid.spacing[::-1])
    size = []
    for near, far in ((0.01, 10.0), (TAPER_MM, TAPER_MM + 10), (2 * TAPER_MM, np.inf)):
        shell = (distance >= near) & (distance < far)
        if not shell.any():
            continue
        points = world_of(grid, shell)
        size.append(np.linalg.norm(field.array[shell] + points - similarity_back(result.model, points), axis=1).max())
    assert len(size) > 1
    assert size[1] < 0.75 * size[0]
    assert size[-1] < 0.5 or len(size) == 2


def test_without_labels_one_smooth_field_goes_through_the_points(case, result):
    field = smooth_field(result.model, case.truth.moving.points, result.moved.points, case.fixed.grid)
    assert fold_summary(field).strict_count == 0
    grid = case.fixed.grid
    index = np.rint(grid.to_index(result.moved.points)).astype(int)
    inside = np.all((index >= 0) & (index < grid.size), axis=1)
    i, j, k = index[inside].T
    at = grid.to_world(index[inside]) + field.array[k, j, i]
    gap = np.linalg.norm(at - case.truth.moving.points[inside], axis=1)
    before = np.linalg.norm(result.moved.points - case.truth.moving.points, axis=1)
    assert np.median(gap) < 0.5 * np.median(before)
