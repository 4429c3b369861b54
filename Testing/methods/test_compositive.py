from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from realdata import need
from scipy.ndimage import gaussian_filter

from valorlib.convert.files import read_image, read_labels
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform
from valorlib.demo import make_pair
from valorlib.methods.compositive import METHOD, register
from valorlib.methods.compositive_options import PRESETS, CompositiveOptions
from valorlib.ops.lungs import lung_mask
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.ops.transforms import map_points
from valorlib.solve.compositive import pull_spots, spots_of, tuned
from valorlib.solve.deform import Matching, level_images
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

QUICK = PRESETS["quick"]


@cache
def case():
    return make_pair(4, size="small", lesions=0)


def errors_mm(result):
    there = map_points(result.displacement, case().landmarks.fixed.points)
    return np.linalg.norm(there - case().landmarks.moving.points, axis=1)


@pytest.mark.parametrize(("preset", "limit_mm"), [("default", 0.8), ("brain_mr_bias", 0.8), ("multimodal", 1.6)])
def test_landmarks_meet_and_nothing_folds(preset, limit_mm):
    result = register(case().pair, PRESETS[preset], Run())
    assert case().start_error_mm > 3
    assert errors_mm(result).mean() < limit_mm
    assert result.record["folds"] == 0
    assert result.record["inverse_residual_mean_mm"] < 0.1


@pytest.mark.parametrize("preset", ["quick", "brain_mr_draft", "breast_mr", "longitudinal"])
def test_a_scan_laid_on_itself_stays_where_it_is(preset):
    fixed = case().pair.fixed
    result = register(ImagePair(fixed, fixed), PRESETS[preset], Run())
    assert np.abs(result.displacement.array).max() < 0.05


def test_inverted_contrast_needs_and_gets_squared_correlation():
    pair = case().pair
    inverted = dataclasses.replace(pair, moving=Image(pair.moving.array.max() - pair.moving.array, pair.moving.grid))
    options = dataclasses.replace(PRESETS["default"], similarity="lncc_squared", look="body")
    assert errors_mm(register(inverted, options, Run())).mean() < 1.0


def test_damped_volume_change_gives_a_gentler_field():
    plain = dataclasses.replace(PRESETS["default"], smooth_mm=(3.0, 1.4, 1.0))
    damped = dataclasses.replace(plain, volume_mm=(4.0, 4.0, 4.0))
    found = [register(case().pair, options, Run()) for options in (plain, damped)]
    assert found[1].record["sd_log_jacobian"] < 0.85 * found[0].record["sd_log_jacobian"]
    assert errors_mm(found[1]).mean() < 0.8


def test_volume_change_is_smoothed_more_where_it_is_too_uneven_and_less_where_it_is_even():
    level = Level(image_mm=1.0, iterations=1, field_mm=1.0, step_mm=1.0, volume_mm=1.0, spread=0.2)
    waves = torch.zeros(3, 12, 12, 24)
    waves[2] = torch.sin(torch.arange(24) * (2 * torch.pi / 12))
    weight = torch.ones(12, 12, 24)
    gentle, steep = (tuned(1.0, size * waves, (1.0, 1.0, 1.0), level, weight) for size in (0.2, 1.0))
    assert gentle < 1 < steep
    assert tuned(1.0, 1e-6 * waves, (1.0, 1.0, 1.0), level, weight) == 0.75
    assert tuned(1.0, waves, (1.0, 1.0, 1.0), level, 0 * weight) == 1.0
    assert tuned(3.0, waves, (1.0, 1.0, 1.0), dataclasses.replace(level, spread=0.0), weight) == 3.0


def test_same_answer_twice_and_with_two_threads():
    before = torch.get_num_threads()
    try:
        answers = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            answers.append(register(case().pair, QUICK, Run()).displacement.array)
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(*answers)


@pytest.mark.parametrize("stop", [0.05, 0.5, 0.89])
def test_cancel_ends_the_run(stop):
    def progress(fraction, message):
        if fraction >= stop:
            raise Cancelled

    with pytest.raises(Cancelled):
        register(case().pair, QUICK, Run(progress=progress))


def test_progress_rises_to_one():
    seen = []
    register(case().pair, QUICK, Run(progress=lambda fraction, message: seen.append(fraction)))
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def chest(shift_mm=0.0):
    """A block of tissue with two textured lungs that slid along k, while the wall stayed."""
    grid = Grid((48, 40, 40), (3.0, 3.0, 3.0), (-70.0, 20.0, 5.0))
    rng = np.random.default_rng(5)
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    body = np.where((j > 3) & (j < 36) & (i > 3) & (i < 44), 40.0, -1000.0)
    noise = rng.standard_normal((60, 40, 48))
    texture = gaussian_filter(noise, 1.6)
    texture *= 120 / texture.std()
    wall = gaussian_filter(rng.standard_normal(grid.shape), 1.6)
    body += np.where(body > -500, 50 * wall / wall.std(), 0)
    inside = (j > 9) & (j < 30) & (np.abs(np.abs(i - 23.5) - 11) < 7) & (k > 3) & (k < 36)
    step = round(shift_mm / 3.0)
    body[inside] = -750 + texture[10 - step : 50 - step][inside]
    return Image(body.astype(np.float32), grid), inside


