"""What makes a motion plausible: each is a function of a dense displacement in mm that autograd can follow.

All take u_mm: (1, 3, K, J, I), components along the grid's axes (k, j, i), and spacing_mm (k, j, i). They see the
total field, never a residual. Means over voxels, so that a weight keeps its meaning at every resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Regularizer = Callable[[Tensor, Sequence[float]], Tensor]


def slopes(u_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """(1, 3, 3, K, J, I): slope of component a along axis b; one-sided at the borders, 0 along one voxel."""
    found = []
    for axis, spacing in enumerate(spacing_mm):
        if u_mm.shape[2 + axis] == 1:
            found.append(torch.zeros_like(u_mm))
        else:
            found.append(torch.gradient(u_mm, spacing=spacing, dim=2 + axis)[0])
    return torch.stack(found, dim=2)


def _forward(u_mm: Tensor, spacing_mm: Sequence[float]) -> list[Tensor]:
    """Forward differences along each axis longer than one voxel; they see a checkerboard, central ones do not."""
    return [u_mm.diff(dim=2 + a) / s for a, s in enumerate(spacing_mm) if u_mm.shape[2 + a] > 1]


def diffusion(u_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Mean squared slope."""
    return torch.stack([d.square().sum(1).mean() for d in _forward(u_mm, spacing_mm)]).sum()


def total_variation(u_mm: Tensor, spacing_mm: Sequence[float], *, rounding: float = 1e-3) -> Tensor:
    """Mean length of the slopes: lets motion jump at a surface."""
    length = (slopes(u_mm, spacing_mm).square().sum((1, 2)) + rounding**2).sqrt()
    return (length - rounding).mean()


def _second(u_mm: Tensor, a: int, b: int, spacing_mm: Sequence[float]) -> Tensor | None:
    if u_mm.shape[2 + a] < 3 or u_mm.shape[2 + b] < 3:
        return None
    if a == b:
        return u_mm.diff(n=2, dim=2 + a) / spacing_mm[a] ** 2
    return u_mm.diff(dim=2 + a).diff(dim=2 + b) / (spacing_mm[a] * spacing_mm[b])


def bending(u_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Mean squared second derivatives, mixed ones included: free of cost for affine motion."""
    total = u_mm.new_zeros(())
    for a in range(3):
        for b in range(a, 3):
            second = _second(u_mm, a, b, spacing_mm)
            if second is not None:
                total = total + (1 if a == b else 2) * second.square().sum(1).mean()
    return total


def curvature(u_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """Mean squared Laplacian, over inner voxels. Source: Fischer, Curvature based image registration, JMIV 18, 2003."""
    inner = [slice(1, -1) if n > 2 else slice(None) for n in u_mm.shape[2:]]
    total = torch.zeros_like(u_mm[(slice(None), slice(None), *inner)])
    for axis in range(3):
        second = _second(u_mm, axis, axis, spacing_mm)
        if second is not None:
            others = [slice(None) if a == axis else inner[a] for a in range(3)]
            total = total + second[(slice(None), slice(None), *others)]
    return total.square().sum(1).mean()


def elastic(u_mm: Tensor, spacing_mm: Sequence[float], *, shear: float = 1.0, compression: float = 1.0) -> Tensor:
    """Linear elastic energy: compression / 2 (div u)^2 + shear |strain|^2, mean over voxels."""
    slope = slopes(u_mm, spacing_mm)
    strain = 0.5 * (slope + slope.transpose(1, 2))
    divergence = slope[:, 0, 0] + slope[:, 1, 1] + slope[:, 2, 2]
    return 0.5 * compression * divergence.square().mean() + shear * strain.square().sum((1, 2)).mean()


def jacobian(u_mm: Tensor, spacing_mm: Sequence[float]) -> Tensor:
    """(1, K, J, I) determinant of the identity plus the slopes."""
    eye = torch.eye(3, dtype=u_mm.dtype, device=u_mm.device).view(1, 3, 3, 1, 1, 1)
    m = slopes(u_mm, spacing_mm) + eye
    return (
        m[:, 0, 0] * (m[:, 1, 1] * m[:, 2, 2] - m[:, 1, 2] * m[:, 2, 1])
        - m[:, 0, 1] * (m[:, 1, 0] * m[:, 2, 2] - m[:, 1, 2] * m[:, 2, 0])
        + m[:, 0, 2] * (m[:, 1, 0] * m[:, 2, 1] - m[:, 1, 1] * m[:, 2, 0])
    )


def volume_preservation(u_mm: Tensor, spacing_mm: Sequence[float], mask: Tensor | None = None) -> Tensor:
    """Mean squared logarithm of the volume factor (floor 0.01), inside a mask (K, J, I) where given."""
    log = jacobian(u_mm, spacing_mm).clamp_min(0.01).log().square()
    return log.mean() if mask is None else (log * mask).sum() / mask.sum().clamp_min(1)


def jacobian_barrier(u_mm: Tensor, spacing_mm: Sequence[float], *, least: float = 0.2) -> Tensor:
    """Mean squared fall of the volume factor below `least`: 0 for every field that is safely free of folds."""
    return (least - jacobian(u_mm, spacing_mm)).clamp_min(0).square().mean()
