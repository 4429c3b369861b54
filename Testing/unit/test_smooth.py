from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter1d

from valorlib.ops.smooth import (
    along_axes,
    damp_divergence,
    difference,
    gaussian,
    keep_volume,
    resize_matrices,
    transposed,
    volume_factor,
)
from valorlib.ops.warp import resize


def test_gaussian_agrees_with_scipy_away_from_the_border():
    x = torch.zeros(1, 1, 1, 31)
    x[..., 15] = 1
    expected = gaussian_filter1d(x.numpy().ravel(), 2.0, truncate=3.5)
    np.testing.assert_allclose(gaussian(x, (0, 0, 2.0)).numpy().ravel(), expected, atol=1e-6)


def test_smoothing_keeps_a_constant_up_to_the_border():
    torch.testing.assert_close(gaussian(torch.full((2, 5, 6, 7), 3.0), (1, 2, 3)), torch.full((2, 5, 6, 7), 3.0))


def test_linear_resizing_is_that_of_the_warp_module():
    x = torch.randn(3, 5, 6, 4, generator=torch.Generator().manual_seed(0))
    found = along_axes(x, resize_matrices(x, x.shape[1:], (9, 12, 7)))
    torch.testing.assert_close(found, resize(x[None], (9, 12, 7))[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cubic", [False, True])
def test_a_straight_line_stays_straight_inside(cubic):
    x = torch.arange(10.0).view(1, 1, 1, 10)
    found = along_axes(x, resize_matrices(x, (1, 1, 10), (1, 1, 20), cubic=cubic)).flatten()
    np.testing.assert_allclose(np.diff(found.numpy())[6:-6], 0.5, atol=1e-5)


def test_the_transpose_is_exact():
    random = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, 5, 6, generator=random, dtype=torch.float64)
    up = resize_matrices(x, x.shape[1:], (7, 9, 10))
    y = torch.randn(3, 7, 9, 10, generator=random, dtype=torch.float64)
    torch.testing.assert_close((along_axes(x, up) * y).sum(), (x * along_axes(y, transposed(up))).sum())


def test_differences_of_a_ramp_are_its_slopes():
    k, j, i = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), torch.arange(6.0), indexing="ij")
    for found, slope in zip(difference(2 * k - 3 * j + i), (2, -3, 1), strict=True):
        assert found.eq(slope).all()
    assert difference(torch.zeros(1, 5, 6))[0].eq(0).all()


def test_damping_takes_divergence_and_leaves_rotation():
    k, j, i = torch.meshgrid(*(torch.linspace(-3, 3, 25),) * 3, indexing="ij")
    bump = torch.exp(-(k**2 + j**2 + i**2))
    source, curl = torch.stack([k, j, i]) * bump, torch.stack([torch.zeros_like(k), -i, j]) * bump
    damped = damp_divergence(source + curl, (0.25, 0.25, 0.25), 0.5)
    left = damped - curl
    assert left.square().sum() < 0.6 * source.square().sum()
    assert (damp_divergence(curl, (0.25, 0.25, 0.25), 0.5) - curl).abs().max() < 0.01 * curl.abs().max()


def test_volume_factor_of_a_linear_field_is_its_determinant():
    k, j, i = torch.meshgrid(*(torch.arange(6.0),) * 3, indexing="ij")
    u = torch.stack([0.5 * k + 0.2 * j, -0.1 * k + 0.3 * i, 0.4 * j])
    expected = torch.linalg.det(torch.tensor([[1.5, 0.2, 0.0], [-0.1, 1.0, 0.3], [0.0, 0.4, 1.0]]))
    assert volume_factor(u, (1.0, 1.0, 1.0)).allclose(expected)
    assert volume_factor(2 * u, (2.0, 2.0, 2.0)).allclose(expected)


def test_a_fold_is_smoothed_away_and_the_far_field_stays():
    u = torch.zeros(3, 20, 20, 20)
    u[0, 10, 10, 10], u[0, 2:5] = 4.0, 0.2
    spacing = (1.0, 1.0, 1.0)
    assert volume_factor(u, spacing).min() < 0
    eased = keep_volume(u, spacing, 0.2, rounds=50)
    assert volume_factor(eased, spacing).min() >= 0.2
    assert torch.equal(eased[:, :4], u[:, :4])
    assert keep_volume(u, spacing, 0.0) is u
