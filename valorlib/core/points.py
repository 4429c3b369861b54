"""Points: clouds, landmarks pairs and the clinician's seeds. World positions are LPS mm, (x, y, z)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError, check_finite, check_shape


@dataclass(frozen=True, eq=False)
class PointCloud:
    """Points of one or several organs.

    points: (N, 3) float64, LPS mm. labels: (N,) int, the organ of each point, or None.
    normals: (N, 3) unit vectors, outward, or None. names: label to organ name.
    """

    points: NDArray[np.float64]
    labels: NDArray[np.int64] | None = None
    normals: NDArray[np.float64] | None = None
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        count = check_shape("points", self.points, "n 3")["n"]
        object.__setattr__(self, "points", np.ascontiguousarray(self.points, dtype=np.float64))
        check_finite("points", self.points)
        if self.labels is not None:
            check_shape("labels", self.labels, f"{count}")
            object.__setattr__(self, "labels", np.ascontiguousarray(self.labels, dtype=np.int64))
        if self.normals is not None:
            check_shape("normals", self.normals, f"{count} 3")


@dataclass(frozen=True, eq=False)
class PointPair:
    """Two clouds. For landmarks, point n of `fixed` corresponds to point n of `moving`."""

    fixed: PointCloud
    moving: PointCloud


@dataclass(frozen=True, eq=False)
class Seeds:
    """The clinician's clicks.

    points: (N, 3) LPS mm. tumors: (N,) int: n >= 1 is a click inside tumor n, 0 a background click (for all tumors).
    on: the image that was clicked.
    """

    points: NDArray[np.float64]
    tumors: NDArray[np.int64]
    on: Literal["fixed", "moving"] = "moving"

    def __post_init__(self) -> None:
        count = check_shape("seeds", self.points, "n 3")["n"]
        check_finite("seeds", np.asarray(self.points, dtype=np.float64))
        check_shape("tumors", self.tumors, f"{count}")
        object.__setattr__(self, "points", np.asarray(self.points, dtype=np.float64))
        object.__setattr__(self, "tumors", np.asarray(self.tumors, dtype=np.int64))
        if count and int(self.tumors.min()) < 0:
            raise InputError("tumors: expected 0 (background) or a tumor's number, got a negative one")
        if self.on not in ("fixed", "moving"):
            raise InputError(f"seeds: expected 'fixed' or 'moving', got {self.on!r}")

    @property
    def tumor_numbers(self) -> tuple[int, ...]:
        """Numbers of the tumors that were clicked, rising."""
        return tuple(int(n) for n in np.unique(self.tumors) if n > 0)

    def of(self, tumor: int) -> NDArray[np.float64]:
        """(n, 3) clicks of one tumor (0: background)."""
        return np.asarray(self.points[self.tumors == tumor])
