"""Mapping, composing, exponentiating and inverting transforms, against SimpleITK, by hand and by property."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.geometry import GRID, STRAIGHT, smooth_field, turned

from valorlib.convert.simpleitk import field_to_sitk, transform_to_sitk
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, VelocityField
from valorlib.ops.invert import invert_field
from valorlib.ops.mapping import flatten
from valorlib.ops.transforms import compose, exponentiate, inverse_of, map_points, to_displacement


def inner_points(grid, count=200, margin=1.0):
    low, high = margin, np.asarray(grid.size) - 1 - margin
    return grid.to_world(low + np.random.default_rng(5).random((count, 3)) * (high - low))


@pytest.mark.parametrize(
    "transform", [turned(), smooth_field(), Chain((smooth_field(), turned((3, 2, 1), (0.5, 0, 0))))]
)
def test_points_go_where_simpleitk_puts_them(transform):
    oracle = transform_to_sitk(transform)
    points = inner_points(GRID, margin=2.5)
    expected = np.asarray([oracle.TransformPoint(p.tolist()) for p in points])
    np.testing.assert_allclose(map_points(transform, points), expected, atol=2e-5)


def test_a_field_continues_at_its_border_value_outside():
    field = smooth_field()
    corner = GRID.to_world((0, 0, 0))
    far = GRID.to_world((-40, -30, -20))
    moved = map_points(field, np.stack([corner, far])) - (corner, far)
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-5)
    np.testing.assert_allclose(moved[0], field.array[0, 0, 0], atol=1e-5)


def test_a_chain_applies_its_first_part_first():
    turn, shift = turned((0, 0, 90), (0, 0, 0)), turned((0, 0, 0), (1, 0, 0))
    np.testing.assert_allclose(map_points(Chain((turn, shift)), np.array([[2.0, 0, 0]])), [[1, 2, 0]], atol=1e-12)
    np.testing.assert_allclose(map_points(Chain((shift, turn)), np.array([[2.0, 0, 0]])), [[0, 3, 0]], atol=1e-12)


def test_neighboring_affines_of_nested_chains_are_merged():
    nested = Chain((turned(), Chain((turned(), smooth_field(), turned())), turned()))
    assert [type(p) for p in flatten(nested)] == [AffineTransform, DisplacementField, AffineTransform]
    assert flatten(Chain(())) == ()
    with pytest.raises(InputError, match="expected an affine"):
        flatten("left")  # type: ignore[arg-type]


@pytest.mark.parametrize("grid", [GRID, STRAIGHT, Grid((6, 5, 1))])
def test_a_sampled_transform_moves_voxels_as_the_transform_moves_points(grid):
    for transform in (
        turned(),
        smooth_field(grid if min(grid.size) > 1 else GRID),
        Chain((smooth_field(), turned(), smooth_field(STRAIGHT))),
        Chain((turned(), smooth_field())),
    ):
        sampled = to_displacement(transform, grid)
        expected = map_points(transform, grid.points()) - grid.points()
        np.testing.assert_allclose(sampled.array, expected, atol=5e-5)


def test_a_field_on_its_own_grid_is_copied():
    field = smooth_field()
    copy = to_displacement(field, GRID)
    np.testing.assert_array_equal(copy.array, field.array)
    assert copy.array is not field.array


def test_composition_is_what_points_see():
    first, second = smooth_field(seed=1), smooth_field(seed=2)
    points = GRID.points().reshape(-1, 3)
    np.testing.assert_allclose(
        map_points(compose(first, second, GRID), points), map_points(second, map_points(first, points)), atol=1e-4
    )


def test_points_of_any_shape_and_none_at_all():
    field = smooth_field()
    assert map_points(field, np.zeros((0, 3))).shape == (0, 3)
    assert map_points(field, np.zeros(3)).shape == (3,)
    assert map_points(field, np.zeros((2, 5, 3))).shape == (2, 5, 3)
    with pytest.raises(InputError, match="expected finite numbers"):
        map_points(field, np.array([[0.0, np.nan, 0.0]]))


def test_the_exponential_of_a_constant_is_a_shift():
    velocity = VelocityField(np.broadcast_to(np.float32([3, -2, 1]), (*GRID.shape, 3)), GRID)
    np.testing.assert_allclose(exponentiate(velocity).array, velocity.array, atol=1e-5)


def test_the_exponential_of_a_rotation_is_a_rotation():
    grid = Grid((41, 41, 3), (1, 1, 1), (-20, -20, -1))
    angle = np.deg2rad(40)
    points = grid.points()
    spin = np.stack([-points[..., 1], points[..., 0], 0 * points[..., 0]], -1) * angle
    moved = exponentiate(VelocityField(spin.astype("f4"), grid))
    c, s = np.cos(angle), np.sin(angle)
    expected = points @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) - points
    inside = np.hypot(points[..., 0], points[..., 1]) < 14
    assert np.abs(moved.array - expected)[inside].max() < 0.02


def test_the_exponential_of_the_negative_is_the_inverse():
    velocity = VelocityField(smooth_field(size_mm=3.0).array, GRID)
    both = compose(exponentiate(velocity), exponentiate(inverse_of(velocity)), GRID)
    assert np.linalg.norm(both.array, axis=-1)[3:-3, 3:-3, 3:-3].mean() < 0.05


def test_the_inverse_of_a_field_brings_points_back_up_to_the_border():
    field = smooth_field(size_mm=4.0)
    inverse, residual = invert_field(field)
    assert float(residual.array.mean()) <= 0.01
    assert float(residual.array.max()) <= 0.5
    grid = GRID.cropped((2, 2, 2), (18, 16, 14))
    again, left = invert_field(field, grid)
    np.testing.assert_allclose(again.array, inverse.array[2:14, 2:16, 2:18], atol=0.05)
    assert left.grid is grid


def test_the_inverse_at_the_border_of_a_cropped_field_is_no_worse_than_inside():
    # Displacements that do not fade at the border: taken as zero outside, the inverse is millimeters off there.
    points = STRAIGHT.points()
    u = np.stack([8 + 0.2 * np.sin(points[..., 1]), -6 + 0 * points[..., 0], 7 + 0.3 * np.cos(points[..., 0])], -1)
    field = DisplacementField(u.astype("f4"), STRAIGHT)
    inverse, residual = invert_field(field)
    assert float(residual.array.max()) < 0.02
    back = map_points(field, map_points(inverse, points.reshape(-1, 3)))
    assert np.linalg.norm(back - points.reshape(-1, 3), axis=1).max() < 0.05


def test_a_steep_but_invertible_field_is_inverted_where_plain_iteration_diverges():
    grid = Grid((60, 8, 8), (0.5, 1, 1))
    x = grid.points()[..., 0]
    u = np.zeros((*grid.shape, 3), "f4")
    # x + u rises four times as fast as x in the middle: u' = 3, where v <- -u(y + v) does not settle.
    u[..., 0] = 3 * (np.clip(x, 10, 20) - 15)
    inverse, residual = invert_field(DisplacementField(u, grid))
    assert float(residual.array.max()) < 0.02
    y = grid.points()[..., 0]
    expected = np.where(np.abs(y - 15) < 20, (y - 15) / 4 - (y - 15), 0)
    np.testing.assert_allclose(inverse.array[..., 0], expected, atol=0.02)


def test_where_the_field_folds_the_residual_says_so():
    grid = Grid((40, 6, 6))
    u = np.zeros((*grid.shape, 3), "f4")
    u[:, :, 15:25, 0] = 12 * np.sin(np.arange(10))
    residual = invert_field(DisplacementField(u, grid))[1]
    assert np.isfinite(residual.array).all()
    assert float(residual.array.max()) > 0.5


def test_the_inverse_of_a_chain_undoes_it_backwards():
    chain = Chain((turned(), smooth_field(size_mm=1.5), turned((5, 5, 5), (1, 1, 1))))
    points = inner_points(GRID)
    start = map_points(inverse_of(turned()), points)
    back = map_points(inverse_of(chain), map_points(chain, start))
    assert np.linalg.norm(back - start, axis=1).max() < 0.05


def test_the_inverse_field_agrees_with_simpleitk():
    field = smooth_field(STRAIGHT, size_mm=1.0)
    oracle = sitk.InvertDisplacementField(
        field_to_sitk(field), maximumNumberOfIterations=50, enforceBoundaryCondition=False
    )
    ours = invert_field(field)[0].array
    inside = np.s_[3:-3, 3:-3, 3:-3]
    np.testing.assert_allclose(ours[inside], sitk.GetArrayFromImage(oracle)[inside], atol=0.06)


angles = st.floats(-180, 180)
shifts = st.floats(-200, 200)
sizes = st.integers(1, 9)


@st.composite
def grids(draw):
    direction = turned(tuple(draw(angles) for _ in range(3))).matrix[:3, :3]
    direction = direction * draw(st.sampled_from([1, -1]))
    return Grid(
        tuple(draw(sizes) for _ in range(3)),
        tuple(draw(st.floats(0.2, 8)) for _ in range(3)),
        tuple(draw(shifts) for _ in range(3)),
        tuple(map(tuple, direction)),
    )


@given(grids())
@settings(max_examples=60, deadline=None)
def test_index_and_world_undo_each_other(grid):
    index = np.random.default_rng(1).random((20, 3)) * grid.size
    np.testing.assert_allclose(grid.to_index(grid.to_world(index)), index, atol=1e-8)
    assert grid.contains(grid.to_world(np.clip(index, 0, np.asarray(grid.size) - 1))).all()


@given(grids(), st.floats(0.3, 5))
@settings(max_examples=40, deadline=None)
def test_resampled_grids_keep_the_outer_border(grid, spacing):
    np.testing.assert_allclose(grid.resampled((spacing,) * 3).corners(), grid.corners(), atol=1e-6)


@given(st.tuples(angles, angles, angles), st.tuples(shifts, shifts, shifts), st.floats(0.5, 2))
@settings(max_examples=40, deadline=None)
def test_an_affine_and_its_inverse_cancel(degrees, shift, scale):
    transform = turned(degrees, shift, scale)
    points = np.random.default_rng(2).normal(size=(10, 3)) * 100
    np.testing.assert_allclose(map_points(inverse_of(transform), map_points(transform, points)), points, atol=1e-8)


@given(st.integers(0, 10_000), st.floats(0.1, 3.0))
@settings(max_examples=15, deadline=None)
def test_inverses_of_smooth_fields_close_within_tolerance(seed, size_mm):
    residual = invert_field(smooth_field(seed=seed, size_mm=size_mm))[1]
    assert float(residual.array.mean()) <= 0.05
    assert float(residual.array.max()) <= 0.5


@given(st.integers(0, 10_000), st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_composition_is_associative_for_points(seed, other):
    a, b, c = smooth_field(seed=seed), turned((5, 0, 3), (1, 0, 2)), smooth_field(seed=other)
    points = inner_points(GRID, 30)
    left = map_points(Chain((Chain((a, b)), c)), points)
    right = map_points(Chain((a, Chain((b, c)))), points)
    np.testing.assert_allclose(left, right, atol=1e-9)
