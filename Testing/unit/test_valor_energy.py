"""VALOR-Net's energies against numbers worked out by hand and brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from valorlib.ops.valor_energy import (
    Energy,
    Weights,
    blur,
    closed_form,
    diffusion,
    eikonal_distance,
    fitting,
    folded_share,
    otsu_gaps,
    printed_minimizer,
    warp_slices,
)


def test_tent_by_hand():
    image = torch.tensor([0.2, 0.35, 0.5, 0.6, 0.9])
    # a = 0.5, gaps 0.3 down and 0.2 up: tent 0, 0.5, 1, 0.5, 0.
    expected = [0.09, 0.0225 - 0.5, -1.0, 0.01 - 0.5, 0.16]
    assert fitting(image, 0.5, (0.3, 0.2)).tolist() == pytest.approx(expected, abs=1e-6)


def test_gaps_reach_to_the_neighboring_otsu_thresholds():
    rng = np.random.default_rng(0)
    parts = [np.full(500, v) + rng.normal(0, 0.01, 500) for v in (0.1, 0.5, 0.9)]
    image = np.clip(np.concatenate(parts), 0, 1).astype(np.float32)[None]
    down, up = otsu_gaps(image, 0.5)
    assert 0.5 - down == pytest.approx(0.3, abs=0.2)
    assert 0.12 < 0.5 - down < 0.48
    assert 0.52 < 0.5 + up < 0.88
    assert otsu_gaps(image, 0.95)[1] == pytest.approx(0.05, abs=1e-6)
    assert otsu_gaps(np.full((4, 4), 0.5, np.float32), 1.0)[1] == pytest.approx(0.02)


@pytest.mark.parametrize("printed", [False, True])
def test_exact_minimizer_beats_every_constant_and_random_theta(printed):
    generator = torch.Generator().manual_seed(1)
    phi = torch.rand(1, 1, 12, 12, generator=generator) * 2 - 1
    distance, image = (torch.rand(1, 1, 12, 12, generator=generator) for _ in range(2))
    weights = Weights(lambda_1=2.0, lambda_2=0.0, mu=3.0)
    energy = Energy(image, image, phi, phi, distance, weights, 2.0, printed)
    still = torch.zeros(1, 2, 12, 12)
    if printed:
        best = printed_minimizer(phi, distance, image, lambda_1=2.0, mu=3.0)
    else:
        best = closed_form(phi, distance, lambda_1=2.0, mu=3.0)
    least = energy.segmentation(best, still)
    for level in np.linspace(0, 1, 21):
        assert energy.segmentation(torch.full_like(phi, float(level)), still) >= least - 1e-5
    for _ in range(200):
        assert energy.segmentation(torch.rand(1, 1, 12, 12, generator=generator), still) >= least - 1e-5


def test_printed_loss_copies_the_scan_away_from_the_marker():
    phi = torch.linspace(-1, 1, 50).view(1, 1, 5, 10)
    distance = torch.full_like(phi, 0.5)
    image = torch.rand(1, 1, 5, 10, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(printed_minimizer(phi, distance, image, lambda_1=2.0, mu=30.0), image)


def test_energy_of_a_known_shift_is_zero_where_images_agree():
    rows = torch.arange(20.0).view(1, 1, 20, 1).expand(1, 1, 20, 16) / 40
    u_pix = torch.zeros(1, 2, 20, 16)
    u_pix[:, 0] = 2.0
    fixed = warp_slices(rows, u_pix)
    assert fixed[0, 0, 3, 0] == pytest.approx(5 / 40)
    zero = torch.zeros_like(rows)
    energy = Energy(rows, fixed, zero, zero, zero, Weights(lambda_2=0.0), 2.0, False)
    assert float(energy.registration(zero, u_pix)) == pytest.approx(0.0, abs=1e-8)
    difference = rows - fixed
    local = blur(difference, 2.0) - difference
    by_hand = 50 * (difference**2).sum() + 50 * (local**2).sum()
    assert float(energy.registration(zero, torch.zeros_like(u_pix))) == pytest.approx(float(by_hand), rel=1e-5)


def test_carried_theta_pays_the_fixed_fitting_term():
    theta = torch.zeros(1, 1, 8, 8)
    theta[..., 4, 4] = 1.0
    phi = torch.arange(64.0).view(1, 1, 8, 8)
    zero = torch.zeros_like(theta)
    energy = Energy(zero, zero, zero, phi, zero, Weights(lambda_1=0.0, mu=0.0, lambda_2=0.5), 2.0, False)
    u_pix = torch.zeros(1, 2, 8, 8)
    u_pix[:, 1] = 1.0  # theta(x + u) is 1 at column 3
    assert float(energy.segmentation(theta, u_pix)) == pytest.approx(0.5 * (8 * 4 + 3))


def test_diffusion_and_folds_by_hand():
    ramp = torch.zeros(1, 2, 4, 5)
    ramp[:, 1] = 0.5 * torch.arange(5.0)
    assert float(diffusion(ramp)) == pytest.approx(4 * 4 * 0.25)
    assert folded_share(ramp.numpy()) == 0.0
    assert folded_share(-3 * ramp.numpy()) == 1.0


def test_blur_agrees_with_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    image = torch.rand(1, 2, 21, 17, generator=torch.Generator().manual_seed(3))
    ours = blur(image, 1.5)[0, 1].numpy()
    theirs = ndimage.gaussian_filter(image[0, 1].numpy(), 1.5, mode="nearest", radius=5)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_eikonal_distance_of_a_flat_slice_is_euclidean():
    markers = np.zeros((41, 41), bool)
    markers[20, 20] = True
    distance = eikonal_distance(np.full((41, 41), 0.3, np.float32), markers)
    assert distance.max() == pytest.approx(1.0)
    assert distance[20, 30] / distance[20, 40] == pytest.approx(0.5, abs=0.01)
    step = np.zeros((41, 41), np.float32)
    step[:, 25:] = 1.0
    walled = eikonal_distance(step, markers)
    assert walled[20, 30] > 20 * walled[20, 10]
