"""From a field in its frame to what the caller gets: displacement and inverse on the images' grids, folds, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.mapping import GridMapper, slabs
from valorlib.ops.smooth import along_axes, resize_matrices
from valorlib.ops.transforms import invert_field, map_points
from valorlib.ops.warp import sample
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

INVERSE_MM = 2.0
LIBRARIES_GB = 0.35
FINE_MM, TOLERANCE_MM = 0.1, 0.02
"""Residual from which on the inverse is worked out again at full detail, and what is left there."""
SEED_MM, MEND_MM, MEND_REACH_MM, MEND_SHARE, MENDINGS = 0.3, 0.45, 2.0, 0.01, 6
"""Residual around which is looked closely, residual from which on the motion is smoothed, how far around, up to which
share of all points, how often."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A whole transform both ways, with how good the inverse is and how much it folds."""

    displacement: DisplacementField
    inverse: DisplacementField
    residual_mean_mm: float
    residual_max_mm: float
    folds: int
    sd_log_jacobian: float
    least_jacobian: float

    def numbers(self) -> dict[str, float]:
        """For the record of a run."""
        return {
            "inverse_residual_mean_mm": round(self.residual_mean_mm, 4),
            "inverse_residual_max_mm": round(self.residual_max_mm, 4),
            "folds": self.folds,
            "sd_log_jacobian": round(self.sd_log_jacobian, 4),
            "least_jacobian": round(self.least_jacobian, 4),
        }

    def warnings(self) -> list[str]:
        """What a user should know, in plain sentences."""
        found = []
        if self.folds:
            found.append(f"The motion folds at {self.folds} voxels; raise the smoothness.")
        if self.residual_max_mm > 0.5:
            found.append(f"The inverse is off by up to {self.residual_max_mm:.1f} mm in places; raise the smoothness.")
        return found


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: faster for small volumes on shared machines, and the same answer on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def outcome(u_mm: Tensor, frame: Frame, fixed: Grid, moving: Grid) -> Outcome:
    """Displacement on the fixed grid and its inverse on the moving one.

    Args:
        u_mm: (3, k, j, i) over the frame's box.
        frame: of u_mm.
        fixed: grid of the fixed image.
        moving: grid of the moving image.
    """
    return outcome_of(frame.displacement(u_mm, fixed), moving)


def outcome_of(displacement: DisplacementField, moving: Grid, *, mend: bool = True) -> Outcome:
    """The same from a displacement that is there already.

    mend: smooth the displacement on the spot where it is so steep that no field on the moving grid undoes it.
    """
    inverse, length, there = inverse_on(displacement, moving)
    seeds = length > SEED_MM
    if mend and 0 < seeds.sum() < MEND_SHARE * seeds.size:
        displacement, inverse = mended(displacement, inverse, there[:, seeds])
        length, _ = residual_mm(displacement, inverse)
    mean_mm, max_mm = (float(length.mean()), float(length.max())) if len(length) else (0.0, 0.0)
    determinant = jacobian_determinant(displacement).array
    log = np.log(np.maximum(determinant, 1e-3))
    folds = int((determinant <= 0).sum())
    return Outcome(displacement, inverse, mean_mm, max_mm, folds, float(log.std()), float(determinant.min()))


def inverse_on(
    displacement: DisplacementField, moving: Grid
) -> tuple[DisplacementField, NDArray[np.float32], NDArray[np.float32]]:
    """Inverse on the moving grid, and what `residual_mm` says of it.

    It is iterated to tolerance on a grid of about 2 mm; around the places where that is too coarse, on the moving grid
    from there.
    """
    coarse, _ = invert_field(displacement, _coarse(moving), tolerance_mm=TOLERANCE_MM)
    inverse = _finer(coarse, moving)
    length, there = residual_mm(displacement, inverse)
    bad = length > FINE_MM
    if not bad.any():
        return inverse, length, there
    where = _around(there[:, bad], moving, 0.5 * INVERSE_MM)
    inverse, _ = invert_field(displacement, moving, start=inverse, where=where, tolerance_mm=TOLERANCE_MM)
    return inverse, *residual_mm(displacement, inverse)


def _finer(field: DisplacementField, grid: Grid) -> DisplacementField:
    """The field on a finer grid over the same box, some slices at a time."""
    values = torch.from_numpy(np.ascontiguousarray(np.moveaxis(field.array, -1, 0)))
    k, j, i = resize_matrices(values, values.shape[1:], grid.shape)
    k = torch.eye(grid.shape[0]) if k is None else k
    out = np.empty((*grid.shape, 3), dtype=np.float32)
    for slab in slabs(grid):
        out[slab] = along_axes(values, [k[slab], j, i]).movedim(0, -1).numpy()
    return DisplacementField(out, grid)


