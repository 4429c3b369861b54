"""Image, LabelMap and Dose: an array (K, J, I) and the grid it lives on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError, check_shape
from valorlib.core.grid import Grid


def _pattern(grid: Grid) -> str:
    return "{} {} {}".format(*grid.shape)


@dataclass(frozen=True, eq=False)
class Image:
    """A scalar image.

    array: (K, J, I) float32, in the modality's unit (HU for CT).
    """

    array: NDArray[np.float32]
    grid: Grid
    name: str = ""

    def __post_init__(self) -> None:
        check_shape(self.name or "array", self.array, _pattern(self.grid))
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.float32))


@dataclass(frozen=True, eq=False)
class LabelMap:
    """Whole-number labels; 0 is background. Never interpolated linearly.

    array: (K, J, I) int32. names: label to name; labels without one are called by their number.
    """

    array: NDArray[np.int32]
    grid: Grid
    names: Mapping[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shape("labels", self.array, _pattern(self.grid))
        whole = np.asarray(self.array).dtype.kind in "iub" or np.array_equal(self.array, np.round(self.array))
        if not whole:
            raise InputError("labels: expected whole numbers, got fractions; this looks like an image")
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.int32))

    @property
    def labels(self) -> tuple[int, ...]:
        """The labels present, without 0, rising."""
        low, high = int(self.array.min(initial=0)), int(self.array.max(initial=0))
        # Counting is ten times faster than sorting, where labels are small.
        found = np.flatnonzero(np.bincount(self.array.ravel())) if low == 0 and high < 2**16 else np.unique(self.array)
        return tuple(int(v) for v in found if v != 0)

    def name_of(self, label: int) -> str:
        """The label's name, or its number."""
        return self.names.get(label, str(label))


@dataclass(frozen=True, eq=False)
class Dose:
    """Absorbed dose.

    array: (K, J, I) float32, Gy.
    """

    array: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        check_shape("dose", self.array, _pattern(self.grid))
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.float32))