def test_lungs_are_found_in_a_chest():
    image, inside = chest()
    found = lung_mask(image).array > 0
    assert 2 * (found & inside).sum() / (found.sum() + inside.sum()) > 0.9


def test_no_lungs_is_said_in_a_sentence():
    with pytest.raises(InputError, match="lungs"):
        lung_mask(Image(np.full((20, 20, 20), 40, np.float32), Grid((20, 20, 20), (5.0, 5.0, 5.0))))


def test_sliding_lungs_move_and_the_wall_stays():
    (fixed, inside), (moving, _) = chest(), chest(9.0)
    sliding = register(ImagePair(fixed, moving), PRESETS["lung_ct_sliding"], Run())
    along = sliding.displacement.array[..., 2]
    core = inside.copy()
    core[:9] = core[-9:] = False
    assert np.median(along[core]) == pytest.approx(9.0, abs=1.0)
    wall = (fixed.array > -300) & (np.indices(inside.shape)[1] > 32)
    assert np.abs(along[wall]).mean() < 1.0


def test_a_masked_out_change_does_not_pull():
    pair = case().pair
    center = pair.moving.grid.center
    ball = np.linalg.norm(pair.moving.grid.points() - center, axis=-1) < 9
    array = pair.moving.array.copy()
    array[ball] = array.max()
    labels = LabelMap(ball.astype(np.int32), pair.moving.grid)
    options = dataclasses.replace(PRESETS["default"], ignore_mm=5.0)
    changed = dataclasses.replace(pair, moving=Image(array, pair.moving.grid), moving_labels=labels)
    result, clean = register(changed, options, Run()), register(pair, PRESETS["default"], Run())
    assert errors_mm(result).mean() < errors_mm(clean).mean() + 0.3


def test_from_both_sides_swapping_the_images_gives_the_inverse():
    # On one grid, where both directions work in the same frame.
    grid = case().pair.fixed.grid
    pair = ImagePair(case().pair.fixed, resample_image(case().pair.moving, grid))
    options = dataclasses.replace(QUICK, symmetric=True, least_volume=0.3)
    there = register(pair, options, Run())
    back = register(ImagePair(pair.moving, pair.fixed), options, Run())
    assert errors_mm(there).mean() < 1.2
    points = case().landmarks.fixed.points
    error = np.linalg.norm(map_points(back.displacement, map_points(there.displacement, points)) - points, axis=1)
    one_way = register(ImagePair(pair.moving, pair.fixed), dataclasses.replace(options, symmetric=False), Run())
    plain = register(pair, dataclasses.replace(options, symmetric=False), Run())
    there_and_back = map_points(one_way.displacement, map_points(plain.displacement, points))
    assert error.mean() < 0.15
    assert error.mean() < 0.5 * np.linalg.norm(there_and_back - points, axis=1).mean()


def test_gray_values_are_compared_on_one_scale_whatever_the_mask():
    """What a mask of the fixed image leaves out shall not shift the moving one's gray values."""
    image = case().pair.fixed
    inside = np.linalg.norm(image.grid.points() - image.grid.center, axis=-1) < 45
    mask = LabelMap(inside.astype(np.int32), image.grid)
    frame = Frame(image.grid, AffineTransform.identity())
    level = Level(image_mm=4.0, iterations=1, field_mm=4.0, step_mm=1.0)
    matching = Matching(ssd_weight=1.0, lncc_weight=0.0, fixed_mask=mask)
    images = level_images(image, image, frame, level, matching, "cpu")
    spots = spots_of(images.grid, images.moving.shape[1:], images.margin, images.fixed_weight)
    warped = pull_spots(images.moving, torch.zeros(3, *images.grid.shape), spots)
    assert images.make_measures(images.fixed_weight)[0](warped[0]).value > -1e-6


def test_each_tuple_needs_one_number_a_level():
    with pytest.raises(InputError, match="one number per level"):
        CompositiveOptions(levels_mm=(2.0,))


def test_every_preset_has_a_reason():
    assert set(METHOD.reasons) == set(METHOD.presets)


BRAIN_LABELS = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31, 41, 42, 43, 46, 47, 49, 50, 51, 52, 53)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("l2r_subject1", "vxm_scan"), ("vxm_scan", "l2r_subject1")])
def test_two_brains_overlap_after_a_draft(names):
    images = [read_image(need(f"brain/{name}_t1.nii.gz")) for name in names]
    labels = [read_labels(need(f"brain/{name}_seg.nii.gz")) for name in names]
    result = register(ImagePair(*images), PRESETS["brain_mr_draft"], Run())
    carried = resample_labels(labels[1], labels[0].grid, result.displacement).array
    overlaps = [
        2 * ((labels[0].array == n) & (carried == n)).sum() / ((labels[0].array == n).sum() + (carried == n).sum())
        for n in BRAIN_LABELS
    ]
    assert np.mean(overlaps) > 0.73
    assert result.record["folds"] == 0
