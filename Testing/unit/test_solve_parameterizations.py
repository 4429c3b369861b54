from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.linalg import expm

from valorlib.ops.warp import compose_voxels, identity
from valorlib.solve.parameterizations import (
    Affine,
    DisplacementPyramid,
    StationaryVelocity,
    TimeVaryingVelocity,
    dense,
    invert_dense,
)

LIKE = torch.zeros(1, dtype=torch.float64)
INSIDE = (slice(None), slice(None), *(slice(7, -7),) * 3)


def turning(shape, rate):
    """Velocity of a rotation by `rate` rad about the k axis through the middle, voxels."""
    at = identity(torch.zeros(1, 3, *shape, dtype=torch.float64))
    middle = (at.new_tensor(shape).view(1, 3, 1, 1, 1) - 1) / 2
    k, j, i = (at - middle)[0]
    return torch.stack([0 * k, -rate * i, rate * j])[None]


def turned(shape, rate):
    at = identity(torch.zeros(1, 3, *shape, dtype=torch.float64))
    middle = (at.new_tensor(shape).view(1, 3, 1, 1, 1) - 1) / 2
    x = (at - middle)[0]
    matrix = torch.tensor(expm(np.array([[0, 0, 0], [0, 0, -rate], [0, rate, 0]])))
    return (torch.einsum("ac,ckji->akji", matrix, x) - x)[None]


def smooth(shape, size, seed):
    coarse = torch.randn(1, 3, 4, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return dense(coarse, shape) * (size / dense(coarse, shape).abs().max())


def test_a_field_taken_to_twice_the_voxels_has_twice_the_voxels_of_motion():
    coarse = torch.zeros(1, 3, 4, 5, 6, dtype=torch.float64)
    coarse[:, 0], coarse[:, 2] = 1.0, -2.0
    fine = dense(coarse, (8, 5, 12))
    assert fine[:, 0].allclose(fine.new_tensor(2.0))
    assert fine[:, 2].allclose(fine.new_tensor(-4.0))


def test_the_flow_of_a_turning_velocity_is_the_rotation():
    shape = (1, 21, 21)
    field = StationaryVelocity(shape, steps=7, like=LIKE, work=shape)
    field.parameters()[0].data.copy_(turning(shape, 0.4))
    found, expected = field.displacement(shape), turned(shape, 0.4)
    # Cubic control values blur nothing in a linear velocity, except next to the border.
    assert (found - expected)[..., 6:-6, 6:-6].abs().max() < 0.02


def test_half_time_twice_is_the_whole_flow():
    field = StationaryVelocity((5, 5, 5), like=LIKE, work=(20, 20, 20))
    field.parameters()[0].data.copy_(torch.randn(1, 3, 5, 5, 5, dtype=torch.float64) * 0.4)
    half = field.flow(0.5)
    assert (compose_voxels(half, half) - field.flow())[INSIDE].abs().max() < 0.05


@pytest.mark.parametrize("make", ["stationary", "varying"])
def test_the_inverse_undoes_the_motion(make):
    torch.manual_seed(0)
    shape = (24, 24, 24)
    if make == "stationary":
        field = StationaryVelocity((5, 5, 5), like=LIKE, work=shape)
    else:
        field = TimeVaryingVelocity((5, 5, 5), 4, like=LIKE, work=shape)
    for velocity in field.parameters():
        velocity.data.copy_(torch.randn(1, 3, 5, 5, 5, dtype=torch.float64) * 0.5)
    u, v = field.displacement(shape), field.inverse(shape)
    assert u.abs().max() > 1.5
    assert compose_voxels(u, v)[INSIDE].abs().max() < 0.15


def test_equal_velocities_in_time_are_the_stationary_flow():
    shape = (1, 21, 21)
    varying = TimeVaryingVelocity(shape, 5, like=LIKE, work=shape)
    for velocity in varying.parameters():
        velocity.data.copy_(turning(shape, 0.6))
    # Reading v at v instead of at phi would leave an error of about 0.6^2 / 2 of the radius.
    assert (varying.displacement(shape) - turned(shape, 0.6))[..., 6:-6, 6:-6].abs().max() < 0.03


def test_a_velocity_without_integration_is_refused():
    with pytest.raises(ValueError, match="steps"):
        StationaryVelocity((4, 4, 4), steps=0, like=LIKE)


def test_a_dense_field_is_inverted_to_tolerance_and_minus_u_is_not_it():
    u = smooth((20, 20, 20), 2.5, 1)
    v, left = invert_dense(u)
    assert left < 1e-3
    assert compose_voxels(v, u).abs().max() < 1e-3
    assert compose_voxels(-u, u).abs().max() > 0.3


def test_the_pyramid_adds_its_levels():
    pyramid = DisplacementPyramid([(3, 3, 3), (6, 6, 6)], like=LIKE)
    first, second = pyramid.parameters()
    first.data[:, 1], second.data[:, 1] = 1.0, -2.0
    assert pyramid.displacement((12, 12, 12)).abs().max() < 1e-6


@pytest.mark.parametrize(("kind", "count"), [("rigid", 3), ("similarity", 4), ("affine", 9)])
def test_affine_kinds_hold_what_they_promise(kind, count):
    affine = Affine((40.0, 30.0, 20.0), kind=kind, like=LIKE)
    affine.parameters()[0].data.copy_(torch.linspace(0.1, 0.3, count, dtype=torch.float64))
    matrix = affine.matrix().detach()
    gram = matrix.T @ matrix
    assert affine.parameters()[0].numel() == count
    if kind != "affine":
        assert gram.allclose(torch.eye(3, dtype=torch.float64) * gram[0, 0])
    assert (kind == "rigid") == bool(torch.linalg.det(matrix).isclose(matrix.new_tensor(1.0)))


def test_an_affine_shift_is_the_same_in_mm_at_every_resolution():
    affine = Affine((40.0, 30.0, 20.0), like=LIKE)
    affine.parameters()[1].data.copy_(torch.tensor([0.1, 0.0, -0.2], dtype=torch.float64))
    coarse, fine = affine.displacement((10, 10, 10)), affine.displacement((20, 30, 20))
    assert (coarse[0, 0] * 4.0).allclose(coarse.new_tensor(2.0))
    assert (fine[0, 0] * 2.0).allclose(fine.new_tensor(2.0))
    assert (fine[0, 2] * 1.0).allclose(fine.new_tensor(-4.0))
