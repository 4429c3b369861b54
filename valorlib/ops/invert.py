"""Inverse of a displacement field, iterated until it is one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from valorlib.convert.tensors import field_to_voxels
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField
from valorlib.ops.mapping import slab_points, slabs
from valorlib.ops.warp import sample

FIXED_POINT_STEPS = 20
NEWTON_STEPS = 30


def invert_field(
    field: DisplacementField,
    grid: Grid | None = None,
    *,
    tolerance_mm: float = 0.01,
    start: DisplacementField | None = None,
) -> tuple[DisplacementField, Image]:
    """Field v with v(y) = -u(y + v(y)), and what is left of it.

    The field continues at its border value outside its grid, as everywhere in the library, so that the inverse is right
    up to the border of the grid too. Where the field folds there is no inverse: the residual says so.

    Args:
        field: the field u.
        grid: where the inverse is wanted; the grid of `field` when None.
        tolerance_mm: points with a smaller residual are left alone.
        start: an inverse on `grid` that is nearly right already, such as one from a coarser grid.

    Returns:
        The inverse, and the length of v(y) + u(y + v(y)), mm, on the same grid.
    """
    grid = grid or field.grid
    u_vox = field_to_voxels(field)
    out = np.empty((*grid.shape, 3), dtype=np.float32)
    left = np.empty(grid.shape, dtype=np.float32)
    axes = np.asarray(field.grid.matrix[:3, :3])
    to_mm = torch.tensor(np.ascontiguousarray(axes[:, ::-1]), dtype=torch.float32)
    for slab in slabs(grid):
        y = field.grid.to_index(slab_points(grid, slab))[:, ::-1]
        y_vox = torch.from_numpy(np.ascontiguousarray(y.T)).float()
        if start is None:
            v_vox = -_at(u_vox, y_vox)
        else:
            given = torch.from_numpy(start.array[slab].reshape(-1, 3).T.copy())
            v_vox = torch.linalg.solve(to_mm, given)
        residual_mm = _invert_points(u_vox, y_vox, v_vox, to_mm, tolerance_mm)
        out[slab] = (to_mm @ v_vox).T.reshape(-1, *grid.shape[1:], 3).numpy()
        left[slab] = residual_mm.reshape(-1, *grid.shape[1:]).numpy()
    return DisplacementField(out, grid), Image(left, grid, "inverse residual (mm)")


def _at(u_vox: Tensor, points: Tensor) -> Tensor:
    """(c, n) values of a (1, c, K, J, I) field at (3, n) voxel positions."""
    return sample(u_vox, points.view(1, 3, 1, 1, -1))[0, :, 0, 0]


def _length(v: Tensor) -> Tensor:
    """(n,) lengths of (3, n); several times faster than torch's norm over the first axis."""
    return v.square().sum(0).sqrt()


def _invert_points(u_vox: Tensor, y: Tensor, v: Tensor, to_mm: Tensor, tolerance_mm: float) -> Tensor:
    """Improve displacements v (3, n), voxels, in place; residuals (n,), mm, at the points y (3, n)."""
    error = v + _at(u_vox, y + v)
    length = _length(to_mm @ error)
    active = (length > tolerance_mm).nonzero().squeeze(1)
    error, here, at = error[:, active], v[:, active], y[:, active]
    for _ in range(FIXED_POINT_STEPS):
        # Most points settle within a few steps; only the others go on.
        if not len(active):
            return length
        here = here - error
        error = here + _at(u_vox, at + here)
        left = _length(to_mm @ error)
        v[:, active], length[active] = here, left
        open_ = left > tolerance_mm
        active, error, here, at = active[open_], error[:, open_], here[:, open_], at[:, open_]
    if len(active):
        v[:, active], length[active] = _newton(u_vox, at, here, to_mm, tolerance_mm)
    return length


def _newton(u_vox: Tensor, y: Tensor, v: Tensor, to_mm: Tensor, tolerance_mm: float) -> tuple[Tensor, Tensor]:
    """The same for the points where the plain iteration does not settle: Newton steps that never go uphill."""
    fresh = -_at(u_vox, y)
    error, other = v + _at(u_vox, y + v), fresh + _at(u_vox, y + fresh)
    length, start = _length(to_mm @ error), _length(to_mm @ other)
    # The plain iteration may have run away: begin where less is left.
    v, error = torch.where(start < length, fresh, v), torch.where(start < length, other, error)
    length = torch.minimum(start, length)
    scale = torch.ones_like(length)
    eye = torch.eye(3)[None]
    for _ in range(NEWTON_STEPS):
        slope = _slope(u_vox, y + v) + eye
        # A little of the identity keeps the step finite where the field folds.
        weak = torch.linalg.det(slope).abs() < 0.05
        slope[weak] = slope[weak] + 0.2 * eye
        step = torch.linalg.solve(slope, error.T[:, :, None])[:, :, 0].T
        trial = v - scale * step
        trial_error = trial + _at(u_vox, y + trial)
        trial_length = _length(to_mm @ trial_error)
        better = trial_length < length
        v, error = torch.where(better, trial, v), torch.where(better, trial_error, error)
        length = torch.where(better, trial_length, length)
        scale = torch.where(better, (scale * 2).clamp(max=1.0), scale * 0.5)
        if float(length.max()) <= tolerance_mm:
            break
    return v, length


def _slope(u_vox: Tensor, at: Tensor) -> Tensor:
    """(n, 3, 3) derivative of the linearly interpolated field at (3, n) positions: row = component."""
    columns = []
    for axis in range(3):
        ahead, behind = at.clone(), at.clone()
        ahead[axis] += 0.25
        behind[axis] -= 0.25
        columns.append((_at(u_vox, ahead) - _at(u_vox, behind)) / 0.5)
    return torch.stack(columns, dim=-1).permute(1, 0, 2)
