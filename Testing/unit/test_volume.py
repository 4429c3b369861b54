import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.metrics.volume import carried_change_pct, volume_change, volume_ml


def cube(n, spacing):
    array = np.zeros((6, 6, 6), dtype=np.int32)
    array[:n, :n, :n] = 2
    return LabelMap(array, Grid((6, 6, 6), spacing))


def test_volume_is_voxels_times_their_size():
    assert volume_ml(cube(5, (2.0, 2.0, 4.0)), 2) == pytest.approx(125 * 16 / 1000)
    assert volume_ml(cube(5, (1.0, 1.0, 1.0)), 1) == 0


def test_change_is_relative_to_the_moving_scan_on_its_own_grid():
    change = volume_change(cube(4, (1.0, 1.0, 1.0)), cube(4, (2.0, 1.0, 1.0)), 2)
    assert change.change_pct == pytest.approx(-50)
    assert volume_change(cube(4, (1.0,) * 3), cube(4, (1.0,) * 3), 9).change_pct is None


def test_the_transforms_own_change_has_the_same_sign():
    labels = cube(4, (1.0, 1.0, 1.0))
    half = Image(np.full((6, 6, 6), 2.0, np.float32), labels.grid)  # fixed tissue takes twice the room in moving
    assert carried_change_pct(half, labels, 2) == pytest.approx(-50)
    assert carried_change_pct(half, labels, 5) is None
    with pytest.raises(InputError, match="grid"):
        carried_change_pct(Image(half.array, Grid((6, 6, 6), (2.0, 1.0, 1.0))), labels, 2)
