"""Similarities of a warped image with a fixed one that bring their own gradient: squared difference, sums, weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from valorlib.ops.lncc import Similarity

Measure = Callable[[Tensor], Similarity]


class SquaredDifference:
    """Minus half the mean squared difference over weighted voxels."""

    def __init__(self, fixed: Tensor, weight: Tensor) -> None:
        self._fixed, self._weight = fixed, weight / weight.sum().clamp_min(1e-6)

    def __call__(self, warped: Tensor) -> Similarity:
        """Similarity and its gradient for a warped image (K, J, I)."""
        difference = warped - self._fixed
        gradient = difference * self._weight
        return Similarity(-0.5 * float((gradient * difference).sum()), gradient.neg_())


class Weighted:
    """A weighted sum of similarities."""

    def __init__(self, parts: list[tuple[float, Measure]]) -> None:
        self._parts = parts

    def __call__(self, warped: Tensor) -> Similarity:
        """Similarity and its gradient for a warped image (K, J, I)."""
        value, gradient = 0.0, torch.zeros_like(warped)
        for weight, measure in self._parts:
            found = measure(warped)
            value += weight * found.value
            gradient.add_(found.gradient, alpha=weight)
        return Similarity(value, gradient)
