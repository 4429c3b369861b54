from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

from valorlib.convert.simpleitk import image_to_sitk
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.transforms import map_points
from valorlib.ops.way_back import MEND_MM
from valorlib.solve.constraints import Landmarks, TumorMotion
from valorlib.solve.frame import Frame, joined, pull, pull_mask
from valorlib.solve.outcome import check_memory, estimate_memory_gb, free_memory_gb, one_thread, outcome, outcome_of
from valorlib.solve.schedule import Level, Plateau

TURN = tuple(map(tuple, Rotation.from_euler("xyz", (20, -30, 10), degrees=True).as_matrix()))
FIXED = Grid((20, 24, 16), (1.5, 1.0, 2.0), (10.0, -20.0, 30.0), TURN)
MOVING = Grid((40, 42, 38), (1.2, 1.1, 1.3), (-10.0, -40.0, 10.0))


def start(degrees=7.0):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zyx", (degrees, 3, -4), degrees=True).as_matrix()
    matrix[:3, 3] = MOVING.center - matrix[:3, :3] @ FIXED.center
    return AffineTransform(matrix)


def image(grid, seed=0):
    points = grid.points() / 7.0
    return Image(
        (np.sin(points[..., 0]) + np.cos(points[..., 1] + seed) * np.sin(points[..., 2])).astype(np.float32), grid
    )


def test_pulling_through_an_affine_agrees_with_simpleitk():
    found = pull(image(MOVING), FIXED, start().matrix)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix(start().matrix[:3, :3].ravel().tolist())
    affine.SetTranslation(start().matrix[:3, 3].tolist())
    like = image_to_sitk(image(FIXED))
    oracle = sitk.GetArrayFromImage(sitk.Resample(image_to_sitk(image(MOVING)), like, affine, sitk.sitkLinear, -9.0))
    inside = oracle > -8
    assert inside.mean() > 0.8
    np.testing.assert_allclose(found.numpy()[inside], oracle[inside], atol=2e-3)


def test_a_coarser_pull_is_smoothed_and_stays_in_place():
    coarse = FIXED.resampled((4.5, 4.0, 4.0))
    np.testing.assert_allclose(pull(image(FIXED), coarse, np.eye(4)).numpy(), image(coarse).array, atol=0.2)
    noise = Image(np.random.default_rng(0).standard_normal(FIXED.shape).astype(np.float32), FIXED)
    assert float(pull(noise, coarse, np.eye(4)).std()) < 0.35


def test_the_displacement_of_a_frame_is_start_after_field():
    frame = Frame(FIXED.cropped((2, 3, 1), (18, 20, 15)), start())
    u = torch.zeros(3, 5, 6, 7)
    u[0], u[1], u[2] = 1.0, -2.0, 0.5  # mm along k, j, i
    field = frame.displacement(u, FIXED)
    points = FIXED.points()[::5, ::5, ::5].reshape(-1, 3)
    moved = points + (1.0, -2.0, 0.5) @ np.asarray(FIXED.direction)[:, ::-1].T
    expected = moved @ start().matrix[:3, :3].T + start().matrix[:3, 3]
    np.testing.assert_allclose(map_points(field, points), expected, atol=1e-4)


def test_masks_follow_the_transform_and_end_at_the_border():
    mask = LabelMap(np.ones(MOVING.shape, np.int32), MOVING)
    seen = pull_mask(mask, MOVING, FIXED, start().matrix).numpy() > 0
    there = FIXED.points() @ start().matrix[:3, :3].T + start().matrix[:3, 3]
    np.testing.assert_array_equal(seen, MOVING.contains(there))
    assert pull_mask(None, MOVING, FIXED, np.eye(4)).mean() < 1


def test_landmarks_are_met_and_the_far_field_stays():
    frame = Frame(FIXED, start())
    rng = np.random.default_rng(1)
    points = FIXED.center + rng.uniform(-2, 2, (1, 3))
    wanted = points @ start().matrix[:3, :3].T + start().matrix[:3, 3] + (1.0, 2.0, -1.0)
    pull_there = Landmarks(frame, PointPair(PointCloud(points), PointCloud(wanted)), weight=1.0, reach_mm=3.0)
    u = torch.zeros(3, *FIXED.shape)
    for _ in range(30):
        u = pull_there(u, FIXED)
    left = map_points(frame.displacement(u, FIXED), points) - wanted
    assert np.abs(left).max() < 0.2
    far = np.linalg.norm(FIXED.points() - points[0], axis=-1) > 14
    assert u[:, torch.from_numpy(far)].abs().max() < 0.3


