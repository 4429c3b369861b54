"""The inverse of a displacement as the field on the moving grid that best brings the fixed voxels back.

What a user follows is there and back: from a fixed voxel along the displacement, then along the inverse read between
its own voxels. So the inverse is not taken point by point, which errs to one side wherever it bends: each of its
voxels takes over what is left there and back at the fixed voxels around. It starts from an inverse on a coarse grid,
which smooth regions are content with.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.invert import invert_field

COARSE_MM = 2.0
ENOUGH_MM = 0.05
"""Residual of the coarse inverse up to which it is left as it is."""
STEPS = (1.0, 1.5, 1.5)
"""Share of what is left that each step takes off: reading between voxels blurs it, so later ones take more."""
COARSE_TOLERANCE_MM = 0.03
TOGETHER = 100_000
"""Voxels worked on at once: few enough for the processor's cache."""
Block = tuple[slice, slice, slice]
LEAST_WEIGHT = 0.1
"""Voxels of the inverse that hardly any fixed voxel reaches move little."""
MEND_MM, MEND_SHARE, MENDINGS, ROUNDS, LOCAL_FITS = 0.45, 0.01, 9, 8, 2
"""Residual from which on the motion is smoothed, up to which share of all voxels, how often it is looked anew, smoothed
in between, and fits each time."""
MANY = 20_000
"""Voxels from which on neighbors are found in a mask of the whole grid instead of a list."""
RELAXATIONS = 4


def coarse_grid(grid: Grid) -> Grid:
    """The grid at `COARSE_MM` where it is finer."""
    return grid.resampled([max(s, COARSE_MM) if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True)])


