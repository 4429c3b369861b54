"""Each way to prepare and to start, through the whole method: what it changes and that the scans still meet."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.core.transforms import DisplacementField
from valorlib.demo import make_pair
from valorlib.methods.valor import register
from valorlib.methods.valor_options import PRESETS
from valorlib.ops.transforms import map_points

QUICK = PRESETS["quick"]


@cache
def case():
    return make_pair(4, size="small", lesions=1)


def plain_pair():
    return dataclasses.replace(case().pair, seeds=None)


@cache
def plain():
    return register(plain_pair(), QUICK, Run()).displacement.array


def mean_error_mm(result, to_moving=None):
    marks = case().landmarks
    there = map_points(result.displacement, marks.fixed.points)
    true = marks.moving.points if to_moving is None else to_moving(marks.moving.points)
    return float(np.linalg.norm(there - true, axis=1).mean())


def moved(motion):
    """The pair with its moving scan in another place of the world: the headers are wrong."""
    pair = plain_pair()
    grid = Grid.from_matrix(pair.moving.grid.size, motion @ pair.moving.grid.matrix)
    return dataclasses.replace(pair, moving=Image(pair.moving.array, grid))


@pytest.mark.parametrize(
    "option", [pytest.param("bias_correction", marks=pytest.mark.slow), "match_histograms", "equalize"]
)
def test_preparation_changes_the_comparison_and_the_scans_still_meet(option):
    result = register(plain_pair(), dataclasses.replace(QUICK, **{option: True}), Run())
    assert result.record["options"][option] is True
    assert not np.array_equal(result.displacement.array, plain())
    assert mean_error_mm(result) < 1.0 < case().start_error_mm


def test_without_the_masks_all_voxels_count():
    result = register(plain_pair(), dataclasses.replace(QUICK, body_only=False), Run())
    assert not np.array_equal(result.displacement.array, plain())
    assert mean_error_mm(result) < 1.2


def test_a_crop_registers_the_surroundings_of_the_click_alone():
    options = dataclasses.replace(QUICK, crop_mm=18.0, segment_tumors=False)
    result = register(case().pair, options, Run())
    marks, click = case().landmarks, case().pair.seeds.points[0]
    error, whole = (
        np.linalg.norm(map_points(field, marks.fixed.points) - marks.moving.points, axis=1)
        for field in (result.displacement, DisplacementField(plain(), case().pair.fixed.grid))
    )
    away = np.linalg.norm(marks.moving.points - click, axis=1)
    assert error[away < 12].mean() < 1.2
    assert error[away > 30].mean() > 2 * whole[away > 30].mean()


def test_scans_far_apart_are_refused_by_headers_and_found_by_their_centers():
    shift = np.eye(4)
    shift[:3, 3] = 250.0, -40.0, 30.0
    pair = moved(shift)
    with pytest.raises(InputError, match="overlap"):
        register(pair, QUICK, Run())
    result = register(pair, dataclasses.replace(QUICK, start="centers"), Run())
    assert result.record["overlap_at_start"] > 0.25
    assert mean_error_mm(result, lambda p: p + shift[:3, 3]) < 1.5


def test_a_rigid_start_finds_a_turn_that_headers_do_not_know():
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [7.0, -5.0, 9.0], degrees=True).as_matrix()
    center = case().pair.moving.grid.center
    motion[:3, 3] = center - motion[:3, :3] @ center + (12.0, 8.0, -6.0)
    pair = moved(motion)
    by_headers = register(pair, QUICK, Run())
    found = register(pair, dataclasses.replace(QUICK, start="rigid"), Run())
    there = lambda p: p @ motion[:3, :3].T + motion[:3, 3]  # noqa: E731
    assert mean_error_mm(found, there) < 1.2
    assert mean_error_mm(found, there) < 0.5 * mean_error_mm(by_headers, there)


def test_scans_of_ct_are_cut_to_the_window():
    pair = plain_pair()
    bright = pair.moving.array.copy()
    bright[:2, :2, :2] = 1e5
    wild = ImagePair(pair.fixed, Image(bright, pair.moving.grid))
    result = register(wild, dataclasses.replace(QUICK, clip=(0.0, 1500.0)), Run())
    assert mean_error_mm(result) < 1.0
