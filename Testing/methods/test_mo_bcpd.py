"""MO-BCPD against its dense form, its evidence, and known motion."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import chi2

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import METHOD, register
from valorlib.methods.mo_bcpd_options import BCPD, GMC, OMC, PAPER, PRESETS, MoBcpdOptions

HERE = Path(__file__).resolve().parent
for folder in (HERE, HERE.parents[1] / "benchmarks"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

from points_cases import known_motion  # noqa: E402
from points_faults import outliers, tiny_organ, without_organ, wrong_labels  # noqa: E402
from points_real import METHODS  # noqa: E402
from points_sliding import neighbors, numbers_of  # noqa: E402
from reference_bcpd import dense_bcpd  # noqa: E402


@pytest.fixture(scope="module")
def small():
    """Three organs of 60 points, moved, scaled; other samples in the fixed cloud."""
    return known_motion(3, count=60, degrees=12.0, shift_mm=5.0, scale=0.05)


def error_of(case, result):
    return np.linalg.norm(result.moved.points - case.truth, axis=1)


@pytest.mark.parametrize("kappa", [0.0, 5.0])
@pytest.mark.parametrize("exact", [True, False])
def test_the_fast_form_agrees_with_the_dense_one(small, kappa, exact):
    shared = 0.4 * np.ones((5, 5)) + 0.6 * np.eye(5)
    length, size = (25.0, 40.0, 30.0, 35.0, 28.0), (8.0, 6.0, 10.0, 7.0, 9.0)
    transition = 0.9 * np.eye(5) + 0.02
    options = MoBcpdOptions(
        coherence_matrix=tuple(shared.ravel()),
        organ_length_mm=length,
        organ_size_mm=size,
        long_size_mm=0.0,
        label_matrix=tuple(transition.ravel()),
        kappa=kappa,
        start="given",
        tolerance=1e-9,
        coarse_points=0,
        max_loops=25,
        min_loops=25,
        epsilon_mm=0.0,
        exact=exact,
        gamma=0.5,
        outliers=0.1,
    )
    result = register(small.pair, options, Run())
    x, y = small.pair.fixed, small.pair.moving
    center = x.points.mean(0)
    pairs = ((x.points[None] - y.points[:, None]) ** 2).sum(2)
    allowed = transition[x.labels - 1][:, y.labels - 1].T
    dense = dense_bcpd(
        y.points - center,
        y.labels - 1,
        x.points - center,
        x.labels - 1,
        length=np.array(length),
        size=np.array(size),
        coherence=shared,
        transition=transition,
        omega=0.1,
        kappa=kappa,
        variance=0.25 * (allowed * pairs).sum() / allowed.sum() / 3,
        loops=25,
    )
    assert np.abs(result.moved.points - center - dense.moved).max() < 1e-3
    assert result.record["sigma_mm"] == pytest.approx(dense.variance**0.5, rel=1e-4)
    assert result.sigma_mm == pytest.approx(np.sqrt(dense.scale**2 * dense.spread + dense.variance), rel=1e-3)
    assert -np.array(result.losses) == pytest.approx(dense.bounds, rel=1e-5)


@pytest.mark.parametrize(("kappa", "first"), [(0.0, False), (5.0, True)])
def test_the_evidence_rises_at_every_loop(small, kappa, first):
    plain = dataclasses.replace(PAPER, exact=True, coarse_points=0, similarity_first=first)
    options = dataclasses.replace(plain, between_organs=0.4, outliers=0.1, kappa=kappa)
    steps = -np.diff(register(small.pair, options, Run()).losses)
    assert len(steps) > 10
    assert steps.min() > -1e-6


def test_one_organ_without_labels_is_bcpd():
    case = known_motion(1, count=50, degrees=10.0, shift_mm=3.0)
    bare = PointPair(PointCloud(case.pair.fixed.points), PointCloud(case.pair.moving.points))
    options = dataclasses.replace(
        PAPER, use_labels=False, outliers=0.1, tolerance=1e-9, coarse_points=0, max_loops=20, min_loops=20, epsilon_mm=0
    )
    result = register(bare, options, Run())
    x, y = bare.fixed.points, bare.moving.points
    center, zeros = x.mean(0), np.zeros(len(x), dtype=int)
    dense = dense_bcpd(
        y - center,
        zeros,
        x - center,
        zeros,
        length=np.array([30.0]),
        size=np.array([10.0]),
        coherence=np.ones((1, 1)),
        transition=np.ones((1, 1)),
        omega=0.1,
        kappa=0.0,
        variance=((x[None] - y[:, None]) ** 2).sum(2).mean() / 3,
        loops=20,
    )
    assert np.abs(result.moved.points - center - dense.moved).max() < 1e-3


def test_each_organ_is_found_after_a_large_turn():
    case = known_motion(2, count=300)
    result = register(case.pair, OMC, Run())
    error = error_of(case, result)
    assert np.median(error) < 2.0
    covered = error**2 < chi2.ppf(0.95, 3) * result.sigma_mm**2
    assert covered.mean() > 0.8


def test_nothing_known_of_the_start_organs_err_less_than_half_of_bcpd():
    case = known_motion(101, count=200)  # turned by 29 degrees
    alone = dataclasses.replace(OMC, start="given")
    errors = [
        error_of(case, register(case.pair, options, Run())).mean()
        for options in (alone, dataclasses.replace(alone, use_labels=False))
    ]
    assert errors[0] < 0.5 * errors[1]


def test_labels_and_a_better_prior_beat_plain_bcpd():
    case = known_motion(4, count=150)
    with_labels = error_of(case, register(case.pair, OMC, Run())).mean()
    without = error_of(case, register(case.pair, dataclasses.replace(PAPER, use_labels=False), Run())).mean()
    assert with_labels < 0.6 * without


def test_mended_labels_beat_no_labels():
    case = wrong_labels(known_motion(5, count=120), 5)
    mended = register(case.pair, dataclasses.replace(OMC, label_error=0.1), Run())
    confused = tuple((0.875 * np.eye(5) + 0.025).ravel())
    by_matrix = register(case.pair, dataclasses.replace(OMC, label_matrix=confused), Run())
    bare = register(case.pair, BCPD, Run())
    assert mended.record["mended_labels"] > 0
    assert np.abs(mended.moved.points - by_matrix.moved.points).max() < 1e-6
    assert error_of(case, mended).mean() < 0.7 * error_of(case, bare).mean()


def test_outliers_do_not_pull():
    clean = known_motion(6, count=200)
    case = outliers(clean, 6)
    result = register(case.pair, dataclasses.replace(OMC, outliers=0.3), Run())
    assert np.median(error_of(case, result)) < np.median(error_of(clean, register(clean.pair, OMC, Run()))) + 1.5


def test_a_missing_organ_is_named_and_keeps_a_wide_error_bar():
    case = without_organ(known_motion(7, count=200))
    result = register(case.pair, OMC, Run())
    missing = case.pair.moving.labels == 2
    assert any("spleen is missing in fixed" in text for text in result.warnings)
    assert result.sigma_mm[missing].mean() > 3 * result.sigma_mm[~missing].mean()
    assert np.median(error_of(case, result)[~missing]) < 3.0


def test_an_organ_of_five_points_is_named():
    case = tiny_organ(known_motion(8, count=200))
    result = register(case.pair, OMC, Run())
    assert any("only 5 points" in text for text in result.warnings)
    assert np.median(error_of(case, result)[case.pair.moving.labels != 2]) < 3.0


def test_an_organ_of_another_size_is_named():
    case = known_motion(9, count=150)
    labels, points = case.pair.fixed.labels, case.pair.fixed.points.copy()
    own = labels == 4
    points[own] = points[own].mean(0) + 0.6 * (points[own] - points[own].mean(0))
    pair = PointPair(PointCloud(points, labels, names=case.pair.fixed.names), case.pair.moving)
    assert any("kidney_left is 0.6" in text for text in register(pair, PRESETS["quick"], Run()).warnings)


def test_further_points_move_like_the_cloud(small):
    result = register(small.pair, PRESETS["quick"], Run())
    y = small.pair.moving
    again = result.model.move(y.points, result.model.organs(y.labels, len(y.points)))
    np.testing.assert_allclose(again, result.moved.points, atol=1e-9)
    unknown = result.model.organs(np.array([99]), 1)
    straight = np.append(y.points[0], 1) @ result.inverse.matrix.T
    np.testing.assert_allclose(result.model.move(y.points[:1], unknown)[0], straight[:3], atol=1e-9)


def test_transform_and_inverse_undo_each_other(small):
    result = register(small.pair, PRESETS["quick"], Run())
    np.testing.assert_allclose(result.transform.matrix @ result.inverse.matrix, np.eye(4), atol=1e-9)


def test_same_seed_same_answer_and_inputs_stay(small):
    before = small.pair.moving.points.copy()
    first, second = (register(small.pair, PRESETS["quick"], Run(seed=1)) for _ in range(2))
    np.testing.assert_array_equal(first.moved.points, second.moved.points)
    np.testing.assert_array_equal(small.pair.moving.points, before)


def test_progress_rises_and_cancels(small):
    seen = []
    register(small.pair, PRESETS["quick"], Run(progress=lambda f, m: seen.append(f)))
    assert seen == sorted(seen)
    assert seen[0] >= 0
    assert seen[-1] <= 1

    def stop(fraction, message):
        raise Cancelled

    with pytest.raises(Cancelled):
        register(small.pair, PRESETS["quick"], Run(progress=stop))


def test_coarse_to_fine_stays_near_the_full_run():
    case = known_motion(2, count=600, degrees=10.0)
    full = register(case.pair, dataclasses.replace(OMC, coarse_points=0), Run())
    coarse = register(case.pair, dataclasses.replace(OMC, coarse_points=250), Run())
    assert abs(error_of(case, full).mean() - error_of(case, coarse).mean()) < 0.7


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_every_preset_runs_and_has_a_reason(small, name):
    quick = dataclasses.replace(PRESETS[name], max_loops=3, min_loops=1)
    result = METHOD.run(small.pair, quick, Run())
    assert np.isfinite(result.moved.points).all()
    assert METHOD.reasons[name]


def test_gmc_couples_organs_and_omc_does_not(small):
    one = register(small.pair, dataclasses.replace(GMC, max_loops=3, min_loops=1), Run())
    each = register(small.pair, dataclasses.replace(OMC, max_loops=3, min_loops=1), Run())
    assert len(one.record["rank"]) == 1
    assert len(each.record["rank"]) == 5


@pytest.mark.slow
def test_organs_that_pass_each_other_overlap_unless_each_moves_by_itself():
    case = neighbors("pass", 0, spacing_mm=3.0)
    found = {name: numbers_of(case, METHODS[name], points=300, seed=0) for name in ("omc", "gmc", "bcpd")}
    assert found["omc"]["overlap_pct"] == found["omc"]["in_others_pct"] == 0
    assert found["omc"]["error_mm"] < 2
    assert found["gmc"]["overlap_pct"] > 0
    assert found["bcpd"]["in_others_pct"] > 10
    assert min(found[name]["error_mm"] for name in ("gmc", "bcpd")) > 3 * found["omc"]["error_mm"]


BAD = {
    "one point": (lambda x, n: (x[:1], n[:1]), "at least 4 points"),
    "plane": (lambda x, n: (x * [1, 1, 0], n), "one plane"),
    "twice": (lambda x, n: (np.concatenate([x, x[:1]]), np.append(n, n[0])), "duplicates"),
    "meters": (lambda x, n: (x / 1000, n), "convert it to mm"),
    "other labels": (lambda x, n: (x, n + 100), "occurs in both"),
}


@pytest.mark.parametrize("fault", sorted(BAD))
def test_bad_clouds_are_refused_in_a_sentence(small, fault):
    change, words = BAD[fault]
    points, labels = change(small.pair.moving.points, small.pair.moving.labels)
    with pytest.raises(InputError, match=words) as caught:
        register(PointPair(small.pair.fixed, PointCloud(points, labels)), OMC, Run())
    assert "\n" not in str(caught.value)


def test_labels_on_one_side_are_refused(small):
    with pytest.raises(InputError, match="add a label column"):
        register(PointPair(small.pair.fixed, PointCloud(small.pair.moving.points)), OMC, Run())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"coherence_matrix": (1.0, 0.5)}, "25 numbers"),
        ({"coherence_matrix": tuple((np.eye(5) - 0.9 * (1 - np.eye(5))).ravel())}, "negative eigenvalue"),
        ({"organ_length_mm": (1.0,)}, "one an organ"),
        ({"label_matrix": tuple(np.ones(25))}, "sum to 1"),
        ({"max_rank": 2}, "max_rank"),
    ],
)
def test_options_that_cannot_work_are_refused(small, changes, words):
    with pytest.raises(InputError, match=words):
        register(small.pair, dataclasses.replace(OMC, **changes), Run())


@pytest.mark.slow
def test_a_million_points_are_refused_before_the_start():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1, 6), 200_000)
    cloud = PointCloud(rng.uniform(0, 100, (1_000_000, 3)), labels)
    with pytest.raises(InputError, match="GB"):
        register(PointPair(cloud, cloud), OMC, Run())


@pytest.mark.gpu
def test_the_gpu_gives_the_same_answer(small):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    host, device = (register(small.pair, OMC, Run(device=d)) for d in ("cpu", "cuda"))
    assert np.abs(host.moved.points - device.moved.points).max() < 0.01


def test_an_organ_that_only_one_scan_shows_whole_is_named():
    case = known_motion(1, count=60, degrees=10.0)
    fixed = case.pair.fixed
    middle = fixed.points[fixed.labels == 1].mean(0)
    shrunk = np.where((fixed.labels == 1)[:, None], middle + 0.3 * (fixed.points - middle), fixed.points)
    pair = PointPair(PointCloud(shrunk, fixed.labels, names=fixed.names), case.pair.moving)
    said = register(pair, PRESETS["quick"], Run()).warnings
    assert any("liver" in word and "show different parts" in word for word in said)