class WayBack:
    """A displacement and its inverse, kept up to date. displacement: fixed to moving, as mended so far."""

    def __init__(self, displacement: DisplacementField, moving: Grid) -> None:
        """Begin with the inverse on the coarse grid, laid on the moving grid.

        Args:
            displacement: fixed to moving.
            moving: where the inverse is wanted.
        """
        self.displacement, self._moving = displacement, moving
        fixed = displacement.grid
        self._u = torch.from_numpy(np.ascontiguousarray(displacement.array))
        self._v = self._coarse()
        # In grid_sample's units, a fixed voxel ends at base * voxel + turn * u + shift; components (i, j, k).
        sizes = np.asarray(moving.size)
        unit = np.where(sizes > 1, 2.0 / np.maximum(sizes - 1, 1), 0.0)[:, None]
        back = np.linalg.inv(moving.matrix)
        base = unit * (back @ fixed.matrix)[:3]
        self._turn = torch.from_numpy(unit * back[:3, :3]).float()
        self._base = torch.from_numpy(base[:, :3]).float()
        self._shift = torch.from_numpy(base[:, 3] - 1.0).float()
        # A moving voxel ends at back * (voxel, 1) + unturn * v in voxels of the fixed grid.
        home = np.linalg.inv(fixed.matrix)
        self._unturn = torch.from_numpy(home[:3, :3]).float()
        self._back = torch.from_numpy((home @ moving.matrix)[:3]).float()
        self._here: list[Block] = []  # where the coarse inverse is not good enough
        self._sums: Tensor | None = None
        self._stride = _strides(fixed)

    def _coarse(self) -> Tensor:
        shape = coarse_grid(self.displacement.grid)
        small = _resized(self._u.movedim(-1, 0), shape)
        field = DisplacementField(np.ascontiguousarray(small.movedim(0, -1).numpy()), shape)
        found, _ = invert_field(field, coarse_grid(self._moving), tolerance_mm=COARSE_TOLERANCE_MM)
        return _resized(torch.from_numpy(found.array).movedim(-1, 0), self._moving).contiguous()

    def fit(self) -> None:
        """Improve the inverse around the voxels where the coarse one is not good enough."""
        lattice, sizes = self._lattice()
        far = F.max_pool3d((self.lengths(lattice) > ENOUGH_MM).float().view(1, 1, *sizes), 3, stride=1, padding=1)
        if not bool(far.any()):
            return
        self._here = here = _blocks(far[0, 0] > 0, self._stride, self.displacement.grid.shape)
        there = self._blocks_there(far)
        left = torch.zeros(3, *self.displacement.grid.shape)
        counts: Tensor | None = None  # 0 where the way leads out of the moving grid, made when one does
        for n, step in enumerate(STEPS):
            for block in here:
                left[(slice(None), *block)], inside = self._left_in(block)
                if inside is not None and n == 0:
                    counts = torch.ones_like(left[:1]) if counts is None else counts
                    counts[(0, *block)] = inside.float()
            for block in there:
                at = self._places_there(block)
                found = _read(left, at)
                if counts is not None:
                    found /= _read(counts, at).clamp_min_(LEAST_WEIGHT)
                self._v[(slice(None), *block)] -= step * found

    def _blocks_there(self, far: Tensor) -> list[Block]:
        """Blocks of the moving grid from which the inverse leads to the given cells (1, 1, k, j, i) of the lattice."""
        shape = self._moving.shape
        stride = _strides(self._moving)
        picked = tuple(slice(None, None, step) for step in stride)
        ends = self._ends(picked)  # voxels of the fixed grid
        cell = [
            (ends[..., c] / s).floor_().long().clamp_(0, n - 1)
            for c, s, n in zip((2, 1, 0), self._stride, far.shape[2:], strict=True)
        ]
        hit = far[0, 0][cell[0], cell[1], cell[2]]
        return _blocks(F.max_pool3d(hit[None, None], 3, stride=1, padding=1)[0, 0] > 0, stride, shape)

    def _ends(self, block: Sequence[slice]) -> Tensor:
        """(k, j, i, 3) places in the fixed grid, voxels (i, j, k), where the inverse brings some moving voxels."""
        axes = [torch.arange(n)[part].float() for n, part in zip(self._moving.shape, block, strict=True)]
        rows = self._back.T
        ends = self._v[(slice(None), *block)].movedim(0, -1) @ self._unturn.T
        for axis, row, shape in zip(axes[::-1], rows, ((1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1)), strict=False):
            ends += axis.view(shape) * row
        return ends.add_(rows[3])

    def _places_there(self, block: Block) -> Tensor:
        """(k, j, i, 3) places in the fixed grid, in grid_sample's units, of the moving voxels of a block."""
        sizes = torch.tensor(self.displacement.grid.size)
        return self._ends(block) * (2 / (sizes - 1).clamp_min(1)) - (sizes > 1).float()

    def _left_in(self, block: Block) -> tuple[Tensor, Tensor | None]:
        """(3, k, j, i) there and back of the fixed voxels of a block, 0 where one leaves the moving grid.

        The second is (k, j, i), which ones do not; None if none leaves.
        """
        u = self._u[block]
        place = u @ self._turn.T
        shapes = ((1, 1, -1, 1), (1, -1, 1, 1), (-1, 1, 1, 1))
        for part, row, shape in zip(block[::-1], self._base.T, shapes, strict=True):
            place += torch.arange(part.start, part.stop).float().view(shape) * row
        place += self._shift
        back = F.grid_sample(self._v[None], place[None], padding_mode="border", align_corners=True)[0]
        back += u.movedim(-1, 0)
        if float(place.abs().max()) <= 1.0 + 1e-6:
            return back, None
        inside = (place.abs() <= 1.0 + 1e-6).all(-1)
        return back.mul_(inside), inside

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
        bad = self._bad()
        for turn in range(MENDINGS):
            if not 0 < len(bad) < MEND_SHARE * self._u[..., 0].numel():
                return
            if not turn:
                self.displacement = DisplacementField(self.displacement.array.copy(), self.displacement.grid)
                self._u = torch.from_numpy(self.displacement.array)
            look = self._near(self._mended(bad, turn), 3)
            bad = look[self.lengths(look) > MEND_MM]

    def _bad(self) -> Tensor:
        """Flat indices of the voxels that come back too far off, among those that were fitted."""
        _, nj, ni = self.displacement.grid.shape
        found = [torch.zeros(0, dtype=torch.long)]
        for block in self._here:
            k, j, i = (self._left_in(block)[0].square().sum(0) > MEND_MM**2).nonzero().T
            found.append(((k + block[0].start) * nj + j + block[1].start) * ni + i + block[2].start)
        return torch.cat(found)

    def _mended(self, bad: Tensor, turn: int) -> Tensor:
        """Smooth around the given voxels until they come back; all voxels that were touched.

        Where that is not enough, the next round and the next turn take in more neighbors.
        """
        touched = []
        for again in range(ROUNDS):
            around = self._near(bad, 1 if turn + again < 2 else 2)
            self._relax(around)
            region = self._near(around)
            for _ in range(LOCAL_FITS):
                self._fit(region)
            touched.append(region)
            region = self._near(region)
            bad = region[self.lengths(region) > MEND_MM]
            if not len(bad):
                break
        return torch.cat(touched)

    def _near(self, voxels: Tensor, reach: int = 1) -> Tensor:
        """Flat indices of all fixed voxels at most `reach` voxels from the given ones along each axis."""
        if len(voxels) > MANY:
            found = torch.zeros(self.displacement.grid.shape, dtype=torch.bool)
            found.view(-1)[voxels] = True
            for axis, n in enumerate(found.shape):
                before = found
                found = before.clone()
                for step in range(1, min(reach, n - 1) + 1):
                    found.narrow(axis, step, n - step).logical_or_(before.narrow(axis, 0, n - step))
                    found.narrow(axis, 0, n - step).logical_or_(before.narrow(axis, step, n - step))
            return torch.nonzero(found.view(-1))[:, 0]
        stride = 1
        for n in self.displacement.grid.size:
            at = voxels // stride % n
            steps = torch.arange(-reach, reach + 1)[:, None]
            voxels = _unique(voxels + ((at + steps).clamp(0, n - 1) - at) * stride)
            stride *= n
        return voxels

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
        if self._sums is None:
            self._sums = torch.zeros(4, self._v[0].numel())
        sums, touched = self._sums, []
        few = 8 * len(voxels) < sums.shape[1]
        for first in range(0, len(voxels), TOGETHER):
            place, inside, left = self._left(voxels[first : first + TOGETHER])
            if not bool(inside.all()):
                place, left = place[:, inside], left[:, inside]
            for node, weight in self._corners(place):
                sums[3].scatter_add_(0, node, weight)
                for total, one in zip(sums, left, strict=False):
                    total.scatter_add_(0, node, weight * one)
                if few:
                    touched.append(node)
        flat = self._v.view(3, -1)
        if few:
            # Voxels that come up more than once are given the same value each time.
            at = torch.cat(touched) if touched else torch.zeros(0, dtype=torch.long)
            weight = sums[3][at].clamp_min_(LEAST_WEIGHT)
            for values, total in zip(flat, sums, strict=False):
                values[at] = values[at] - total[at] / weight
            sums[:, at] = 0
        else:
            weight = sums[3].clamp_min_(LEAST_WEIGHT)
            for values, total in zip(flat, sums, strict=False):
                values.sub_(total.div_(weight))
            sums.zero_()

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


