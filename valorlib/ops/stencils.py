"""Determinants of a displacement by all finite-difference stencils, for a strict search for folds."""

from __future__ import annotations

from itertools import product

import numpy as np

from valorlib.core.transforms import DisplacementField
from valorlib.ops.jacobian import F32, axis_components, determinant, slabs


def strict_determinants(field: DisplacementField, central: F32) -> tuple[F32, F32]:
    """Smallest determinant of all stencils, (K, J, I), and inverted volume (mm3) of each voxel.

    Where no stencil of a slab can fold, the central one is given. A one-sided stencil of a voxel is one corner of one
    of the cells around it, so the cells are walked, not the voxels.
    """
    worst = central.copy()
    inverted = np.zeros(central.shape, dtype=np.float32)
    last = field.grid.size[2] - 1
    for part in slabs(field.grid):
        if part.start >= max(last, 1):
            break
        cells = slice(part.start, min(part.stop, last) + 1 if last else 1)
        components = [_at_least_two(c) / np.float32(h) for c, h in _scaled(field, cells)]
        edges = [[np.diff(c, axis=2 - axis) for axis in range(3)] for c in components]
        if all(sum(float(np.abs(e).max()) for e in row) < 1 for row in edges):
            continue  # diagonally dominant: no stencil can fold here
        for corner in product((0, 1), repeat=3):
            d = _corner_tetrahedron(edges, corner)
            _take_in(worst[cells], inverted[cells], d, corner, 6)
        for odd in (False, True):
            d = _inner_tetrahedron(components, odd)
            _take_in(worst[cells], inverted[cells], d, (0, 0, 0), 3)
    return worst, inverted * np.float32(field.grid.voxel_volume_mm3 / 2)


def _scaled(field: DisplacementField, cells: slice) -> list[tuple[F32, float]]:
    return list(zip(axis_components(field, cells), field.grid.spacing, strict=True))


def _at_least_two(array: F32) -> F32:
    """The array with axes of one voxel doubled, so that it has cells."""
    for axis in range(3):
        if array.shape[axis] == 1:
            array = np.repeat(array, 2, axis=axis)
    return array


def _take_in(worst: F32, inverted: F32, d: F32, corner: tuple[int, ...], share: int) -> None:
    """Note the determinants of one corner of each cell (i, j, k of it: 0 low, 1 high) at the voxel they belong to."""
    at = tuple(
        slice(c, c + n) if total > 1 else slice(None)
        for c, n, total in zip(corner[::-1], d.shape, worst.shape, strict=True)
    )
    np.minimum(worst[at], d, out=worst[at])
    inverted[at] += np.maximum(-d, 0) / share


def _corner_tetrahedron(edges: list[list[F32]], corner: tuple[int, ...]) -> F32:
    """Determinant of the three edges that meet in one corner of each cell; edges: [component][axis], voxels."""
    rows = []
    for index, row in enumerate(edges):
        cut = []
        for axis, edge in enumerate(row):
            at = [slice(corner[2 - n], corner[2 - n] + edge.shape[n] - 1) for n in range(3)]
            at[2 - axis] = slice(None)
            cut.append(edge[tuple(at)] + np.float32(index == axis))
        rows.append(cut)
    return determinant(rows)


def _inner_tetrahedron(components: list[F32], odd: bool) -> F32:
    """Relative volume of the tetrahedron that joins the even (or odd) corners of each cell.

    It is what the four corner tetrahedra of that kind leave over.
    """
    corners = [(0, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1)]
    if odd:
        corners = [(1 - i, j, k) for i, j, k in corners]
    nk, nj, ni = components[0].shape

    def moved(c: int, corner: tuple[int, ...]) -> F32:
        i, j, k = corner
        return components[c][k : nk - 1 + k, j : nj - 1 + j, i : ni - 1 + i]

    steps = [[corner[c] - corners[0][c] for corner in corners[1:]] for c in range(3)]
    rows = [
        [
            moved(c, corner) - moved(c, corners[0]) + np.float32(step)
            for corner, step in zip(corners[1:], steps[c], strict=True)
        ]
        for c in range(3)
    ]
    return determinant(rows) / np.float32(np.linalg.det(np.asarray(steps, dtype=float)))
