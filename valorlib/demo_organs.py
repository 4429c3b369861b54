"""Generated organs: five shapes, each moved and bent by itself, with the corresponding surface points known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointCloud, PointPair
from valorlib.demo_fields import rigid_matrix

Array = NDArray[np.float64]
ORGANS = ("liver", "stomach", "kidney_left", "kidney_right", "spleen")
_CENTERS = np.array([[-52.0, 0, 12], [38, -34, 8], [42, 38, -22], [-36, 42, -28], [72, 16, 20]])
_HALF_MM = np.array([[40.0, 34, 30], [26, 18, 20], [13, 15, 26], [13, 15, 26], [15, 20, 22]])


@dataclass(frozen=True, eq=False)
class OrganCase:
    """Two label maps of the same organs, and the truth.

    truth: point n of `truth.fixed` on a fixed surface is found at point n of `truth.moving`; labels name the organ.
    """

    fixed: LabelMap
    moving: LabelMap
    truth: PointPair


@dataclass(frozen=True, eq=False)
class _Organ:
    """A bumpy ellipsoid. frame: (3, 3) half axes, mm. bumps: (n, 3) wave vectors on the unit sphere."""

    center: Array
    frame: Array
    bumps: Array

    def radius(self, directions: Array) -> Array:
        return np.asarray(1 + 0.06 * np.sin(directions @ self.bumps.T).sum(axis=-1))

    def inside(self, points: Array) -> NDArray[np.bool_]:
        local = (points - self.center) @ np.linalg.inv(self.frame).T
        length = np.linalg.norm(local, axis=-1)
        return np.asarray(length < self.radius(local / np.maximum(length, 1e-9)[..., None]))

    def surface(self, count: int) -> Array:
        n = np.arange(count) + 0.5  # Fibonacci sphere
        z, turn = 1 - 2 * n / count, np.pi * (1 + 5**0.5) * n
        ring = np.sqrt(1 - z**2)
        directions = np.stack([ring * np.cos(turn), ring * np.sin(turn), z], axis=-1)
        return np.asarray(self.center + (directions * self.radius(directions)[:, None]) @ self.frame.T)


def _motion(rng: np.random.Generator, center: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Fixed to moving and its inverse: rigid, scaled, then bent by a slow wave."""
    rigid = rigid_matrix(rng, center, degrees=float(rng.uniform(4, 14)), shift_mm=float(rng.uniform(4, 12)))
    scale, wave = rng.uniform(0.93, 1.07), rng.standard_normal((3, 3)) / 45
    amplitude = rng.uniform(-1.5, 1.5, 3)

    def bend(points: Array) -> Array:
        return np.asarray(amplitude * np.sin((points - center) @ wave.T))

    def backward(points: Array) -> Array:
        straight = points + bend(points) - rigid[:3, 3]
        return np.asarray((straight @ rigid[:3, :3] - center) / scale + center)

    def forward(points: Array) -> Array:
        straight = (scale * (points - center) + center) @ rigid[:3, :3].T + rigid[:3, 3]
        found = straight
        for _ in range(60):  # the bend changes by at most about 0.15 mm a mm, so this converges
            found = straight - bend(found)
        return np.asarray(found)

    return forward, backward


def make_organs(seed: int = 0, *, points_per_organ: int = 400, spacing_mm: float = 2.0) -> OrganCase:
    """Two label maps of five organs, each moved 4 to 12 mm and turned 4 to 14 degrees by itself, slightly bent.

    Same arguments, same case.
    """
    rng = np.random.default_rng([seed, 7_022])
    origin = np.array([10.0, -20.0, 140.0]) + rng.uniform(-5, 5, 3)
    turn = Rotation.from_rotvec(np.deg2rad(rng.uniform(-6, 6, (2, 3)))).as_matrix()
    grids = []
    for matrix, extent in zip(turn, ((212.0, 172.0, 120.0), (232.0, 192.0, 140.0)), strict=True):
        count = np.round(np.asarray(extent) / spacing_mm).astype(int)
        corner = origin - matrix @ ((count - 1) / 2 * spacing_mm)
        grids.append(Grid(tuple(count), (spacing_mm,) * 3, tuple(corner), tuple(map(tuple, matrix))))
    maps = [np.zeros(grid.shape, dtype=np.int32) for grid in grids]
    places = [grid.points() for grid in grids]
    here, there, owners = [], [], []
    for label, (center, half) in enumerate(zip(_CENTERS, _HALF_MM, strict=True), start=1):
        frame = Rotation.from_rotvec(0.25 * rng.standard_normal(3)).as_matrix() * half
        organ = _Organ(origin + center + rng.uniform(-2, 2, 3), frame, 2.0 * rng.standard_normal((3, 3)))
        forward, backward = _motion(rng, organ.center)
        near = (np.abs(places[0] - organ.center) < 1.5 * half.max()).all(axis=-1)
        maps[0][near] = np.where(organ.inside(places[0][near]) & (maps[0][near] == 0), label, maps[0][near])
        near = (np.abs(places[1] - organ.center) < 1.5 * half.max() + 20).all(axis=-1)
        back = backward(places[1][near])
        maps[1][near] = np.where(organ.inside(back) & (maps[1][near] == 0), label, maps[1][near])
        surface = organ.surface(points_per_organ)
        here.append(surface)
        there.append(forward(surface))
        owners.append(np.full(points_per_organ, label, dtype=np.int64))
    names = dict(enumerate(ORGANS, start=1))
    labels = np.concatenate(owners)
    truth = PointPair(
        PointCloud(np.concatenate(here), labels, names=names), PointCloud(np.concatenate(there), labels, names=names)
    )
    return OrganCase(LabelMap(maps[0], grids[0], names), LabelMap(maps[1], grids[1], names), truth)
