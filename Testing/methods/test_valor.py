from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointCloud, PointPair, Seeds
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform
from valorlib.demo import make_pair
from valorlib.methods.valor import METHOD, register
from valorlib.methods.valor_options import PRESETS, ValorOptions
from valorlib.ops.agreement import carry_labels
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.transforms import map_points

QUICK = PRESETS["quick"]


@cache
def case():
    return make_pair(3, size="small", lesions=1)


@cache
def found():
    return register(case().pair, PRESETS["default"], Run())


def errors_mm(result, demo):
    there = map_points(result.displacement, demo.landmarks.fixed.points)
    return np.linalg.norm(there - demo.landmarks.moving.points, axis=1)


def without_seeds(pair):
    return dataclasses.replace(pair, seeds=None)


def test_landmarks_meet_and_nothing_folds():
    before = case().start_error_mm
    after = errors_mm(found(), case())
    assert before > 3
    assert after.mean() < 0.6
    assert found().record["folds"] == 0


def test_a_motion_of_14_mm_is_found_everywhere():
    demo = make_pair(1210, size="small", mean_mm=14.0, lesions=0)
    error = errors_mm(register(demo.pair, PRESETS["default"], Run()), demo)
    assert error.mean() < 0.5
    assert error.max() < 3.0


def test_a_scan_laid_on_itself_stays_where_it_is():
    fixed = case().pair.fixed
    result = register(ImagePair(fixed, fixed), PRESETS["default"], Run())
    assert np.abs(result.displacement.array).max() < 0.01


def test_the_inverse_undoes_the_displacement():
    inside = case().landmarks.fixed.points
    back = map_points(found().inverse_displacement, map_points(found().displacement, inside))
    assert np.linalg.norm(back - inside, axis=1).max() < 0.3
    assert found().record["inverse_residual_mean_mm"] < 0.1


def test_tumors_of_both_scans_are_found_from_one_click():
    truth, carried = case().fixed_tumors.array > 0, found().warped_seg.array > 0
    assert 2 * (truth & carried).sum() / (truth.sum() + carried.sum()) > 0.7
    assert found().fixed_seg.grid.matches(case().pair.fixed.grid)
    assert found().moving_seg.grid.matches(case().pair.moving.grid)
    assert found().record["tumors"]["agreement_dice"]


def test_a_click_on_the_fixed_scan_works_as_well():
    pair = case().pair
    tumor = np.argwhere(case().fixed_tumors.array == 1)
    click = pair.fixed.grid.to_world(tumor[np.argmin(np.linalg.norm(tumor - tumor.mean(0), axis=1))][::-1])
    seeds = Seeds(click[None], np.array([1]), "fixed")
    result = register(dataclasses.replace(pair, seeds=seeds), QUICK, Run())
    assert result.fixed_seg.labels == (1,)
    assert result.moving_seg.labels == (1,)


def test_same_seed_same_answer_with_one_and_two_threads():
    pair, answers = without_seeds(case().pair), []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(register(pair, QUICK, Run()).displacement.array)
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*answers)


def test_progress_rises_and_previews_come_after_each_level():
    seen, shown = [], []
    run = Run(progress=lambda fraction, message: seen.append(fraction), preview=shown.append)
    register(without_seeds(case().pair), QUICK, run)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(shown) == len(QUICK.levels_mm)


@pytest.mark.parametrize("stop", [0.0, 0.3, 0.6, 0.9])
def test_cancel_ends_the_run(stop):
    def progress(fraction, message):
        if fraction >= stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        register(case().pair, QUICK, Run(progress=progress))


def test_inputs_stay_as_they_were():
    pair = case().pair
    before = pair.fixed.array.copy(), pair.moving.array.copy(), pair.seeds.points.copy()
    register(pair, QUICK, Run())
    assert all(map(np.array_equal, before, (pair.fixed.array, pair.moving.array, pair.seeds.points)))


