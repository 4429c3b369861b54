from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.run import silent
from valorlib.core.transforms import AffineTransform
from valorlib.ops.resample import resample_image
from valorlib.solve.linear import affine_start
from valorlib.solve.outcome import one_thread

TURN = tuple(map(tuple, Rotation.from_euler("xyz", (15, -20, 40), degrees=True).as_matrix()))


def texture(grid):
    noise = gaussian_filter(np.random.default_rng(0).standard_normal(grid.shape), [min(4, n - 1) for n in grid.shape])
    return Image((noise / noise.std()).astype(np.float32), grid)


def known(grid, flat):
    matrix = np.eye(4)
    axis = np.asarray(grid.direction)[:, 2]
    room = np.diag([1.05, 0.96, 1.0]) if flat else np.diag([1.05, 0.96, 1.03])
    local = np.asarray(grid.direction) @ room @ np.asarray(grid.direction).T
    matrix[:3, :3] = Rotation.from_rotvec(np.deg2rad(6) * axis).as_matrix() @ local
    shift = np.asarray(grid.direction) @ (2.0, -3.0, 0.0 if flat else 1.0)
    matrix[:3, 3] = grid.center + shift - matrix[:3, :3] @ grid.center
    return AffineTransform(matrix)


@pytest.mark.parametrize("similarity", ["mind", "lncc"])
@pytest.mark.parametrize("size", [(60, 50, 1), (32, 30, 26)])
def test_an_affine_motion_is_found(size, similarity):
    grid = Grid(size, (1.0, 1.2, 1.1), (30.0, -10.0, 5.0), TURN)
    moving = texture(grid)
    truth = known(grid, size[2] == 1)
    fixed = resample_image(moving, grid, truth)
    inverted = Image(-3 * moving.array + 7, grid)
    with one_thread():
        found = affine_start(fixed, inverted, AffineTransform.identity(), silent, similarity=similarity)
    points = np.c_[0.5 * (grid.corners() + grid.center), np.ones(8)]
    start = np.linalg.norm((truth.matrix @ points.T)[:3] - points.T[:3], axis=0).mean()
    left = np.linalg.norm(((truth.matrix - found.matrix) @ points.T)[:3], axis=0).mean()
    assert left < 0.2 * start
