"""Known smooth deformations for generated cases: a rigid motion plus a cubic B-spline, exact at every voxel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField

MIN_JACOBIAN = 0.35


@dataclass(frozen=True, eq=False)
class KnownField:
    """A rigid motion plus a spline, known exactly at the voxels of `grid`.

    mapped: (K, J, I, 3) where each fixed voxel is found in the moving space, LPS mm, float64.
    """

    grid: Grid
    mapped: NDArray[np.float64]

    @property
    def displacement(self) -> DisplacementField:
        """The field as data, float32."""
        return DisplacementField((self.mapped - self.grid.points()).astype(np.float32), self.grid)


def cubic_weights(count: int, spacing_mm: float, knots_mm: float) -> NDArray[np.float64]:
    """(count, controls) cubic B-spline weights of `count` samples `spacing_mm` apart, knots `knots_mm` apart."""
    at = np.arange(count) * spacing_mm / knots_mm
    first = np.floor(at).astype(int)
    t = at - first
    values = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    weights = np.zeros((count, int(first[-1]) + 4))
    for step in range(4):
        weights[np.arange(count), first + step] += values[:, step]
    return weights


def spline_displacement(grid: Grid, rng: np.random.Generator, knots_mm: float) -> NDArray[np.float64]:
    """(K, J, I, 3) random cubic spline with unit normal control values, knots along the axes of the grid."""
    weights = [cubic_weights(n, s, knots_mm) for n, s in zip(grid.shape, grid.spacing[::-1], strict=True)]
    control = rng.standard_normal((*(w.shape[1] for w in weights), 3))
    return np.asarray(np.einsum("ka,jb,ic,abcd->kjid", *weights, control, optimize=True))


def min_jacobian(mapped: NDArray[np.float64], grid: Grid) -> float:
    """Smallest determinant of the derivative of the map at the voxels of `grid`."""
    axes = np.asarray(grid.direction)  # d/d(world) = direction @ d/d(i, j, k in mm)
    slopes = [np.gradient(mapped, s, axis=2 - n) for n, s in enumerate(grid.spacing)]
    return float(np.linalg.det(np.stack(slopes, axis=-1) @ axes.T).min())


def rigid_matrix(
    rng: np.random.Generator, center: NDArray[np.float64], *, degrees: float, shift_mm: float
) -> NDArray[np.float64]:
    """(4, 4) rotation by `degrees` about a random axis through `center`, then a random shift of `shift_mm`."""
    axis, direction = (v / np.linalg.norm(v) for v in rng.standard_normal((2, 3)))
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(degrees) * axis).as_matrix()
    matrix[:3, 3] = center - matrix[:3, :3] @ center + shift_mm * direction
    return matrix


def known_field(
    grid: Grid,
    rng: np.random.Generator,
    *,
    degrees: float = 3.0,
    shift_mm: float = 3.0,
    mean_mm: float = 5.0,
    knots_mm: float = 30.0,
) -> KnownField:
    """A random motion of about `mean_mm` on average whose Jacobian stays above 0.35.

    The rigid part has the angle and shift given; the spline fills up to the mean, less where it would nearly fold.
    """
    points = grid.points()
    rigid = rigid_matrix(rng, grid.center, degrees=degrees, shift_mm=shift_mm)
    moved = points @ rigid[:3, :3].T + rigid[:3, 3]
    spline = spline_displacement(grid, rng, knots_mm)
    step = (slice(None, None, 3),) * 3
    coarse = Grid(
        tuple(len(range(0, n, 3)) for n in grid.size),  # type: ignore[arg-type]
        tuple(3 * s for s in grid.spacing),  # type: ignore[arg-type]
        grid.origin,
        grid.direction,
    )
    scale = 0.0
    for trial in np.linspace(0.5, 14.0, 55):
        trial_map = moved[step] + trial * spline[step]
        if min_jacobian(trial_map, coarse) < MIN_JACOBIAN + 0.05:
            break
        scale = float(trial)
        if np.linalg.norm(trial_map - points[step], axis=-1).mean() >= mean_mm:
            break
    return KnownField(grid, moved + scale * spline)
