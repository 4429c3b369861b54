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
from valorlib.ops.smooth import along_axes, gaussian, resize_matrices
from valorlib.ops.transforms import invert_field, map_points
from valorlib.ops.warp import sample
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

INVERSE_MM = 2.0
LIBRARIES_GB = 0.35
FINE_MM, TOLERANCE_MM = 0.1, 0.02
"""Residual from which on the inverse is worked out again at full detail, and what is left there."""
MEND_MM, MEND_REACH_MM, MEND_SHARE, MENDINGS = 0.45, 2.0, 0.01, 3
"""Residual from which on the motion is smoothed, how far around, up to which share of all points, how often."""


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
    for _ in range(MENDINGS if mend else 0):
        bad = length > MEND_MM
        if not 0 < bad.sum() < MEND_SHARE * bad.size:
            break
        ends = there[:, bad]
        displacement = _mended(displacement, ends, inverse)
        inverse, length, there = _improved(displacement, inverse, _around(ends, moving, MEND_REACH_MM + 4))
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
    values = torch.from_numpy(np.ascontiguousarray(np.moveaxis(coarse.array, -1, 0)))
    values = along_axes(values, resize_matrices(values, values.shape[1:], moving.shape))
    inverse = DisplacementField(np.ascontiguousarray(values.movedim(0, -1).numpy()), moving)
    length, there = residual_mm(displacement, inverse)
    bad = length > FINE_MM
    if not bad.any():
        return inverse, length, there
    return _improved(displacement, inverse, _around(there[:, bad], moving, 0.5 * INVERSE_MM))


def _improved(
    displacement: DisplacementField, inverse: DisplacementField, where: NDArray[np.bool_]
) -> tuple[DisplacementField, NDArray[np.float32], NDArray[np.float32]]:
    inverse, _ = invert_field(displacement, inverse.grid, start=inverse, where=where, tolerance_mm=TOLERANCE_MM)
    return inverse, *residual_mm(displacement, inverse)


def _mended(
    displacement: DisplacementField, ends: NDArray[np.float32], inverse: DisplacementField
) -> DisplacementField:
    """The displacement smoothed by a voxel around the points whose ends are given (voxels of the inverse, (3, n))."""
    grid = displacement.grid
    points = map_points(inverse, inverse.grid.to_world(ends[::-1].T))
    where = torch.from_numpy(_around(grid.to_index(points).T[::-1], grid, MEND_REACH_MM)).float()[None]
    reach = [1.0 if n > 1 else 0.0 for n in grid.shape]
    u = torch.from_numpy(np.ascontiguousarray(np.moveaxis(displacement.array, -1, 0)))
    u = u + gaussian(where, reach) * (gaussian(u, reach) - u)
    return DisplacementField(np.ascontiguousarray(u.movedim(0, -1).numpy()), grid)


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
