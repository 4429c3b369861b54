"""The inverse fitted to all fixed voxels brings them back better than one taken point by point, on any two grids."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.invert import invert_field
from valorlib.ops.transforms import map_points
from valorlib.ops.way_back import WayBack

TURNED = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))


def rough(grid, largest_mm):
    rng = np.random.default_rng(0)
    sigma = [2.0 / s if n > 1 else 0.0 for s, n in zip(grid.spacing[::-1], grid.size[::-1], strict=True)]
    u = np.stack([gaussian_filter(rng.standard_normal(grid.shape), sigma) for _ in range(3)], axis=-1)
    u *= largest_mm / np.abs(u).max()
    u[..., 2] *= grid.size[2] > 1
    return DisplacementField(u.astype(np.float32), grid)


def there_and_back(forth, back):
    points = forth.grid.points().reshape(-1, 3)
    ends = map_points(forth, points)
    index = back.grid.to_index(ends)
    inside = ((index >= 0) & (index <= np.asarray(back.grid.size) - 1)).all(-1)
    return np.linalg.norm(map_points(back, ends[inside]) - points[inside], axis=1)


@pytest.mark.parametrize(
    ("fixed", "moving"),
    [
        (Grid((30, 28, 26)), Grid((30, 28, 26))),
        (Grid((30, 28, 26)), Grid((34, 36, 20), (0.9, 1.1, 1.4), (30.0, -2.0, -1.0), TURNED)),
        (Grid((60, 50, 1)), Grid((55, 60, 1), (1.1, 0.9, 1.0))),
    ],
    ids=["same grid", "turned grid", "flat"],
)
def test_it_brings_voxels_back_better_than_an_inverse_point_by_point(fixed, moving):
    forth = rough(fixed, 2.0)
    way = WayBack(forth, moving)
    way.fit()
    fitted, pointwise = there_and_back(forth, way.inverse()), there_and_back(forth, invert_field(forth, moving)[0])
    assert fitted.mean() < 0.75 * pointwise.mean()
    assert np.percentile(fitted, 95) < np.percentile(pointwise, 95)
    assert way.displacement is forth
    assert way.lengths().mean() == pytest.approx(fitted.mean(), rel=0.5)


def test_a_block_of_one_voxel_leaves_the_displacement_as_it_is():
    grid = Grid((20, 20, 20), (2.5, 2.5, 2.5))
    u = np.zeros((*grid.shape, 3), np.float32)
    u[10, 10, 10] = 1.0
    before, way = u.copy(), WayBack(DisplacementField(u, grid), grid)
    block = (slice(10, 11), slice(10, 11), slice(10, 11))
    way._left_in(block)
    np.testing.assert_array_equal(way.displacement.array, before)
