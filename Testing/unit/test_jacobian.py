"""The Jacobian determinant against analytic fields and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.jacobian import jacobian_determinant, log_jacobian

TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((23, 19, 17), (1.5, 2.0, 3.0), (-12.0, 40.0, 7.0), TURN)


def affine_field(matrix, grid=GRID):
    return DisplacementField((grid.points() @ (np.asarray(matrix) - np.eye(3)).T).astype(np.float32), grid)


def wave_field(grid, amplitude=4.0, length=60.0):
    x, y, z = np.moveaxis(grid.points(), -1, 0)
    k = 2 * np.pi / length
    u = amplitude * np.stack([np.sin(k * y), np.sin(k * z), np.sin(k * x)], axis=-1)
    a = amplitude * k
    truth = 1 + a**3 * np.cos(k * x) * np.cos(k * y) * np.cos(k * z)
    return DisplacementField(u.astype(np.float32), grid), truth


def test_an_affine_field_has_its_own_determinant_everywhere_even_at_the_border():
    matrix = [[1.1, 0.2, -0.1], [0.05, 0.9, 0.1], [-0.1, 0.0, 1.2]]
    found = jacobian_determinant(affine_field(matrix)).array
    np.testing.assert_allclose(found, np.linalg.det(matrix), atol=1e-4)


@pytest.mark.parametrize("order", [2, 4])
def test_a_wave_is_within_a_thousandth_of_the_analytic_determinant(order):
    grid = Grid((40, 36, 30), (1.0, 1.0, 1.2), (3.0, -5.0, 11.0), TURN)
    field, truth = wave_field(grid)
    error = np.abs(jacobian_determinant(field, order=order).array - truth)
    assert error[2:-2, 2:-2, 2:-2].max() < 1e-3


def test_agrees_with_simpleitk_inside():
    field, _ = wave_field(GRID)
    image = sitk.GetImageFromArray(field.array.astype(np.float64), isVector=True)
    image.SetSpacing(GRID.spacing)
    image.SetOrigin(GRID.origin)
    image.SetDirection(np.asarray(GRID.direction).ravel().tolist())
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    inside = np.s_[1:-1, 1:-1, 1:-1]
    # SimpleITK differentiates along the grid's axes without turning the components; only an axis-aligned grid compares.
    straight = Grid(GRID.size, GRID.spacing, GRID.origin)
    ours = jacobian_determinant(DisplacementField(field.array, straight)).array
    image.SetDirection(np.eye(3).ravel().tolist())
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-5)


def test_threads_do_not_change_the_answer(monkeypatch):
    monkeypatch.setattr("valorlib.ops.jacobian.SLAB_VOXELS", 1000)
    field, _ = wave_field(GRID)
    np.testing.assert_array_equal(jacobian_determinant(field).array, jacobian_determinant(field, threads=3).array)


def test_a_field_of_one_slice_changes_no_volume_across_it():
    grid = Grid((8, 8, 1))
    found = jacobian_determinant(affine_field(np.diag([1.2, 1.0, 1.5]), grid)).array
    np.testing.assert_allclose(found, 1.2, atol=1e-5)


def test_the_log_of_a_fold_is_the_log_of_the_floor():
    field = affine_field(np.diag([-0.5, 1.0, 1.0]))
    np.testing.assert_allclose(log_jacobian(field, floor=1e-3).array, np.log(1e-3), rtol=1e-5)
