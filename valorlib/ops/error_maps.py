"""Maps of how far several fields of one pair disagree, and a regressor from local features to the size of the error."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField
from valorlib.ops.adam import Adam
from valorlib.ops.jacobian import gradient, jacobian_determinant

F32 = NDArray[np.float32]

FLOOR_MM = 0.05


def smoothed(values: NDArray[np.floating], grid: Grid, width_mm: float) -> F32:
    """Gaussian mean of a map."""
    sigma = [width_mm / s for s in grid.spacing[::-1]]
    return np.asarray(ndimage.gaussian_filter(np.asarray(values, dtype=np.float32), sigma, mode="nearest"))


def squared_length(difference: NDArray[np.floating]) -> F32:
    """(K, J, I) squared length of vectors (K, J, I, 3)."""
    return np.asarray(np.einsum("...c,...c->...", difference, difference), dtype=np.float32)


def disagreement(fields: Sequence[DisplacementField], *, smooth_mm: float = 8.0) -> F32:
    """(K, J, I) rms 3D distance of the fields from their mean (with n - 1), smoothed in the square, mm."""
    stack = np.stack([field.array for field in fields])
    variance = squared_length(stack - stack.mean(axis=0)).sum(axis=0) / max(len(fields) - 1, 1)
    return np.asarray(np.sqrt(smoothed(variance, fields[0].grid, smooth_mm) + FLOOR_MM**2), dtype=np.float32)


def root_mean_square(errors: Sequence[NDArray[np.floating]], grid: Grid, *, smooth_mm: float = 5.0) -> F32:
    """(K, J, I) rms length of several error fields (K, J, I, 3), smoothed in the square, mm."""
    mean = np.mean([squared_length(e) for e in errors], axis=0)
    return np.asarray(np.sqrt(smoothed(mean, grid, smooth_mm) + FLOOR_MM**2), dtype=np.float32)


def local_correlation(fixed: Image, warped: Image, *, radius_mm: float = 8.0) -> F32:
    """(K, J, I) correlation of the two images in a box around each voxel; 0 where one is flat."""
    size = [max(3, 2 * round(radius_mm / s) + 1) for s in fixed.grid.spacing[::-1]]

    def mean(values: NDArray[np.floating]) -> F32:
        return np.asarray(ndimage.uniform_filter(values, size, mode="nearest"), dtype=np.float32)

    a, b = fixed.array - fixed.array.mean(), warped.array - warped.array.mean()
    ma, mb = mean(a), mean(b)
    va, vb = np.maximum(mean(a * a) - ma * ma, 0), np.maximum(mean(b * b) - mb * mb, 0)
    bottom = np.sqrt(va * vb)
    top = mean(a * b) - ma * mb
    floor = 1e-4 * float(np.sqrt(a.var() * b.var()))
    return np.asarray(np.clip(top / (bottom + floor), -1, 1), dtype=np.float32)


def local_features(fixed: Image, field: DisplacementField) -> F32:
    """(K, J, I, 8) what is seen around a voxel: edges, texture along each axis, gray value, volume change; smoothed.

    How alike the images became is left out on purpose: it predicts the error on made pairs and misleads on real ones.
    """
    grid = fixed.grid
    values = fixed.array / max(float(fixed.array.std()), 1e-6)
    slopes = [ndimage.gaussian_gradient_magnitude(values, [w / s for s in grid.spacing[::-1]]) for w in (3.0, 8.0)]
    steep = [smoothed(_slope(values, n, h) ** 2, grid, 6.0) for n, h in enumerate(grid.spacing[::-1])]
    stack = [
        *(np.log(s + 1e-3) for s in slopes),
        *(np.log(a + 1e-4) for a in steep),
        np.log(np.min(steep, axis=0) + 1e-4),
        np.abs(jacobian_determinant(field).array - 1),
        values,
    ]
    return np.stack([smoothed(x, grid, 5.0) for x in stack], axis=-1)


def _slope(values: F32, axis: int, spacing: float) -> F32:
    return np.asarray(gradient(values, axis, spacing))


class ErrorRegressor:
    """Small network from local features to log sigma, fitted to known errors by Gaussian likelihood."""

    def __init__(self, features: F32, errors_mm: F32, *, seed: int = 0, steps: int = 300, most: int = 30_000) -> None:
        """Fit.

        Args:
            features: (n, f).
            errors_mm: (n,) lengths of the known errors.
            seed: of the start and the choice of voxels.
            steps: of Adam.
            most: voxels used.
        """
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(features))[:most]
        self._middle, self._spread = features.mean(axis=0), features.std(axis=0) + 1e-6
        x = torch.from_numpy(self._normal(features[chosen]))
        e2 = torch.from_numpy(np.square(errors_mm[chosen]).astype(np.float32))
        generator = torch.Generator().manual_seed(seed)
        sizes = (x.shape[1], 16, 1)
        self._weights = [
            (torch.randn(a, b, generator=generator) / a**0.5).requires_grad_() for a, b in itertools.pairwise(sizes)
        ]
        start = 0.5 * torch.log(e2.mean() + 1e-6)
        self._biases = [torch.zeros(16, requires_grad=True), start.reshape(1).clone().requires_grad_()]
        parameters = [*self._weights, *self._biases]
        adam = Adam(parameters, 0.02)
        for _ in range(steps):
            rows = torch.randint(len(x), (2048,), generator=generator)
            log_sigma = self._log_sigma(x[rows])
            decay = torch.stack([p.square().sum() for p in parameters]).sum()
            loss = (3 * log_sigma + 1.5 * e2[rows] * torch.exp(-2 * log_sigma)).mean() + 0.5e-4 * decay
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()

    def _normal(self, features: F32) -> F32:
        return np.asarray(np.clip((features - self._middle) / self._spread, -4, 4), dtype=np.float32)

    def _log_sigma(self, x: torch.Tensor) -> torch.Tensor:
        hidden = torch.tanh(x @ self._weights[0] + self._biases[0])
        found: torch.Tensor = (hidden @ self._weights[1] + self._biases[1])[:, 0].clamp(-4, 4)
        return found

    def sigma(self, features: F32) -> F32:
        """(...) sigma, mm, for features (..., f)."""
        flat = torch.from_numpy(self._normal(features.reshape(-1, features.shape[-1])))
        with torch.no_grad():
            found = torch.exp(self._log_sigma(flat)).numpy()
        return np.asarray(found.reshape(features.shape[:-1]))


def geometric_mean(maps: Sequence[F32]) -> F32:
    """Geometric mean of maps of sigma."""
    return np.asarray(np.exp(np.mean([np.log(np.maximum(m, FLOOR_MM)) for m in maps], axis=0)), dtype=np.float32)


def correlation_length(difference: NDArray[np.floating], grid: Grid, inside: NDArray[np.bool_]) -> float | None:
    """sigma_c, mm, of the Gaussian smoothing whose correlation exp(-d^2 / (4 sigma_c^2)) fits an error field.

    None where the field says too little (the correlation does not fall below 0.8 within reach).
    """
    values = difference - difference[inside].mean(axis=0)
    values = values * inside[..., None]
    total = float((values**2).sum()) / max(int(inside.sum()), 1)
    estimates = []
    for axis, spacing in enumerate(grid.spacing[::-1]):
        for step in range(1, min(12, grid.shape[axis] // 3)):
            first = np.take(values, range(grid.shape[axis] - step), axis=axis)
            second = np.take(values, range(step, grid.shape[axis]), axis=axis)
            both = np.take(inside, range(grid.shape[axis] - step), axis=axis)
            both = both & np.take(inside, range(step, grid.shape[axis]), axis=axis)
            rho = float((first * second).sum()) / max(int(both.sum()), 1) / max(total, 1e-12)
            if 0.3 < rho < 0.8:
                estimates.append(step * spacing / (2 * np.sqrt(-np.log(rho))))
    return float(np.median(estimates)) if estimates else None
