"""The dense field of a point registration: each organ's own map inside it, smooth blending between, no folds."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.gp_kernel import MotionPrior
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.pivoted_cholesky import inducing_basis
from valorlib.ops.point_motion import PointMotion
from valorlib.ops.stencils import strict_determinants

F64 = NDArray[np.float64]
TAPER_MM = 30.0
REACH_MM = 45.0
KNOT_MM = 5.0
LEAST_JACOBIAN, LEAST_STRICT = 0.05, 0.01
"""Least determinant by central differences, and by any stencil."""


def own_map(model: PointMotion, organ: int, points: F64, *, loops: int = 20, tolerance_mm: float = 5e-3) -> F64:
    """(n, 3) moving world positions that organ's own motion carries to the fixed points (n, 3).

    Solves q = z - v(q) by iteration, z being the point with the similarity taken back; damped where that runs away.
    """
    like = model.start
    back = torch.linalg.inv(model.scale * model.rotation)
    z = (torch.as_tensor(points, dtype=like.dtype, device=like.device) - model.shift - model.center) @ back.T
    q = z - model.displacement(z, torch.full((len(z),), organ, device=like.device))
    last = torch.full_like(z[:, 0], torch.inf)
    damp = torch.ones_like(last)
    rows = torch.arange(len(z), device=like.device)
    for _ in range(loops):
        organs = torch.full((len(rows),), organ, device=like.device)
        step = z[rows] - model.displacement(q[rows], organs) - q[rows]
        size = step.square().sum(1).sqrt()
        damp[rows] = torch.where(size > last[rows], damp[rows] / 2, damp[rows])
        q[rows] += damp[rows, None] * step
        last[rows] = size
        rows = rows[size > tolerance_mm]
        if not len(rows):
            break
    return _leave_frame(model, q)


def _leave_frame(model: PointMotion, q: torch.Tensor) -> F64:
    inverse = torch.linalg.inv(model.start[:3, :3])
    return np.asarray(((q + model.center - model.start[:3, 3]) @ inverse.T).cpu().numpy())


def similarity_back(model: PointMotion, points: F64) -> F64:
    """(n, 3) moving world positions of fixed points by the similarity alone."""
    matrix = np.linalg.inv(model.similarity())
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _box_around(mask: NDArray[np.bool_], grid: Grid, margin_mm: float) -> tuple[slice, slice, slice]:
    where = np.nonzero(mask)
    margin = np.ceil(margin_mm / np.asarray(grid.spacing[::-1])).astype(int)
    return tuple(  # type: ignore[return-value]
        slice(max(0, int(axis.min()) - m), min(n, int(axis.max()) + 1 + m))
        for axis, m, n in zip(where, margin, mask.shape, strict=True)
    )


def _knots(box: tuple[slice, ...], grid: Grid, knot_mm: float) -> list[F64]:
    """Indices of the knots along each axis of the box, (k, j, i)."""
    out = []
    for part, spacing in zip(box, grid.spacing[::-1], strict=True):
        count = max(2, int(np.ceil((part.stop - part.start - 1) * spacing / knot_mm)) + 1)
        out.append(np.linspace(part.start, max(part.stop - 1, part.start), count))
    return out


def _dense(values: F64, knots: list[F64], box: tuple[slice, ...]) -> NDArray[np.float32]:
    """Values at knots (a, b, c, 3) interpolated (cubic) to all voxels of the box."""
    at = []
    for knot, part in zip(knots, box, strict=True):
        step = (knot[-1] - knot[0]) / (len(knot) - 1)
        at.append((np.arange(part.start, part.stop) - knot[0]) / step if step > 0 else np.zeros(part.stop - part.start))
    mesh = np.stack(np.meshgrid(*at, indexing="ij"))
    parts = [ndimage.map_coordinates(values[..., c], mesh, order=3, mode="nearest") for c in range(3)]
    return np.stack(parts, axis=-1).astype(np.float32)


def organ_motion(
    model: PointMotion, organ: int, grid: Grid, box: tuple[slice, slice, slice], *, knot_mm: float = KNOT_MM
) -> NDArray[np.float32]:
    """(k, j, i, 3) what the organ's own map adds to the similarity in a box of the grid, mm of the moving world."""
    knots = _knots(box, grid, knot_mm)
    index = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)[..., ::-1]
    points = grid.to_world(index).reshape(-1, 3)
    added = own_map(model, organ, points) - similarity_back(model, points)
    return _dense(added.reshape(*index.shape), knots, box)