def _read(values: Tensor, at: Tensor) -> Tensor:
    """(C, k, j, i) of (C, K, J, I) at places (k, j, i, 3) in grid_sample's units."""
    return F.grid_sample(values[None], at[None], padding_mode="border", align_corners=True)[0]


def _strides(grid: Grid) -> list[int]:
    """Voxels along (k, j, i) in about `COARSE_MM`."""
    return [max(1, min(round(COARSE_MM / s), n)) for s, n in zip(grid.spacing[::-1], grid.shape, strict=True)]


def _blocks(cells: Tensor, stride: list[int], shape: Sequence[int]) -> list[Block]:
    """Boxes of voxels around the marked cells (k, j, i), a few slices each, `stride` voxels a cell."""
    found = []
    for k, cell in enumerate(cells):
        if not bool(cell.any()):
            continue
        rows, columns = cell.any(1).nonzero(), cell.any(0).nonzero()
        first = [k, int(rows[0]), int(columns[0])]
        last = [k, int(rows[-1]), int(columns[-1])]
        box = [slice(a * s, min((b + 1) * s, n)) for a, b, s, n in zip(first, last, stride, shape, strict=True)]
        found.append((box[0], box[1], box[2]))
    return found


def _resized(values: Tensor, grid: Grid) -> Tensor:
    return F.interpolate(values[None], size=list(grid.shape), mode="trilinear", align_corners=False)[0]


def _unique(voxels: Tensor) -> Tensor:
    found: Tensor = torch.unique(voxels)
    return found
