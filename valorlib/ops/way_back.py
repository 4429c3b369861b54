"""The inverse of a displacement as the field on the moving grid that best brings the fixed voxels back.

What a user follows is there and back: from a fixed voxel along the displacement, then along the inverse read between
its own voxels. So the inverse is not taken point by point, which errs to one side wherever it bends: each of its
voxels takes over what is left there and back at the fixed voxels around. It starts from an inverse on a coarse grid,
which smooth regions are content with.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.near_inverse import COARSE_MM, Block, Way, bends, blocks, coarse_inverse, improve, read, sharpen

ENOUGH_MM = 0.05
"""Residual of the coarse inverse up to which it is left as it is."""
ENOUGH_OUTSIDE_MM = 0.2
"""The same outside the body."""
DOUBT_MM = 0.25
"""What is left before a round from which on a voxel is looked at again."""
MEAN_MM, ROUNDS_OF_FIT = 0.05, 3
"""What may be left on average (mending takes off some more), and rounds at most until it is."""
UNBLUR = 1 / 6
"""What is left is read between voxels, which blurs it: share of its second difference to take off."""
SAMPLED, MOST_SAMPLED = 7, 3_000_000
"""Every how manieth voxel tells how good the inverse is, and about how many at most."""
EDGE = 1e-4
"""Voxels by which a place may lie outside a grid and still count as inside."""
TOGETHER = 100_000
"""Voxels worked on at once: few enough for the processor's cache."""
LEAST_WEIGHT = 0.1
"""Voxels of the inverse that hardly any fixed voxel reaches move little."""
MEND_MM, MEND_SHARE, MENDINGS, ROUNDS, LOCAL_FITS = 0.45, 0.01, 20, 8, 2
"""Residual from which on the motion is smoothed, up to which share of all voxels, how often it is looked anew, smoothed
in between, and fits each time."""
MANY = 20_000
"""Voxels from which on neighbors are found in a mask of the whole grid instead of a list."""
RELAXATIONS = 4


