from __future__ import annotations

import pytest
import torch

from valorlib.solve import regularizers as R
from valorlib.solve.parameterizations import DisplacementPyramid

SPACING = (2.0, 1.0, 0.5)
ALL = [R.diffusion, R.curvature, R.bending, R.elastic, R.total_variation, R.volume_preservation, R.jacobian_barrier]


def mm_field(matrix, shape=(6, 7, 8)):
    """u = M x, x in mm along (k, j, i)."""
    axes = [torch.arange(n, dtype=torch.float64) * s for n, s in zip(shape, SPACING, strict=True)]
    x = torch.stack(torch.meshgrid(*axes, indexing="ij"))
    return torch.einsum("ac,ckji->akji", torch.tensor(matrix, dtype=torch.float64), x)[None]


ROOM = [[0.1, 0.2, 0.0], [0.0, -0.3, 0.1], [0.0, 0.0, 0.2]]


@pytest.mark.parametrize("regularizer", ALL)
def test_a_shift_is_free(regularizer):
    u = torch.ones(1, 3, 5, 5, 5, dtype=torch.float64) * 3
    assert float(regularizer(u, SPACING)) == pytest.approx(0, abs=1e-12)


def test_affine_motion_costs_what_the_formulas_say():
    u = mm_field(ROOM)
    assert float(R.diffusion(u, SPACING)) == pytest.approx(0.1**2 + 0.2**2 + 0.3**2 + 0.1**2 + 0.2**2)
    assert float(R.bending(u, SPACING)) == pytest.approx(0, abs=1e-20)
    assert float(R.curvature(u, SPACING)) == pytest.approx(0, abs=1e-20)
    assert float(R.elastic(u, SPACING, shear=0.0, compression=2.0)) == pytest.approx(0.0, abs=1e-20)  # trace is 0
    strain = 0.1**2 + 0.3**2 + 0.2**2 + 2 * 0.1**2 + 2 * 0.05**2
    assert float(R.elastic(u, SPACING, shear=1.0, compression=0.0)) == pytest.approx(strain)
    assert float(R.total_variation(u, SPACING)) == pytest.approx(0.19**0.5, abs=1e-3)


def test_the_determinant_is_that_of_identity_plus_slopes():
    matrix = torch.tensor(ROOM, dtype=torch.float64) + torch.eye(3, dtype=torch.float64)
    found = R.jacobian(mm_field(ROOM), SPACING)
    assert found.allclose(torch.linalg.det(matrix))
    assert R.jacobian(torch.zeros(1, 3, 4, 4, 4), SPACING).eq(1).all()  # without the identity it would be 0


def test_second_derivatives_of_a_parabola():
    x = torch.arange(9, dtype=torch.float64) * SPACING[2]
    u = torch.zeros(1, 3, 5, 5, 9, dtype=torch.float64)
    u[:, 0] = x.square()
    assert float(R.bending(u, SPACING)) == pytest.approx(4)
    assert float(R.curvature(u, SPACING)) == pytest.approx(4)


def test_halving_the_volume_costs_its_squared_logarithm():
    u = mm_field([[-0.5, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert float(R.volume_preservation(u, SPACING)) == pytest.approx(torch.tensor(0.5).log().square().item())


def test_the_barrier_wakes_up_before_a_fold():
    safe, folded = mm_field([[-0.5, 0, 0], [0] * 3, [0] * 3]), mm_field([[-1.3, 0, 0], [0] * 3, [0] * 3])
    assert float(R.jacobian_barrier(safe, SPACING)) == 0
    assert float(R.jacobian_barrier(folded, SPACING)) == pytest.approx(0.25)


def test_levels_that_are_smooth_each_can_fold_together_and_the_total_shows_it():
    pyramid = DisplacementPyramid([(8, 8, 8), (16, 16, 16)], like=torch.zeros(1, dtype=torch.float64))
    for level in pyramid.parameters():
        n = level.shape[-1]
        level.data[:, 2] = -0.6 * (torch.arange(n, dtype=torch.float64) - (n - 1) / 2)
    alone = [R.jacobian_barrier(level.detach(), (1.0,) * 3, least=0.1) for level in pyramid.parameters()]
    total = pyramid.displacement((16, 16, 16)).detach()
    assert max(float(a) for a in alone) == 0
    assert float(R.jacobian_barrier(total, (1.0,) * 3, least=0.1)) > 0.01


@pytest.mark.parametrize("regularizer", ALL)
def test_single_slices_and_gradients_work(regularizer):
    u = torch.randn(1, 3, 1, 6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    regularizer(u, SPACING).backward()
    assert torch.isfinite(u.grad).all()