@pytest.mark.parametrize("on_fixed", [True, False])
@pytest.mark.parametrize("kind", ["rigid", "volume"])
def test_tumors_keep_their_shape_or_volume(kind, on_fixed):
    grid = Grid((30, 30, 30), (1.0, 1.0, 1.0))
    frame = Frame(grid, AffineTransform.identity())
    ball = np.linalg.norm(grid.points() - grid.center, axis=-1) < 6
    x = torch.tensor(grid.points() - grid.center, dtype=torch.float32).movedim(-1, 0).flip(0)
    u = torch.einsum("ac,ckji->akji", torch.tensor([[0.2, 0.05, 0], [0, 0.3, 0], [0.1, 0, 0.1]]), x) + 0.5
    keep = TumorMotion(frame, LabelMap(ball.astype(np.int32), grid), {1: kind}, on_fixed=on_fixed)
    kept = keep(u, grid)
    slope = torch.stack([torch.gradient(kept, dim=d)[0] for d in (1, 2, 3)], dim=1).movedim((0, 1), (-2, -1))
    matrix = slope[15, 15, 15] + torch.eye(3)
    assert float(torch.linalg.det(matrix)) == pytest.approx(1, abs=0.02)
    if kind == "rigid":
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(3), atol=0.02, rtol=0)
    torch.testing.assert_close(kept[:, 0, 0, 0], u[:, 0, 0, 0])
    free = TumorMotion(frame, LabelMap(ball.astype(np.int32), grid), {}, on_fixed=on_fixed)
    assert free(u, grid) is u


def test_an_outcome_inverts_and_counts_folds():
    frame = Frame(FIXED, start())
    u = torch.zeros(3, 6, 6, 6)
    u[2, 2:4, 2:4, 2:4] = 1.5
    good = outcome(u, frame, FIXED, MOVING)
    assert good.folds == 0
    assert good.residual_max_mm < 0.4
    assert good.warnings() == []
    folded = outcome(8 * u, frame, FIXED, MOVING)
    assert folded.folds > 0
    assert "folds" in folded.warnings()[0]


def test_where_nothing_undoes_a_motion_it_is_smoothed_on_the_spot_and_nowhere_else():
    grid = Grid((44, 40, 36), (1.0, 1.0, 1.0))
    away = grid.points() - grid.to_world((22, 20, 18))
    u = -0.995 * away * (1, 0, 0) * np.exp(-(away**2).sum(-1) / 30)[..., None]  # nearly a fold at its middle
    field = DisplacementField(u.astype(np.float32), grid)
    plain, mended = outcome_of(field, grid, mend=False), outcome_of(field, grid)
    assert plain.residual_max_mm > 0.5
    lattice = grid.points()[::2, ::2, ::2].reshape(-1, 3)
    back = map_points(mended.inverse, map_points(mended.displacement, lattice))
    assert np.linalg.norm(back - lattice, axis=1).max() < 0.4
    assert mended.residual_max_mm <= MEND_MM  # at its worst voxel
    assert mended.least_jacobian > plain.least_jacobian
    far = (away**2).sum(-1) > 8**2
    np.testing.assert_array_equal(mended.displacement.array[far], field.array[far])


def test_two_fields_join_at_a_region():
    frame, region = Frame(FIXED, AffineTransform.identity()), np.zeros(FIXED.shape, np.int32)
    region[:5] = 1
    one, two = (frame.displacement(torch.full((3, 2, 2, 2), v), FIXED) for v in (1.0, 2.0))
    found = joined(one, two, LabelMap(region, FIXED)).array
    np.testing.assert_array_equal(found[:5], one.array[:5])
    np.testing.assert_array_equal(found[5:], two.array[5:])


def test_large_volumes_are_announced_with_their_memory():
    grid = Grid((512, 512, 300), (0.8, 0.8, 1.0))
    level = Level(image_mm=2.0, iterations=10, field_mm=4.0, step_mm=1.0)
    assert 2 < estimate_memory_gb(grid, grid, [level]) < 8
    fine = dataclasses.replace(level, image_mm=1.0)
    assert estimate_memory_gb(grid, grid, [fine]) > estimate_memory_gb(grid, grid, [level])


def test_what_does_not_fit_is_refused_before_the_start():
    with pytest.raises(InputError, match=r"expected 9\.0 GB free .* got 4\.0; close"):
        check_memory(9.0, 4.0)
    check_memory(9.0, 9.5)
    check_memory(9.0, None)
    free_gb = free_memory_gb()
    assert free_gb is None or 0.01 < free_gb < 100_000


def fail_on_one_thread():
    with one_thread():
        raise InputError(f"stop on {torch.get_num_threads()}")


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(InputError, match="stop on 1"):
        fail_on_one_thread()
    assert torch.get_num_threads() == before


def test_a_plateau_is_noticed_and_a_falling_loss_is_not():
    falling, flat = Plateau(patience=5), Plateau(patience=5)
    assert not any(falling.reached(1.0 - 0.01 * n) for n in range(40))
    assert any(flat.reached(1.0 if n == 0 else 0.5) for n in range(40))
