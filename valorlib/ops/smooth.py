"""Smoothing and resizing by one small matrix an axis; each has its exact transpose, which gradients need."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

MANY = 200_000
"""Values from which on a matrix is taken some rows at a time, without the columns that are zero there."""
ROWS = 16


def _bands(m: Tensor) -> list[tuple[slice, int, int]]:
    """Some rows at a time, with the first column and one past the last that are not zero there."""
    found = []
    for first in range(0, m.shape[0], ROWS):
        rows = slice(first, first + ROWS)
        used = (m[rows] != 0).any(0).nonzero()
        found.append((rows, int(used[0]), int(used[-1]) + 1) if len(used) else (rows, 0, 1))
    return found


def _along(x: Tensor, m: Tensor, axis: int) -> Tensor:
    """(C, K, J, I) with one axis multiplied by a matrix."""
    if axis == 0:
        c, k, j, i = x.shape
        return torch.matmul(m, x.reshape(c, k, j * i)).reshape(c, m.shape[0], j, i)
    return torch.matmul(m, x) if axis == 1 else torch.matmul(x, m.T)


def along_axes(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Multiply each axis by a matrix.

    Args:
        x: (C, K, J, I).
        matrices: three of (new, old), for k, j, i; None leaves the axis as it is.

    Returns:
        (C, new K, new J, new I).
    """
    # Axes that grow come last, so that the work before them stays small.
    order = sorted(range(3), key=lambda a: 1.0 if matrices[a] is None else matrices[a].shape[0] / matrices[a].shape[1])  # type: ignore[union-attr]
    for axis in order:
        m = matrices[axis]
        if m is None:
            continue
        if x.numel() < MANY or x.device.type != "cpu":
            x = _along(x, m, axis)
        else:
            pieces = [_along(x.narrow(axis + 1, a, b - a), m[rows, a:b], axis) for rows, a, b in _bands(m)]
            x = torch.cat(pieces, dim=axis + 1)
    return x


@lru_cache(maxsize=256)
def _gaussian_rows(n: int, sigma: float) -> NDArray[np.float32]:
    at = np.arange(n)
    distance = at[:, None] - at[None, :]
    rows = np.exp(-0.5 * (distance / sigma) ** 2) * (np.abs(distance) <= np.ceil(3.5 * sigma))
    return np.asarray(rows / rows.sum(1, keepdims=True), dtype=np.float32)


def gaussian_matrices(like: Tensor, sigma: Sequence[float]) -> list[Tensor | None]:
    """Three matrices for `along_axes`: Gaussian smoothing whose weights add to 1 at the borders too.

    Args:
        like: (C, K, J, I).
        sigma: (k, j, i), voxels; below 0.1 an axis is left alone.
    """
    found: list[Tensor | None] = []
    for n, s in zip(like.shape[-3:], sigma, strict=True):
        keep = s < 0.1 or n == 1
        found.append(None if keep else torch.tensor(_gaussian_rows(n, float(s)), device=like.device).to(like.dtype))
    return found


def gaussian(x: Tensor, sigma: Sequence[float]) -> Tensor:
    """Gaussian smoothing of (C, K, J, I); sigma (k, j, i) in voxels."""
    return along_axes(x, gaussian_matrices(x, sigma))


def _positions(new: int, old: int, first: float, step: float) -> NDArray[np.float64]:
    return np.clip(first + step * np.arange(new), 0, old - 1)


@lru_cache(maxsize=256)
def _linear_rows(new: int, old: int, first: float, step: float) -> NDArray[np.float32]:
    at = _positions(new, old, first, step)
    low = np.minimum(np.floor(at).astype(int), max(old - 2, 0))
    rows = np.zeros((new, old))
    rows[np.arange(new), low] = 1 - (at - low)
    if old > 1:
        rows[np.arange(new), low + 1] += at - low
    return np.asarray(rows, dtype=np.float32)


@lru_cache(maxsize=256)
def _cubic_rows(new: int, old: int, first: float, step: float) -> NDArray[np.float32]:
    at = _positions(new, old, first, step)
    low = np.floor(at).astype(int)
    t = at - low
    weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3]) / 6
    rows = np.zeros((new, old))
    for step_at, weight in zip(range(-1, 3), weights, strict=True):
        np.add.at(rows, (np.arange(new), np.clip(low + step_at, 0, old - 1)), weight)
    return np.asarray(rows, dtype=np.float32)


