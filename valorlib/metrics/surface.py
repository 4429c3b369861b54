"""Distances between the surfaces of two masks, mm, whatever the voxel size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, distance_transform_edt

from valorlib.core.errors import InputError, check_shape
from valorlib.core.grid import Grid


@dataclass(frozen=True)
class SurfaceDistance:
    """mean_mm: mean over both surfaces. hd95_mm, max_mm: the larger of the two directions."""

    mean_mm: float
    hd95_mm: float
    max_mm: float


def surface_voxels(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Voxels of the mask with a face neighbor outside it; along an axis of one voxel there are no neighbors."""
    structure = np.zeros((3, 3, 3), dtype=bool)
    structure[1, 1, 1] = True
    for axis, size in enumerate(mask.shape):
        if size > 1:
            index: list[slice | int] = [1, 1, 1]
            index[axis] = slice(None)
            structure[tuple(index)] = True
    return np.asarray(mask & ~binary_erosion(mask, structure))


def surface_distance(mask: NDArray[np.bool_], reference: NDArray[np.bool_], grid: Grid) -> SurfaceDistance:
    """Distances between the surface voxels of two masks on `grid`.

    Raises:
        InputError: a shape that is not the grid's, or an empty mask.
    """
    pattern = "{} {} {}".format(*grid.shape)
    check_shape("mask", mask, pattern)
    check_shape("reference", reference, pattern)
    if not mask.any() or not reference.any():
        raise InputError("mask: expected two masks with voxels, got an empty one; there is no surface to measure")
    where = np.argwhere(mask | reference)
    box = tuple(slice(a, b + 1) for a, b in zip(where.min(axis=0), where.max(axis=0), strict=True))
    # Padding keeps the surface at the cut where the mask touches the border of the image.
    pad = [(1, 1) if n > 1 else (0, 0) for n in mask.shape]
    surfaces = [surface_voxels(np.pad(m[box], pad)) for m in (mask, reference)]
    spacing = grid.spacing[::-1]
    there = distance_transform_edt(~surfaces[1], sampling=spacing)[surfaces[0]]
    back = distance_transform_edt(~surfaces[0], sampling=spacing)[surfaces[1]]
    return SurfaceDistance(
        mean_mm=float(np.concatenate([there, back]).mean()),
        hd95_mm=float(max(np.percentile(there, 95), np.percentile(back, 95))),
        max_mm=float(max(there.max(), back.max())),
    )
