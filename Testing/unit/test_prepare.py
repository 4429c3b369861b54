"""Preparation of images, and how bodies overlap, against numbers known from how the phantoms were made."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform
from valorlib.ops.overlap import (
    body_mask,
    center_of_mass_start,
    check_overlap,
    overlap_fraction,
    rigid_start,
    signal_drop_mask,
)
from valorlib.ops.prepare import (
    correct_bias,
    crop_to_region,
    equalize,
    match_histogram,
    normalize,
    resize_slices,
)
from valorlib.ops.transforms import map_points

TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((48, 44, 30), (2.0, 2.2, 2.6), (-31.0, 12.0, 40.0), TURN)


def body(grid=GRID, center=None, radii=(30.0, 26.0, 24.0), seed=0, turn=None):
    """A textured ellipsoid in noisy air, sampled at world points; center: LPS mm."""
    rng = np.random.default_rng(seed)
    middle = GRID.center if center is None else np.asarray(center)
    local = grid.points() - middle
    if turn is not None:
        local = local @ turn
    inside = ((local / radii) ** 2).sum(-1) < 1
    waves = np.sin(local[..., 0] / 6.0) + np.cos(local[..., 1] / 7.0) * np.sin(local[..., 2] / 5.0)
    clean = inside * (100 + 25 * waves)
    return Image(np.abs(clean + 2 * rng.normal(size=grid.shape)), grid), inside


def test_crop_keeps_every_voxel_where_it_is():
    image = Image(np.random.default_rng(0).random(GRID.shape), GRID)
    points = GRID.to_world([[20, 21, 12], [24, 25, 14]])
    part = crop_to_region(image, points, margin_mm=5.0)
    index = np.round(GRID.to_index(part.grid.points())).astype(int)
    np.testing.assert_array_equal(part.array, image.array[index[..., 2], index[..., 1], index[..., 0]])
    assert part.grid.contains(points).all()
    assert part.grid.size[0] == pytest.approx(4 + 2 * 2.5 + 2, abs=1)
    with pytest.raises(InputError, match="points"):
        crop_to_region(image, np.zeros((0, 3)), margin_mm=1)


def test_normalize_by_minimum_and_maximum_and_by_percentiles():
    image = Image(np.arange(101, dtype=np.float32).reshape(1, 1, 101), Grid((101, 1, 1)))
    np.testing.assert_allclose(normalize(image).array.ravel(), np.arange(101) / 100, atol=1e-6)
    cut = normalize(image, low_percentile=10, high_percentile=90).array.ravel()
    assert cut[:11].max() == 0
    assert cut[90:].min() == 1
    assert cut[50] == pytest.approx(0.5)
    with pytest.raises(InputError, match="contrast"):
        normalize(Image(np.ones((2, 2, 2)), Grid((2, 2, 2))))
    with pytest.raises(InputError, match="NaN"):
        normalize(Image(np.full((2, 2, 2), np.nan), Grid((2, 2, 2))))


def test_histogram_matching_changes_the_first_image_and_keeps_its_order():
    rng = np.random.default_rng(1)
    grid = Grid((20, 20, 4))
    image, reference = Image(rng.random(grid.shape), grid), Image(100 + 9 * rng.normal(size=grid.shape), grid)
    matched = match_histogram(image, reference)
    np.testing.assert_allclose(np.sort(matched.array.ravel()), np.sort(reference.array.ravel()), rtol=1e-5)
    order = np.argsort(image.array.ravel())
    assert (np.diff(matched.array.ravel()[order]) >= 0).all()


def test_matching_the_foreground_does_not_see_how_much_background_there_is():
    rng = np.random.default_rng(3)
    grid = Grid((40, 40, 10))
    tissue = rng.uniform(50, 100, grid.shape)
    small, large = tissue.copy(), 2 * tissue
    small[:, :30] = large[:, :10] = 0
    matched = match_histogram(Image(small, grid), Image(large, grid), foreground=True).array
    np.testing.assert_allclose(matched[:, 30:], 2 * tissue[:, 30:], rtol=0.03)
    assert not matched[:, :30].any()
    whole = match_histogram(Image(small, grid), Image(large, grid)).array
    assert np.abs(whole[:, 30:] / (2 * tissue[:, 30:]) - 1).max() > 0.2


def test_equalize_raises_local_contrast_slice_by_slice():
    rng = np.random.default_rng(2)
    ramp = np.linspace(0.1, 1.0, 64) * np.ones((2, 64, 1))
    image = Image(ramp + 0.01 * rng.normal(size=ramp.shape), Grid((64, 64, 2)))
    out = equalize(image, clip_limit=0.03)
    assert out.array.min() >= 0
    assert out.array.max() <= 1
    before, after = (np.diff(normalize(one).array, axis=1).std() for one in (image, out))
    assert after > 1.2 * before


def test_resize_gives_320_by_320_over_the_same_area():
    ramp = GRID.points()[..., 0]
    out = resize_slices(Image(ramp, GRID))
    assert out.grid.size == (320, 320, 30)
    np.testing.assert_allclose(out.grid.corners(), GRID.corners(), atol=1e-6)
    inner = (slice(1, -1), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(out.array[inner], out.grid.points()[inner][..., 0], atol=1e-2)


def test_bias_correction_takes_most_of_a_slow_shading_away():
    image, inside = body()
    shading = np.exp(0.5 * (GRID.points()[..., 0] - GRID.center[0]) / 30)
    shaded = Image(image.array * shading, GRID)
    mask = LabelMap(inside.astype(np.int32), GRID)
    fixed = correct_bias(shaded, mask)
    left = [np.std(np.log(np.maximum(one.array, 1) / np.maximum(image.array, 1))[inside]) for one in (shaded, fixed)]
    assert left[1] < 0.45 * left[0]
    with pytest.raises(InputError, match="negative"):
        correct_bias(Image(image.array - 500, GRID))


def test_body_mask_finds_mr_bodies_ct_bodies_and_crops_without_air():
    image, inside = body()
    mask = body_mask(image).array > 0
    assert 2 * (mask & inside).sum() / (mask.sum() + inside.sum()) > 0.93
    ct = Image(np.where(inside, 40.0, -1000.0) + 10 * np.random.default_rng(3).normal(size=GRID.shape), GRID)
    found = body_mask(ct).array > 0
    assert 2 * (found & inside).sum() / (found.sum() + inside.sum()) > 0.93
    rng = np.random.default_rng(4)
    tissue = Image(100 + 20 * rng.normal(size=GRID.shape), GRID)
    assert body_mask(tissue).array.mean() > 0.98


def test_signal_drops_are_masked_and_nothing_else():
    image, inside = body()
    hole = np.linalg.norm(GRID.points() - (GRID.center + np.array([10, 0, 0])), axis=-1)
    dark = Image(image.array * (1 - 0.99 * np.exp(-0.5 * (hole / 16) ** 2)), GRID)
    usable = signal_drop_mask(dark, LabelMap(inside.astype(np.int32), GRID)).array > 0
    assert usable[inside & (hole < 3)].mean() < 0.1
    assert usable[inside & (hole > 26)].mean() > 0.97
    assert not usable[~inside].any()


def test_overlap_of_shifted_bodies_follows_the_formula():
    ball, _ = body(radii=(24.0, 24.0, 24.0))
    away = Grid(GRID.size, GRID.spacing, tuple(np.asarray(GRID.origin) + np.array([24.0, 0, 0])), GRID.direction)
    moved = Image(ball.array, away)
    assert overlap_fraction(ball, ball) == pytest.approx(1.0, abs=0.03)
    # Two balls a radius apart share 5/16 of the volume.
    assert overlap_fraction(ball, moved) == pytest.approx(5 / 16, abs=0.06)
    back = np.eye(4)
    back[0, 3] = 24.0
    assert overlap_fraction(ball, moved, AffineTransform(back)) == pytest.approx(1.0, abs=0.03)


def test_too_little_overlap_is_refused_and_the_centers_mend_it():
    image, _ = body()
    far = Grid(GRID.size, GRID.spacing, tuple(np.asarray(GRID.origin) + np.array([90.0, -40.0, 10.0])), GRID.direction)
    moving = Image(image.array, far)
    with pytest.raises(InputError, match=r"25%.*centers of mass"):
        check_overlap(image, moving)
    start = center_of_mass_start(image, moving)
    np.testing.assert_allclose(start.matrix[:3, 3], (90.0, -40.0, 10.0), atol=0.5)
    assert check_overlap(image, moving, start) > 0.9


def rotation(degrees):
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])


def test_rigid_start_recovers_a_known_turn_and_shift_across_contrasts_and_repeats_itself():
    shift = np.array([9.0, -6.0, 4.0])
    fixed, inside = body()
    other = Grid((50, 46, 34), (2.1, 2.0, 2.4), tuple(np.asarray(GRID.origin) + np.array([-2, -3, -4])), GRID.direction)
    moving, _ = body(other, center=GRID.center + shift, turn=rotation(8.0), seed=5)
    inverted = Image(np.where(moving.array > 30, 260 - moving.array, moving.array), other)
    found = rigid_start(fixed, inverted, Run())
    points = GRID.points()[inside][::50]
    true = (points - GRID.center) @ rotation(8.0).T + GRID.center + shift
    assert np.linalg.norm(map_points(found, points) - true, axis=1).mean() < 1.2
    np.testing.assert_array_equal(found.matrix, rigid_start(fixed, inverted, Run()).matrix)


def test_rigid_start_of_single_slices_stays_in_their_plane():
    grid = Grid((80, 70, 1), (1.0, 1.1, 3.0), (5.0, 6.0, 7.0), TURN)
    rng = np.random.default_rng(6)
    array = ndimage.gaussian_filter(rng.normal(size=(70, 80)), 4)[None] * 1000 + 300
    away = Grid(grid.size, grid.spacing, tuple(grid.to_world((4, -3, 0))), TURN)
    found = rigid_start(Image(array, grid), Image(array, away), Run())
    points = grid.points()[:, 20:50:5, 20:60:5].reshape(-1, 3)
    true = points + (away.to_world((0, 0, 0)) - grid.to_world((0, 0, 0)))
    assert np.linalg.norm(map_points(found, points) - true, axis=1).mean() < 0.6


def test_cancel_in_the_rigid_search_comes_out_as_cancelled():
    image, _ = body()

    def cancel(fraction, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        rigid_start(image, image, Run(progress=cancel))
