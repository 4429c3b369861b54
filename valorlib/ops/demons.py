"""The parts of symmetric log-demons: force, update and length of a velocity field."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.ops.smooth import gaussian
from valorlib.ops.warp import exponential, warp


@dataclass(frozen=True)
class Demons:
    """Smoothing in voxels (k, j, i) of update and velocity, and the longest update, voxels."""

    update_vox: tuple[float, ...]
    smooth_vox: tuple[float, ...]
    step_vox: float

    @classmethod
    def on(cls, grid: Grid, update_mm: float, smooth_mm: float, step_vox: float) -> Demons:
        """From lengths in mm."""
        spacing = grid.spacing[::-1]
        flat = [n == 1 for n in grid.shape]
        return cls(
            tuple(0.0 if f else update_mm / s for s, f in zip(spacing, flat, strict=True)),
            tuple(0.0 if f else smooth_mm / s for s, f in zip(spacing, flat, strict=True)),
            step_vox,
        )


def _gradient(image: Tensor) -> Tensor:
    """Central differences (1, 3, K, J, I) of (1, 1, K, J, I), per voxel; 0 along axes of one voxel."""
    parts = []
    for axis in (2, 3, 4):
        if image.shape[axis] == 1:
            parts.append(torch.zeros_like(image))
        else:
            (found,) = torch.gradient(image, dim=axis)
            parts.append(found)
    return torch.cat(parts, dim=1)


def demons_force(fixed: Tensor, warped: Tensor, weight: Tensor, step_vox: float) -> Tensor:
    """Update (1, 3, K, J, I), voxels, that lowers the squared difference; at most `step_vox` long.

    Args:
        fixed: (1, 1, K, J, I).
        warped: same shape, the moving image pulled to the fixed one.
        weight: same shape, 1 where the images count.
        step_vox: longest update.

    Source: Vercauteren, Diffeomorphic demons, NeuroImage 45(1), 2009, 10.1016/j.neuroimage.2008.10.040.
    """
    difference = (fixed - warped) * weight
    gradient = _gradient(warped)
    # |update| <= 1 / (2 sqrt(a)) with a = 1 / (4 step^2).
    scale = gradient.square().sum(1, keepdim=True) + difference.square() / (4 * step_vox**2)
    return difference * gradient / scale.clamp_min(1e-9)


def symmetric_update(
    fixed: Tensor, moving: Tensor, v: Tensor, weight: Tensor, demons: Demons, *, squarings: int = 5
) -> tuple[Tensor, float]:
    """The velocity after one step of both directions, and the image difference before it.

    Args:
        fixed: (1, 1, K, J, I).
        moving: same shape.
        v: (1, 3, K, J, I), voxels; exp(v) pulls moving to fixed, exp(-v) fixed to moving.
        weight: (1, 1, K, J, I).
        demons: smoothing and step.
        squarings: of the exponential.
    """
    forward = warp(moving, exponential(v, squarings))
    backward = warp(fixed, exponential(-v, squarings))
    ahead = gaussian(demons_force(fixed, forward, weight, demons.step_vox)[0], demons.update_vox)[None]
    behind = gaussian(demons_force(moving, backward, weight, demons.step_vox)[0], demons.update_vox)[None]
    # exp(v) o exp(a) is about exp(v + a); the step of the other direction acts on -v.
    new = gaussian((v + 0.5 * (ahead - behind))[0], demons.smooth_vox)[None]
    loss = float(((forward - fixed).square() * weight).sum() / weight.sum().clamp_min(1))
    return new, loss


def velocity_length_mm(v: Tensor, grid: Grid) -> float:
    """Root mean square of a velocity field's length over the image, mm."""
    mm = v * v.new_tensor(grid.spacing[::-1]).view(1, 3, 1, 1, 1)
    return float(mm.square().sum(1).mean().sqrt())
