from dataclasses import replace

import numpy as np
import pytest

from valorlib.core.results import Result
from valorlib.core.transforms import AffineTransform
from valorlib.demo import make_pair
from valorlib.demo_rt import make_rt_case
from valorlib.metrics.summary import finite, inside_both, slice_dice, summarize
from valorlib.ops.invert import invert_field
from valorlib.ops.resample import resample_labels


@pytest.fixture(scope="module")
def case():
    return make_pair(6, size="small", lesions=2)


@pytest.fixture(scope="module")
def found(case):
    warped = resample_labels(case.moving_tumors, case.truth.grid, case.truth)
    inverse = invert_field(case.truth, case.pair.moving.grid)[0]
    result = Result(
        case.truth,
        displacement=case.truth,
        inverse_displacement=inverse,
        fixed_seg=case.fixed_tumors,
        moving_seg=case.moving_tumors,
        warped_seg=warped,
    )
    return summarize(case.pair, result, landmarks=case.landmarks, truth=case.fixed_tumors)


def test_the_truth_scores_better_than_the_start(found):
    before, after = found["similarity"]["before"], found["similarity"]["after"]
    for key in ("psnr_db", "ssim", "ncc", "ngf"):
        assert after[key] > before[key]
    assert after["relative_ssd"] < before["relative_ssd"] == 1
    assert found["landmarks"]["after"]["max_mm"] < 0.01 < found["landmarks"]["before"]["mean_mm"]
    assert found["folds"]["strict_count"] == 0
    assert found["inverse_consistency"]["mean_mm"] < 0.05


def test_each_tumor_has_its_numbers(case, found):
    assert [one["tumor"] for one in found["tumors"]] == [1, 2]
    for one in found["tumors"]:
        assert one["against_truth"]["dice"] > 0.75
        assert one["agreement"]["dice"] == one["against_truth"]["dice"]
        assert one["against_truth"]["hd95_mm"] < 3
        count = np.count_nonzero(case.moving_tumors.array == one["tumor"])
        assert one["moving_ml"] == pytest.approx(count * case.moving_tumors.grid.voxel_volume_mm3 / 1000)
        assert abs(one["change_pct"] - one["transform_change_pct"]) < 25
        slices = one["agreement"]["per_slice"]
        k = np.flatnonzero((case.fixed_tumors.array == one["tumor"]).any(axis=(1, 2)))
        assert {row["slice"] for row in slices} >= set(k.tolist())


def test_each_slice_of_the_body_has_its_numbers(case, found):
    slices = found["similarity"]["per_slice"]
    assert 20 < len(slices) <= case.pair.fixed.grid.shape[0]
    mean = np.mean([one["after"]["ncc"] for one in slices])
    assert mean == pytest.approx(found["similarity"]["after"]["ncc"], abs=0.15)


def test_structures_are_compared_before_and_after():
    case = make_rt_case(0, spacing_mm=6.0)
    found = summarize(case.pair, Result(case.truth, displacement=case.truth), landmarks=case.landmarks)
    assert [one["name"] for one in found["structures"]][:2] == ["target", "bladder"]
    dice = [[one[when]["dice"] for one in found["structures"]] for when in ("before", "after")]
    assert np.mean(dice[1]) > np.mean(dice[0]) + 0.03
    assert found["landmarks"]["per_label"]["1"]["after"]["max_mm"] < 0.01


def test_an_affine_result_is_summarized_and_keeps_its_own_landmarks(case):
    pair = replace(case.pair, landmarks=case.landmarks)
    found = summarize(pair, Result(AffineTransform.identity()))
    assert found["landmarks"]["after"]["mean_mm"] == pytest.approx(found["landmarks"]["before"]["mean_mm"])
    assert found["displacement"]["max_mm"] == 0
    assert "tumors" not in found
    assert found["similarity"]["after"] == {**found["similarity"]["before"], "relative_ssd": 1.0}


def test_only_voxels_seen_by_both_count(case):
    far = np.zeros_like(case.truth.array)
    far[: far.shape[0] // 2] = (1000, 0, 0)
    mask = inside_both(case.pair, type(case.truth)(far, case.truth.grid))
    assert not mask[: far.shape[0] // 2 - 1].any()
    assert mask[far.shape[0] // 2 + 1 :].any()


def test_dice_of_slices_by_hand_and_infinity_as_a_number():
    a, b = np.zeros((2, 3, 1, 4), dtype=bool)
    a[1, 0, :2] = True
    b[1, 0, 1:3] = True
    assert slice_dice(a, b) == [{"slice": 1, "dice": 0.5, "jaccard": pytest.approx(1 / 3), "f1": pytest.approx(0.5)}]
    assert finite(float("inf")) == 999