def organ_field(model: PointMotion, fixed: LabelMap) -> DisplacementField:
    """Fixed to moving on the grid of the fixed label map.

    Inside an organ its own map; outside, the organs' motions weighted by 1 / distance^2 and fading over 30 mm to the
    similarity; where voxels would fold, the motion is smoothed locally.
    """
    grid = fixed.grid
    shape = (*grid.shape, 3)
    total, weights = np.zeros(shape, dtype=np.float32), np.zeros(grid.shape, dtype=np.float32)
    nearest = np.full(grid.shape, np.inf, dtype=np.float32)
    own = np.zeros(shape, dtype=np.float32)
    for label in fixed.labels:
        organ = int(model.organs(np.array([label]), 1)[0])
        if organ < 0:
            continue
        mask = fixed.array == label
        box = _box_around(mask, grid, REACH_MM)
        added = organ_motion(model, organ, grid, box)
        distance = ndimage.distance_transform_edt(~mask[box], sampling=grid.spacing[::-1]).astype(np.float32)
        weight = 1 / np.maximum(distance, 0.1) ** 2 * (distance < REACH_MM)
        total[box] += weight[..., None] * added
        weights[box] += weight
        nearest[box] = np.minimum(nearest[box], distance)
        own[box][mask[box]] = added[mask[box]]
    fade = np.exp(-((nearest / TAPER_MM) ** 2))
    blended = total / np.maximum(weights, 1e-12)[..., None] * fade[..., None]
    inside = nearest == 0
    blended[inside] = own[inside]
    return _with_similarity(model, blended, grid)


def smooth_field(model: PointMotion, moving: F64, moved: F64, grid: Grid) -> DisplacementField:
    """Fixed to moving where no fixed label map is there: one smooth field through all moved points.

    A Gaussian process (length and size of the first organ, 1 mm noise) over the similarity, in the moving world.

    Args:
        model: of the registration.
        moving: (n, 3) points.
        moved: (n, 3) where they went.
        grid: of the fixed image.
    """
    like = model.start
    base = model.bases[0].prior
    one = MotionPrior(
        base.length_mm[:1], (base.size_mm[:1].square() + base.long_size_mm**2).sqrt(), torch.ones_like(like[:1, :1])
    )
    center = moved.mean(0)
    at = torch.as_tensor(moved - center, dtype=like.dtype, device=like.device)
    organs = torch.zeros(len(at), dtype=torch.int64, device=like.device)
    basis = inducing_basis(
        at, organs, one, (0,), tolerance=1e-2, max_rank=1500, generator=torch.Generator().manual_seed(0)
    )
    phi = basis.features(at, organs)
    residual = torch.as_tensor(moving - similarity_back(model, moved), dtype=like.dtype, device=like.device)
    gram = phi.T @ phi + torch.eye(phi.shape[1], dtype=like.dtype, device=like.device)
    weights = torch.linalg.solve(gram, phi.T @ residual)
    box = tuple(slice(0, n) for n in grid.shape)
    knots = _knots(box, grid, KNOT_MM)
    index = np.stack(np.meshgrid(*knots, indexing="ij"), axis=-1)[..., ::-1]
    points = torch.as_tensor(grid.to_world(index).reshape(-1, 3) - center, dtype=like.dtype, device=like.device)
    parts = [basis.features(p, p.new_zeros(len(p), dtype=torch.int64)) @ weights for p in torch.split(points, 50_000)]
    added = torch.cat(parts).cpu().numpy().reshape(*index.shape)
    return _with_similarity(model, _dense(added, knots, box), grid)


