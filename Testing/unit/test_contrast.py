import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.ops.contrast import check_contrast, intensity_range


def test_the_flat_image_is_named():
    grid = Grid((4, 4, 4))
    flat = Image(np.full(grid.shape, 3.0, np.float32), grid)
    ramp = Image(np.arange(64, dtype=np.float32).reshape(grid.shape), grid)
    check_contrast(ImagePair(ramp, ramp))
    with pytest.raises(InputError, match=r"^fixed: "):
        check_contrast(ImagePair(flat, ramp))
    with pytest.raises(InputError, match=r"^moving: "):
        check_contrast(ImagePair(ramp, flat))


def test_percentiles_of_a_thinned_image_and_of_one_value():
    assert intensity_range("a", np.arange(1001.0), 10, 90) == (100.0, 900.0)
    low, high = intensity_range("a", np.arange(100_001.0), 10, 90, most=1000)
    assert abs(low - 10_000) < 200
    assert abs(high - 90_000) < 200
    with pytest.raises(InputError, match="CT: expected an image with contrast"):
        intensity_range("CT", np.ones(10))
