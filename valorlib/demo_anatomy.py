"""A procedural breast: tissue fractions at any world position, so that two scans sample one anatomy exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from valorlib.core.grid import Grid

Array = NDArray[np.float32]

# Signal of each tissue, fat-suppressed and post-contrast: 3T-like, 7T-like.
SIGNAL_3T = {"air": 0.0, "fat": 0.26, "gland": 0.52, "skin": 0.48, "muscle": 0.40, "lung": 0.06, "vessel": 0.80}
SIGNAL_7T = {"air": 0.0, "fat": 0.20, "gland": 0.60, "skin": 0.42, "muscle": 0.36, "lung": 0.04, "vessel": 0.78}
BRIGHT = {"3T": 0.95, "7T": 0.92}


@dataclass(frozen=True, eq=False)
class Lesion:
    """One tumor.

    center: (3,) LPS mm. axes: (3, 3) columns are the half axes, mm. roughness: relative size of the bumps.
    kind: "bright" (enhances) or "isointense" (looks like gland).
    """

    center: NDArray[np.float64]
    axes: NDArray[np.float64]
    roughness: float
    kind: str

    @property
    def radius_mm(self) -> float:
        """Radius of the ball of the same volume."""
        return float(abs(np.linalg.det(self.axes)) ** (1 / 3))


@dataclass(frozen=True, eq=False)
class Breast:
    """The anatomy: shape numbers, noise volumes on `lattice` and lesions; world LPS mm, nipple toward -y."""

    center: NDArray[np.float64]
    half_mm: NDArray[np.float64]
    lattice: Grid
    noises: dict[str, Array]
    lesions: tuple[Lesion, ...]

    def noise(self, name: str, points: NDArray[np.float64]) -> Array:
        """Noise volume (zero mean, unit variance) at world points, linear between lattice points."""
        index = np.moveaxis(self.lattice.to_index(points)[..., ::-1], -1, 0).astype(np.float32)
        return np.asarray(map_coordinates(self.noises[name], index, order=1, mode="nearest"), dtype=np.float32)

    def depth_mm(self, points: NDArray[np.float64]) -> Array:
        """Depth below the skin surface, about mm; negative in air."""
        q = ((points - self.center) / self.half_mm).astype(np.float32)
        q[..., 1] = np.minimum(q[..., 1], 0)  # behind the chest wall the body goes on
        r = np.sqrt((q**2).sum(-1))
        return np.asarray((1 - r) * np.float32(self.half_mm.min()), dtype=np.float32)

    def wall_mm(self, points: NDArray[np.float64]) -> Array:
        """Distance in front of the chest wall; negative in muscle and lung."""
        x = (points[..., 0] - self.center[0]).astype(np.float32)
        y = (self.center[1] - points[..., 1]).astype(np.float32)
        return np.asarray(y - 0.004 * x**2, dtype=np.float32)


def _edge(distance_mm: NDArray[Any], width_mm: float = 0.6) -> Array:
    """0 to 1 across a border, positive inside."""
    return np.asarray(1 / (1 + np.exp(np.clip(-distance_mm / width_mm, -30, 30))), dtype=np.float32)


def make_noises(lattice: Grid, rng: np.random.Generator) -> dict[str, Array]:
    """Smooth noise volumes on the lattice, each with zero mean and unit variance."""
    found = {}
    for name, sigma_mm in (("lobes", 6.0), ("strands", 2.6), ("vessel_a", 9.0), ("vessel_b", 9.0), ("fine", 1.1)):
        white = rng.standard_normal(lattice.shape, dtype=np.float32)
        smooth = gaussian_filter(white, sigma_mm / lattice.spacing[0], truncate=3.0)
        found[name] = (smooth - smooth.mean()) / smooth.std()
    return found


def gland_amount(breast: Breast, points: NDArray[np.float64], depth: Array) -> Array:
    """Share of glandular tissue, 0 to 1: lobes and strands, more of it behind the nipple."""
    noise = 0.75 * breast.noise("lobes", points) + 0.65 * breast.noise("strands", points)
    return _edge(noise + 0.35 * np.clip((depth - 8) / 12, -2, 1.2) - 0.25, 0.22)


def lesion_depth(breast: Breast, lesion: Lesion, points: NDArray[np.float64]) -> Array:
    """Depth below the lesion's surface, about mm, positive inside; -9 far away."""
    found = np.full(points.shape[:-1], -9, dtype=np.float32)
    reach = 1.6 * np.abs(lesion.axes).sum(axis=1).max() + 4
    near = (np.abs(points - lesion.center) < reach).all(axis=-1)
    local = points[near]
    q = np.linalg.norm((local - lesion.center) @ np.linalg.inv(lesion.axes).T, axis=-1).astype(np.float32)
    bumps = lesion.roughness * breast.noise("strands", local)
    found[near] = (1 + bumps - q) * np.float32(lesion.radius_mm)
    return found


def signal(breast: Breast, points: NDArray[np.float64], field: str) -> Array:
    """Noise-free signal, about 0 to 1, at world points (..., 3); field: "3T" or "7T"."""
    level = SIGNAL_3T if field == "3T" else SIGNAL_7T
    depth, wall = breast.depth_mm(points), breast.wall_mm(points)
    gland = gland_amount(breast, points, depth)
    tissue = level["fat"] + (level["gland"] - level["fat"]) * gland
    tube = np.hypot(breast.noise("vessel_a", points), breast.noise("vessel_b", points))
    tissue = tissue + (level["vessel"] - tissue) * _edge(0.13 - tube, 0.02)
    skin = _edge(2.0 - depth)
    tissue = tissue + (level["skin"] - tissue) * skin
    behind = level["muscle"] + (level["lung"] - level["muscle"]) * _edge(-wall - 9)
    tissue = behind + (tissue - behind) * _edge(wall)
    fine = breast.noise("fine", points)
    tissue = tissue * (1 + (0.06 if field == "3T" else 0.05) * fine + 0.05 * breast.noise("strands", points))
    for lesion in breast.lesions:
        value = BRIGHT[field] if lesion.kind == "bright" else 1.04 * level["gland"]
        inside = _edge(lesion_depth(breast, lesion, points), 0.45)
        tissue = tissue + (value * (1 + 0.03 * fine) - tissue) * inside
    return np.asarray(tissue * _edge(depth), dtype=np.float32)
