"""What is computed with transforms: map points, sample to a field, compose, exponentiate, invert."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform, VelocityField
from valorlib.ops.invert import invert_field
from valorlib.ops.mapping import CHUNK, GridMapper, Mapper, exponentiate, slabs

__all__ = ["compose", "exponentiate", "inverse_of", "invert_field", "map_points", "to_displacement"]


def map_points(transform: Transform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where a transform puts points.

    Args:
        transform: fixed to moving (or any other).
        points: (..., 3) LPS mm.

    Returns:
        (..., 3) float64, LPS mm. A displacement continues at its border value outside its grid.
    """
    flat = np.asarray(points, dtype=np.float64).reshape(-1, 3)
    if flat.size and not np.all(np.isfinite(flat)):
        raise InputError("points: expected finite numbers; clean the data first")
    mapper = Mapper(transform)
    out = np.empty_like(flat)
    for start in range(0, len(flat), CHUNK):
        out[start : start + CHUNK] = mapper(flat[start : start + CHUNK])
    return out.reshape(np.shape(points))


def to_displacement(transform: Transform, grid: Grid) -> DisplacementField:
    """The whole transform as one displacement field on `grid`, LPS mm."""
    if isinstance(transform, DisplacementField) and transform.grid.matches(grid, tolerance_mm=1e-6):
        return DisplacementField(transform.array.copy(), grid)
    if isinstance(transform, AffineTransform):
        return _affine_displacement(transform, grid)
    mapper, out = GridMapper(transform, grid), np.empty((*grid.shape, 3), dtype=np.float32)
    for slab in slabs(grid):
        out[slab] = mapper.displacement(slab)
    return DisplacementField(out, grid)


def _affine_displacement(transform: AffineTransform, grid: Grid) -> DisplacementField:
    """Linear in the voxel index, so a sum of three ramps."""
    ramps = (transform.matrix - np.eye(4)) @ grid.matrix
    nk, nj, ni = grid.shape
    # Rows of all components in one go: numpy is slow along an axis of three.
    row = (np.arange(ni)[:, None] * ramps[:3, 0] + ramps[:3, 3]).ravel()
    along_j, along_k = np.tile(ramps[:3, 1], ni), np.tile(ramps[:3, 2], ni)
    plane = row + np.arange(nj)[:, None] * along_j
    out = np.empty((nk, nj, ni * 3), dtype=np.float32)
    for k in range(nk):
        np.add(plane, k * along_k, out=out[k], casting="same_kind")
    return DisplacementField(out.reshape(nk, nj, ni, 3), grid)


def compose(first: Transform, second: Transform, grid: Grid) -> DisplacementField:
    """One field for `first`, then `second`: x is found at second(first(x))."""
    return to_displacement(Chain((first, second)), grid)


def inverse_of(transform: Transform) -> Transform:
    """The transform back; a displacement field is inverted on its own grid."""
    if isinstance(transform, AffineTransform):
        return AffineTransform(np.asarray(np.linalg.inv(transform.matrix), dtype=np.float64))
    if isinstance(transform, VelocityField):
        return VelocityField(-transform.array, transform.grid)
    if isinstance(transform, DisplacementField):
        return invert_field(transform)[0]
    return Chain(tuple(inverse_of(part) for part in reversed(transform.parts)))
