"""Coupled convex search: every displacement of a lattice is scored, then similarity and smoothness agree in turns."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.ops.warp import warp

COUPLING = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def lattice(reach: int, like: Tensor) -> Tensor:
    """(N, 3) whole steps (k, j, i) from -reach to reach, N = (2 reach + 1)^3."""
    steps = torch.arange(-reach, reach + 1, device=like.device, dtype=like.dtype)
    return torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij"), dim=-1).reshape(-1, 3)


def cost_volume(fixed: Tensor, moving: Tensor, reach: int) -> Tensor:
    """Mean squared difference of features for each lattice displacement: (N, K, J, I).

    Args:
        fixed: (1, C, K, J, I) on the coarse grid.
        moving: same shape; sampled at x + d, borders repeated.
        reach: lattice steps of one coarse voxel each way, so N = (2 reach + 1)^3.
    """
    padded = F.pad(moving, (reach,) * 6, mode="replicate")
    k, j, i = fixed.shape[2:]
    costs = []
    for d in (lattice(reach, fixed).to(torch.int64) + reach).tolist():
        there = padded[:, :, d[0] : d[0] + k, d[1] : d[1] + j, d[2] : d[2] + i]
        costs.append((fixed - there).square().mean(1))
    return torch.cat(costs)


def smooth_cost(cost: Tensor, *, times: int = 2) -> Tensor:
    """3 x 3 x 3 means over space of each displacement's cost."""
    for _ in range(times):
        cost = F.avg_pool3d(F.pad(cost[None], (1,) * 6, mode="replicate"), 3, stride=1)[0]
    return cost


def coupled_convex(
    cost: Tensor, reach: int, *, coupling: tuple[float, ...] = COUPLING, temperature: float | None = None
) -> Tensor:
    """Displacement (1, 3, K, J, I) in coarse voxels (k, j, i) that is cheap and smooth.

    Args:
        cost: (N, K, J, I), of `cost_volume`.
        reach: of the lattice.
        coupling: weights of the pull towards the smoothed field, rising.
        temperature: None takes the cheapest displacement (hard). A number takes the mean under
            softmax(-temperature * cost): differentiable in the cost.

    Source: Siebert, Learn to Fuse Input Features for Large-Deformation Registration with Differentiable Convex-Discrete
    Optimisation, WBIR 2022, 10.1007/978-3-031-11203-4_13.
    """
    steps = lattice(reach, cost)

    def choose(scores: Tensor) -> Tensor:
        if temperature is None:
            return steps[scores.argmin(0)].movedim(-1, 0)[None]
        weight = torch.softmax(-temperature * scores, dim=0)
        return torch.einsum("nkji,nc->ckji", weight, steps)[None]

    u = _smooth(choose(cost))
    for pull in coupling:
        spread = cost.clone() if temperature is None else cost
        parts = []
        for axis in range(3):
            values = steps[:, axis]
            parts.append((values.view(-1, 1, 1, 1) - u[0, axis]).square())
        u = _smooth(choose(spread + pull * (parts[0] + parts[1] + parts[2])))
    return u


def _smooth(u: Tensor) -> Tensor:
    return F.avg_pool3d(F.pad(u, (1,) * 6, mode="replicate"), 3, stride=1)


def consistent(forward: Tensor, backward: Tensor, *, iterations: int = 15) -> tuple[Tensor, Tensor]:
    """Both fields (1, 3, K, J, I), voxels, brought towards being each other's inverse."""
    for _ in range(iterations):
        new_forward = 0.5 * (forward - warp(backward, forward))
        new_backward = 0.5 * (backward - warp(forward, backward))
        forward, backward = new_forward, new_backward
    return forward, backward
