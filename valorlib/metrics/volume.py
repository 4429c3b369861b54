"""Volumes of labels, and how they change."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap


def volume_ml(labels: LabelMap, label: int) -> float:
    """Volume of one label by voxel counting."""
    return float(np.count_nonzero(labels.array == label)) * labels.grid.voxel_volume_mm3 / 1000


@dataclass(frozen=True)
class VolumeChange:
    """Volume of one label in two scans. change_pct: of the fixed one relative to the moving one, None from 0 ml."""

    fixed_ml: float
    moving_ml: float

    @property
    def change_pct(self) -> float | None:
        """100 (fixed - moving) / moving."""
        return 100 * (self.fixed_ml - self.moving_ml) / self.moving_ml if self.moving_ml > 0 else None


def volume_change(fixed: LabelMap, moving: LabelMap, label: int) -> VolumeChange:
    """Volumes of one label in both scans; the grids may differ."""
    return VolumeChange(volume_ml(fixed, label), volume_ml(moving, label))


def carried_change_pct(jacobian: Image, warped: LabelMap, label: int) -> float | None:
    """Volume change of a label as the transform alone sees it, with the sign of `VolumeChange.change_pct`.

    jacobian: determinant of the fixed-to-moving map on the grid of `warped`. None for an empty label or a mean of 0.
    """
    if not jacobian.grid.matches(warped.grid):
        raise InputError("jacobian: expected the grid of the labels; compute it on that grid")
    inside = jacobian.array[warped.array == label]
    mean = float(inside.mean(dtype=np.float64)) if inside.size else 0.0
    return 100 * (1 / mean - 1) if mean > 0 else None
