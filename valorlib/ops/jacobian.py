"""Jacobian determinant of a displacement field, slab by slab so that it stays in the processor's cache."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField

F32 = NDArray[np.float32]

SLAB_VOXELS = 65_536
"""Voxels worked on at once: three components and nine derivatives of them fit the second-level cache."""

KEPT_BYTES = 16_000_000


def jacobian_determinant(field: DisplacementField, *, order: int = 2, threads: int = 1) -> Image:
    """Volume factor of x -> x + u(x) at each voxel: 1 keeps volume, 0.5 halves it, 0 or less is a fold.

    Args:
        field: the displacement, mm.
        order: 2 for central differences over two neighbors (one-sided of second order at the border; what other tools
            use), 4 over four neighbors (more exact for smooth fields, blurs single folded voxels).
        threads: slabs worked on at the same time.
    """
    # The C library gives blocks of a slab's size back to the system at each free, and touching new ones costs more than
    # the arithmetic. Once a larger block was freed it keeps them.
    np.empty(KEPT_BYTES, dtype=np.uint8)
    out = np.empty(field.grid.shape, dtype=np.float32)

    def work(part: slice) -> None:
        out[part] = _determinant_of(field, part, order)

    _over_slabs(work, field.grid, threads)
    return Image(out, field.grid, "Jacobian")


def log_jacobian(field: DisplacementField, *, floor: float = 1e-9) -> Image:
    """Natural logarithm of the determinant; folds (0 or less) take the logarithm of `floor`."""
    return log_of(jacobian_determinant(field), floor=floor)


def log_of(determinant: Image, *, floor: float = 1e-9) -> Image:
    """Natural logarithm of a map of determinants; values below `floor` count as `floor`."""
    values = np.log(np.maximum(determinant.array, np.float32(floor)))
    return Image(values, determinant.grid, "Log Jacobian")


def gradient(array: F32, axis: int, spacing: float, *, order: int = 2) -> F32:
    """Derivative along an axis; one-sided of second order at the two ends. Zero along an axis of one voxel."""
    out = _difference(array, axis, order)
    out *= np.float32(0.5 / spacing)
    return out


def _difference(array: F32, axis: int, order: int = 2) -> F32:
    """Derivative along an axis times two voxels."""
    size = array.shape[axis]
    if size == 1:
        return np.zeros_like(array)
    values = np.moveaxis(array, axis, 0)
    out = np.empty_like(values)
    if size == 2:
        out[:] = 2 * (values[1] - values[0])
        return np.moveaxis(out, 0, axis)
    np.subtract(values[2:], values[:-2], out=out[1:-1])
    out[0] = 4 * values[1] - 3 * values[0] - values[2]
    out[-1] = 3 * values[-1] - 4 * values[-2] + values[-3]
    if order == 4 and size > 4:
        out[2:-2] = (values[:-4] - values[4:] + 8 * (values[3:-1] - values[1:-3])) * np.float32(1 / 6)
    return np.moveaxis(out, 0, axis)


def axis_components(field: DisplacementField, part: slice) -> tuple[F32, F32, F32]:
    """Displacement of some slices along the grid's own axes i, j, k (mm): three contiguous arrays."""
    u = field.array[part]
    turn = np.asarray(field.grid.direction)
    if np.array_equal(turn, np.eye(3)):
        return tuple(np.ascontiguousarray(u[..., c]) for c in range(3))  # type: ignore[return-value]
    turned = u @ turn.astype(np.float32)
    return tuple(np.ascontiguousarray(turned[..., c]) for c in range(3))  # type: ignore[return-value]


def slabs(grid: Grid) -> Iterator[slice]:
    """Runs of slices of about SLAB_VOXELS voxels that cover the grid."""
    depth = max(1, SLAB_VOXELS // (grid.size[0] * grid.size[1]))
    for start in range(0, grid.size[2], depth):
        yield slice(start, min(start + depth, grid.size[2]))


def _over_slabs(work: Callable[[slice], None], grid: Grid, threads: int) -> None:
    if threads <= 1:
        for part in slabs(grid):
            work(part)
        return
    with ThreadPoolExecutor(min(threads, os.cpu_count() or 1)) as pool:
        list(pool.map(work, slabs(grid)))


def _determinant_of(field: DisplacementField, part: slice, order: int) -> F32:
    halo = 2 if order == 4 or min(part.start, field.grid.size[2] - part.stop) < 2 else 1
    low, high = max(0, part.start - halo), min(field.grid.size[2], part.stop + halo)
    inner = slice(part.start - low, part.stop - low)
    rows = []
    for component in axis_components(field, slice(low, high)):
        difference_k = _difference(component, 0, order)[inner]
        middle = component[inner]
        rows.append([_difference(middle, 2, order), _difference(middle, 1, order), difference_k])
    # det(1 + D H) = det(1 / H + D) det(H): the differences D need no scaling by the voxel size H of their own.
    two_voxels = 2 * np.asarray(field.grid.spacing)
    for axis in range(3):
        rows[axis][axis] += np.float32(two_voxels[axis])
    found = determinant(rows)
    found *= np.float32(1 / np.prod(two_voxels))
    return found


def determinant(rows: list[list[F32]]) -> F32:
    """Determinant of 3 x 3 matrices given as nine arrays."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    out: F32 = e * i
    out -= f * h
    out *= a
    second = f * g
    second -= d * i
    second *= b
    out += second
    third = d * h
    third -= e * g
    third *= c
    out += third
    return out
