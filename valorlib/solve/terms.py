"""Parts of a loss: each is an object that turns a state into one number, the lower the better, for autograd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from valorlib.ops.boxes import Windows
from valorlib.ops.lncc import LocalCorrelation, correlate
from valorlib.ops.mind import mind_ssc
from valorlib.ops.warp import identity, sample
from valorlib.solve.regularizers import Regularizer


@dataclass(frozen=True, eq=False)
class State:
    """What terms see at one step.

    u_vox: (1, 3, K, J, I), voxels of the working grid. spacing_mm: (k, j, i). warped: (1, 1, K, J, I) moving image
    pulled back along u. seen: (1, 1, K, J, I), 1 where the warped image has data.
    """

    u_vox: Tensor
    spacing_mm: tuple[float, float, float]
    warped: Tensor
    seen: Tensor

    @property
    def u_mm(self) -> Tensor:
        """The displacement in mm along the grid's axes."""
        return self.u_vox * self.u_vox.new_tensor(self.spacing_mm).view(1, 3, 1, 1, 1)


class Term(Protocol):
    """One part of a loss."""

    def __call__(self, state: State) -> Tensor:
        """A scalar."""


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


@dataclass(frozen=True, eq=False)
class SquaredDifferences:
    """Mean squared difference. fixed, mask: (1, 1, K, J, I)."""

    fixed: Tensor
    mask: Tensor

    def __call__(self, state: State) -> Tensor:
        """A scalar; 0 is perfect."""
        return _mean((state.warped - self.fixed).square(), self.mask * state.seen)


@dataclass(frozen=True, eq=False)
class GlobalCorrelation:
    """1 minus the correlation of the whole images, means taken off first. fixed, mask: (1, 1, K, J, I)."""

    fixed: Tensor
    mask: Tensor

    def __call__(self, state: State) -> Tensor:
        """A scalar, 0 to 2."""
        weight = self.mask * state.seen
        a, b = self.fixed - _mean(self.fixed, weight), state.warped - _mean(state.warped, weight)
        spread = (_mean(a.square(), weight) * _mean(b.square(), weight)).clamp_min(1e-12).sqrt()
        return 1 - _mean(a * b, weight) / spread


class LocalCorrelations:
    """1 minus the mean local correlation (signed or squared), by `ops.lncc`."""

    def __init__(self, fixed: Tensor, mask: Tensor, windows: Windows, *, squared: bool = False) -> None:
        """fixed, mask: (1, 1, K, J, I); the fixed image with a standard deviation of about 1."""
        self._measure = LocalCorrelation(fixed[0, 0], mask[0, 0], windows, squared=squared)

    def __call__(self, state: State) -> Tensor:
        """A scalar, 0 to 2 (squared: 0 to 1)."""
        return 1 - correlate(state.warped[0, 0], self._measure)


