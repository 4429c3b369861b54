"""Points that fill a structure: stratified and jittered, finer where the boundary passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.images import LabelMap

F64 = NDArray[np.float64]
Inside = Callable[[F64], NDArray[np.bool_]]

REPLICATES = 4
"""Independent samplings of each structure; their spread is the numerical error that is reported."""
POINT_BUDGET = 60_000
"""Points of one replicate, about, shared by the boundary and the inside."""
CELLS_PER_POINT = 3


class Solid(Protocol):
    """Anything that can say which points it contains."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def axes(self) -> F64:
        """(3, 3), rows are the directions of the box."""

    @property
    def box(self) -> tuple[F64, F64]:
        """Lower and upper corner along the axes, mm."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Plain sentences."""

    def inside(self, points: F64) -> NDArray[np.bool_]:
        """True for the points, (n, 3) LPS mm, it contains."""


@dataclass(frozen=True, eq=False)
class StructurePoints:
    """Points that stand for a structure.

    points: (n, 3) LPS mm. weights_mm3: (n,) volume each stands for; each replicate's weights sum to the volume.
    replicate: (n,) number of the independent sampling a point belongs to.
    """

    name: str
    points: F64
    weights_mm3: F64
    replicate: NDArray[np.int64]
    warnings: tuple[str, ...] = field(default=())

    @property
    def replicates(self) -> int:
        """Number of independent samplings."""
        return int(self.replicate.max()) + 1

    @property
    def volume_cc(self) -> float:
        """Volume of the structure."""
        return float(self.weights_mm3.sum() / 1000 / self.replicates)

    @property
    def volume_error_cc(self) -> float:
        """Standard error of the volume, from the replicates."""
        each = np.bincount(self.replicate, self.weights_mm3, minlength=self.replicates) / 1000
        return float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else 0.0

    def thinned(self, count: int, seed: int = 0) -> StructurePoints:
        """About `count` points of equal weight, spread evenly (systematic sampling along the sampling order)."""
        total = float(self.weights_mm3.sum())
        count = min(count, len(self.points))
        start = np.random.default_rng(seed).random()
        at = (np.arange(count) + start) * (total / count)
        chosen = np.minimum(np.searchsorted(np.cumsum(self.weights_mm3), at), len(self.points) - 1)
        equal = np.full(count, self.volume_cc * 1000 / count)
        return StructurePoints(self.name, self.points[chosen], equal, np.zeros(count, dtype=np.int64), self.warnings)


def sample_solid(solid: Solid, *, cell_mm: float = 2.5, seed: int = 0, budget: int = POINT_BUDGET) -> StructurePoints:
    """Fill a solid with points.

    Args:
        solid: what to fill.
        cell_mm: coarse cell, about the spacing of the dose; smaller where the structure is small, larger where its box
            would need more than `CELLS_PER_POINT` cells for each point of the budget.
        seed: of the jitter.
        budget: points of one replicate, about.
    """
    rng = np.random.default_rng(seed)
    low, high = (np.asarray(v, dtype=np.float64) for v in solid.box)
    size = np.maximum(high - low, 1e-6)
    largest = (float(np.prod(size)) / (CELLS_PER_POINT * budget)) ** (1 / 3)
    step = np.minimum(max(cell_mm, largest), size / 6)
    shift = rng.random(3) * step
    counts = np.ceil((size + shift) / step).astype(int)
    if float(np.prod(counts, dtype=float)) > 3e7:
        raise InputError(f"{solid.name}: expected a structure of at most 30 million cells; use a coarser cell")
    origin = low - shift

    def inside(local: F64) -> NDArray[np.bool_]:
        return solid.inside(local @ solid.axes)

    whole, mixed = _classify_lattice(inside, origin, step, counts)
    boundary_share = 0.6 if len(mixed) else 0.0
    parts: list[tuple[F64, F64, NDArray[np.int64]]] = []
    if len(whole):
        cells = int(np.clip(round((budget * (1 - boundary_share) / len(whole)) ** (1 / 3)), 1, 5))
        parts += _fill(whole, step, cells, rng, None)
    if len(mixed):
        split = 4 if len(mixed) < 1000 else 2 if len(mixed) < 30_000 else 1
        fine_whole, fine_mixed = _split(inside, mixed, step, split)
        if len(fine_whole):
            parts += _fill(fine_whole, step / split, 1, rng, None)
        if len(fine_mixed):
            cells = int(np.clip(round((budget * boundary_share / len(fine_mixed)) ** (1 / 3)), 1, 5))
            parts += _fill(fine_mixed, step / split, cells, rng, inside)
    if not parts or not sum(len(p[0]) for p in parts):
        raise InputError(f"{solid.name}: expected a structure with a volume, got an empty one; leave it out")
    local, weights, replicate = (np.concatenate([p[n] for p in parts]) for n in range(3))
    return StructurePoints(solid.name, local @ solid.axes, weights, replicate.astype(np.int64), solid.warnings)


