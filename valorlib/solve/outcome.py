"""From a field in its frame to what the caller gets: displacement and inverse on the images' grids, folds, memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.way_back import WayBack
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

LIBRARIES_GB = 0.35


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

    def result(
        self, *, start: AffineTransform, losses: Sequence[float] = (), warnings: Sequence[str] = (), **record: Any
    ) -> Result:
        """What a method returns; `record` is what it tells of its run beside the numbers here."""
        return Result(
            self.displacement,
            inverse=self.inverse,
            displacement=self.displacement,
            inverse_displacement=self.inverse,
            start=start,
            losses=tuple(losses),
            warnings=(*self.warnings(), *warnings),
            record={**record, **self.numbers()},
        )


def linear_start(pair: ImagePair) -> AffineTransform:
    """Of a pair: its start, or where the headers put the images.

    Raises:
        InputError: the start is deformable.
    """
    if pair.start is not None and not isinstance(pair.start, AffineTransform):
        raise InputError("start: expected a linear transform, got a deformable one; resample the moving image first")
    return pair.start or AffineTransform.identity()


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


def outcome_of(
    displacement: DisplacementField, moving: Grid, *, mend: bool = True, where: LabelMap | None = None
) -> Outcome:
    """The same from a displacement that is there already.

    mend: smooth the displacement on the spot where it is so steep that no field on the moving grid undoes it.
    where: on the fixed grid, where the inverse shall be exact; outside it is nearly so. None: everywhere.
    """
    way = WayBack(displacement, moving, where)
    way.fit()
    if mend:
        way.mend()
    length = way.residuals().numpy()
    determinant = jacobian_determinant(way.displacement).array
    log = np.log(np.maximum(determinant, 1e-3))
    return Outcome(
        way.displacement,
        way.inverse(),
        float(length.mean()),
        max(float(length.max()), way.worst()),
        int((determinant <= 0).sum()),
        float(log.std()),
        float(determinant.min()),
    )


def estimate_memory_gb(fixed: Grid, moving: Grid, levels: Sequence[Level]) -> float:
    """Largest memory that a registration needs, the loaded libraries included, GB (rough)."""
    finest = min(level.image_mm for level in levels)
    voxels = np.prod([e / max(finest, s) for e, s in zip(fixed.extent_mm, fixed.spacing, strict=True)])
    work = 18.0 * float(voxels)
    results = 8.0 * float(np.prod(fixed.size)) + 12.0 * float(np.prod(moving.size))
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
