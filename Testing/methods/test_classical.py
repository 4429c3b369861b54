import numpy as np
import pytest
from scipy import ndimage

from valorlib.core.errors import Cancelled
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.transforms import AffineTransform
from valorlib.ops.itk_demons import demons

GRID = Grid((32, 30, 28), (2.0, 2.0, 2.0))


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(1)
    texture = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 2.0)
    array = (100 + 30 * texture / texture.std()).astype(np.float32)
    moved = ndimage.shift(array, (0, 0, 1), order=1, mode="nearest").astype(np.float32)  # 2 mm along x
    return ImagePair(Image(array, GRID), Image(moved, GRID))


def run(pair, progress=lambda fraction, message: None):
    losses = []
    how = {"levels": 2, "iterations": 30, "smoothing_mm": 2.0, "progress": progress, "losses": losses}
    return demons(pair, AffineTransform.identity(), **how), losses


def test_demons_find_a_small_shift_and_fill_the_mask_alone(pair):
    found, losses = run(pair)
    inner = (slice(6, -6),) * 3
    np.testing.assert_allclose(found.array[inner].mean((0, 1, 2)), [2.0, 0.0, 0.0], atol=0.3)
    assert losses[-1] < losses[0]
    mask = np.zeros(GRID.shape, np.int32)
    mask[8:20, 8:20, 8:20] = 1
    masked, _ = run(ImagePair(pair.fixed, pair.moving, fixed_mask=LabelMap(mask, GRID)))
    assert not masked.array[mask == 0].any()
    np.testing.assert_array_equal(masked.array[mask > 0], found.array[mask > 0])


def test_demons_stop_when_cancelled(pair):
    def stop(fraction, message):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(pair, stop)
