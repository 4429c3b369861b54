"""DVHs against exact shapes, counted by hand, and with refusals."""

from __future__ import annotations

import numpy as np
import pytest
from analytic_shapes import Shape, linear_dose, random_turn

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, LabelMap
from valorlib.metrics.dvh import Dvh, Metric, dvh_band, dvh_of, family_band, metric_values, percentiles, quantile_error
from valorlib.metrics.solids import StructurePoints, sample_labels, sample_solid

GRID = Grid((10, 8, 6), (2.0, 3.0, 4.0), (5.0, -7.0, 11.0), ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)))


@pytest.mark.parametrize("kind", ["sphere", "cylinder", "cone"])
@pytest.mark.parametrize("oblique", [False, True])
def test_a_shape_in_a_linear_dose_has_its_exact_dvh(kind, oblique):
    rng = np.random.default_rng(7)
    for n in range(3):
        center = rng.uniform(-2, 2, 3)
        center[2] = 2.5 * np.round(center[2] / 2.5)  # flat faces on the grid
        shape = Shape(kind, 10.0, center, random_turn(rng) if oblique else np.eye(3))
        direction = random_turn(rng)[0]
        found = dvh_of(sample_solid(shape, seed=n), linear_dose(center, direction, 1.0, 2.5))
        assert found.volume_cc == pytest.approx(shape.volume_cc, rel=3e-3)
        for percent in (95, 50, 2):
            exact = 20 + shape.offset_at(1 - percent / 100, direction)
            assert float(found.dose_at_pct(percent)) == pytest.approx(exact, abs=0.05)
        assert found.mean_gy == pytest.approx(20 + shape.mean_offset(direction), abs=0.01)


def test_a_small_sphere_on_a_fine_grid():
    shape = Shape("sphere", 3.0, np.asarray([0.3, -0.2, 0.1]), np.eye(3))
    direction = np.asarray([0.0, 0.6, 0.8])
    found = dvh_of(sample_solid(shape, cell_mm=1.0), linear_dose(shape.center, direction, 1.0, 1.0))
    assert found.volume_cc == pytest.approx(shape.volume_cc, rel=5e-3)
    assert float(found.dose_at_pct(95)) == pytest.approx(20 + shape.offset_at(0.05, direction), abs=0.01)


def test_the_reported_error_covers_the_true_one():
    rng = np.random.default_rng(0)
    ratios = []
    for n in range(6):
        shape = Shape("sphere", 12.0, rng.uniform(-1, 1, 3), np.eye(3))
        direction = random_turn(rng)[0]
        dose = linear_dose(shape.center, direction, 1.0, 2.5)
        points = sample_solid(shape, seed=n, budget=4000)
        gy = dvh_of(points, dose)
        values = metric_values(points, _gy(points, dose), [Metric.parse("D95%")])
        truth = 20 + shape.offset_at(0.05, direction)
        assert values[0].value == pytest.approx(float(gy.dose_at_pct(95)))
        ratios.append(abs(values[0].value - truth) / values[0].error)
    assert np.median(ratios) < 3


def _gy(points, dose):
    from valorlib.metrics.dose import dose_at

    return dose_at(dose, points.points).gy


def test_a_dvh_counted_by_hand():
    dvh = Dvh("A", np.asarray([30.0, 10.0, 20.0, 40.0]), np.full(4, 0.25))
    assert dvh.volume_cc == 1
    assert (dvh.mean_gy, dvh.min_gy, dvh.max_gy) == (25, 10, 40)
    assert float(dvh.volume_at_gy(20)) == 75
    assert float(dvh.volume_at_gy(20.01)) == 50
    assert float(dvh.volume_at_gy(0)) == 100
    assert float(dvh.volume_at_gy(41)) == 0
    assert float(dvh.dose_at_pct(50)) == 25
    assert float(dvh.dose_at_pct(100)) == 10
    assert float(dvh.dose_at_pct(0)) == 40
    np.testing.assert_allclose(dvh.differential(np.asarray([0.0, 15.0, 35.0, 50.0])), [0.25, 0.5, 0.25])


def test_the_cumulative_dvh_never_rises():
    rng = np.random.default_rng(1)
    dvh = Dvh("A", rng.gamma(2, 10, 500), rng.random(500))
    assert np.all(np.diff(dvh.volume_at_gy(np.linspace(0, 100, 300))) <= 1e-12)
    assert np.all(np.diff(dvh.dose_at_pct(np.linspace(0, 100, 300))) <= 1e-12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Dmean", 25), ("d max", 40), ("Dmin", 10), ("D50%", 25), ("D0.5cc", 25), ("V20Gy", 75), ("V20Gycc", 0.75),
     ("V20Gy (cc)", 0.75), ("V50%", 75), ("Volume", 1)],
)  # fmt: skip
def test_metrics_are_read_and_computed(text, expected):
    dvh = Dvh("A", np.asarray([30.0, 10.0, 20.0, 40.0]), np.full(4, 0.25))
    assert Metric.parse(text).of(dvh, 40.0) == pytest.approx(expected)


def test_a_metric_nobody_knows_is_refused_in_a_sentence():
    with pytest.raises(InputError, match=r"metric: expected .* got 'D'"):
        Metric.parse("D")
    with pytest.raises(InputError, match="prescription"):
        Metric.parse("V95%").of(Dvh("A", np.ones(3), np.ones(3)))
    assert np.isnan(Metric.parse("D5cc").of(Dvh("A", np.ones(3), np.ones(3))))


