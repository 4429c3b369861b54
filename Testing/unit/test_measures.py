from __future__ import annotations

import pytest
import torch

from valorlib.ops.measures import SquaredDifference, Weighted


def _images():
    random = torch.Generator().manual_seed(0)
    return [torch.randn(3, 4, 5, generator=random, dtype=torch.float64) for _ in range(2)]


def test_squared_difference_by_hand_and_its_gradient():
    fixed, warped = _images()
    weight = torch.zeros_like(fixed)
    weight[0, 0, :2] = 1
    found = SquaredDifference(fixed, weight)(warped)
    difference = (warped - fixed)[0, 0, :2]
    assert found.value == pytest.approx(-0.25 * float(difference.square().sum()))
    torch.testing.assert_close(found.gradient[0, 0, :2], -difference / 2)
    assert found.gradient[1:].abs().max() == 0


def test_a_weighted_sum_adds_values_and_gradients():
    fixed, warped = _images()
    one = SquaredDifference(fixed, torch.ones_like(fixed))
    two = Weighted([(2.0, one), (1.0, one)])(warped)
    assert two.value == pytest.approx(3 * one(warped).value)
    torch.testing.assert_close(two.gradient, 3 * one(warped).gradient)
