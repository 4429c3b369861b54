"""The inverse of a displacement as the field on the moving grid that best brings the fixed voxels back.

What a user follows is there and back: from a fixed voxel along the displacement, then along the inverse read between
its own voxels. So the inverse is not taken point by point, which errs to one side wherever it bends, but fitted by
least squares to all fixed voxels at once; it starts from an inverse on a coarse grid, which smooth regions are content
with.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable

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
SETTLED_MM = 0.04
"""Residual up to which a voxel takes no part in the second fit."""
COARSE_TOLERANCE_MM = 0.03
TOGETHER = 100_000
"""Voxels worked on at once: few enough for the processor's cache."""
LEAST_WEIGHT = 0.1
"""Voxels of the inverse that hardly any fixed voxel reaches move little."""
MEND_MM, MEND_SHARE, MENDINGS, ROUNDS, LOCAL_FITS = 0.45, 0.01, 5, 8, 2
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
        self._sums: Tensor | None = None
        self._stride = [
            max(1, min(round(COARSE_MM / s), n)) for s, n in zip(fixed.spacing[::-1], fixed.shape, strict=True)
        ]

    def _coarse(self) -> Tensor:
        shape = coarse_grid(self.displacement.grid)
        small = _resized(self._u.movedim(-1, 0), shape)
        field = DisplacementField(np.ascontiguousarray(small.movedim(0, -1).numpy()), shape)
        found, _ = invert_field(field, coarse_grid(self._moving), tolerance_mm=COARSE_TOLERANCE_MM)
        return _resized(torch.from_numpy(found.array).movedim(-1, 0), self._moving).contiguous()

    def fit(self) -> None:
        """Fit the inverse to the voxels around which the coarse one is not good enough."""
        lattice, sizes = self._lattice()
        far = F.max_pool3d((self.lengths(lattice) > ENOUGH_MM).float().view(1, 1, *sizes), 3, stride=1, padding=1)
        corners = lattice[far.flatten() > 0]
        if not len(corners):
            return
        # Two halves like the colors of a chessboard, in turn: each shows where the fit to the other is not good enough.
        self._fit(self._cells(corners, 0))
        for half in (1, 0):
            voxels = self._cells(corners, half)
            self._fit(voxels[self.lengths(voxels) > SETTLED_MM])

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
        everywhere = self._u[..., 0].numel()
        # Part by part: a list of all voxels of a large scan would take half a gigabyte.
        starts = range(0, everywhere, TOGETHER)
        look: Iterable[Tensor] = (torch.arange(first, min(first + TOGETHER, everywhere)) for first in starts)
        for turn in range(MENDINGS):
            bad = torch.cat([part[self.lengths(part) > MEND_MM] for part in look])
            if not 0 < len(bad) < MEND_SHARE * everywhere:
                return
            if not turn:
                self.displacement = DisplacementField(self.displacement.array.copy(), self.displacement.grid)
                self._u = torch.from_numpy(self.displacement.array)
            look = [self._near(self._mended(bad, turn), 3)]

    def _mended(self, bad: Tensor, turn: int) -> Tensor:
        """Smooth around the given voxels until they come back; all voxels that were touched.

        Where that is not enough, the next round and the next turn take in more neighbors.
        """
        touched = []
        for again in range(ROUNDS):
            around = self._near(bad, 1 if turn + again < 2 else 2)
            self._relax(around)
            region = self._near(around, 2)
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

    def _cells(self, corners: Tensor, odd: int) -> Tensor:
        """Flat indices of half of the voxels of the lattice cells that begin at `corners`."""
        shape = self.displacement.grid.shape
        _, nj, ni = shape
        k, j, i = corners // (nj * ni), corners // ni % nj, corners % ni
        found = []
        one = max(self._stride) == 1  # no halves: all voxels both times
        for dk, dj, di in itertools.product(*(range(s) for s in self._stride)):
            if one or (dk + dj + di) % 2 == odd:
                inside = (k + dk < shape[0]) & (j + dj < nj) & (i + di < ni)
                found.append((corners + (dk * nj + dj) * ni + di)[inside])
        return torch.cat(found)

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


def _resized(values: Tensor, grid: Grid) -> Tensor:
    return F.interpolate(values[None], size=list(grid.shape), mode="trilinear", align_corners=False)[0]


def _unique(voxels: Tensor) -> Tensor:
    found: Tensor = torch.unique(voxels)
    return found
