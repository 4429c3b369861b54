"""Folds are found, counted and placed; volume statistics; inverse consistency."""

from __future__ import annotations

import json

import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.folding import (
    fold_summary,
    harmonic_energy,
    inverse_consistency,
    sd_log,
    structure_jacobians,
)
from valorlib.ops.jacobian import jacobian_determinant

TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((24, 20, 18), (1.5, 2.0, 3.0), (-12.0, 40.0, 7.0), TURN)


def field_of(matrix, grid=GRID):
    return DisplacementField((grid.points() @ (np.asarray(matrix) - np.eye(3)).T).astype(np.float32), grid)


def zero():
    return np.zeros((*GRID.shape, 3), dtype=np.float32)


def test_a_mirror_folds_everywhere_and_its_inverted_volume_is_the_whole_grid():
    found = fold_summary(field_of(np.diag([-1.0, 1.0, 1.0])))
    voxels = int(np.prod(GRID.shape))
    assert found.count == found.strict_count == found.voxels == voxels
    assert found.share_pct == pytest.approx(100)
    assert found.volume_ml == pytest.approx(voxels * 9 / 1000)
    assert found.minimum == pytest.approx(-1, abs=1e-3)
    assert found.folded_ml == pytest.approx(23 * 19 * 17 * 9 / 1000, rel=1e-5)


def test_an_identity_has_no_folds_and_no_energy():
    found = fold_summary(DisplacementField(zero(), GRID))
    assert (found.count, found.strict_count, found.places) == (0, 0, ())
    assert found.sd_log_jacobian == found.harmonic_energy == 0
    assert found.sentence.startswith("No folds")


def test_every_planted_fold_is_found_at_its_place():
    rng = np.random.default_rng(3)
    u = zero()
    places = [(int(k), int(j), int(i)) for k in (3, 8, 13) for j in (4, 10, 15) for i in (4, 11, 18)]
    for k, j, i in places:
        u[k, j, i] = rng.choice([-1, 1], 3) * (3.1, 4.1, 6.1)
    found = fold_summary(DisplacementField(u, GRID))
    world = np.asarray([p.position_mm for p in found.places])
    for k, j, i in places:
        assert np.linalg.norm(world - GRID.to_world((i, j, k)), axis=1).min() < 6
    assert len(found.places) == len(places)


def test_a_checkerboard_hides_from_central_differences_and_not_from_the_strict_count():
    grid = Grid((12, 12, 12))
    i = np.indices(grid.shape)[2]
    u = np.zeros((*grid.shape, 3), dtype=np.float32)
    u[..., 0] = 0.6 * (-1.0) ** i
    found = fold_summary(DisplacementField(u, grid))
    # Central differences of a checkerboard are zero inside: determinant 1.
    assert found.count < found.strict_count
    assert found.strict_share_pct == pytest.approx(100)


def test_the_mask_limits_the_count():
    u = zero()
    u[5, 5, 5] = (9, 9, 9)
    mask = np.zeros(GRID.shape, dtype=bool)
    mask[10:, :, :] = True
    assert fold_summary(DisplacementField(u, GRID), mask=mask).strict_count == 0
    with pytest.raises(InputError, match="at least one voxel"):
        fold_summary(DisplacementField(u, GRID), mask=np.zeros(GRID.shape, dtype=bool))
    with pytest.raises(InputError, match="resample"):
        fold_summary(DisplacementField(u, GRID), mask=np.ones((2, 2, 2), dtype=bool))


def test_sd_log_adds_no_three_unless_asked():
    grid = Grid((10, 10, 10))
    det = np.where(np.indices(grid.shape)[0] % 2, 2.0, 0.5).astype(np.float32)
    assert sd_log(det) == pytest.approx(np.log(2), rel=1e-6)
    expected = (np.log(5) - np.log(3.5)) / 2
    assert sd_log(det + 3) == pytest.approx(expected, rel=1e-5)
    # A fold must weigh more in ours; with the +3 it nearly disappears.
    det[5, 5, 5] = -0.2
    assert sd_log(det) > 1.02 * np.log(2)


def test_harmonic_energy_of_an_affine_field_is_its_squared_norm():
    matrix = np.asarray([[1.1, 0.2, -0.1], [0.05, 0.9, 0.1], [-0.1, 0.0, 1.2]])
    assert harmonic_energy(field_of(matrix)) == pytest.approx(((matrix - np.eye(3)) ** 2).sum(), rel=1e-3)


def test_the_summary_goes_into_json():
    u = zero()
    u[5, 5, 5] = (9, 9, 9)
    back = json.loads(json.dumps(fold_summary(DisplacementField(u, GRID)).as_dict()))
    assert back["places"][0]["voxels"] >= 1


def test_each_structure_has_its_volume_change():
    labels = np.zeros(GRID.shape, dtype=np.int32)
    labels[2:6], labels[8:12] = 1, 2
    field = field_of(np.diag([1.1, 1.0, 1.0]))
    rows = structure_jacobians(jacobian_determinant(field), LabelMap(labels, GRID, {1: "Heart"}))
    assert [r.name for r in rows] == ["Heart", "2"]
    assert rows[0].mean == pytest.approx(1.1, abs=1e-3)
    assert rows[0].volume_ml == pytest.approx((labels == 1).sum() * 9 / 1000)
    with pytest.raises(InputError, match="grid of the transform"):
        structure_jacobians(Image(np.ones((2, 2, 2)), Grid((2, 2, 2))), LabelMap(labels, GRID))


def test_a_shift_and_its_opposite_agree_and_a_wrong_inverse_shows_its_error():
    there, back = zero(), zero()
    there[...], back[...] = (3.0, -2.0, 1.0), (-3.0, 2.0, -1.0)
    found = inverse_consistency(DisplacementField(there, GRID), DisplacementField(back, GRID))
    assert found.max_mm < 1e-5
    assert 0 < found.outside_pct < 50
    back[..., 0] += 0.7
    found = inverse_consistency(DisplacementField(there, GRID), DisplacementField(back, GRID))
    assert found.mean_mm == pytest.approx(0.7, abs=1e-4)
    there[...] = 1e4
    with pytest.raises(InputError, match="inverse"):
        inverse_consistency(DisplacementField(there, GRID), DisplacementField(back, GRID))
