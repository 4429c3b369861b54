import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.methods.ngf_rigid import METHOD, NgfRigidOptions


def body(seed=3, shape=(40, 44, 48)):
    """Smooth blobs in an ellipsoid with air around."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=shape), 3)
    axes = [np.linspace(-1, 1, n) for n in shape]
    k, j, i = np.meshgrid(*axes, indexing="ij")
    inside = (k / 0.8) ** 2 + (j / 0.7) ** 2 + (i / 0.85) ** 2 < 1
    return np.where(inside, 1 + (noise > 0) + 0.5 * (noise > noise.std()), 0).astype(np.float32)


def moved(grid, degrees, shift):
    turn = np.eye(4)
    turn[:3, :3] = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    turn[:3, 3] = grid.center + shift - turn[:3, :3] @ grid.center
    return Grid.from_matrix(grid.size, turn @ grid.matrix), turn


@pytest.mark.parametrize("degrees", [(20, -25, 10), (-12, 5, 30)])
def test_finds_a_large_turn_and_shift_of_another_contrast(degrees):
    grid = Grid((48, 44, 40), (3.0, 3.0, 3.0), (-60, 20, 5))
    array = body()
    other = np.choose(array.astype(int).clip(0, 2), [0.0, 3.0, 1.0]).astype(np.float32)
    away, truth = moved(grid, degrees, (35.0, -20.0, 15.0))
    options = NgfRigidOptions(max_rotation_deg=50, rotation_step_deg=15, polish=False)
    result = METHOD.run(ImagePair(Image(array, grid), Image(other, away)), options, Run())
    error = np.linalg.norm((np.c_[grid.corners(), np.ones(8)] @ (result.transform.matrix - truth).T)[:, :3], axis=1)
    assert error.mean() < 2.0
    turn = result.transform.matrix[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-6)