def mended(
    displacement: DisplacementField, inverse: DisplacementField, seeds: NDArray[np.float32]
) -> tuple[DisplacementField, DisplacementField]:
    """Both ways, with the displacement smoothed at the voxels near `seeds` that the inverse brings back too far off.

    Args:
        displacement: fixed to moving.
        inverse: moving to fixed.
        seeds: (3, n) places to look around, voxels (k, j, i) of the inverse.
    """
    grid, other = displacement.grid, inverse.grid
    near = grid.to_index(map_points(inverse, other.to_world(seeds[::-1].T)))[:, ::-1].T
    region = np.argwhere(_around(near, grid, MEND_REACH_MM))
    points = grid.to_world(region[:, ::-1])
    for _ in range(MENDINGS):
        ends = map_points(displacement, points)
        off = np.linalg.norm(map_points(inverse, ends) - points, axis=1)
        bad = (off > MEND_MM) & other.contains(ends)
        if not bad.any():
            break
        displacement = _relaxed(displacement, _around(region[bad].T, grid, MEND_REACH_MM))
        where = _around(other.to_index(ends[bad])[:, ::-1].T, other, 2 * MEND_REACH_MM)
        inverse, _ = invert_field(displacement, other, start=inverse, where=where, tolerance_mm=TOLERANCE_MM)
    return displacement, inverse


def _relaxed(displacement: DisplacementField, where: NDArray[np.bool_]) -> DisplacementField:
    """The displacement with each of the given voxels drawn toward the mean of its neighbors, three times."""
    array, at = displacement.array.copy(), np.argwhere(where)
    sizes = np.asarray(where.shape)
    for _ in range(3):
        total, count = np.zeros((len(at), 3), dtype=np.float32), 0
        for axis in np.flatnonzero(sizes > 1):
            for way in (-1, 1):
                beside = at.copy()
                beside[:, axis] = np.clip(at[:, axis] + way, 0, sizes[axis] - 1)
                total += array[tuple(beside.T)]
                count += 1
        array[tuple(at.T)] = 0.5 * (array[tuple(at.T)] + total / count)
    return DisplacementField(array, displacement.grid)


def _around(there: NDArray[np.floating], grid: Grid, reach_mm: float) -> NDArray[np.bool_]:
    """(K, J, I), true within about `reach_mm` of voxel indices (k, j, i), (3, n)."""
    found = np.zeros(grid.shape, dtype=bool)
    found[tuple(np.clip(np.round(one), 0, n - 1).astype(int) for one, n in zip(there, grid.shape, strict=True))] = True
    for axis, (n, spacing) in enumerate(zip(grid.shape, grid.spacing[::-1], strict=True)):
        if n > 1:
            found = maximum_filter1d(found, 2 * max(1, round(reach_mm / spacing)) + 1, axis=axis)
    return found


def residual_mm(
    displacement: DisplacementField, inverse: DisplacementField
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Lengths (n,) of x + u + v(x + u) at points some 2 mm apart, and where they end in the inverse's grid.

    The places are voxel indices (k, j, i), (3, n). Points that leave the inverse's grid are left out.
    """
    grid = _coarse(displacement.grid)
    forth, back = GridMapper(displacement, grid), torch.from_numpy(inverse.array).movedim(-1, 0)[None]
    sizes = torch.tensor(inverse.grid.shape).view(3, 1, 1, 1)
    lengths, places = [], []
    for slab in slabs(grid):
        at = forth.index_in(inverse.grid, slab)
        inside = ((at[0] >= -0.5) & (at[0] <= sizes - 0.5)).all(0)
        total = torch.from_numpy(forth.displacement(slab)).movedim(-1, 0) + sample(back, at)[0]
        lengths.append(total[:, inside].square().sum(0).sqrt())
        places.append(at[0][:, inside])
    return torch.cat(lengths).numpy(), torch.cat(places, dim=1).numpy()


def _coarse(grid: Grid) -> Grid:
    return grid.resampled([max(s, INVERSE_MM) if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True)])


def estimate_memory_gb(fixed: Grid, moving: Grid, levels: Sequence[Level]) -> float:
    """Largest memory that a registration needs, the loaded libraries included, GB (rough)."""
    finest = min(level.image_mm for level in levels)
    voxels = np.prod([e / max(finest, s) for e, s in zip(fixed.extent_mm, fixed.spacing, strict=True)])
    work = 18.0 * float(voxels)
    results = 5.0 * float(np.prod(fixed.size)) + 4.0 * float(np.prod(moving.size))
    return LIBRARIES_GB + 4.0 * (work + results) / 1e9


def free_memory_gb() -> float | None:
    """Memory that programs can still take, GB; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) / 1e6 if found else None


def check_memory(needed_gb: float, free_gb: float | None) -> None:
    """Refuse before the start what would end in the middle.

    Raises:
        InputError: more is needed than is free.
    """
    if free_gb is not None and needed_gb > free_gb:
        raise InputError(
            f"memory: expected {needed_gb:.1f} GB free for these images, got {free_gb:.1f}; close other programs, crop "
            "the images or choose the preset quick"
        )
