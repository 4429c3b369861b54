"""Spheres, cylinders and cones in a linear dose: solids to sample, and their exact DVH by quadrature."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valorlib.core.grid import Grid
from valorlib.core.images import Dose


@dataclass(frozen=True, eq=False)
class Shape:
    """A body of revolution around the third of `axes`: sphere, cylinder or cone of one diameter and height."""

    kind: str
    diameter_mm: float
    center: np.ndarray
    axes: np.ndarray
    warnings: tuple = ()

    @property
    def name(self):
        return f"{self.kind} {self.diameter_mm:g} mm"

    @property
    def radius(self):
        return self.diameter_mm / 2

    @property
    def box(self):
        middle = self.axes @ self.center
        return middle - self.radius, middle + self.radius

    def radius_at(self, z):
        """Radius of the disc at height z above the middle."""
        r = self.radius
        if self.kind == "sphere":
            return np.sqrt(np.maximum(r**2 - z**2, 0))
        return np.full_like(z, r) if self.kind == "cylinder" else r * (r - z) / (2 * r)

    def inside(self, points):
        local = (points - self.center) @ self.axes.T
        z = local[:, 2]
        return (np.abs(z) <= self.radius) & (np.hypot(local[:, 0], local[:, 1]) <= self.radius_at(z))

    @property
    def volume_cc(self):
        share = {"sphere": 4 / 3, "cylinder": 2, "cone": 2 / 3}[self.kind]
        return share * np.pi * self.radius**3 / 1000

    def heights(self, count=4001):
        edges = np.linspace(-self.radius, self.radius, count)
        return (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]

    def share_below(self, t, direction):
        """Share of the volume with direction . (x - center) <= t."""
        z, step = self.heights()
        local = self.axes @ direction
        across, along = np.hypot(local[0], local[1]), local[2]
        r = self.radius_at(z)
        if across < 1e-9:
            return float((np.pi * r**2 * (along * z <= t)).sum() / (np.pi * r**2).sum())
        s = np.clip((t - along * z) / np.maximum(across * r, 1e-12), -1, 1)
        segment = r**2 * (np.pi - np.arccos(s) + s * np.sqrt(1 - s**2))
        return float((segment * step).sum() / (np.pi * r**2 * step).sum())

    def offset_at(self, share_below, direction):
        """t with that share of the volume below it."""
        low, high = -2 * self.radius, 2 * self.radius
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.share_below(middle, direction) < share_below else (low, middle)
        return (low + high) / 2

    def mean_offset(self, direction):
        z, _ = self.heights()
        area = self.radius_at(z) ** 2
        return float((area * z).sum() / area.sum() * (self.axes @ direction)[2])


def linear_dose(center, direction, gy_per_mm, spacing, base_gy=20.0, reach_mm=32.0, shift=(0, 0, 0)):
    """Dose base + g d.(x - center) on a grid around the center."""
    count = int(np.ceil(2 * reach_mm / spacing)) + 1
    origin = np.asarray(center) - spacing * (count - 1) / 2 + np.asarray(shift) * spacing
    grid = Grid((count,) * 3, (spacing,) * 3, tuple(origin))
    return Dose((base_gy + gy_per_mm * (grid.points() - center) @ direction).astype(np.float32), grid)


def random_turn(rng):
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.linalg.det(q))
