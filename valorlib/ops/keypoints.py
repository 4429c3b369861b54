"""Distinct points of an image, and what a displacement of each costs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.spatial import cKDTree
from torch import Tensor

from valorlib.ops.smooth import gaussian
from valorlib.ops.warp import sample


def foerstner_keypoints(
    image: Tensor, mask: Tensor, *, count: int, sigma_vox: float = 1.4, apart_vox: int = 3
) -> Tensor:
    """Corner-like points: (N, 3) voxels (k, j, i), strongest first.

    The strength is 1 over the trace of the inverse of the smoothed structure tensor: high where the image changes in
    all three directions.

    Args:
        image: (K, J, I).
        mask: (K, J, I), points lie where it is 1.
        count: at most so many.
        sigma_vox: smoothing of the structure tensor.
        apart_vox: no two points lie within a cube of this half width.

    Source: Foerstner, A Fast Operator for Detection and Precise Location of Distinct Points, ISPRS 1987.
    """
    g = torch.stack(torch.gradient(image))
    pairs = [(0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)]
    a, b, c, d, e, f = gaussian(torch.stack([g[m] * g[n] for m, n in pairs]), (sigma_vox,) * 3)
    floor = 1e-3 * float((a + b + c).mean()) + 1e-12
    a, b, c = a + floor, b + floor, c + floor
    determinant = a * (b * c - f * f) - d * (d * c - f * e) + e * (d * f - b * e)
    cofactors = (b * c - f * f) + (a * c - e * e) + (a * b - d * d)
    strength = (determinant / cofactors.clamp_min(1e-20)) * mask
    # Noise breaks ties in flat regions: a maximum must stand out of its neighborhood.
    peak = F.max_pool3d(strength[None, None], 2 * apart_vox + 1, 1, apart_vox)[0, 0]
    found = torch.nonzero((strength == peak) & (strength > 3 * floor))
    order = strength[tuple(found.T)].argsort(descending=True, stable=True)[:count]
    return found[order].to(image.dtype)


def displacement_costs(fixed: Tensor, moving: Tensor, at: Tensor, there: Tensor, steps: Tensor) -> Tensor:
    """(N, D) mean squared feature difference of each point for each displacement.

    Args:
        fixed: (1, C, K, J, I) features.
        moving: (1, C, K', J', I') features.
        at: (N, 3) voxels of `fixed`.
        there: (N, 3) voxels of `moving` around which is searched.
        steps: (D, 3) displacements, voxels of `moving`.
    """
    here = sample(fixed, at.T[None, :, None, None])[0, :, 0, 0].T
    costs = []
    for start in range(0, len(at), 64):
        part = there[start : start + 64]
        places = part[:, None] + steps[None]
        values = sample(moving, places.reshape(-1, 3).T[None, :, None, None])[0, :, 0, 0]
        difference = values.reshape(-1, len(part), len(steps)) - here[start : start + 64].T[:, :, None]
        costs.append(difference.square().mean(0))
    return torch.cat(costs)


def agree_on_graph(
    costs: Tensor, steps: Tensor, at_mm: NDArray[np.float64], *, neighbors: int = 12, coupling: tuple[float, ...]
) -> tuple[Tensor, Tensor]:
    """Displacement (N, 3) of each point that is cheap and like its neighbors', and its heat map (N, D).

    Args:
        costs: (N, D).
        steps: (D, 3).
        at_mm: (N, 3) positions, for the graph of nearest neighbors.
        neighbors: edges a point.
        coupling: weights of the pull to the neighbors' mean, rising, relative to the typical cost.
    """
    count = min(neighbors + 1, len(at_mm))
    _, index = cKDTree(at_mm).query(at_mm, k=count)
    nearest = torch.as_tensor(np.atleast_2d(index).reshape(len(at_mm), count), device=costs.device)
    scale = (costs.mean(1) - costs.amin(1)).mean().clamp_min(1e-9)
    relative = (costs - costs.amin(1, keepdim=True)) / scale
    span = steps.square().sum(1).amax().clamp_min(1e-9)
    # Neighbors vote: the cost of a displacement is averaged over the graph before anyone decides.
    relative = 0.5 * relative + 0.5 * relative[nearest].mean(1)
    heat = torch.softmax(-20 * relative, dim=1)
    u = heat @ steps
    for pull in coupling:
        mean = u[nearest].mean(1)
        away = (steps[None] - mean[:, None]).square().sum(-1) / span
        heat = torch.softmax(-20 * (relative + pull * away), dim=1)
        u = heat @ steps
    return u, heat


def spread_by_spline(
    at_mm: NDArray[np.float64], u_mm: NDArray[np.float64], onto_mm: NDArray[np.float64], *, smoothing: float
) -> NDArray[np.float64]:
    """Displacements (M, 3) at further places, by a smoothing thin-plate spline through (N, 3) points.

    Args:
        at_mm: (N, 3).
        u_mm: (N, 3).
        onto_mm: (M, 3).
        smoothing: 0 interpolates; larger is smoother.
    """
    # In three dimensions the thin-plate (biharmonic) kernel is the distance itself.
    spline = RBFInterpolator(at_mm, u_mm, kernel="linear", degree=1, smoothing=smoothing * len(at_mm) ** 0.5)
    return np.asarray(spline(onto_mm))