def labels_of(voxels):
    array = np.zeros(GRID.shape, dtype=np.int32)
    for n, (k, j, i) in enumerate(voxels):
        array[k, j, i] = 1
        assert n >= 0
    return LabelMap(array, GRID, {1: "Heart"})


def test_the_volume_of_a_label_is_exact_and_its_points_lie_in_it():
    labels = labels_of([(1, 2, 3), (1, 2, 4), (4, 5, 6)])
    points = sample_labels(labels, 1)
    assert points.volume_cc == pytest.approx(3 * 24 / 1000)
    index = np.round(points.points @ np.linalg.inv(GRID.matrix[:3, :3]).T + np.linalg.inv(GRID.matrix)[:3, 3])
    assert np.all(labels.array[tuple(index.astype(int).T[::-1])] == 1)


def test_one_voxel_is_refused_and_one_below_a_cc_warned():
    dose = Dose(np.full(GRID.shape, 7.0, dtype=np.float32), GRID)
    one = sample_labels(labels_of([(1, 2, 3)]), 1)
    assert "one voxel" in one.warnings[0]
    values = metric_values(one, _gy(one, dose))
    assert np.isnan(values[0].value)
    assert "too small" in values[0].note
    some = sample_labels(labels_of([(1, 2, i) for i in range(1, 9)]), 1)
    values = metric_values(some, _gy(some, dose))
    assert values[0].value == pytest.approx(7)
    assert "below 1 cc" in values[0].note


def test_an_empty_structure_and_a_dose_that_misses_are_refused_in_a_sentence():
    with pytest.raises(InputError, match="Heart: expected a structure with voxels"):
        sample_labels(labels_of([]), 1)
    far = Grid(GRID.size, GRID.spacing, (5000.0, 0.0, 0.0))
    with pytest.raises(InputError, match="misses it"):
        dvh_of(sample_labels(labels_of([(1, 2, 3)]), 1), Dose(np.ones(GRID.shape, dtype=np.float32), far))


def test_thinned_points_keep_volume_and_mean():
    shape = Shape("sphere", 20.0, np.zeros(3), np.eye(3))
    points = sample_solid(shape)
    thin = points.thinned(5000)
    assert len(thin.points) == 5000
    assert thin.volume_cc == pytest.approx(points.volume_cc)
    np.testing.assert_allclose(thin.points.mean(axis=0), 0, atol=0.1)
    assert np.linalg.norm(thin.points, axis=1).max() <= 10


def test_bands_are_percentiles_of_the_samples_dvhs():
    rng = np.random.default_rng(2)
    base = np.linspace(10, 50, 400, dtype=np.float32)
    samples = (base + rng.normal(0, 2, (300, 1))).astype(np.float32)
    band = dvh_band(Dvh("A", base, np.full(400, 0.01)), samples)
    low, high = band.band(90)
    shifts = percentiles(samples[:, 0] - 10, (5, 95))
    np.testing.assert_allclose(low - band.nominal_gy, shifts[0], atol=0.05)
    np.testing.assert_allclose(high - band.nominal_gy, shifts[1], atol=0.05)
    assert np.all(band.family_low_gy <= low + 1e-6)
    assert 0 < band.monte_carlo_gy.mean() < 1


def test_a_further_draw_lies_in_the_band_of_few_samples_as_often_as_the_band_says():
    draws = np.random.default_rng(4).normal(size=(40, 20_000))
    low, high = percentiles(draws[:-1], (5, 95))
    assert np.mean((draws[-1] >= low) & (draws[-1] <= high)) == pytest.approx(0.9, abs=0.01)


def test_the_family_band_holds_its_share_of_whole_curves():
    rng = np.random.default_rng(3)
    curves = np.cumsum(rng.normal(size=(400, 30)), axis=1)
    low, high = family_band(curves)
    whole = np.all((curves >= low) & (curves <= high), axis=1).mean()
    assert whole == pytest.approx(0.9, abs=0.02)


def test_intervals_come_from_the_samples():
    points = StructurePoints("A", np.zeros((50, 3)), np.full(50, 40.0), np.zeros(50, dtype=np.int64))
    gy = np.full(50, 20, dtype=np.float32)
    rng = np.random.default_rng(0)
    samples = (20 + rng.normal(0, 1, (500, 1)) + np.zeros((1, 50))).astype(np.float32)
    value = metric_values(points, gy, [Metric.parse("Dmean")], samples=samples)[0]
    assert value.low == pytest.approx(18.04, abs=0.25)
    assert value.high == pytest.approx(21.96, abs=0.25)
    assert 0.02 < value.monte_carlo < 0.4


def test_the_error_of_a_quantile_shrinks_with_the_samples():
    rng = np.random.default_rng(0)
    few = np.mean([quantile_error(rng.normal(size=100), 0.05) for _ in range(50)])
    many = np.mean([quantile_error(rng.normal(size=1600), 0.05) for _ in range(50)])
    # Asymptotic: sqrt(p (1 - p) / n) / density = 0.211 at n = 100.
    assert few == pytest.approx(0.211, rel=0.25)
    assert many == pytest.approx(few / 4, rel=0.25)
