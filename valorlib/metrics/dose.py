"""Dose at points, doses added up, and what is odd about a dose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.images import Dose

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PointDose:
    """Dose at points.

    gy: (n,) Gy, 0 outside the dose grid. inside: (n,) True where the dose grid covers the point.
    """

    gy: NDArray[np.float32]
    inside: NDArray[np.bool_]

    @property
    def outside_pct(self) -> float:
        """Share of the points the dose grid does not cover."""
        return float(100 * (1 - self.inside.mean()))


def dose_at(dose: Dose, points: F64) -> PointDose:
    """Dose at LPS points, (n, 3), linear between voxel centers; the outer half voxel continues the border value."""
    index = dose.grid.to_index(points)
    inside = np.all((index >= -0.5) & (index <= np.asarray(dose.grid.size) - 0.5), axis=-1)
    gy = ndimage.map_coordinates(dose.array, index.T[::-1], order=1, mode="nearest")
    gy[~inside] = 0
    return PointDose(gy, inside)


def sum_of_fractions(doses: Sequence[Dose], fractions: Sequence[float] | None = None) -> Dose:
    """Doses added up on the grid of the first.

    Args:
        doses: on any grids; each is resampled linearly, and counts 0 outside its grid.
        fractions: how often each is given; once when None.
    """
    if not doses:
        raise InputError("doses: expected at least one, got none")
    weights = [1.0] * len(doses) if fractions is None else [float(f) for f in fractions]
    if len(weights) != len(doses) or min(weights) < 0:
        raise InputError(f"fractions: expected {len(doses)} numbers of 0 or more, got {list(weights)}")
    grid = doses[0].grid
    total = np.zeros(grid.shape, dtype=np.float64)
    for dose, weight in zip(doses, weights, strict=True):
        if dose.grid.matches(grid):
            total += weight * dose.array
        else:
            total += weight * dose_at(dose, grid.points().reshape(-1, 3)).gy.reshape(grid.shape)
    return Dose(total.astype(np.float32), grid)


def check_dose(dose: Dose) -> tuple[str, ...]:
    """Warnings about a dose.

    Raises:
        InputError: NaN, or no dose at all.
    """
    bad = int(dose.array.size - np.isfinite(dose.array).sum())
    if bad:
        raise InputError(f"dose: expected finite numbers, got {bad} NaN or infinite values; export the dose again")
    low, high = float(dose.array.min()), float(dose.array.max())
    if low < 0 and high <= 0:
        raise InputError(
            f"dose: expected Gy of 0 or more, got none above 0 and a lowest of {low:.3g}; check its scaling"
        )
    warnings = []
    if high == 0:
        warnings.append("The dose is zero everywhere: every dose statistic is 0 Gy.")
    if low < 0:
        share = 100 * float((dose.array < 0).mean())
        warnings.append(
            f"The dose is negative in {share:.3g} % of its voxels (lowest {low:.3g} Gy); it is used as it is."
        )
    if high > 300:
        warnings.append(f"The highest dose is {high:.0f} Gy; if the file is in cGy, divide it by 100 first.")
    return tuple(warnings)
