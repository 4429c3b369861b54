"""Phantoms for geometry tests: oblique, anisotropic, off-origin, so that swapped axes fail."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import AffineTransform, DisplacementField

OBLIQUE = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
GRID = Grid((20, 18, 16), (0.9, 1.3, 2.1), (-30.0, 12.0, 55.0), tuple(map(tuple, OBLIQUE)))
STRAIGHT = Grid((17, 15, 13), (1.1, 0.8, 1.9), (4.0, -60.0, 7.0))

ORIENTATIONS = [
    (np.eye(3)[:, list(order)] * signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)
]
"""All 48 ways in which voxel axes can lie along the world's, mirrored ones too."""


def grid_with(direction, size=(9, 8, 7)):
    return Grid(size, (0.9, 1.3, 2.1), (-30.0, 12.0, 55.0), tuple(map(tuple, direction)))


def texture(grid=GRID, seed=1):
    rng = np.random.default_rng(seed)
    return Image((100 + 60 * gaussian_filter(rng.normal(size=grid.shape), 1.2)).astype("f4"), grid, "texture")


def blobs(grid=GRID, seed=2):
    rng = np.random.default_rng(seed)
    noise = gaussian_filter(rng.normal(size=grid.shape), 1.5)
    cuts = np.quantile(noise, (0.5, 0.8))
    return LabelMap(np.digitize(noise, cuts).astype("i4"), grid, {1: "shell", 2: "Kern Ö"})


def smooth_field(grid=GRID, seed=3, size_mm=2.0, smooth=4.0):
    """Largest component is `size_mm`; does not fold for the sizes used here."""
    rng = np.random.default_rng(seed)
    u = np.stack([gaussian_filter(rng.normal(size=grid.shape), smooth) for _ in range(3)], -1)
    return DisplacementField((u / np.abs(u).max() * size_mm).astype("f4"), grid)


def turned(degrees=(10, -20, 30), shift=(3.0, -4.0, 5.0), scale=1.0):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * scale
    matrix[:3, 3] = shift
    return AffineTransform(matrix)
