import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.metrics.overlap import overlap, overlap_of_labels, soft_dice


def test_scores_by_hand():
    mask = np.array([[[1, 1, 1, 0]]], dtype=bool)
    reference = np.array([[[0, 1, 1, 1]]], dtype=bool)
    found = overlap(mask, reference)
    assert found.dice == pytest.approx(2 / 3)
    assert found.jaccard == pytest.approx(0.5)
    assert found.precision == found.recall == pytest.approx(2 / 3)
    assert found.f1 == pytest.approx(found.dice)


def test_dice_and_jaccard_keep_their_relation_for_any_masks():
    rng = np.random.default_rng(0)
    for _ in range(20):
        a, b = rng.random((2, 5, 6, 7)) < rng.uniform(0.1, 0.9)
        found = overlap(a, b)
        assert found.jaccard == pytest.approx(found.dice / (2 - found.dice))
        assert found.f1 == pytest.approx(found.dice)


def test_empty_masks_agree_and_an_empty_one_agrees_with_nothing():
    none, some = np.zeros((2, 2, 2), bool), np.ones((2, 2, 2), bool)
    assert overlap(none, none).dice == 1
    assert overlap(none, some).dice == 0
    assert overlap(none, some).f1 == 0


def test_soft_dice_of_a_mask_is_its_dice_up_to_the_smoothing():
    rng = np.random.default_rng(3)
    a, b = rng.random((2, 9, 9, 9)) < 0.5
    assert soft_dice(a.astype(np.float32), b, smooth=0.0) == pytest.approx(overlap(a, b).dice, rel=1e-5)


def test_each_label_is_scored_and_grids_must_match():
    grid = Grid((4, 1, 1))
    a = LabelMap(np.array([[[1, 1, 2, 0]]]), grid)
    b = LabelMap(np.array([[[1, 0, 2, 3]]]), grid)
    found = overlap_of_labels(a, b)
    assert list(found) == [1, 2, 3]
    assert found[1].dice == pytest.approx(2 / 3)
    assert (found[2].dice, found[3].dice) == (1, 0)
    with pytest.raises(InputError, match="one grid"):
        overlap_of_labels(a, LabelMap(b.array, Grid((4, 1, 1), (2, 1, 1))))
