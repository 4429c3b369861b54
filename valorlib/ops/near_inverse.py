"""An inverse of a displacement that is nearly right, from coarse to fine, block by block.

A block and what it reads fit the processor's cache, where reading between voxels takes half the time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import spline_filter1d
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.invert import invert_field
from valorlib.ops.smooth import along_axes, resize_matrices

COARSE_MM = 2.0
FIRST_TOLERANCE_MM = 0.1
TILE = 12
"""Cells along each axis of a block."""
SHARPEN = 0.125
"""Reading between voxels blurs by 1/12 of the second difference; 1/8 came out best on brains."""
MOST_MORE = 3.0
"""A Newton step is at most so many times longer than what is left, beyond that itself."""
Block = tuple[slice, slice, slice]


class Way:
    """Where voxels of one grid come to lie in another grid."""

    def __init__(self, source: Grid, target: Grid) -> None:
        back = np.linalg.inv(target.matrix)
        self._turn = np.round(back[:3, :3], 12)
        self._rows = np.round((back @ source.matrix)[:3], 12)
        self.per_mm = np.round(np.linalg.inv(source.matrix)[:3, :3], 12)
        """Voxels of the source a mm."""

    def places(self, moves: Tensor, block: Block, shape: Sequence[int] | None = None) -> Tensor:
        """(3, k, j, i) places in voxels (i, j, k) of the target.

        Args:
            moves: (3, k, j, i) mm.
            block: voxels of the source.
            shape: of the source, where slices of the block are open.
        """
        steps = []
        for axis, view in zip((2, 1, 0), ((1, 1, -1), (1, -1, 1), (-1, 1, 1)), strict=True):
            part = block[axis]
            first, stop, step = (part.start, part.stop, 1) if shape is None else part.indices(shape[axis])
            steps.append(torch.arange(first, stop, step).float().view(view))
        place = torch.empty_like(moves, memory_format=torch.contiguous_format)
        for out, turn, row in zip(place, self._turn.tolist(), self._rows.tolist(), strict=True):
            mixed(moves, turn, out)
            out += steps[0] * row[0] + (steps[1] * row[1] + row[3])
            out += steps[2] * row[2]
        return place


def mixed(values: Tensor, weights: Sequence[float], out: Tensor) -> None:
    """Weighted sum over the first axis; weights of 0, which upright grids have, cost nothing."""
    first = True
    for one, weight in zip(values, weights, strict=True):
        if weight and first:
            torch.mul(one, weight, out=out)
        elif weight:
            out.add_(one, alpha=weight)
        first = first and not weight


def read(values: Tensor, at: Tensor) -> Tensor:
    """(C, k, j, i) of (C, K, J, I) at places (3, k, j, i) in voxels (i, j, k); beyond the border its value."""
    crop, unit = [slice(None)], torch.empty_like(at)
    for out, place, n in zip(unit, at, values.shape[:0:-1], strict=True):
        low, high = place.aminmax()
        start = min(max(int(low), 0), n - 1)
        stop = max(min(int(high) + 2, n), start + 1)
        scale = 2.0 / (stop - start - 1) if stop > start + 1 else 0.0
        torch.mul(place, scale, out=out).sub_(start * scale + 1.0)
        crop.append(slice(start, stop))
    near = values[(crop[0], *crop[:0:-1])].contiguous()
    return F.grid_sample(near[None], unit.movedim(0, -1)[None], padding_mode="border", align_corners=True)[0]


def blocks(cells: Tensor, stride: Sequence[int], shape: Sequence[int]) -> list[Block]:
    """Boxes of voxels around the marked cells (k, j, i), at most TILE cells a side, `stride` voxels a cell."""
    found = []
    marked = cells.numpy()
    pooled = F.max_pool3d(cells.float()[None, None], TILE, ceil_mode=True)[0, 0]
    for tile in (pooled > 0).nonzero().tolist():
        box = tuple(slice(TILE * n, TILE * (n + 1)) for n in tile)
        at = np.nonzero(marked[box])
        part = [
            slice((b.start + int(x.min())) * s, min((b.start + int(x.max()) + 1) * s, n))
            for b, x, s, n in zip(box, at, stride, shape, strict=True)
        ]
        found.append((part[0], part[1], part[2]))
    return found


def coarse_grid(grid: Grid, finest_mm: float = COARSE_MM) -> Grid:
    """The grid at `finest_mm` where it is finer."""
    return grid.resampled([max(s, finest_mm) if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True)])


def coarse_inverse(displacement: DisplacementField, moving: Grid) -> Tensor:
    """(3, K, J, I) the inverse at `COARSE_MM`, laid on the moving grid."""
    fixed = displacement.grid
    u, grid = torch.from_numpy(displacement.array).movedim(-1, 0), coarse_grid(fixed)
    u = F.interpolate(u[None], size=list(grid.shape), mode="trilinear", align_corners=False)[0]
    first = coarse_grid(fixed, 2 * COARSE_MM)
    small = F.interpolate(u[None], size=list(first.shape), mode="trilinear", align_corners=False)[0]
    field = DisplacementField(np.ascontiguousarray(small.movedim(0, -1).numpy()), first)
    found, _ = invert_field(field, coarse_grid(moving, 2 * COARSE_MM), tolerance_mm=FIRST_TOLERANCE_MM)
    half = coarse_grid(moving)
    v = finer(torch.from_numpy(found.array).movedim(-1, 0), half)
    all_ = blocks(torch.ones(tuple(-(-n // 2) for n in half.shape)), (2, 2, 2), half.shape)
    improve(v, u, all_, Way(half, grid))
    return finer(v, moving)


def finer(values: Tensor, grid: Grid) -> Tensor:
    """(3, k, j, i) on a finer grid over the same box, by cubic splines."""
    if tuple(values.shape[1:]) == tuple(grid.shape):
        return values.contiguous()
    filtered = values.numpy()
    for axis in range(1, 4):
        if filtered.shape[axis] > 1:
            filtered = spline_filter1d(filtered, 3, axis=axis, mode="mirror", output=np.float32)
    at = torch.from_numpy(filtered)
    return along_axes(at, resize_matrices(at, at.shape[1:], grid.shape, cubic=True)).contiguous()


def improve(v: Tensor, u: Tensor, where: Sequence[Block], way: Way) -> None:
    """One Newton step: what is left, v + u there, is taken off times the slope of the inverse itself.

    Args:
        v: (3, K, J, I) mm, changed in place.
        u: (3, k, j, i) mm, the displacement.
        where: blocks of v.
        way: from the grid of v to that of u.
    """
    for block in where:
        here = v[(slice(None), *block)]
        left = here + read(u, way.places(here, block))
        more = torch.zeros_like(left)
        across = torch.zeros_like(left[0])
        for ahead, behind, row in zip(*_sides(v, block), (0.5 * way.per_mm).tolist(), strict=True):
            mixed(left, row, across)
            more += (ahead - behind).mul_(across)
        # At a tear the slope is no slope: there the step stays near the plain one.
        size = more.square().sum(0).clamp_min_(1e-12).sqrt_()
        more *= left.square().sum(0).sqrt_().mul_(MOST_MORE).div_(size).clamp_(max=1.0)
        here -= more.add_(left)


def sharpen(v: Tensor, where: Sequence[Block]) -> None:
    """Make up for the blur of reading between voxels."""
    for block in where:
        around = [slice(max(b.start - 1, 0), b.stop + 1) for b in block]
        inner = [slice(b.start - a.start, b.stop - a.start) for a, b in zip(around, block, strict=True)]
        bent = bends(v[(slice(None), *around)])[(slice(None), *inner)]
        v[(slice(None), *block)] -= SHARPEN * bent


def bends(values: Tensor) -> Tensor:
    """Sum of the second differences of (C, k, j, i) along the axes; 0 along an axis at its ends."""
    out = torch.zeros_like(values)
    for axis, n in enumerate(values.shape[1:], start=1):
        if n > 2:
            middle = out.narrow(axis, 1, n - 2)
            middle += values.narrow(axis, 2, n - 2)
            middle += values.narrow(axis, 0, n - 2)
            middle.sub_(values.narrow(axis, 1, n - 2), alpha=2.0)
    return out


def _sides(v: Tensor, block: Block) -> tuple[list[Tensor], list[Tensor]]:
    """The block one voxel ahead and one behind along i, j and k; at the border itself."""
    padded = v[(slice(None), *(slice(max(b.start - 1, 0), b.stop + 1) for b in block))]
    pad = list(_pads(v, block))
    if any(pad):
        padded = F.pad(padded[None], pad, mode="replicate")[0]
    sizes = [b.stop - b.start for b in block]
    ahead: list[Tensor] = []
    behind: list[Tensor] = []
    for axis in (2, 1, 0):
        for first, found in ((2, ahead), (0, behind)):
            cut = [slice(first, first + n) if a == axis else slice(1, n + 1) for a, n in enumerate(sizes)]
            found.append(padded[(slice(None), *cut)])
    return ahead, behind


def _pads(v: Tensor, block: Block) -> Iterator[int]:
    """For each end of i, j and k whether the block touches the border."""
    for b, n in zip(block[::-1], v.shape[:0:-1], strict=True):
        yield int(b.start == 0)
        yield int(b.stop == n)
