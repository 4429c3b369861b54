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
from valorlib.ops.warp import exponential, sample

CHUNK = 2_000_000
"""Points handled at once; bounds the memory."""


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


def _as_tensor(field: DisplacementField) -> torch.Tensor:
    """(1, 3, K, J, I) float32, mm, components (x, y, z)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(field.array, -1, 0)))[None]


def _displacement_at(tensor: torch.Tensor, grid: Grid, points: NDArray[np.float64]) -> NDArray[np.float64]:
    index = grid.to_index(points)[:, ::-1].astype(np.float32)
    at = torch.from_numpy(np.ascontiguousarray(index.T)).view(1, 3, 1, 1, -1)
    return np.asarray(sample(tensor, at)[0, :, 0, 0].T.double().numpy())


def slabs(grid: Grid) -> list[slice]:
    """Slices along k of at most CHUNK voxels (at least one slice each)."""
    step = max(1, CHUNK // (grid.size[0] * grid.size[1]))
    return [slice(k, min(k + step, grid.size[2])) for k in range(0, grid.size[2], step)]


def slab_points(grid: Grid, slab: slice) -> NDArray[np.float64]:
    """(n, 3) world positions of the voxels of some slices, in array order."""
    start, stop = slab.start, slab.stop
    return grid.cropped((0, 0, start), (grid.size[0], grid.size[1], stop)).points().reshape(-1, 3)


def exponentiate(velocity: VelocityField) -> DisplacementField:
    """Displacement after unit time along a stationary velocity, by scaling and squaring on its own grid."""
    v_vox = field_to_voxels(velocity)
    longest = float(v_vox.square().sum(1).max().sqrt())
    # The first step stays below 1/32 of a voxel, where x + v is as good as the flow.
    steps = max(0, math.ceil(math.log2(max(longest, 1e-12) * 32)))
    return field_from_voxels(exponential(v_vox, steps), velocity.grid)
