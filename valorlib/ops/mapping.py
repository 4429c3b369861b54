"""Transforms made ready to map many points, and grids taken some slices at a time."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from valorlib.convert.tensors import field_from_voxels, field_to_voxels
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform, VelocityField
from valorlib.ops.slabs import CHUNK, slab_points, slabs
from valorlib.ops.warp import exponential, sample

__all__ = ["CHUNK", "GridMapper", "Mapper", "exponentiate", "flatten", "slab_points", "slabs"]


def flatten(transform: Transform) -> tuple[AffineTransform | DisplacementField, ...]:
    """The parts of a transform, first to last, without chains and velocities; neighboring affines are merged."""
    parts: list[AffineTransform | DisplacementField] = []
    for part in _parts(transform):
        last = parts[-1] if parts else None
        if isinstance(part, AffineTransform) and isinstance(last, AffineTransform):
            parts[-1] = AffineTransform(part.matrix @ last.matrix)
        else:
            parts.append(part)
    return tuple(parts)


def _parts(transform: Transform) -> tuple[AffineTransform | DisplacementField, ...]:
    if isinstance(transform, AffineTransform | DisplacementField):
        return (transform,)
    if isinstance(transform, VelocityField):
        return (exponentiate(transform),)
    if isinstance(transform, Chain):
        return tuple(p for part in transform.parts for p in _parts(part))
    raise InputError(f"transform: expected an affine, a field or a chain, got {type(transform).__name__}")


class Mapper:
    """A transform made ready to map many batches of points."""

    def __init__(self, transform: Transform) -> None:
        self._parts = flatten(transform)
        self._tensors = [_as_tensor(p) if isinstance(p, DisplacementField) else None for p in self._parts]

    def __call__(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, 3) LPS mm to (n, 3) LPS mm."""
        at = points
        for part, tensor in zip(self._parts, self._tensors, strict=True):
            if isinstance(part, AffineTransform):
                at = at @ part.matrix[:3, :3].T + part.matrix[:3, 3]
            elif tensor is not None:
                at = at + _displacement_at(tensor, part.grid, at)
        return at


class GridMapper:
    """A transform followed from the voxels of a grid, some slices at a time.

    A place is an affine map of the voxel index plus a displacement: the first stays exact and costs next to nothing.
    """

    def __init__(self, transform: Transform, grid: Grid) -> None:
        self._grid = grid
        self._parts = flatten(transform)
        self._tensors: list[torch.Tensor | None] = [None] * len(self._parts)

    def index_in(self, source: Grid, slab: slice) -> torch.Tensor:
        """(1, 3, k, J, I) voxel indices (k, j, i) in `source` of where the voxels of some slices are mapped to."""
        linear, moved = self._follow(slab)
        return _index_in(source, linear, moved, self._grid, slab)

    def displacement(self, slab: slice) -> NDArray[np.float32]:
        """(k, J, I, 3) float32, LPS mm, of the voxels of some slices."""
        linear, moved = self._follow(slab)
        rest = linear - self._grid.matrix
        out = _affine_of(rest[:3], self._grid, slab)
        out = out if moved is None else out + moved
        return np.ascontiguousarray(out.movedim(0, -1).numpy())

    def _follow(self, slab: slice) -> tuple[NDArray[np.float64], torch.Tensor | None]:
        """Affine map (4, 4) of the voxel index and displacement (3, k, J, I), mm, after all parts."""
        linear, moved = self._grid.matrix, None
        for number, part in enumerate(self._parts):
            if isinstance(part, AffineTransform):
                linear = part.matrix @ linear
                if moved is not None:
                    turn = torch.tensor(part.matrix[:3, :3], dtype=torch.float32)
                    moved = torch.einsum("ab,bkji->akji", turn, moved)
            else:
                step = self._step(number, part, linear, moved, slab)
                moved = step if moved is None else moved + step
        return linear, moved

    def _step(
        self,
        number: int,
        part: DisplacementField,
        linear: NDArray[np.float64],
        moved: torch.Tensor | None,
        slab: slice,
    ) -> torch.Tensor:
        same = np.linalg.inv(part.grid.matrix) @ linear
        if moved is None and part.grid.size == self._grid.size and np.allclose(same, np.eye(4), atol=1e-7):
            return torch.from_numpy(part.array[slab]).movedim(-1, 0)
        tensor = self._tensors[number]
        if tensor is None:
            tensor = self._tensors[number] = _as_tensor(part)
        return sample(tensor, _index_in(part.grid, linear, moved, self._grid, slab))[0]


def _affine_of(rows: NDArray[np.float64], grid: Grid, slab: slice) -> torch.Tensor:
    """(n, k, J, I) float32: each row (4,) applied to the voxel index (i, j, k, 1) of some slices."""
    i, j = torch.arange(grid.size[0], dtype=torch.float64), torch.arange(grid.size[1], dtype=torch.float64)
    k = torch.arange(slab.start, slab.stop, dtype=torch.float64)
    out = torch.empty((len(rows), len(k), len(j), len(i)), dtype=torch.float32)
    for n, row in enumerate(rows):
        plane = (row[1] * j + row[3])[:, None] + row[0] * i
        # Added in float64, stored in float32.
        torch.add((row[2] * k)[:, None, None], plane, out=out[n])
    return out


def _index_in(
    source: Grid, linear: NDArray[np.float64], moved: torch.Tensor | None, grid: Grid, slab: slice
) -> torch.Tensor:
    """(1, 3, k, J, I) voxel indices (k, j, i) in `source` of affine places and a displacement from them."""
    inverse = np.linalg.inv(source.matrix)
    at = _affine_of((inverse @ linear)[2::-1], grid, slab)
    if moved is not None:
        turn = torch.tensor(inverse[2::-1, :3].copy(), dtype=torch.float32)
        at += torch.einsum("ab,bkji->akji", turn, moved)
    return at[None]


def _as_tensor(field: DisplacementField) -> torch.Tensor:
    """(1, 3, K, J, I) float32, mm, components (x, y, z)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(field.array, -1, 0)))[None]


def _displacement_at(tensor: torch.Tensor, grid: Grid, points: NDArray[np.float64]) -> NDArray[np.float64]:
    index = grid.to_index(points)[:, ::-1].astype(np.float32)
    at = torch.from_numpy(np.ascontiguousarray(index.T)).view(1, 3, 1, 1, -1)
    return np.asarray(sample(tensor, at)[0, :, 0, 0].T.double().numpy())


def exponentiate(velocity: VelocityField) -> DisplacementField:
    """Displacement after unit time along a stationary velocity, by scaling and squaring on its own grid."""
    v_vox = field_to_voxels(velocity)
    longest = float(v_vox.square().sum(1).max().sqrt())
    # The first step stays below 1/32 of a voxel, where x + v is as good as the flow.
    steps = max(0, math.ceil(math.log2(max(longest, 1e-12) * 32)))
    return field_from_voxels(exponential(v_vox, steps), velocity.grid)