def resize_matrices(
    like: Tensor, old: Sequence[int], new: Sequence[int], *, cubic: bool = False
) -> list[Tensor | None]:
    """Three matrices for `along_axes` from `old` (k, j, i) to `new` voxels over the same box (outer borders meet).

    Args:
        like: gives device and kind of number.
        old: voxels along (k, j, i).
        new: likewise.
        cubic: weights of cubic B-splines (old values are control values) in place of linear interpolation.
    """
    make = _cubic_rows if cubic else _linear_rows
    found: list[Tensor | None] = []
    for m, n in zip(old, new, strict=True):
        step = m / n
        rows = make(int(n), int(m), 0.5 * step - 0.5, step)
        found.append(None if m == n and not cubic else torch.tensor(rows, device=like.device).to(like.dtype))
    return found


def transposed(matrices: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The matrices of the transpose."""
    return [None if m is None else m.T.contiguous() for m in matrices]


def difference(x: Tensor) -> list[Tensor]:
    """Central differences of (..., K, J, I) per voxel along k, j, i; one-sided at the borders, 0 along one voxel."""
    found = []
    for axis in (-3, -2, -1):
        n = x.shape[axis]
        slope = torch.empty_like(x)
        if n == 1:
            found.append(slope.zero_())
            continue
        torch.sub(x.narrow(axis, 2, n - 2), x.narrow(axis, 0, n - 2), out=slope.narrow(axis, 1, n - 2))
        slope.narrow(axis, 1, n - 2).mul_(0.5)
        torch.sub(x.narrow(axis, 1, 1), x.narrow(axis, 0, 1), out=slope.narrow(axis, 0, 1))
        torch.sub(x.narrow(axis, n - 1, 1), x.narrow(axis, n - 2, 1), out=slope.narrow(axis, n - 1, 1))
        found.append(slope)
    return found


def damp_divergence(u: Tensor, spacing: Sequence[float], sigma: float) -> Tensor:
    """Field (3, K, J, I) whose divergence is smoothed as by a Gaussian of `sigma`, and whose curl is left alone.

    Explicit steps of du/dt = grad div u: volume change is evened out while shear and rotation stay sharp.

    Args:
        u: components (k, j, i), in the unit of `spacing`.
        spacing: of the grid along (k, j, i).
        sigma: in the same unit; 0 does nothing.
    """
    smallest = min(s for s, n in zip(spacing, u.shape[1:], strict=True) if n > 1)
    # Stable below 2 / 3 of the squared spacing with central differences along three axes.
    count = int(np.ceil(sigma**2 / 2 / (0.5 * smallest**2)))
    for _ in range(count):
        slopes = [difference(u[a])[a].div_(s) for a, s in enumerate(spacing)]
        divergence = slopes[0] + slopes[1] + slopes[2]
        step = torch.stack([d.div_(s) for d, s in zip(difference(divergence), spacing, strict=True)])
        u = u.add(step, alpha=sigma**2 / 2 / count)
    return u


def volume_factor(u: Tensor, spacing: Sequence[float]) -> Tensor:
    """(K, J, I) determinant of the slope of x + u(x), for u (3, K, J, I) in the unit of `spacing`, both (k, j, i)."""
    rows = [[d.div_(s) for d, s in zip(difference(one), spacing, strict=True)] for one in u]
    for a in range(3):
        rows[a][a].add_(1)
    x, y, z = rows
    found: Tensor = x[0] * (y[1] * z[2] - y[2] * z[1])
    return found - x[1] * (y[0] * z[2] - y[2] * z[0]) + x[2] * (y[0] * z[1] - y[1] * z[0])


def keep_volume(u: Tensor, spacing: Sequence[float], least: float, *, rounds: int = 1) -> Tensor:
    """Field smoothed just where it shrinks volume to less than `least`, so that it stays free of folds.

    Args:
        u: (3, K, J, I), components (k, j, i), in the unit of `spacing`.
        spacing: of the grid along (k, j, i).
        least: smallest volume factor wanted; 0 or less does nothing.
        rounds: at most so many; ends when no voxel is below.
    """
    if least <= 0:
        return u
    for _ in range(rounds):
        low = volume_factor(u, spacing) < least
        if not bool(low.any()):
            break
        # One voxel of Gaussian spread around each offender; the peak of a lone voxel's Gaussian counts as 1.
        reach = [1.0 if n > 1 else 0.0 for n in low.shape]
        weight = gaussian(low.to(u.dtype)[None], reach).mul_(8).clamp_(max=1.0)
        u = u + weight * (gaussian(u, reach) - u)
    return u
