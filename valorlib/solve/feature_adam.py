"""Instance optimization on feature images: a displacement grid, smoothed like a B-spline, moved by Adam."""

from __future__ import annotations

from types import EllipsisType

import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.core.run import Progress
from valorlib.ops.adam import Adam
from valorlib.ops.warp import identity, resize_field, sample

MANY = 300_000
"""Voxels above which each step compares an eighth of them, another eighth each time."""


def refine_on_features(
    fixed: Tensor,
    moving: Tensor,
    u_vox: Tensor,
    *,
    offset: tuple[int, ...],
    stride: int,
    smoothness: float,
    steps: int,
    rate: float,
    weight: Tensor | None,
    progress: Progress,
) -> tuple[Tensor, list[float]]:
    """Move a field so that features match: (1, 3, K, J, I) voxels of the feature grid, and the loss of each step.

    Args:
        fixed: (1, C, K, J, I) features.
        moving: (1, C, K', J', I'), the same lattice with a margin.
        u_vox: (1, 3, K, J, I) start.
        offset: margin of `moving` before `fixed`, voxels (k, j, i).
        stride: control points every so many voxels.
        smoothness: weight of the squared gradient of the field.
        steps: Adam steps.
        rate: Adam step, voxels.
        weight: (1, 1, K, J, I), 1 where features count, or None.
        progress: called each step.

    Source: Siebert, Fast 3D Registration with Accurate Optimisation and Little Learning for Learn2Reg 2021, 2022.
    """
    coarse = [max(2, -(-n // stride)) for n in fixed.shape[2:]]
    thin = [2 if n > 1 else 1 for n in fixed.shape[2:]]
    coarse = [c if t > 1 else 1 for c, t in zip(coarse, thin, strict=True)]
    full = fixed.shape[2:]
    ratio = u_vox.new_tensor([n / c for n, c in zip(full, coarse, strict=True)]).view(1, 3, 1, 1, 1)
    control = (resize_field(u_vox, coarse) * ratio).detach().requires_grad_(True)
    adam = Adam([control], rate)
    base = identity(u_vox) + u_vox.new_tensor(offset).view(1, 3, 1, 1, 1)
    losses = []
    for step in range(steps):
        progress(step / steps, f"Refining on features, step {step + 1}")
        adam.zero_grad()
        here = _share_of(full, step) if full.numel() > MANY else ...
        at = (base + _dense(control, full))[here]
        difference = (sample(moving, at) - fixed[here]).square().mean(1, keepdim=True)
        counts = torch.ones_like(difference) if weight is None else weight[here]
        data = (difference * counts).sum() / counts.sum().clamp_min(1)
        rough = sum(torch.diff(_spline(control), dim=d).square().mean() for d in (2, 3, 4) if control.shape[d] > 1)
        loss = 12 * data + smoothness * rough / stride**2
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        losses.append(float(loss.detach()))
    return _dense(control.detach(), full), losses


def _share_of(shape: torch.Size, step: int) -> tuple[EllipsisType | slice, ...]:
    """Index of every second voxel along each axis; eight steps take all of them."""
    return (..., *(slice(step >> d & 1, None, 2) if n > 1 else slice(None) for d, n in enumerate(shape)))


def _spline(control: Tensor) -> Tensor:
    """Three box means in a row: a cubic B-spline's smoothing."""
    for _ in range(3):
        control = F.avg_pool3d(F.pad(control, (1,) * 6, mode="replicate"), 3, stride=1)
    return control


def _dense(control: Tensor, full: torch.Size) -> Tensor:
    return F.interpolate(_spline(control), size=tuple(full), mode="trilinear", align_corners=False)
