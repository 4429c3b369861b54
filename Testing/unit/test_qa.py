"""Acceptance table, dose goals, calibration numbers, dose sums and the DVH chart."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from valorlib.charts_dvh import dvh_svg
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose
from valorlib.metrics.calibration import (
    LEVELS,
    calibrate,
    known_share,
    radius,
    ranks,
    right_scale,
    shipped_scale,
    spearman,
)
from valorlib.metrics.dose import check_dose, dose_at, sum_of_fractions
from valorlib.metrics.dvh import Dvh, dvh_band
from valorlib.metrics.qa import Tolerances, goals_csv, judge_goals, parse_goal, qa_table, read_goals

GRID = Grid((6, 5, 4), (2.0, 2.0, 3.0))


def test_the_table_judges_each_figure():
    rows = qa_table(
        Tolerances(),
        landmarks_mm=np.asarray([1.0, 1.5, 6.0]),
        structures=[{"name": "Heart", "dice": 0.85, "hd95_mm": 20.0, "volume_change_pct": -25.0}],
        folds_pct=0.0,
        consistency_p95_mm=4.0,
    )
    lights = {row.name: row.light for row in rows}
    assert lights["Landmark error, mean"] == "check"
    assert lights["Landmark error, largest"] == "check"
    assert lights["Heart: Dice"] == "pass"
    assert lights["Heart: HD95"] == "fail"
    assert lights["Heart: volume change"] == "check"
    assert lights["Folded voxels"] == "pass"
    assert lights["Inverse consistency, p95"] == "check"
    assert next(r for r in rows if r.name == "Heart: volume change").value == -25


def test_goals_are_read_written_and_judged(tmp_path):
    path = tmp_path / "goals.csv"
    path.write_text("structure,goal\nPTV,D95% >= 57 Gy\nheart,V20Gy <= 30 %\n")
    goals = read_goals(path)
    assert [g.text for g in goals] == ["D95% >= 57 Gy", "V20Gy <= 30 %"]
    again = tmp_path / "again.csv"
    again.write_text(goals_csv(goals))
    assert read_goals(again) == goals
    ptv = Dvh("PTV", np.full(10, 58.0), np.full(10, 1.0))
    heart = Dvh("Heart", np.full(10, 25.0), np.full(10, 1.0))
    samples = {"PTV": np.repeat(np.asarray([[58.0]] * 8 + [[56.0]] * 2, dtype=np.float32), 10, axis=1)}
    found = judge_goals(goals, {"PTV": ptv, "Heart": heart}, samples)
    assert (found[0].met, found[0].probability, found[0].light) == (True, 0.8, "check")
    assert 0.05 < found[0].probability_error < 0.2
    assert (found[1].met, found[1].light) == (False, "fail")


@pytest.mark.parametrize("text", ["D95%", "D95% >= x Gy", "D95% >= 5 cc", "Dose >= 3 Gy"])
def test_a_goal_that_makes_no_sense_is_refused(text):
    with pytest.raises(InputError):
        parse_goal("PTV", text)


def test_a_goal_for_no_structure_is_refused(tmp_path):
    with pytest.raises(InputError, match="'Lung' is no structure; there are A"):
        judge_goals([parse_goal("Lung", "Dmean < 5 Gy")], {"A": Dvh("A", np.ones(3), np.ones(3))}, {})
    bad = tmp_path / "goals.json"
    bad.write_text('{"a": 1}')
    with pytest.raises(InputError, match="columns structure and goal"):
        read_goals(bad)


def test_centigray_goals_become_gray():
    assert parse_goal("A", "Dmax < 4500 cGy").value == 45


def gaussian_errors(count=200_000, seed=0):
    rng = np.random.default_rng(seed)
    sigma = rng.uniform(0.5, 4, count)
    return sigma, np.linalg.norm(rng.normal(size=(count, 3)), axis=1) * sigma / np.sqrt(3)


def test_a_right_sigma_covers_what_it_says():
    sigma, error = gaussian_errors()
    found = calibrate(sigma, error)
    for level in LEVELS:
        assert found.coverage[level] == pytest.approx(level, abs=0.005)
    assert found.mean_gap < 0.5
    assert found.scale == pytest.approx(1, abs=0.01)
    assert found.nll < found.constant_nll - 0.2
    assert all(abs(p - q) < 0.01 for p, q in found.curve)


def test_the_scale_that_would_be_right_is_found():
    sigma, error = gaussian_errors()
    assert right_scale(0.5 * sigma, error) == pytest.approx(2, rel=0.01)
    # The radii written in the help: 0.888, 1.244 and 1.614 sigma.
    np.testing.assert_allclose([radius(level) for level in LEVELS], [0.888, 1.244, 1.614], atol=1e-3)


def test_a_known_shift_brings_the_radii_together_and_covers_what_they_say():
    rng = np.random.default_rng(1)
    share = rng.uniform(0, 0.95, 40_000)
    turn = rng.normal(size=(len(share), 3))
    shift = np.sqrt(share)[:, None] * turn / np.linalg.norm(turn, axis=1, keepdims=True)
    error = np.linalg.norm(shift + rng.normal(size=turn.shape) * np.sqrt((1 - share) / 3)[:, None], axis=1)
    found = calibrate(np.ones_like(share), error, known=share)
    assert found.worst_gap < 1
    assert found.scale == pytest.approx(1, abs=0.02)
    assert calibrate(np.ones_like(share), error).worst_gap > 3
    assert radius(0.5, 0.9) > radius(0.5)
    assert radius(0.95, 0.9) < radius(0.95)
    np.testing.assert_allclose([radius(level, 0.99) for level in LEVELS], 1, atol=0.12)


def test_the_radii_hold_what_they_say_when_a_second_registration_is_there():
    rng = np.random.default_rng(2)
    spread = rng.uniform(0.5, 4, 40_000)
    error, other = (rng.normal(size=(len(spread), 3)) * s[:, None] for s in (spread, np.ones_like(spread)))
    seen = np.sum((error - other) ** 2, axis=1)
    sigma, length = np.sqrt(seen + 3), np.linalg.norm(error, axis=1)
    plain = calibrate(sigma, length, scale=right_scale(sigma, length))
    known = known_share(seen / sigma**2)
    found = calibrate(sigma, length, scale=right_scale(sigma, length, known), known=known)
    assert plain.worst_gap > found.worst_gap + 2
    np.testing.assert_allclose(known_share(np.asarray([0.0, 0.5, 0.8, 1.0])), [0, 0, 0.375, 0.5])


def test_ranks_and_rank_correlation():
    values = np.asarray([3.0, 1.0, 2.0, 10.0])
    np.testing.assert_allclose(ranks(values), [62.5, 12.5, 37.5, 87.5])
    assert spearman(values, values**3) == pytest.approx(1)
    assert spearman(values, np.ones(4)) == 0


def test_a_shipped_scale_says_how_it_was_found_and_an_unknown_one_is_none():
    known = shipped_scale("anchor", "head_neck")
    assert known.value is not None
    assert "real CT" in known.source
    assert shipped_scale("paper", "thorax").value is None


def test_fractions_add_up_on_the_first_grid():
    rng = np.random.default_rng(0)
    first = Dose(rng.random(GRID.shape).astype(np.float32), GRID)
    constant = Dose(np.full((9, 9, 9), 2.0, dtype=np.float32), Grid((9, 9, 9), (4.0, 4.0, 4.0), (-8.0, -8.0, -8.0)))
    total = sum_of_fractions([first, constant], [5, 10])
    np.testing.assert_allclose(total.array, 5 * first.array + 20, rtol=1e-5)
    with pytest.raises(InputError, match="fractions"):
        sum_of_fractions([first], [1, 2])


def test_dose_at_points_is_linear_and_zero_outside():
    x = np.moveaxis(GRID.points(), -1, 0)[0]
    dose = Dose((10 + x).astype(np.float32), GRID)
    found = dose_at(dose, np.asarray([(3.3, 1.0, 2.0), (100.0, 0, 0)]))
    np.testing.assert_allclose(found.gy, [13.3, 0], atol=1e-5)
    assert found.outside_pct == 50


def test_odd_doses_are_noticed():
    assert "zero everywhere" in check_dose(Dose(np.zeros(GRID.shape, dtype=np.float32), GRID))[0]
    mixed = np.ones(GRID.shape, dtype=np.float32)
    mixed[0, 0, 0] = -0.5
    assert "negative" in check_dose(Dose(mixed, GRID))[0]
    assert "cGy" in check_dose(Dose(6000 * np.ones(GRID.shape, dtype=np.float32), GRID))[0]
    with pytest.raises(InputError, match="none above 0"):
        check_dose(Dose(-np.ones(GRID.shape, dtype=np.float32), GRID))
    mixed[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        check_dose(Dose(mixed, GRID))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_chart_is_valid_svg_with_escaped_names(theme):
    rng = np.random.default_rng(0)
    base = np.linspace(5, 60, 100, dtype=np.float32)
    samples = (base + rng.normal(0, 2, (50, 1))).astype(np.float32)
    bands = [dvh_band(Dvh(name, base, np.full(100, 0.1)), samples) for name in ('<Heart & "lung">', "x" * 60)]
    text = dvh_svg(bands, theme=theme, prescription_gy=60.0)
    root = ET.fromstring(text)
    words = [e.text or "" for e in root.iter("{http://www.w3.org/2000/svg}text")]
    assert '<Heart & "lung">' in words
    assert all(len(w) < 45 for w in words)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polygon"))) == 2


def test_an_empty_chart_and_a_dose_of_zero_still_draw():
    ET.fromstring(dvh_svg([]))
    zero = np.zeros((3, 10), dtype=np.float32)
    ET.fromstring(dvh_svg([dvh_band(Dvh("A", zero[0], np.ones(10)), zero)]))
