import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from valorlib.core.errors import InputError
from valorlib.metrics.similarity import (
    ncc,
    ngf,
    ngf_map,
    psnr,
    relative_ssd,
    seed_compatible,
    ssim,
    ssim_map,
    unit_range,
)


@pytest.fixture
def pair():
    rng = np.random.default_rng(5)
    fixed = rng.random((12, 15, 18), dtype=np.float32)
    return fixed, (fixed + 0.2 * rng.random(fixed.shape)).astype(np.float32)


def test_psnr_of_a_constant_difference_by_hand():
    fixed = np.array([[[0.0, 1.0]]], dtype=np.float32)
    assert psnr(fixed, fixed + np.float32(0.1), peak=1.0) == pytest.approx(20.0, abs=1e-4)
    assert psnr(fixed, fixed) == float("inf")


def test_psnr_agrees_with_scikit_image(pair):
    fixed, warped = pair
    assert psnr(fixed, warped, peak=1.0) == pytest.approx(
        peak_signal_noise_ratio(fixed, warped, data_range=1.0), rel=1e-6
    )


def test_ssim_agrees_with_scikit_image(pair):
    fixed, warped = pair
    theirs = structural_similarity(fixed, warped, data_range=1.0, win_size=7, full=True)[1]
    inner = np.s_[3:-3, 3:-3, 3:-3]
    np.testing.assert_allclose(ssim_map(fixed, warped)[inner], theirs[inner], atol=2e-5)


def test_ssim_of_one_slice_agrees_with_scikit_image_in_the_plane(pair):
    fixed, warped = pair[0][:1], pair[1][:1]
    theirs = structural_similarity(fixed[0], warped[0], data_range=1.0, win_size=7, full=True)[1]
    np.testing.assert_allclose(ssim_map(fixed, warped)[0, 3:-3, 3:-3], theirs[3:-3, 3:-3], atol=2e-5)


def test_ncc_is_pearson_and_knows_no_scale(pair):
    fixed, warped = pair
    assert ncc(fixed, warped) == pytest.approx(np.corrcoef(fixed.ravel(), warped.ravel())[0, 1], abs=1e-9)
    assert ncc(fixed, 5 * fixed + 2) == pytest.approx(1, abs=1e-6)
    assert ncc(fixed, -fixed) == pytest.approx(-1, abs=1e-6)
    assert ncc(fixed, np.ones_like(fixed)) == 0


def test_relative_ssd_by_hand():
    fixed = np.zeros((1, 1, 4), np.float32)
    assert relative_ssd(fixed, fixed + 2, fixed + 1) == pytest.approx(0.25)
    assert relative_ssd(fixed, fixed + 2, fixed) == 0
    assert relative_ssd(fixed, fixed, fixed) == 0


def test_edges_that_cross_at_right_angles_score_zero_and_the_same_edges_one():
    k, j, i = np.meshgrid(*(np.arange(10.0),) * 3, indexing="ij")
    assert ngf_map(i, j).max() < 1e-6
    np.testing.assert_allclose(ngf_map(i, -3 * i), 1 / 1.1**2, atol=1e-6)
    assert ngf(i.astype(np.float32), k.astype(np.float32)) < 1e-6


def test_spacing_turns_the_gradient():
    _, j, i = np.meshgrid(*(np.arange(10.0),) * 3, indexing="ij")
    flat = ngf_map(i + j, i - j, spacing_mm=(1, 1, 1))
    tall = ngf_map(i + j, i - j, spacing_mm=(1, 100, 1))
    assert flat.max() < 1e-6
    assert tall.min() > 0.5


def test_only_the_mask_counts(pair):
    fixed, warped = pair
    mask = np.zeros(fixed.shape, dtype=bool)
    mask[4:8, 4:8, 4:8] = True
    spoiled = np.where(mask, warped, 1000).astype(np.float32)
    assert ncc(fixed, spoiled, mask) == pytest.approx(ncc(fixed, warped, mask))
    assert psnr(fixed, spoiled, mask) == pytest.approx(psnr(fixed, warped, mask))
    assert ssim(fixed, fixed, mask) == pytest.approx(1)
    with pytest.raises(InputError, match="mask: expected at least one voxel"):
        ncc(fixed, warped, np.zeros_like(mask))


def test_unit_range_maps_to_zero_and_one_and_constants_to_zero():
    assert unit_range(np.array([[[2.0, 4.0, 3.0]]], np.float32)).tolist() == [[[0, 1, 0.5]]]
    assert unit_range(np.full((2, 2, 2), 7, np.float32)).max() == 0


def test_the_predecessors_scores_hardly_tell_apart_what_ours_do():
    rng = np.random.default_rng(1)
    fixed = 0.6 + 0.1 * rng.random((8, 16, 16), dtype=np.float32)
    fixed[0, 0, 0], fixed[0, 0, 1] = 0, 1
    other = 0.6 + 0.1 * rng.random((8, 16, 16), dtype=np.float32)
    other[0, 0, 0], other[0, 0, 1] = 0, 1
    scores = seed_compatible(fixed, other, other)
    assert scores.ncc > 0.99  # uncentered: two unrelated images
    assert scores.ngf > 0.999
    assert ncc(fixed[1:], other[1:]) < 0.1
    assert scores.relative_ssd == pytest.approx(1)


def test_different_shapes_are_refused(pair):
    with pytest.raises(InputError, match="warped: expected shape"):
        psnr(pair[0], pair[1][1:])
