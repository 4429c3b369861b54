"""The regular grid an image lives on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from valorlib.core.errors import InputError


@dataclass(frozen=True)
class Grid:
    """Voxel index (i, j, k) to world: LPS, mm.

    size: voxels along (i, j, k). spacing: mm. origin: center of voxel (0, 0, 0).
    direction: rows of a 3 x 3 matrix whose columns are the world directions of i, j and k.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    direction: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))

    def __post_init__(self) -> None:
        for name in ("size", "spacing", "origin"):
            if len(getattr(self, name)) != 3:
                raise InputError(f"{name}: expected 3 numbers, got {getattr(self, name)}")
        object.__setattr__(self, "size", tuple(int(n) for n in self.size))
        object.__setattr__(self, "spacing", tuple(float(n) for n in self.spacing))
        object.__setattr__(self, "origin", tuple(float(n) for n in self.origin))
        object.__setattr__(self, "direction", tuple(tuple(float(v) for v in row) for row in self.direction))
        if min(self.size) < 1:
            raise InputError(f"size: expected at least one voxel along each axis, got {self.size}")
        if not np.all(np.isfinite(self.spacing)) or min(self.spacing) <= 0:
            raise InputError(f"spacing: expected positive mm, got {self.spacing}; correct the header of the file")
        matrix = np.asarray(self.direction)
        if matrix.shape != (3, 3) or not np.allclose(matrix.T @ matrix, np.eye(3), atol=1e-3):
            raise InputError(f"direction: expected three perpendicular unit axes, got {self.direction}; resample first")
        if not np.all(np.isfinite(self.origin)):
            raise InputError(f"origin: expected finite mm, got {self.origin}")

    @classmethod
    def from_matrix(cls, size: Sequence[int], matrix: ArrayLike) -> Grid:
        """Grid of a 4 x 4 index-to-world matrix (LPS).

        Raises:
            InputError: sheared or singular matrix.
        """
        m = np.asarray(matrix, dtype=np.float64)
        spacing = np.linalg.norm(m[:3, :3], axis=0)
        if not np.all(spacing > 0):
            raise InputError("matrix: expected three axes of positive length; correct the header of the file")
        direction = m[:3, :3] / spacing
        return cls(_three_ints(size), _three(spacing), _three(m[:3, 3]), tuple(_three(row) for row in direction))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the array, (K, J, I)."""
        i, j, k = self.size
        return k, j, i

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(4, 4) index (i, j, k, 1) to world."""
        m = np.eye(4)
        m[:3, :3] = np.asarray(self.direction) * np.asarray(self.spacing)
        m[:3, 3] = self.origin
        return m

    @property
    def voxel_volume_mm3(self) -> float:
        """Volume of one voxel."""
        return float(np.prod(self.spacing))

    @property
    def extent_mm(self) -> tuple[float, float, float]:
        """Length of the grid along i, j and k, outer border to outer border."""
        return _three(np.asarray(self.size) * np.asarray(self.spacing))

    @property
    def center(self) -> NDArray[np.float64]:
        """(3,) world position of the middle."""
        return self.to_world((np.asarray(self.size) - 1) / 2)

    def to_world(self, index: ArrayLike) -> NDArray[np.float64]:
        """World positions, (..., 3) mm, of voxel indices (i, j, k), (..., 3)."""
        m = self.matrix
        return np.asarray(np.asarray(index, dtype=np.float64) @ m[:3, :3].T + m[:3, 3])

    def to_index(self, points: ArrayLike) -> NDArray[np.float64]:
        """Continuous voxel indices (i, j, k), (..., 3), of world positions, (..., 3) mm."""
        inverse = np.linalg.inv(self.matrix)
        return np.asarray(np.asarray(points, dtype=np.float64) @ inverse[:3, :3].T + inverse[:3, 3])

    def contains(self, points: ArrayLike) -> NDArray[np.bool_]:
        """True where a world point lies inside the outer border of the grid."""
        index = self.to_index(points)
        return np.asarray(np.all((index >= -0.5) & (index <= np.asarray(self.size) - 0.5), axis=-1))

    def points(self) -> NDArray[np.float64]:
        """(K, J, I, 3) world position of every voxel center."""
        k, j, i = np.meshgrid(*(np.arange(n, dtype=np.float64) for n in self.shape), indexing="ij")
        return self.to_world(np.stack([i, j, k], axis=-1))

    def corners(self) -> NDArray[np.float64]:
        """(8, 3) world positions of the outer corners."""
        ends = [(-0.5, n - 0.5) for n in self.size]
        return self.to_world([(i, j, k) for i in ends[0] for j in ends[1] for k in ends[2]])

    def resampled(self, spacing: Sequence[float]) -> Grid:
        """Grid over the same box with (about) another spacing; the outer border stays where it is."""
        size = np.maximum(1, np.round(np.asarray(self.extent_mm) / np.asarray(spacing))).astype(int)
        new = np.asarray(self.extent_mm) / size
        origin = self.to_world(-0.5 + 0.5 * new / np.asarray(self.spacing))
        return Grid(_three_ints(size), _three(new), _three(origin), self.direction)

    def cropped(self, start: Sequence[int], stop: Sequence[int]) -> Grid:
        """Grid of voxels start <= (i, j, k) < stop."""
        size = np.asarray(stop) - np.asarray(start)
        return Grid(_three_ints(size), self.spacing, _three(self.to_world(start)), self.direction)

    def matches(self, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
        """True when both grids put every voxel at the same place, within the tolerance."""
        return self.size == other.size and bool(np.abs(self.corners() - other.corners()).max() <= tolerance_mm)


def _three(values: ArrayLike) -> tuple[float, float, float]:
    a, b, c = (float(v) for v in np.asarray(values).ravel())
    return a, b, c


def _three_ints(values: ArrayLike) -> tuple[int, int, int]:
    a, b, c = (int(v) for v in np.asarray(values).ravel())
    return a, b, c
