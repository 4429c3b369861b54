from __future__ import annotations

import numpy as np
import pytest
import torch

from valorlib.ops.boxes import Windows
from valorlib.ops.lncc import LocalCorrelation, correlate


def _pair(shape=(9, 8, 7)):
    random = torch.Generator().manual_seed(3)
    fixed = torch.randn(shape, generator=random, dtype=torch.float64)
    warped = 0.5 * fixed + torch.randn(shape, generator=random, dtype=torch.float64)
    return fixed, warped, torch.rand(shape, generator=random, dtype=torch.float64)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
def test_the_gradient_by_hand_agrees_with_finite_differences(squared, stride):
    fixed, warped, weight = _pair()
    measure = LocalCorrelation(fixed, weight, Windows(fixed.shape, (2, 2, 2), stride), squared=squared, floor=0.01)
    assert torch.autograd.gradcheck(lambda w: correlate(w, measure), warped.requires_grad_(), atol=1e-7)


def test_the_value_agrees_with_numpy_window_by_window():
    fixed, warped, weight = _pair((5, 6, 7))
    measure = LocalCorrelation(fixed, torch.ones_like(weight), Windows(fixed.shape, (1, 1, 1)), floor=0.0)
    values = []
    for k, j, i in np.ndindex(5, 6, 7):
        box = np.s_[max(0, k - 1) : k + 2, max(0, j - 1) : j + 2, max(0, i - 1) : i + 2]
        values.append(np.corrcoef(fixed[box].flatten(), warped[box].flatten())[0, 1])
    # A window that reaches over the border counts as much as any other: its share is of what lies inside.
    assert measure(warped).value == pytest.approx(np.mean(values), abs=1e-9)


def test_brightness_and_contrast_of_each_side_do_not_matter():
    fixed, warped, weight = _pair()
    windows = Windows(fixed.shape, (2, 2, 2))
    one = LocalCorrelation(fixed, weight, windows, floor=1e-12)(warped).value
    assert LocalCorrelation(fixed * 7 + 30, weight, windows, floor=1e-12)(warped * 0.2 - 5).value == pytest.approx(one)


def test_squared_correlation_does_not_mind_inverted_contrast():
    fixed, _, weight = _pair()
    windows = Windows(fixed.shape, (2, 2, 2))
    assert LocalCorrelation(fixed, weight, windows, squared=True, floor=1e-12)(-fixed).value == pytest.approx(1)
    assert LocalCorrelation(fixed, weight, windows, floor=1e-12)(-fixed).value == pytest.approx(-1)


def test_masked_voxels_change_nothing():
    fixed, warped, _ = _pair()
    weight = torch.ones_like(fixed)
    weight[:, :, :3] = 0
    measure = LocalCorrelation(fixed, weight, Windows(fixed.shape, (1, 1, 1)))
    other = warped.clone()
    other[:, :, :3] = 99
    assert measure(other).value == pytest.approx(measure(warped).value)
    assert measure(other).gradient[:, :, :3].abs().max() == 0


def test_against_a_flat_image_only_the_floor_is_shared_and_nothing_is_nan():
    fixed, _, _ = _pair()
    windows = Windows(fixed.shape, (2, 2, 2))
    ones = torch.ones_like(fixed)
    found = LocalCorrelation(fixed, ones, windows, floor=0.01)(torch.zeros_like(fixed))
    count = windows.sums(ones)
    variance = windows.sums(fixed**2) / count - (windows.sums(fixed) / count) ** 2
    assert found.value == pytest.approx(float((0.01 / (variance + 0.01)).sqrt().mean()))
    assert torch.isfinite(found.gradient).all()


def test_equal_images_correlate_by_one_and_pull_nowhere_however_flat_they_are():
    fixed, _, weight = _pair()
    fixed[:5] *= 1e-3
    found = LocalCorrelation(fixed, weight, Windows(fixed.shape, (2, 2, 2)))(fixed)
    assert found.value == pytest.approx(1)
    assert found.gradient.abs().max() < 1e-12