def _classify_lattice(inside: Inside, origin: F64, step: F64, counts: NDArray[np.int64]) -> tuple[F64, F64]:
    """Lower corners of the cells wholly inside, and of those the boundary passes (by a lattice of half cells)."""
    ticks = [origin[c] + 0.5 * step[c] * np.arange(2 * counts[c] + 1) for c in range(3)]
    lattice = np.empty(tuple(len(t) for t in ticks), dtype=bool)
    depth = max(1, 500_000 // (lattice.shape[1] * lattice.shape[2]))
    for start in range(0, len(ticks[0]), depth):
        x, y, z = np.meshgrid(ticks[0][start : start + depth], ticks[1], ticks[2], indexing="ij")
        found = inside(np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1))
        lattice[start : start + depth] = found.reshape(x.shape)
    every = np.ones(tuple(counts), dtype=bool)
    some = np.zeros(tuple(counts), dtype=bool)
    for a, b, c in np.ndindex(3, 3, 3):
        corner = lattice[a : a + 2 * counts[0] : 2, b : b + 2 * counts[1] : 2, c : c + 2 * counts[2] : 2]
        every &= corner
        some |= corner
    return origin + np.argwhere(every) * step, origin + np.argwhere(some & ~every) * step


def _split(inside: Inside, corners: F64, step: F64, split: int) -> tuple[F64, F64]:
    """Cells cut into split^3: those wholly inside, and those the boundary passes or comes near."""
    fine = step / split
    steps = np.arange(split + 1)
    at = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3) * fine
    found = np.empty((len(corners), len(at)), dtype=bool)
    chunk = max(1, 500_000 // len(at))
    for start in range(0, len(corners), chunk):
        block = corners[start : start + chunk]
        found[start : start + chunk] = inside((block[:, None] + at).reshape(-1, 3)).reshape(len(block), -1)
    lattice = found.reshape(len(corners), split + 1, split + 1, split + 1)
    every = np.ones((len(corners), split, split, split), dtype=bool)
    some = np.zeros_like(every)
    for a, b, c in np.ndindex(2, 2, 2):
        corner = lattice[:, a : a + split, b : b + split, c : c + split]
        every &= corner
        some |= corner

    def lower(mask: NDArray[np.bool_]) -> F64:
        index = np.argwhere(mask)
        return corners[index[:, 0]] + index[:, 1:] * fine

    return lower(every), lower(some & ~every)


def _fill(
    corners: F64, step: F64, cells: int, rng: np.random.Generator, inside: Inside | None
) -> list[tuple[F64, F64, NDArray[np.int64]]]:
    """One jittered point in each of cells^3 parts of each cell, for each replicate; those outside dropped."""
    steps = np.arange(cells)
    base = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(-1, 3)
    weight = float(np.prod(step)) / len(base)
    parts = []
    for replicate in range(REPLICATES):
        jitter = rng.random((len(corners), len(base), 3))
        points = (corners[:, None] + (base + jitter) * (step / cells)).reshape(-1, 3)
        if inside is not None:
            points = points[inside(points)]
        parts.append((points, np.full(len(points), weight), np.full(len(points), replicate)))
    return parts


def sample_labels(labels: LabelMap, label: int, *, seed: int = 0, budget: int = POINT_BUDGET) -> StructurePoints:
    """Points of one label of a label map; each voxel is a box, so the volume is exact."""
    name = labels.name_of(label)
    voxels = np.argwhere(labels.array == label)[:, ::-1].astype(np.float64)
    if not len(voxels):
        raise InputError(f"{name}: expected a structure with voxels, got an empty one; leave it out")
    cells = int(np.clip(round((budget / len(voxels)) ** (1 / 3)), 1, 6))
    rng = np.random.default_rng(seed)
    parts = _fill(voxels - 0.5, np.ones(3), cells, rng, None)
    index, weights, replicate = (np.concatenate([p[n] for p in parts]) for n in range(3))
    points = labels.grid.to_world(index)
    volume = weights * labels.grid.voxel_volume_mm3
    warnings = (f"{name}: one voxel only; no dose statistics can be trusted.",) if len(voxels) == 1 else ()
    return StructurePoints(name, points, volume, replicate.astype(np.int64), warnings)
