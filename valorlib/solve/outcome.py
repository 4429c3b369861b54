"""From a field in its frame to what the caller gets: displacement and inverse on the images' grids, folds, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.transforms import invert_field, map_points, to_displacement
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

INVERSE_MM = 2.0
LIBRARIES_GB = 0.35
GOOD_MEAN_MM, GOOD_MAX_MM = 0.05, 0.4


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


def outcome_of(displacement: DisplacementField, moving: Grid) -> Outcome:
    """The same from a displacement that is there already."""
    inverse, mean_mm, max_mm = inverse_on(displacement, moving)
    determinant = jacobian_determinant(displacement).array
    log = np.log(np.maximum(determinant, 1e-3))
    folds = int((determinant <= 0).sum())
    return Outcome(displacement, inverse, mean_mm, max_mm, folds, float(log.std()), float(determinant.min()))


def inverse_on(displacement: DisplacementField, moving: Grid) -> tuple[DisplacementField, float, float]:
    """Inverse on the moving grid, and mean and largest length of x + u + v(x + u), mm.

    The field is iterated to tolerance on grids of about 2 mm; where that is too coarse for it, on its own grid
    from there.
    """
    coarse, _ = invert_field(to_displacement(displacement, _coarse(displacement.grid)), _coarse(moving))
    inverse = to_displacement(coarse, moving)
    mean_mm, max_mm = residual_mm(displacement, inverse)
    if mean_mm > GOOD_MEAN_MM or max_mm > GOOD_MAX_MM:
        inverse, _ = invert_field(displacement, moving, start=inverse)
        mean_mm, max_mm = residual_mm(displacement, inverse)
    return inverse, mean_mm, max_mm


def residual_mm(displacement: DisplacementField, inverse: DisplacementField) -> tuple[float, float]:
    """Mean and largest length of x + u + v(x + u), at points some 4 mm apart whose images lie in the inverse's grid."""
    points = _coarse(displacement.grid).points()[::2, ::2, ::2].reshape(-1, 3)
    there = map_points(displacement, points)
    inside = inverse.grid.contains(there)
    if not inside.any():
        return 0.0, 0.0
    length = np.linalg.norm(map_points(inverse, there[inside]) - points[inside], axis=1)
    return float(length.mean()), float(length.max())


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
