"""Target registration error at corresponding points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.points import PointPair
from valorlib.core.transforms import Transform
from valorlib.ops.transforms import map_points


@dataclass(frozen=True, eq=False)
class LandmarkErrors:
    """Distances in mm, one a landmark. labels: those of the fixed points, or None."""

    before_mm: NDArray[np.float64]
    after_mm: NDArray[np.float64]
    labels: NDArray[np.int64] | None = None

    def of(self, label: int) -> LandmarkErrors:
        """The landmarks of one label."""
        if self.labels is None:
            raise InputError("labels: expected labeled landmarks, got none")
        keep = self.labels == label
        return LandmarkErrors(self.before_mm[keep], self.after_mm[keep], self.labels[keep])

    def summary(self) -> dict[str, dict[str, float]]:
        """Mean, median, 95th percentile and maximum, before and after; ready for JSON."""
        return {"before": describe(self.before_mm), "after": describe(self.after_mm)}


def describe(errors_mm: NDArray[np.float64]) -> dict[str, float]:
    """Count, mean, median, p95 and max of distances."""
    if errors_mm.size == 0:
        return {"count": 0}
    return {
        "count": int(errors_mm.size),
        "mean_mm": float(errors_mm.mean()),
        "median_mm": float(np.median(errors_mm)),
        "p95_mm": float(np.percentile(errors_mm, 95)),
        "max_mm": float(errors_mm.max()),
    }


def landmark_errors(transform: Transform, landmarks: PointPair) -> LandmarkErrors:
    """Distance between each mapped fixed landmark and its moving partner; before: without any transform.

    Raises:
        InputError: different numbers of points.
    """
    fixed, moving = landmarks.fixed.points, landmarks.moving.points
    if len(fixed) != len(moving):
        raise InputError(f"landmarks: expected as many fixed as moving points, got {len(fixed)} and {len(moving)}")
    before = np.linalg.norm(moving - fixed, axis=1)
    after = np.linalg.norm(moving - map_points(transform, fixed), axis=1)
    return LandmarkErrors(before, after, landmarks.fixed.labels)
