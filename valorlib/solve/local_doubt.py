"""What is seen around a place, turned into a factor on the doubt about our own registration there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField
from valorlib.ops.error_maps import FLOOR_MM, smoothed

F32 = NDArray[np.float32]

EDGE_MM, EDGE_FLOOR = 3.0, 0.003
BEND_MM = 6.0
QUICK_WEIGHTS: Mapping[str, float] = {"raw": 0.43, "depth": -0.07, "flatness": 0.06, "bend": 0.21}
FULL_WEIGHTS: Mapping[str, float] = {"raw": 0.69, "depth": -0.03, "flatness": 0.04, "bend": 0.2}
"""Exponents, fitted on made cases that are not among those reported (`benchmarks/uncertainty_weights.py`)."""


def surroundings(fixed: Image, field: DisplacementField, inside: NDArray[np.bool_]) -> dict[str, F32]:
    """(K, J, I) logarithms: depth below the skin, mm; flatness, one over the edges around; bend of the field.

    Args:
        fixed: image on the working grid.
        field: our registration, on the same grid.
        inside: the body.
    """
    grid, spread = fixed.grid, float(fixed.array.std())
    depth = np.zeros(grid.shape)
    if not inside.all():
        depth = ndimage.distance_transform_edt(inside, sampling=grid.spacing[::-1])
    slope = ndimage.gaussian_gradient_magnitude(fixed.array, [2.0 / s for s in grid.spacing[::-1]])
    edges = np.sqrt(smoothed(slope**2, grid, EDGE_MM)) + EDGE_FLOOR * spread
    return {
        "depth": np.asarray(np.log1p(depth), dtype=np.float32),
        "flatness": np.asarray(-np.log(np.maximum(edges, 1e-20)), dtype=np.float32),
        "bend": np.asarray(np.log(np.maximum(bend(field, grid), 1e-4)), dtype=np.float32),
    }


def bend(field: DisplacementField, grid: Grid) -> F32:
    """(K, J, I) rms of how far each voxel's displacement is from its neighbors' (times six), mm."""
    square = sum(ndimage.laplace(field.array[..., c], mode="nearest") ** 2 for c in range(3))
    return np.asarray(np.sqrt(smoothed(np.asarray(square), grid, BEND_MM)))


def shaped(raw: F32, around: Mapping[str, F32], inside: NDArray[np.bool_], weights: Mapping[str, float]) -> F32:
    """Sigma, mm, whose logarithm is a weighted sum of that of `raw` and what is around; of the same middle inside.

    A weight of `raw` below 1 draws extremes to the middle, as single differences say less than they seem to.
    """
    logs = {"raw": np.log(np.maximum(raw, FLOOR_MM)), **around}
    middle = float(logs["raw"][inside].mean())
    total = np.full(raw.shape, middle, dtype=np.float32)
    for name, weight in weights.items():
        total += np.float32(weight) * (logs[name] - np.float32(logs[name][inside].mean()))
    return np.asarray(np.exp(total), dtype=np.float32)
