"""The broken geodesic: how many pieces, their lengths, and what they are for."""

import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.methods.log_demons import METHOD, LogDemonsOptions
from valorlib.metrics.folding import fold_summary

GRID = Grid((40, 36, 32), (2.0, 2.0, 2.0))
QUICK = LogDemonsOptions(finest_mm=4.0, levels=2, iterations=12, match_histograms=False)


def shifted_body(shift_mm):
    rng = np.random.default_rng(8)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID.shape), indexing="ij")
    body = ndimage.gaussian_filter((sum(a**2 for a in axes) < 0.35).astype(float), 1.0)
    texture = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 2.5)
    array = (100 * body * (1 + 0.3 * texture / texture.std())).astype(np.float32)
    moved = ndimage.shift(array, np.asarray(shift_mm)[::-1] / 2.0, order=1)
    return ImagePair(Image(array, GRID), Image(moved.astype(np.float32), GRID))


@pytest.fixture(scope="module")
def far():
    return shifted_body((14.0, -8.0, 6.0))


@pytest.fixture(scope="module")
def result(far):
    return METHOD.run(far, dataclasses.replace(QUICK, pieces=5, gain=0.0), Run())


def test_at_most_five_pieces_whose_lengths_add_up(result):
    record = result.record
    assert 1 <= record["pieces"] <= 5
    assert len(record["piece_lengths_mm"]) == record["pieces"]
    assert record["path_length_mm"] == pytest.approx(sum(record["piece_lengths_mm"]))
    assert all(length > 0 for length in record["piece_lengths_mm"])


def test_six_pieces_are_refused():
    with pytest.raises(InputError, match="pieces: expected 1 to 5"):
        dataclasses.replace(QUICK, pieces=6)


def test_several_pieces_leave_less_image_difference_than_one_and_do_not_fold(far, result):
    one = METHOD.run(far, QUICK, Run())
    assert result.record["pieces"] > 1
    assert result.losses[-1] < 0.5 * one.losses[-1] < 0.05 * one.losses[0]
    assert fold_summary(result.displacement).strict_count == 0


def test_pieces_that_bring_nothing_are_dropped(far):
    same = ImagePair(far.fixed, far.fixed)
    found = METHOD.run(same, dataclasses.replace(QUICK, pieces=5), Run())
    assert found.record["pieces"] == 1
    assert found.record["path_length_mm"] < 0.05


def test_a_longer_way_has_a_greater_length():
    lengths = []
    for shift in ((3.0, 0.0, 0.0), (9.0, 0.0, 0.0)):
        found = METHOD.run(shifted_body(shift), dataclasses.replace(QUICK, pieces=3), Run())
        lengths.append(found.record["path_length_mm"])
    assert lengths[1] > 1.5 * lengths[0]
