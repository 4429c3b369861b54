"""Preparation of a pair, each step on or off."""

import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.points import Seeds
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.preparation import crop_mask, find_start, prepare_images, prepare_pair

GRID = Grid((20, 24, 16), (1.0, 2.0, 1.5), (-5.0, 8.0, 3.0))
OFF = dict.fromkeys(("bias_correction", "match_histograms", "equalized"), False)


def _ball(shift=0.0):
    away = np.linalg.norm(GRID.points() - GRID.center - (shift, 0, 0), axis=-1)
    return Image((100 + 400 * (away < 6)).astype(np.float32), GRID)


def test_with_all_steps_off_the_images_stay_what_they_are():
    fixed, moving = prepare_images(_ball(), _ball(2.0), **OFF)
    assert np.array_equal(fixed.array, _ball().array)
    assert np.array_equal(moving.array, _ball(2.0).array)


def test_histograms_match_after_matching():
    moving = Image(3 * _ball(2.0).array + 50, GRID)
    _, matched = prepare_images(_ball(), moving, **{**OFF, "match_histograms": True})
    assert np.percentile(matched.array, 99.9) == pytest.approx(500, abs=1)
    assert matched.array.min() == pytest.approx(100, abs=1)


def test_equalized_images_lie_between_0_and_1():
    for image in prepare_images(_ball(), _ball(2.0), **{**OFF, "equalized": True}):
        assert 0 <= image.array.min() < image.array.max() <= 1


def test_bias_correction_makes_a_shaded_image_evener():
    ramp = np.exp(np.linspace(-0.5, 0.5, GRID.size[1]))[None, :, None].astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 5, GRID.shape)
    shaded = Image((_ball().array * ramp + 50 + noise).astype(np.float32), GRID)
    even, _ = prepare_images(shaded, shaded, **{**OFF, "bias_correction": True})
    outer = _ball().array < 200
    assert (
        even.array[outer].std() / even.array[outer].mean()
        < 0.7 * shaded.array[outer].std() / shaded.array[outer].mean()
    )


def test_starts_by_choice_and_a_given_one_wins():
    pair = ImagePair(_ball(), _ball(3.0))
    assert np.array_equal(find_start(pair, "headers", Run()).matrix, np.eye(4))
    assert find_start(pair, "centers", Run()).matrix[0, 3] == pytest.approx(3.0, abs=1.5)
    given = AffineTransform(np.array([[1, 0, 0, 7.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    assert find_start(ImagePair(_ball(), _ball(), start=given), "centers", Run()) is given


def test_a_deformation_is_no_start():
    bent = DisplacementField(np.zeros((*GRID.shape, 3), np.float32), GRID)
    with pytest.raises(InputError, match="linear transform"):
        find_start(ImagePair(_ball(), _ball(), start=bent), "headers", Run())


def test_the_crop_is_a_cube_around_the_clicks_carried_to_the_fixed_image():
    seeds = Seeds(GRID.center[None] + [[4.0, 0, 0]], np.array([1]), "moving")
    start = AffineTransform(np.array([[1, 0, 0, 4.0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
    mask = crop_mask(ImagePair(_ball(), _ball(), seeds), start, 5.0)
    inside = GRID.points()[mask.array > 0] - GRID.center
    assert np.abs(inside).max(0) == pytest.approx((5.0, 5.0, 5.0), abs=2.0)
    assert crop_mask(ImagePair(_ball(), _ball(), seeds), start, 0.0) is None
    assert crop_mask(ImagePair(_ball(), _ball()), start, 5.0) is None


def test_a_pair_is_prepared_with_its_start_and_refused_when_the_bodies_hardly_meet():
    ready = prepare_pair(ImagePair(_ball(), _ball(3.0)), Run(), start="centers", bias_correction=False)
    assert ready.start.matrix[0, 3] == pytest.approx(3.0, abs=1.5)
    away = Image(_ball().array, Grid(GRID.size, GRID.spacing, (200.0, 8.0, 3.0)))
    with pytest.raises(InputError, match="overlap"):
        prepare_pair(ImagePair(_ball(), away), Run(), start="headers", bias_correction=False)
