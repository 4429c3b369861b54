"""Spatial transforms as data. All map LPS mm of the fixed image to LPS mm of the moving image.

What is computed with them (compose, invert, exponentiate, warp) lives in `valorlib.ops`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError, check_finite, check_shape
from valorlib.core.grid import Grid


@dataclass(frozen=True, eq=False)
class AffineTransform:
    """Fixed point x is found at matrix @ (x, 1) in the moving image.

    matrix: (4, 4) float64, LPS mm.
    """

    matrix: NDArray[np.float64]

    def __post_init__(self) -> None:
        check_shape("matrix", self.matrix, "4 4")
        object.__setattr__(self, "matrix", np.array(self.matrix, dtype=np.float64))
        check_finite("matrix", self.matrix)
        if not np.allclose(self.matrix[3], (0, 0, 0, 1)):
            raise InputError(f"matrix: expected a last row of 0 0 0 1, got {self.matrix[3]}")
        if abs(np.linalg.det(self.matrix[:3, :3])) < 1e-9:
            raise InputError("matrix: expected an invertible matrix, got one that flattens space")

    @classmethod
    def identity(cls) -> AffineTransform:
        """The transform that moves nothing."""
        return cls(np.eye(4))


@dataclass(frozen=True, eq=False)
class DisplacementField:
    """Fixed point x is found at x + u(x) in the moving image; u continues at its border value outside the grid.

    array: (K, J, I, 3) float32; components (x, y, z) in LPS mm, on the fixed grid or a coarser one.
    """

    array: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        check_shape("displacement", self.array, "{} {} {} 3".format(*self.grid.shape))
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.float32))
        check_finite("displacement", self.array)


@dataclass(frozen=True, eq=False)
class VelocityField:
    """Stationary velocity; its exponential is the fixed-to-moving map, that of its negative the inverse.

    array: (K, J, I, 3) float32; components (x, y, z) in LPS mm per unit time.
    """

    array: NDArray[np.float32]
    grid: Grid

    def __post_init__(self) -> None:
        check_shape("velocity", self.array, "{} {} {} 3".format(*self.grid.shape))
        object.__setattr__(self, "array", np.ascontiguousarray(self.array, dtype=np.float32))
        check_finite("velocity", self.array)


@dataclass(frozen=True, eq=False)
class Chain:
    """Transforms applied one after the other to a fixed point: parts[0] first, parts[-1] last."""

    parts: tuple[Transform, ...]


Transform: TypeAlias = AffineTransform | DisplacementField | VelocityField | Chain
