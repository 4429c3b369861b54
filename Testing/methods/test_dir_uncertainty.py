"""The uncertainty of a transform: every mode ranks planted errors, repeats itself, and says when it has no scale."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run, silent
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.methods.dir_uncertainty import METHOD, DirUncertaintyOptions, TransformUnderTest, estimate
from valorlib.metrics.calibration import spearman
from valorlib.ops.error_maps import ErrorRegressor, correlation_length, disagreement
from valorlib.ops.known_truth import denoised, known_pair, noise_level, random_field
from valorlib.ops.posterior import PosteriorSettings, posterior_sigma, prior_precision, smooth_noise
from valorlib.ops.resample import resample_image
from valorlib.ops.sampling import NoiseLattice
from valorlib.solve.error_estimates import motion_factor, motion_size, working_pair
from valorlib.solve.independent import affine_of

GRID = Grid((34, 30, 28), (4.0, 4.0, 4.0), (-60.0, 10.0, 5.0))


def textured(seed=0):
    rng = np.random.default_rng(seed)
    values = sum(w * ndimage.gaussian_filter(rng.normal(size=GRID.shape), s) * s**1.5 for s, w in ((1, 1), (3, 1)))
    return Image((200 * values / values.std()).astype(np.float32), GRID)


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(5)
    truth = random_field(GRID, rng, size_mm=5.0)
    made = known_pair(textured(), truth, rng, noise=10.0)
    wrong = random_field(GRID, rng, size_mm=8.0, widths_mm=(12.0,), weights=(1.0,))
    judged = DisplacementField(truth.array + wrong.array, GRID)
    return made, judged, np.linalg.norm(wrong.array, axis=-1)


def inner(values):
    return values[4:-4, 4:-4, 4:-4].ravel()


def test_the_anchor_ranks_and_sizes_the_error_of_a_transform_from_elsewhere(case):
    made, judged, error = case
    found = estimate(TransformUnderTest(ImagePair(made.fixed, made.moving), judged), DirUncertaintyOptions(), Run())
    sigma = inner(found.sigma.array)
    assert spearman(sigma, inner(error)) > 0.75
    assert 0.6 < np.sqrt((sigma**2).mean() / (inner(error) ** 2).mean()) < 1.6
    assert found.in_mm
    assert not found.upper_bound
    assert found.sigma.grid.matches(GRID)


def test_a_judged_transform_better_than_ours_is_called_an_upper_bound(case):
    made, _, _ = case

    def poor(fixed, moving, member, progress):
        return DisplacementField(np.full((*fixed.grid.shape, 3), member, dtype=np.float32), fixed.grid)

    inputs = TransformUnderTest(ImagePair(made.fixed, made.moving), made.truth)
    found = estimate(inputs, DirUncertaintyOptions(), Run(), register=poor)
    assert found.upper_bound
    assert any("upper bound" in w for w in found.warnings)


@pytest.mark.slow
def test_the_own_modes_rank_better_than_chance_and_repeat_themselves(case):
    made, _, _ = case
    inputs = TransformUnderTest(ImagePair(made.fixed, made.moving), AffineTransform.identity())
    quick = DirUncertaintyOptions(mode="own", spacing_mm=6.0)
    first, again = (estimate(inputs, quick, Run(seed=1)).sigma.array for _ in range(2))
    np.testing.assert_array_equal(first, again)
    full = estimate(inputs, DirUncertaintyOptions(mode="own", quality="full", spacing_mm=8.0, repeats=2), Run(seed=1))
    assert np.isfinite(full.sigma.array).all()
    assert float(full.sigma.array.min()) > 0


def test_without_a_scale_there_are_ranks_and_a_sentence(case):
    made, judged, _ = case
    options = DirUncertaintyOptions(mode="paper", spacing_mm=8.0)
    found = estimate(TransformUnderTest(ImagePair(made.fixed, made.moving), judged), options, Run())
    assert not found.in_mm
    assert 0 <= float(found.rank.array.min()) <= float(found.rank.array.max()) <= 100
    assert any("no scale is known" in w.lower() for w in found.warnings)
    assert any("inverse image gradient" in w for w in found.warnings)


@pytest.mark.slow
def test_calibrating_on_the_scan_gives_a_scale_and_a_curve(case):
    made, judged, _ = case
    options = DirUncertaintyOptions(calibrate=True, spacing_mm=8.0)
    found = estimate(TransformUnderTest(ImagePair(made.fixed, made.moving), judged), options, Run())
    assert found.calibration is not None
    assert len(found.calibration.curve) == 19
    assert "this scan" in found.scale.source
    assert 0.2 < found.scale.value < 3


def test_our_own_doubt_grows_with_the_deformation_and_not_with_its_affine_part(case):
    made, _, _ = case
    work = working_pair(made.fixed, made.moving, made.truth, spacing_mm=8.0)
    small = DisplacementField(random_field(work.grid, np.random.default_rng(1), size_mm=4.0).array, work.grid)
    shifted = DisplacementField(small.array + np.float32(30.0), work.grid)
    double = DisplacementField(2 * small.array, work.grid)
    assert motion_size(work, shifted) == pytest.approx(motion_size(work, small), rel=1e-3)
    assert motion_size(work, double) == pytest.approx(2 * motion_size(work, small), rel=1e-3)
    assert motion_factor(2.0) == 1
    assert motion_factor(4.0) == 2
    assert motion_factor(0.0) == 0.5
    assert motion_factor(90.0) == 3


def test_a_start_far_away_is_taken_from_the_transform(case):
    made, _, _ = case
    shift = np.eye(4)
    shift[:3, 3] = (40.0, -30.0, 0.0)
    grid = Grid(GRID.size, GRID.spacing, tuple(np.asarray(GRID.origin) + shift[:3, 3]))
    moving = Image(made.moving.array, grid)
    judged = DisplacementField(made.truth.array + shift[:3, 3].astype(np.float32), GRID)
    options = DirUncertaintyOptions(spacing_mm=8.0)
    found = estimate(TransformUnderTest(ImagePair(made.fixed, moving), judged), options, Run())
    assert float(np.median(inner(resample_image(found.sigma, GRID).array))) < 4


def test_a_transform_that_misses_the_moving_scan_is_refused(case):
    made, judged, _ = case
    away = DisplacementField(judged.array + np.float32(900), GRID)
    with pytest.raises(InputError, match="leads from the fixed scan into the moving one"):
        estimate(TransformUnderTest(ImagePair(made.fixed, made.moving), away), DirUncertaintyOptions(), Run())


def test_it_cancels_and_its_progress_rises(case):
    made, judged, _ = case
    seen = []

    def watch(fraction, message):
        seen.append(fraction)
        if len(seen) > 20:
            raise Cancelled

    with pytest.raises(Cancelled):
        estimate(
            TransformUnderTest(ImagePair(made.fixed, made.moving), judged),
            DirUncertaintyOptions(spacing_mm=8.0),
            Run(progress=watch),
        )
    assert seen == sorted(seen)
    assert METHOD.presets["quick"].mode == "anchor"


def test_the_affine_part_of_a_field_is_found():
    matrix = np.asarray([[1.02, 0.03, 0, 4], [-0.03, 0.98, 0, -7], [0, 0.01, 1, 2], [0, 0, 0, 1.0]])
    u = GRID.points() @ (matrix[:3, :3] - np.eye(3)).T + matrix[:3, 3]
    np.testing.assert_allclose(affine_of(DisplacementField(u.astype(np.float32), GRID)).matrix, matrix, atol=1e-3)


def test_a_made_pair_has_the_truth_it_says():
    rng = np.random.default_rng(0)
    image = textured(3)
    truth = random_field(GRID, rng, size_mm=6.0)
    made = known_pair(image, truth, rng, noise=0.0)
    back = resample_image(made.moving, GRID, made.truth)
    assert np.corrcoef(inner(back.array), inner(made.fixed.array))[0, 1] > 0.97
    assert np.percentile(np.linalg.norm(truth.array, axis=-1), 99.5) <= 6.01


def test_noise_is_measured_and_taken_away():
    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 4) * 2000
    noisy = Image((smooth + 20 * rng.normal(size=GRID.shape)).astype(np.float32), GRID)
    assert noise_level(noisy) == pytest.approx(20, rel=0.25)
    assert noise_level(denoised(noisy)) < 8


def test_fields_that_agree_have_no_spread():
    field = random_field(GRID, np.random.default_rng(0), size_mm=5.0)
    assert float(disagreement([field, field]).max()) < 0.06
    shifted = DisplacementField(field.array + np.float32(1.0), GRID)
    # Two fields 1 mm apart along each axis: variance (n - 1) of 1.5 mm2.
    np.testing.assert_allclose(disagreement([field, shifted]), np.sqrt(1.5), rtol=0.01)


def test_the_regressor_learns_where_errors_are_large():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(8000, 4)).astype(np.float32)
    sigma = np.exp(0.5 * features[:, 0])
    errors = np.linalg.norm(rng.normal(size=(8000, 3)), axis=1) * sigma / np.sqrt(3)
    found = ErrorRegressor(features, errors.astype(np.float32)).sigma(features)
    assert spearman(found, sigma) > 0.95
    assert float(np.median(found / sigma)) == pytest.approx(1, abs=0.1)


def test_the_correlation_length_of_a_field_is_found():
    lattice = NoiseLattice.around(GRID.points().reshape(-1, 3), 10.0)
    noise = lattice.weights(GRID.points().reshape(-1, 3)) @ lattice.draw(np.random.default_rng(0), 3)
    found = correlation_length(noise.reshape(*GRID.shape, 3), GRID, np.ones(GRID.shape, dtype=bool))
    assert found == pytest.approx(10, rel=0.35)


def test_the_posterior_is_small_on_edges_and_has_its_cap_where_the_image_is_flat():
    flat = np.zeros(GRID.shape, dtype=np.float32)
    flat[:, :, 17:] = 1000
    image = Image(flat, GRID)
    still = DisplacementField(np.zeros((*GRID.shape, 3), dtype=np.float32), GRID)
    settings = PosteriorSettings(steps=20)
    sigma = posterior_sigma(image, image, still, settings, progress=silent)
    cap = np.sqrt(3 / prior_precision(settings))
    assert float(np.median(sigma[10:18, 10:20, 4:10])) == pytest.approx(cap, rel=0.3)
    assert float(sigma[14, 15, 17]) < 0.95 * float(sigma[14, 15, 6])
    # The flat cap of the notes: sigma_c / sqrt(1.5 lambda) = 7.6 mm an axis at lambda 10 on the paper's grid.
    assert 1 / np.sqrt(prior_precision(PosteriorSettings())) == pytest.approx(7.6, abs=0.1)


def test_the_posteriors_noise_has_unit_variance():
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([smooth_noise((12, 10, 8), (3.0, 3.0, 3.0), generator) for _ in range(400)])
    assert float(draws.var(0).mean()) == pytest.approx(1, abs=0.1)