class WayBack:
    """A displacement and its inverse, kept up to date. displacement: fixed to moving, as mended so far."""

    def __init__(self, displacement: DisplacementField, moving: Grid, where: LabelMap | None = None) -> None:
        """Begin with the inverse on the coarse grid, laid on the moving grid.

        Args:
            displacement: fixed to moving.
            moving: where the inverse is wanted.
            where: on the fixed grid, where the inverse shall be exact (the body); None: everywhere.
        """
        self.displacement, self._moving = displacement, moving
        fixed = displacement.grid
        self._u = torch.from_numpy(np.ascontiguousarray(displacement.array))
        self._v = coarse_inverse(displacement, moving)
        # In grid_sample's units, a fixed voxel ends at base * voxel + turn * u + shift; components (i, j, k).
        sizes = np.asarray(moving.size)
        unit = np.where(sizes > 1, 2.0 / np.maximum(sizes - 1, 1), 0.0)[:, None]
        back = np.linalg.inv(moving.matrix)
        base = unit * (back @ fixed.matrix)[:3]
        self._turn = torch.from_numpy(unit * back[:3, :3]).float()
        self._base = torch.from_numpy(base[:, :3]).float()
        self._shift = torch.from_numpy(base[:, 3] - 1.0).float()
        self._way, self._return = Way(fixed, moving), Way(moving, fixed)
        self._doubtful = torch.zeros(0, dtype=torch.long)  # voxels that may come back too far off
        self._sums: Tensor | None = None
        self._stride = _strides(fixed)
        self._where = where

    def fit(self) -> None:
        """Improve the inverse around the voxels where the coarse one is not good enough."""
        lattice, sizes = self._lattice()
        inside = self._inside()
        enough = torch.full(inside.shape, ENOUGH_OUTSIDE_MM).masked_fill_(inside, ENOUGH_MM)
        bad = (self.lengths(lattice) > enough).view(1, 1, *sizes)
        near = F.max_pool3d(bad.float(), 3, stride=1, padding=1) * inside.view(bad.shape)
        far = torch.maximum(near, bad.float())
        if not bool(far.any()):
            return
        here = blocks(far[0, 0] > 0, self._stride, self.displacement.grid.shape)
        there = self._blocks_there(far)
        improve(self._v, self._u.movedim(-1, 0), there, self._return)
        sharpen(self._v, there)
        left = torch.zeros(3, *self.displacement.grid.shape)
        for turn in range(ROUNDS_OF_FIT):
            self._round(here, there, left, 0.0 if turn else UNBLUR)
            if float(self.residuals().mean()) <= MEAN_MM:
                break

    def _round(self, here: list[Block], there: list[Block], left: Tensor, unblur: float) -> None:
        """Each voxel of the inverse takes over what is left there and back at the fixed voxels around."""
        doubtful = []
        counts: Tensor | None = None  # 0 where the way leads out of the moving grid, made when one does
        for block in here:
            one, inside = self._left_in(block)
            left[(slice(None), *block)] = one
            if inside is not None:
                counts = torch.ones_like(left[:1]) if counts is None else counts
                counts[(0, *block)] = inside.float()
            doubtful.append(self._doubts(one, block))
        for block in there:
            at = self._return.places(self._v[(slice(None), *block)], block)
            found = read(left, at)
            if counts is not None:
                found /= read(counts, at).clamp_min_(LEAST_WEIGHT)
            self._v[(slice(None), *block)] -= found.sub_(bends(found), alpha=unblur)
        self._doubtful = torch.cat(doubtful)

    def _inside(self) -> Tensor:
        """Which voxels of the lattice are where the inverse shall be exact."""
        if self._where is None:
            return torch.ones(len(self._lattice()[0]), dtype=torch.bool)
        k, j, i = self._stride
        return torch.from_numpy(self._where.array[::k, ::j, ::i] > 0).flatten()

    def _doubts(self, left: Tensor, block: Block) -> Tensor:
        """Flat indices of voxels of a block that come back so far off that one more round may not be enough."""
        _, nj, ni = self.displacement.grid.shape
        k, j, i = (left.square().sum(0) > DOUBT_MM**2).nonzero().T
        flat: Tensor = ((k + block[0].start) * nj + j + block[1].start) * ni + i + block[2].start
        return flat

    def _blocks_there(self, far: Tensor) -> list[Block]:
        """Blocks of the moving grid from which the inverse leads to the given cells (1, 1, k, j, i) of the lattice."""
        shape = self._moving.shape
        stride = _strides(self._moving)
        picked = (slice(None, None, stride[0]), slice(None, None, stride[1]), slice(None, None, stride[2]))
        ends = self._return.places(self._v[(slice(None), *picked)], picked, shape)
        cell = [
            (ends[c] / s).floor_().long().clamp_(0, n - 1)
            for c, s, n in zip((2, 1, 0), self._stride, far.shape[2:], strict=True)
        ]
        hit = far[0, 0][cell[0], cell[1], cell[2]]
        return blocks(F.max_pool3d(hit[None, None], 3, stride=1, padding=1)[0, 0] > 0, stride, shape)

    def _left_in(self, block: Block) -> tuple[Tensor, Tensor | None]:
        """(3, k, j, i) there and back of the fixed voxels of a block, 0 where one leaves the moving grid.

        The second is (k, j, i), which ones do not; None if none leaves.
        """
        u = self._u[block].movedim(-1, 0).clone(memory_format=torch.contiguous_format)  # a block of one voxel too
        place = self._way.places(u, block)
        u += read(self._v, place)
        sizes = self._moving.size
        if all(
            float(one.min()) >= -EDGE and float(one.max()) <= n - 1 + EDGE for one, n in zip(place, sizes, strict=True)
        ):
            return u, None
        inside = torch.ones_like(place[0], dtype=torch.bool)
        for one, n in zip(place, sizes, strict=True):
            inside &= (one >= -EDGE) & (one <= n - 1 + EDGE)
        return u.mul_(inside), inside

    def lengths(self, voxels: Tensor | None = None) -> Tensor:
        """(n,) distance of fixed voxels from where the inverse brings them back, mm; 0 if one leaves the moving grid.

        voxels: flat indices; None: a lattice of voxels some 2 mm apart.
        """
        voxels = self._lattice()[0] if voxels is None else voxels
        out = torch.zeros(len(voxels))
        for first in range(0, len(voxels), TOGETHER):
            _, inside, left = self._left(voxels[first : first + TOGETHER])
            out[first : first + TOGETHER] = left.square().sum(0).sqrt() * inside
        return out

    def mend(self) -> None:
        """Smooth the displacement at the few voxels where it is so steep that no field on the moving grid undoes it."""
        bad = self._bad(self._doubtful, 1)
        for turn in range(MENDINGS):
            if not 0 < len(bad) < MEND_SHARE * self._u[..., 0].numel():
                return
            if not turn:
                self.displacement = DisplacementField(self.displacement.array.copy(), self.displacement.grid)
                self._u = torch.from_numpy(self.displacement.array)
            touched = self._mended(bad, turn)
            self._doubtful = _unique(torch.cat([self._doubtful, touched]))
            bad = self._bad(touched, 3)
            if not len(bad):  # where the motion compresses, the inverse of a voxel serves others farther away
                bad = self._bad(self._doubtful, 3)

    def _bad(self, voxels: Tensor, reach: int) -> Tensor:
        """Flat indices of the voxels around the given ones that come back too far off."""
        look = near(voxels, self.displacement.grid, reach)
        return look[self.lengths(look) > MEND_MM]

    def worst(self) -> float:
        """Largest distance of a doubtful voxel from where the inverse brings it back, mm."""
        look = near(self._doubtful, self.displacement.grid, 3)
        return float(self.lengths(look).max()) if len(look) else 0.0

    def _mended(self, bad: Tensor, turn: int) -> Tensor:
        """Smooth around the given voxels until they come back; all voxels that were touched.

        Where that is not enough, the next round and the next turn take in more neighbors.
        """
        touched, grid = [], self.displacement.grid
        for again in range(ROUNDS):
            around = near(bad, grid, 1 if turn + again < 2 else 2)
            self._relax(around)
            region = near(around, grid)
            for _ in range(LOCAL_FITS):
                self._fit(region)
            touched.append(region)
            region = near(region, grid)
            bad = region[self.lengths(region) > MEND_MM]
            if not len(bad):
                break
        return torch.cat(touched)

    def _relax(self, voxels: Tensor) -> None:
        """Draw the displacement at some voxels to the mean of itself and its neighbors, some times."""
        u = self._u.view(-1, 3)
        for _ in range(RELAXATIONS):
            total, count, stride = torch.zeros(len(voxels), 3), 0, 1
            for n in self.displacement.grid.size:
                at = voxels // stride % n
                for way in (-1, 1) if n > 1 else ():
                    total += u[voxels + ((at + way).clamp(0, n - 1) - at) * stride]
                    count += 1
                stride *= n
            u[voxels] = 0.25 * u[voxels] + 0.75 * total / count

    def residuals(self) -> Tensor:
        """(n,) distance of each seventh voxel inside `where` from where the inverse brings it back, mm.

        Every second one would always meet the same phase of a motion worked out on a grid twice as coarse.
        """
        count = self._u[..., 0].numel()
        voxels = torch.arange(0, count, max(SAMPLED, count // MOST_SAMPLED | 1))
        if self._where is not None:
            voxels = voxels[torch.from_numpy(self._where.array.reshape(-1)[voxels.numpy()] > 0)]
        return self.lengths(voxels)

    def inverse(self) -> DisplacementField:
        """The inverse as a field of the library."""
        return DisplacementField(np.ascontiguousarray(self._v.movedim(0, -1).numpy()), self._moving)

    def _lattice(self) -> tuple[Tensor, list[int]]:
        """Flat indices of fixed voxels some 2 mm apart, and how many there are along (k, j, i)."""
        _, nj, ni = self.displacement.grid.shape
        axes = [torch.arange(0, n, s) for n, s in zip(self.displacement.grid.shape, self._stride, strict=True)]
        flat = (axes[0][:, None, None] * nj + axes[1][:, None]) * ni + axes[2]
        return flat.flatten(), [len(axis) for axis in axes]

    def _left(self, voxels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Places (3, n) in the moving grid, which of them are inside it, and what is left there and back (3, n), mm."""
        _, nj, ni = self.displacement.grid.shape
        at = torch.stack([voxels % ni, voxels // ni % nj, voxels // (nj * ni)]).float()
        u = self._u.view(-1, 3)[voxels].T
        place = torch.addmm(torch.addmm(self._shift[:, None], self._base, at), self._turn, u)
        back = F.grid_sample(self._v[None], place.T[None, None, None], padding_mode="border", align_corners=True)
        return place, (place.abs() <= 1.0 + 1e-6).all(0), u + back[0, :, 0, 0]

    def _fit(self, voxels: Tensor) -> None:
        """One step of least squares: each voxel of the inverse takes over what is left near it, on average."""
        count = self._v[0].numel()
        if self._sums is None:
            self._sums = torch.zeros(count, 4)
        sums, touched = self._sums, []
        for first in range(0, len(voxels), TOGETHER):
            place, inside, left = self._left(voxels[first : first + TOGETHER])
            if not bool(inside.all()):
                place, left = place[:, inside], left[:, inside]
            rows = torch.cat([left, torch.ones_like(left[:1])]).T.contiguous()
            for node, weight in self._corners(place):
                sums.index_add_(0, node, rows * weight[:, None])
                touched.append(node)
        # Voxels that come up more than once are given the same value each time.
        at = torch.cat(touched) if touched else torch.zeros(0, dtype=torch.long)
        if 2 * len(at) > count:
            at = torch.arange(count)
        elif len(at) > MANY:
            at = (sums[:, 3] > 0).nonzero()[:, 0]
        flat, total = self._v.view(3, -1), sums[at]
        taken = total[:, :3] / total[:, 3:].clamp_min(LEAST_WEIGHT)
        for values, one in zip(flat, taken.T, strict=True):
            values[at] = values[at] - one
        sums[at] = 0

    def _corners(self, place: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Eight voxels of the moving grid around each place (grid_sample's units): flat index and weight, both (n,)."""
        steps, weights, stride = [], [], 1
        for at, n in zip(place, self._moving.size, strict=True):
            index = ((at + 1) * (0.5 * (n - 1))).clamp_(0, n - 1)
            low = index.floor().clamp_(max=max(n - 2, 0))
            part = index - low
            low = low.long()
            steps.append((low * stride, (low + 1).clamp_(max=n - 1) * stride))
            weights.append((1 - part, part))
            stride *= n
        found = []
        for a, b in itertools.product((0, 1), repeat=2):
            node, weight = steps[2][a] + steps[1][b], weights[2][a] * weights[1][b]
            found += [(node + steps[0][c], weight * weights[0][c]) for c in (0, 1)]
        return found


def _strides(grid: Grid) -> list[int]:
    """Voxels along (k, j, i) in about `COARSE_MM`."""
    return [max(1, min(round(COARSE_MM / s), n)) for s, n in zip(grid.spacing[::-1], grid.shape, strict=True)]


def near(voxels: Tensor, grid: Grid, reach: int = 1) -> Tensor:
    """Flat indices of all voxels of a grid at most `reach` voxels from the given ones along each axis."""
    if len(voxels) > MANY:
        found = torch.zeros(grid.shape, dtype=torch.bool)
        found.view(-1)[voxels] = True
        for axis, n in enumerate(found.shape):
            before = found
            found = before.clone()
            for step in range(1, min(reach, n - 1) + 1):
                found.narrow(axis, step, n - step).logical_or_(before.narrow(axis, 0, n - step))
                found.narrow(axis, 0, n - step).logical_or_(before.narrow(axis, step, n - step))
        return torch.nonzero(found.view(-1))[:, 0]
    stride = 1
    for n in grid.size:
        at = voxels // stride % n
        steps = torch.arange(-reach, reach + 1)[:, None]
        voxels = _unique(voxels + ((at + steps).clamp(0, n - 1) - at) * stride)
        stride *= n
    return voxels


def _unique(voxels: Tensor) -> Tensor:
    found: Tensor = torch.unique(voxels)
    return found