def test_a_given_start_is_part_of_the_answer():
    pair = without_seeds(case().pair)
    far = np.eye(4)
    far[:3, 3] = 40, 0, 0
    grid = dataclasses.replace(pair.moving.grid, origin=tuple(np.add(pair.moving.grid.origin, (40, 0, 0))))
    moved = dataclasses.replace(pair, moving=Image(pair.moving.array, grid), start=AffineTransform(far))
    here = register(pair, QUICK, Run()).displacement.array
    there = register(moved, QUICK, Run()).displacement.array
    np.testing.assert_allclose(there - (40, 0, 0), here, atol=0.02)


def test_scans_that_hardly_touch_are_refused_in_a_sentence():
    pair = without_seeds(case().pair)
    grid = dataclasses.replace(pair.moving.grid, origin=tuple(np.add(pair.moving.grid.origin, (300, 0, 0))))
    with pytest.raises(InputError, match="overlap"):
        register(dataclasses.replace(pair, moving=Image(pair.moving.array, grid)), QUICK, Run())


def test_an_empty_image_is_refused_in_a_sentence():
    pair = without_seeds(case().pair)
    flat = Image(np.full_like(pair.moving.array, 5), pair.moving.grid)
    with pytest.raises(InputError):
        register(dataclasses.replace(pair, moving=flat), QUICK, Run())


def test_landmarks_pull_where_the_images_say_nothing():
    rng = np.random.default_rng(0)
    pair = without_seeds(case().pair)
    grid = pair.fixed.grid
    noise = [Image(rng.standard_normal(grid.shape).astype(np.float32) + 100, grid) for _ in range(2)]
    points = grid.center + rng.uniform(-15, 15, (12, 3))
    marks = PointPair(PointCloud(points), PointCloud(points + np.array([3.0, -2.0, 1.0])))
    options = dataclasses.replace(QUICK, landmark_weight=1.0, body_only=False)
    result = register(ImagePair(*noise, landmarks=marks), options, Run())
    left = np.linalg.norm(map_points(result.displacement, points) - marks.moving.points, axis=1)
    assert left.mean() < 1.2


@pytest.mark.parametrize("kind", ["volume", "rigid"])
def test_a_tumor_keeps_its_volume_when_asked(kind):
    demo = case()
    pair = dataclasses.replace(demo.pair, seeds=None, moving_labels=demo.moving_tumors)
    result = register(pair, dataclasses.replace(PRESETS["default"], tumor_motion=(kind,)), Run())
    inside = resampled(demo.moving_tumors, pair.fixed.grid, result.displacement)
    factor = jacobian_determinant(result.displacement).array[inside]
    assert factor.mean() == pytest.approx(1.0, abs=0.03)
    if kind == "rigid":
        assert factor.std() < 0.03


def resampled(labels, grid, field):
    return carry_labels(labels, grid, field).array > 0


def test_confirmed_masks_need_both_scans():
    with pytest.raises(InputError, match="both scans"):
        register(case().pair, dataclasses.replace(QUICK, masks_confirmed=True), Run())


def test_single_slices_register_in_their_plane():
    pair = case().pair
    middle = pair.fixed.grid.size[2] // 2
    start, stop = (0, 0, middle), (*pair.fixed.grid.size[:2], middle + 1)
    grid = pair.fixed.grid.cropped(start, stop)
    fixed = Image(pair.fixed.array[middle : middle + 1], grid)
    moving = Image(np.roll(fixed.array, 2, axis=2), grid)
    result = register(ImagePair(fixed, moving), PRESETS["default"], Run())
    along_i = result.displacement.array @ np.asarray(grid.direction)[:, 0] / grid.spacing[0]
    inside = LabelMap((fixed.array > np.median(fixed.array)).astype(np.int32), grid).array > 0
    assert np.median(along_i[inside]) == pytest.approx(2.0, abs=0.3)
    assert np.abs(result.displacement.array @ np.asarray(grid.direction)[:, 2]).max() < 1e-4


def test_levels_and_iterations_must_pair_up():
    with pytest.raises(InputError, match="one number per level"):
        ValorOptions(levels_mm=(2.0,), iterations=(5, 5))


def test_the_method_lists_its_presets():
    assert {"default", "quick", "breast_3t_7t", "longitudinal", "ct", "multimodal"} <= set(METHOD.presets)
    assert set(METHOD.reasons) == set(METHOD.presets)