class MutualInformation:
    """Minus the mutual information of gray values, from a joint histogram with cubic windows.

    Source: Mattes, PET-CT image registration in the chest, IEEE TMI 22(1), 2003, 10.1109/TMI.2003.809072.
    """

    def __init__(self, fixed: Tensor, mask: Tensor, *, bins: int = 24, samples: int = 60_000) -> None:
        """fixed, mask: (1, 1, K, J, I); every n-th masked voxel is used, so that about `samples` are."""
        where = mask.flatten().nonzero().squeeze(1)
        self._where = where[:: max(1, len(where) // samples)]
        self._bins = bins
        self._fixed = self._weights(fixed.flatten()[self._where])

    def _weights(self, values: Tensor) -> Tensor:
        """(N, bins) share of each value in each bin: a cubic B-spline over four bins."""
        low, high = values.detach().quantile(torch.tensor([0.005, 0.995], dtype=values.dtype, device=values.device))
        at = ((values - low) / (high - low).clamp_min(1e-9)).clamp(0, 1) * (self._bins - 3) + 1
        distance = (at[:, None] - torch.arange(self._bins, dtype=values.dtype, device=values.device)).abs()
        near = 2 / 3 - distance.square() + 0.5 * distance**3
        far = (2 - distance).clamp_min(0) ** 3 / 6
        return torch.where(distance < 1, near, far)

    def __call__(self, state: State) -> Tensor:
        """A scalar at most 0."""
        joint = self._fixed.T @ self._weights(state.warped.flatten()[self._where])
        joint = joint / joint.sum()
        alone = joint.sum(1, keepdim=True) * joint.sum(0, keepdim=True)
        return -(joint * ((joint + 1e-9) / (alone + 1e-9)).log()).sum()


class NormalizedGradients:
    """1 minus the mean squared cosine between edges; each gradient is divided by its own length, voxel by voxel.

    Source: Haber, Intensity gradient based registration and fusion of multi-modal images, MICCAI 2006.
    """

    def __init__(self, fixed: Tensor, mask: Tensor, *, noise: float = 0.3) -> None:
        """noise: length below which a gradient is no edge, as a share of the mean length."""
        self._mask, self._noise = mask, noise
        self._direction = self._directions(fixed)

    def _directions(self, image: Tensor) -> Tensor:
        parts = [
            torch.gradient(image[0, 0], dim=a)[0] if image.shape[2 + a] > 1 else torch.zeros_like(image[0, 0])
            for a in range(3)
        ]
        slope = torch.stack(parts)
        square = slope.square().sum(0)
        typical = (square.detach().sqrt() * self._mask[0, 0]).sum() / self._mask.sum().clamp_min(1)
        directions: Tensor = slope / (square + (self._noise * typical).square() + 1e-12).sqrt()
        return directions

    def __call__(self, state: State) -> Tensor:
        """A scalar, 0 to 1."""
        cosine = (self._direction * self._directions(state.warped)).sum(0)
        return 1 - _mean(cosine.square()[None, None], self._mask * state.seen)


class SelfSimilarity:
    """Mean squared difference of self-similarity descriptors (MIND-SSC)."""

    def __init__(self, fixed: Tensor, mask: Tensor, *, step: int = 2) -> None:
        """step: voxels between a voxel and the neighbors it is compared with."""
        self._mask, self._step = mask, step
        self._fixed = mind_ssc(fixed, step=step)

    def __call__(self, state: State) -> Tensor:
        """A scalar, 0 to 1."""
        difference = (mind_ssc(state.warped, step=self._step) - self._fixed).square().mean(1, keepdim=True)
        return _mean(difference, self._mask * state.seen)


class LabelOverlap:
    """1 minus the weighted mean soft Dice of labels, their indicators pulled linearly."""

    def __init__(
        self, fixed: Tensor, moving: Tensor, labels: Sequence[int], weights: Mapping[int, float] | None = None
    ) -> None:
        """fixed, moving: (1, 1, K, J, I) whole numbers on one grid. weights: 1 for labels not named."""
        self._fixed = torch.cat([(fixed == label) for label in labels], dim=1).float()
        self._moving = torch.cat([(moving == label) for label in labels], dim=1).float()
        chosen = [(weights or {}).get(label, 1.0) for label in labels]
        self._weights = self._fixed.new_tensor(chosen) / sum(chosen)

    def __call__(self, state: State) -> Tensor:
        """A scalar, 0 to 1."""
        carried = sample(self._moving.to(state.u_vox.dtype), identity(state.u_vox) + state.u_vox, padding="zeros")
        dims = (0, 2, 3, 4)
        both = 2 * (carried * self._fixed).sum(dims)
        total = carried.sum(dims) + self._fixed.sum(dims)
        return 1 - (self._weights * both / total.clamp_min(1e-6)).sum()


@dataclass(frozen=True, eq=False)
class Boxes:
    """Corners of boxes around one thing in both images shall meet: mean squared distance, mm^2.

    fixed_vox, moving_vox: (N, 2, 3) lowest and highest corner, voxels (k, j, i). The eight corners are followed.
    """

    fixed_vox: Tensor
    moving_vox: Tensor

    def __call__(self, state: State) -> Tensor:
        """A scalar, mm^2."""
        picks = torch.cartesian_prod(*(torch.arange(2),) * 3)
        axes = torch.arange(3).expand(8, 3)
        ends = [boxes[:, picks, axes].reshape(-1, 3) for boxes in (self.fixed_vox, self.moving_vox)]
        return Points(*ends)(state)


@dataclass(frozen=True, eq=False)
class Points:
    """Landmarks shall meet: mean squared distance, mm^2. fixed_vox, moving_vox: (N, 3) voxels (k, j, i)."""

    fixed_vox: Tensor
    moving_vox: Tensor

    def __call__(self, state: State) -> Tensor:
        """A scalar, mm^2."""
        at = self.fixed_vox.T.view(1, 3, 1, 1, -1).to(state.u_vox.dtype)
        there = self.fixed_vox + sample(state.u_vox, at)[0, :, 0, 0].T
        return ((there - self.moving_vox) * state.u_vox.new_tensor(state.spacing_mm)).square().sum(1).mean()


@dataclass(frozen=True, eq=False)
class Smoothness:
    """A regularizer as a term: it sees the total field."""

    regularizer: Regularizer

    def __call__(self, state: State) -> Tensor:
        """A scalar at least 0."""
        return self.regularizer(state.u_mm, state.spacing_mm)
