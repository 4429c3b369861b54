"""Local correlation of two images, with its gradient worked out by hand: seven box sums, no autograd."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.ops.boxes import Windows


@dataclass(frozen=True, eq=False)
class Similarity:
    """A similarity (the higher the better) and its gradient at each voxel of the warped image."""

    value: float
    gradient: Tensor


class LocalCorrelation:
    """Mean over windows of the correlation of two images, signed or squared.

    What depends on the fixed image alone is computed once. Each voxel counts by its weight, so that windows which
    reach over the border or into masked voxels see the rest of the window only.

    Source: Cachier, Iconic feature based nonrigid registration: the PASHA algorithm, Comput. Vis. Image Underst.
    89(2-3), 2003, 10.1016/S1077-3142(03)00002-X; windows with weights and the lattice are ours.
    """

    def __init__(
        self, fixed: Tensor, weight: Tensor, windows: Windows, *, squared: bool = False, floor: float = 1e-3
    ) -> None:
        """Prepare.

        Args:
            fixed: (K, J, I), scaled to a standard deviation of about 1.
            weight: (K, J, I), 0 to 1; 0 leaves a voxel out.
            windows: the lattice.
            squared: correlation squared (contrast may turn over) in place of signed correlation.
            floor: added to each variance; windows flatter than this count little.
        """
        self._windows, self._squared, self._floor = windows, squared, floor
        self._fixed, self._weight = fixed, weight
        self._plain = bool((weight == 1).all())
        count = windows.sums(weight)
        self._inverse = 1 / count.clamp_min(1e-6)
        inside = windows.sums(torch.ones_like(weight))
        # A window counts by the share of it that is not masked out.
        self._share = count / inside
        self._total = self._share.sum().clamp_min(1e-6)
        self._weighted = fixed if self._plain else fixed * weight
        self._mean = windows.sums(self._weighted) * self._inverse
        square = windows.sums(self._weighted * fixed) * self._inverse
        self._variance = (square - self._mean.square()).clamp_min_(0) + floor

    def __call__(self, warped: Tensor) -> Similarity:
        """Similarity and its gradient for a warped image (K, J, I)."""
        sums = self._windows.sums
        seen = warped if self._plain else warped * self._weight
        mean = sums(seen).mul_(self._inverse)
        variance = (
            sums(seen * warped).mul_(self._inverse).addcmul_(mean, mean, value=-1).clamp_min_(0).add_(self._floor)
        )
        covariance = sums(self._weighted * warped).mul_(self._inverse).addcmul_(self._mean, mean, value=-1)
        spread = torch.rsqrt(self._variance * variance)
        # The floor counts as shared contrast: equal windows correlate by 1 and pull nowhere, however flat they are.
        r = (covariance if self._squared else covariance + self._floor) * spread
        factor = self._share * self._inverse / self._total
        if self._squared:
            value = (r.square() * self._share).sum() / self._total
            factor = factor * (2 * r)
        else:
            value = (r * self._share).sum() / self._total
        # d r / d W(x) = [(F - mean F) / s - r (W - mean W) / variance W] / count
        by_fixed = factor * spread
        by_warped = factor * r / variance
        constant = by_warped * mean - by_fixed * self._mean
        gradient = self._windows.spread(constant)
        gradient = gradient.addcmul_(self._windows.spread(by_fixed), self._fixed)
        gradient = gradient.addcmul_(self._windows.spread(by_warped), warped, value=-1)
        if not self._plain:
            gradient = gradient * self._weight
        return Similarity(float(value), gradient)


class _Correlate(torch.autograd.Function):
    """The same as an autograd function of the warped image."""

    @staticmethod
    def forward(ctx, warped, measure):  # type: ignore[no-untyped-def]
        found = measure(warped.detach())
        ctx.save_for_backward(found.gradient)
        return warped.new_tensor(found.value)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        (gradient,) = ctx.saved_tensors
        return grad * gradient, None


def correlate(warped: Tensor, measure: LocalCorrelation) -> Tensor:
    """Scalar similarity of (K, J, I) that autograd can follow."""
    found: Tensor = _Correlate.apply(warped, measure)  # type: ignore[no-untyped-call]
    return found
