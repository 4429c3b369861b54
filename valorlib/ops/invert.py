"""Inverse of a displacement field, iterated until it is one."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField

FIXED_POINT_STEPS = 20
CHECKS = (0, 2, 4, 7, 11, 15, 19)
"""Steps at which settled points are left out of the next ones."""
NEWTON_STEPS = 30
TOGETHER = 50_000
"""Points worked on at once: few enough for the processor's cache."""


def invert_field(
    field: DisplacementField,
    grid: Grid | None = None,
    *,
    tolerance_mm: float = 0.01,
    start: DisplacementField | None = None,
    where: NDArray[np.bool_] | None = None,
) -> tuple[DisplacementField, Image]:
    """Field v with v(y) = -u(y + v(y)), and what is left of it.

    The field continues at its border value outside its grid, as everywhere in the library, so that the inverse is right
    up to the border of the grid too. Where the field folds there is no inverse: the residual says so.

    Args:
        field: the field u.
        grid: where the inverse is wanted; the grid of `field` when None.
        tolerance_mm: points with a smaller residual are left alone.
        start: an inverse on `grid` that is nearly right already, such as one from a coarser grid.
        where: (K, J, I), voxels to improve; the others keep `start`, and their residual is 0. None: all.

    Returns:
        The inverse, and the length of v(y) + u(y + v(y)), mm, on the same grid.
    """
    grid = grid or field.grid
    count, sizes = int(np.prod(grid.size)), np.asarray(field.grid.size)
    # All is done in the units of grid_sample, components (i, j, k): -1 and 1 are the outermost voxel centers.
    unit = np.where(sizes > 1, 2.0 / np.maximum(sizes - 1, 1), 1.0)
    to_unit = unit[:, None] * np.linalg.inv(field.grid.matrix[:3, :3])
    from_unit = torch.from_numpy(np.linalg.inv(to_unit)).float()
    u = torch.einsum("ab,kjib->akji", torch.from_numpy(to_unit).float(), torch.from_numpy(field.array)).contiguous()[
        None
    ]
    step = np.linalg.inv(field.grid.matrix) @ grid.matrix
    out = np.zeros((count, 3), dtype=np.float32) if start is None else start.array.reshape(-1, 3).copy()
    left = np.zeros(count, dtype=np.float32)
    size_mm = torch.from_numpy(np.asarray(field.grid.spacing) / unit).float()[:, None]
    picked = np.arange(count) if where is None else np.flatnonzero(where)
    for first in range(0, len(picked), TOGETHER):
        pick = picked[first : first + TOGETHER]
        index = np.stack([*np.unravel_index(pick, grid.shape)[::-1], np.ones(len(pick), dtype=np.intp)])
        y = torch.from_numpy(unit[:, None] * (step[:3] @ index) - 1).float()
        v = -_at(u, y) if start is None else torch.from_numpy(to_unit @ out[pick].T).float()
        left[pick] = _invert_points(u, y, v, size_mm, tolerance_mm).numpy()
        out[pick] = (from_unit @ v).T.numpy()
    inverse = DisplacementField(out.reshape(*grid.shape, 3), grid)
    return inverse, Image(left.reshape(grid.shape), grid, "inverse residual (mm)")


def _at(u: Tensor, points: Tensor) -> Tensor:
    """(3, n) values of a (1, 3, K, J, I) field at (3, n) places in its units."""
    return F.grid_sample(u, points.T[None, None, None], padding_mode="border", align_corners=True)[0, :, 0, 0]


def _length(v: Tensor, size_mm: Tensor) -> Tensor:
    """(n,) lengths of (3, n), mm; several times faster than torch's norm over the first axis."""
    return (v * size_mm).square_().sum(0).sqrt_()


def _invert_points(u: Tensor, y: Tensor, v: Tensor, size_mm: Tensor, tolerance_mm: float) -> Tensor:
    """Improve displacements v (3, n) in place; residuals (n,), mm, at the points y (3, n)."""
    length = v.new_empty(v.shape[1])
    active, at, here = torch.arange(v.shape[1]), y, v.clone()
    for step in range(FIXED_POINT_STEPS):
        there = -_at(u, at + here)
        if step in CHECKS:
            # Most points settle within a few steps; only the others go on.
            left = _length(here - there, size_mm)
            v[:, active], length[active] = here, left
            going = (left > tolerance_mm).nonzero().squeeze(1)
            if not len(going):
                return length
            active, at, there = active[going], at[:, going], there[:, going]
        here = there
    v[:, active], length[active] = _newton(u, at, here, size_mm, tolerance_mm)
    return length


def _newton(u: Tensor, y: Tensor, v: Tensor, size_mm: Tensor, tolerance_mm: float) -> tuple[Tensor, Tensor]:
    """The same for the points where the plain iteration does not settle: Newton steps that never go uphill."""
    fresh = -_at(u, y)
    error, other = v + _at(u, y + v), fresh + _at(u, y + fresh)
    length, start = _length(error, size_mm), _length(other, size_mm)
    # The plain iteration may have run away: begin where less is left.
    v, error = torch.where(start < length, fresh, v), torch.where(start < length, other, error)
    length = torch.minimum(start, length)
    scale, eye = torch.ones_like(length), torch.eye(3)[None]
    active = torch.arange(len(length))
    for _ in range(NEWTON_STEPS):
        active = active[length[active] > tolerance_mm]
        if not len(active):
            break
        at, here, off = y[:, active], v[:, active], error[:, active]
        slope = _slope(u, at + here) + eye
        # A little of the identity keeps the step finite where the field folds.
        weak = torch.linalg.det(slope).abs() < 0.05
        slope[weak] = slope[weak] + 0.2 * eye
        step = torch.linalg.solve(slope, off.T[:, :, None])[:, :, 0].T
        trial = here - scale[active] * step
        trial_error = trial + _at(u, at + trial)
        trial_length = _length(trial_error, size_mm)
        better = trial_length < length[active]
        good = active[better]
        v[:, good], error[:, good], length[good] = trial[:, better], trial_error[:, better], trial_length[better]
        scale[active] = torch.where(better, (scale[active] * 2).clamp(max=1.0), scale[active] * 0.5)
    return v, length


def _slope(u: Tensor, at: Tensor) -> Tensor:
    """(n, 3, 3) derivative of the linearly interpolated field at (3, n) places: row = component."""
    columns = []
    for axis, n in enumerate(u.shape[:1:-1]):
        step = 0.5 / max(n - 1, 1)  # a quarter of a voxel
        ahead, behind = at.clone(), at.clone()
        ahead[axis] += step
        behind[axis] -= step
        columns.append((_at(u, ahead) - _at(u, behind)) / (2 * step))
    return torch.stack(columns, dim=-1).permute(1, 0, 2)