def _with_similarity(model: PointMotion, added: NDArray[np.float32], grid: Grid) -> DisplacementField:
    field = _field(model, added, grid)
    for width in (1.0, 1.0, 1.5, 1.5, 2.0, 2.0, 3.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0):
        central = jacobian_determinant(field).array
        folded = (central < LEAST_JACOBIAN) | (strict_determinants(field, central)[0] < LEAST_STRICT)
        if not folded.any():
            break
        added = _smoothed_at(added, folded, width)
        field = _field(model, added, grid)
    return field


def _smoothed_at(added: NDArray[np.float32], folded: NDArray[np.bool_], width: float) -> NDArray[np.float32]:
    """The motion smoothed around folded voxels, its own elsewhere; joined softly."""
    reach = 2 + 2 * width
    share = ndimage.gaussian_filter(ndimage.maximum_filter(folded, int(reach)).astype(np.float32), width)
    share = np.clip(1.5 * share, 0, 1)[..., None]
    smooth = np.stack([ndimage.gaussian_filter(added[..., c], width) for c in range(3)], axis=-1)
    return np.asarray(added * (1 - share) + smooth * share, dtype=np.float32)


def _field(model: PointMotion, added: NDArray[np.float32], grid: Grid) -> DisplacementField:
    out = np.empty_like(added)
    for k in range(grid.shape[0]):
        j, i = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in grid.shape[1:]), indexing="ij")
        points = grid.to_world(np.stack([i, j, np.full_like(i, k)], axis=-1).reshape(-1, 3))
        out[k] = (similarity_back(model, points) - points).reshape(*grid.shape[1:], 3) + added[k]
    return DisplacementField(out, grid)


def carried_masks(
    model: PointMotion | None, similarity: F64, moving: LabelMap, grid: Grid, labels: Iterable[int]
) -> dict[int, NDArray[np.bool_]]:
    """Each moving organ on the fixed grid by its own map (or, without a model, by the similarity alone).

    Unlike a warped label map, the organs of this one can overlap.
    """
    out = {}
    for label in labels:
        mask = moving.array == label
        low, high = _reach(mask, moving.grid, similarity, grid)
        carried = np.zeros(grid.shape, dtype=bool)
        box = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
        if all(part.stop > part.start for part in box):
            index = np.stack(np.meshgrid(*(np.arange(p.start, p.stop) for p in box), indexing="ij"), axis=-1)[..., ::-1]
            points = grid.to_world(index).reshape(-1, 3)
            back = np.linalg.inv(similarity)
            at = points @ back[:3, :3].T + back[:3, 3]
            if model is not None:
                organ = int(model.organs(np.array([label]), 1)[0])
                at = at + organ_motion(model, organ, grid, box).reshape(-1, 3)  # type: ignore[arg-type]
            there = np.rint(moving.grid.to_index(at)).astype(int)
            inside = np.all((there >= 0) & (there < moving.grid.size), axis=1)
            i, j, k = there[inside].T
            hit = np.zeros(len(at), dtype=bool)
            hit[inside] = mask[k, j, i]
            carried[box] = hit.reshape(index.shape[:3])
        out[label] = carried
    return out


def _reach(mask: NDArray[np.bool_], source: Grid, similarity: F64, grid: Grid) -> tuple[list[int], list[int]]:
    """Voxel box of the fixed grid an organ can reach: that of its moved corners and 40 mm more."""
    where = np.argwhere(mask)[:, ::-1]
    ends = np.stack([where.min(0), where.max(0)])
    corners = np.array([[ends[a, 0], ends[b, 1], ends[c, 2]] for a, b, c in itertools.product((0, 1), repeat=3)])
    world = source.to_world(corners) @ similarity[:3, :3].T + similarity[:3, 3]
    index = grid.to_index(world)[:, ::-1]
    margin = 40 / np.asarray(grid.spacing[::-1])
    low = np.clip(np.floor(index.min(0) - margin), 0, grid.shape).astype(int)
    high = np.clip(np.ceil(index.max(0) + margin) + 1, 0, grid.shape).astype(int)
    return low.tolist(), high.tolist()
