import numpy as np
import pytest
from realdata import need
from scipy import ndimage
from scipy.spatial.transform import Rotation

from valorlib.convert.files import read_image
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.methods.ngf_rigid import METHOD, NgfRigidOptions
from valorlib.ops.rigid_middles import with_middles
from valorlib.ops.rotations import rotations_within


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


def blurred_pair(degrees):
    """A body, and as a scanner that blurs by centimeters and shows other edges (one hot place) sees it elsewhere."""
    grid, array = Grid((48, 44, 40), (3.0, 3.0, 3.0), (-60, 20, 5)), body()
    k, j, i = np.indices(array.shape)
    hot = 6.0 * ((k - 26) ** 2 + (j - 14) ** 2 + (i - 30) ** 2 < 16)
    uptake = ndimage.gaussian_filter(np.where(array > 0, 1.0, 0.0) + 0.3 * (array > 1.5) + hot, 3)
    away, truth = moved(grid, degrees, (30.0, -25.0, 10.0))
    return ImagePair(Image(array, grid), Image(uptake.astype(np.float32), away)), truth


def test_middles_find_a_blurred_scan_among_wrong_places():
    pair, truth = blurred_pair((25, -20, 15))
    turns, corners = rotations_within(60.0, spacing_deg=20.0), np.c_[pair.fixed.grid.corners(), np.ones(8)]

    def error(matrix):
        return np.linalg.norm((corners @ (matrix - truth).T)[:, :3], axis=1).mean()

    wrong = []
    for shift in ((40.0, 0, 0), (0, 45.0, 0), (0, 0, -50.0)):
        wrong.append(truth.copy())
        wrong[-1][:3, 3] += shift

    def best(others):
        rng = np.random.default_rng(0)
        return with_middles(pair, others, turns, lambda *told: None, keep=3, rng=rng, device="cpu")

    found = best(wrong)
    assert len(found) <= 3
    assert error(found[0]) < 8 < min(error(m) for m in wrong)
    # The true place beside the wrong ones does no harm.
    assert error(best([truth, *wrong])[0]) < 8


def test_lays_pet_on_ct_of_one_session():
    """Its edges alone mislead here, by 30 mm and more; the headers of one session are right to some millimeters."""
    ct, pet = (read_image(need(f"sarcoma_multimodal/STS_006_{kind}_image.nii.gz")) for kind in ("CT", "PET"))
    away, truth = moved(pet.grid, (20, -25, 15), (30.0, -20.0, 25.0))
    pair = ImagePair(Image(np.clip(ct.array, -200, 300), ct.grid), Image(pet.array, away))
    result = METHOD.run(pair, METHOD.presets["default"], Run())
    corners = np.c_[ct.grid.corners(), np.ones(8)]
    assert np.linalg.norm((corners @ (result.transform.matrix - truth).T)[:, :3], axis=1).mean() < 15.0
