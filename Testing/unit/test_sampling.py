"""Samples of a registration's error: exact in spread, smooth, seeded; and the doses they bring."""

from __future__ import annotations

import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.sampling import DisplacementSampler, NoiseLattice, doses_at_points

GRID = Grid((30, 26, 22), (4.0, 4.0, 5.0), (-50.0, 20.0, 7.0), ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0)))


def points_in(grid, count, seed=0):
    index = np.random.default_rng(seed).uniform(1, np.asarray(grid.size) - 2, (count, 3))
    return grid.to_world(index)


def sigma_map(seed=1):
    return Image(np.random.default_rng(seed).uniform(0.5, 4, GRID.shape).astype(np.float32), GRID)


def test_the_spread_of_the_samples_is_sigma_at_every_point():
    points = points_in(GRID, 3000)
    for samples in (20, 100):
        sampler = DisplacementSampler(sigma_map(), points, samples=samples)
        length = np.sqrt((sampler.at(points) ** 2).sum(axis=2).mean(axis=1))
        np.testing.assert_allclose(length / sampler.sigma_at(points), 1, atol=0.01)
        np.testing.assert_allclose(sampler.at(points).mean(axis=1), 0, atol=1e-4)


def test_the_noise_has_unit_variance_at_every_point_by_construction():
    points = points_in(GRID, 500)
    lattice = NoiseLattice.around(points, 15.0)
    si, sj, sk = lattice.smoothers
    weights = lattice.weights(points).toarray().astype(np.float64)
    covariance = np.kron(si @ si.T, np.kron(sj @ sj.T, sk @ sk.T))
    variance = np.sum((weights @ covariance) * weights, axis=1)
    np.testing.assert_allclose(variance, 1, atol=1e-5)


def test_nearby_points_move_together_as_the_correlation_length_says():
    line = np.stack([np.linspace(0, 90, 91), np.zeros(91), np.zeros(91)], axis=1)
    lattice = NoiseLattice.around(line + 0.0, 15.0)
    noise = lattice.weights(line) @ lattice.draw(np.random.default_rng(0), 4000)
    found = np.corrcoef(noise)[20]
    expected = np.exp(-((line[:, 0] - 20) ** 2) / (4 * 15**2))
    np.testing.assert_allclose(found, expected, atol=0.08)


def test_the_same_seed_gives_the_same_samples_and_another_seed_others():
    points = points_in(GRID, 50)
    first, again = (DisplacementSampler(sigma_map(), points, samples=5, seed=3).at(points) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, DisplacementSampler(sigma_map(), points, samples=5, seed=4).at(points))


def test_a_point_has_the_same_sample_whatever_else_is_asked():
    points = points_in(GRID, 9000)
    sampler = DisplacementSampler(sigma_map(), points, samples=4)
    np.testing.assert_allclose(sampler.at(points)[17:19], sampler.at(points[17:19]), atol=1e-5)


def test_sampled_doses_of_a_linear_dose_follow_the_displacements():
    points = points_in(GRID, 5000)
    x, y, z = np.moveaxis(GRID.points(), -1, 0)
    dose = Dose((100 + 0.5 * x - 0.2 * y + 0.1 * z).astype(np.float32), GRID)
    middle = np.all(np.abs(GRID.to_index(points) - np.asarray(GRID.size) / 2) < 6, axis=1)
    points = points[middle]
    shift = AffineTransform(np.asarray([[1, 0, 0, 2.0], [0, 1, 0, -1.0], [0, 0, 1, 0.5], [0, 0, 0, 1]]))
    sampler = DisplacementSampler(sigma_map(), points, samples=6)
    at = points[None] + (2.0, -1.0, 0.5) + sampler.at(points).transpose(1, 0, 2)
    expected = 100 + 0.5 * at[..., 0] - 0.2 * at[..., 1] + 0.1 * at[..., 2]
    np.testing.assert_allclose(doses_at_points(dose, shift, sampler, points), expected, atol=2e-3)


def test_a_sigma_of_zero_leaves_the_nominal_dose():
    points = points_in(GRID, 100)
    dose = Dose(np.random.default_rng(0).random(GRID.shape).astype(np.float32), GRID)
    zero = DisplacementField(np.zeros((*GRID.shape, 3), dtype=np.float32), GRID)
    sampler = DisplacementSampler(Image(np.zeros(GRID.shape, dtype=np.float32), GRID), points, samples=3)
    found = doses_at_points(dose, zero, sampler, points)
    np.testing.assert_allclose(found, np.broadcast_to(found[0], found.shape), atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_a_number_of_samples_that_cannot_work_is_refused(count):
    with pytest.raises(InputError, match="samples: expected 2 to 2000"):
        DisplacementSampler(sigma_map(), points_in(GRID, 5), samples=count)


def test_a_sigma_below_zero_is_refused():
    bad = Image(np.full(GRID.shape, -1.0, dtype=np.float32), GRID)
    with pytest.raises(InputError, match="sigma"):
        DisplacementSampler(bad, points_in(GRID, 5))
