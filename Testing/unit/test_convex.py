import torch

from valorlib.ops.convex import consistent, cost_volume, coupled_convex, lattice, smooth_cost
from valorlib.ops.warp import warp


def textured(seed, shape=(1, 4, 10, 11, 12)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_lattice_counts_and_centers():
    steps = lattice(2, torch.zeros(1))
    assert steps.shape == (125, 3)
    assert steps[62].tolist() == [0, 0, 0]


def test_cost_is_zero_at_the_true_shift():
    moving = textured(1)
    fixed = torch.roll(moving, (-1, 2, 0), (2, 3, 4))  # fixed(x) = moving(x + (1, -2, 0))
    cost = cost_volume(fixed, moving, 2)
    at = int((lattice(2, fixed) == torch.tensor([1.0, -2.0, 0.0])).all(1).nonzero())
    assert float(cost[at][3:-3, 3:-3, 3:-3].abs().max()) < 1e-9
    others = torch.cat([cost[:at], cost[at + 1 :]])[:, 3:-3, 3:-3, 3:-3]
    assert float(others.min()) > 1e-3


def test_hard_and_soft_choice_find_the_shift():
    moving = textured(2)
    fixed = torch.roll(moving, (-1, 1, 2), (2, 3, 4))
    cost = smooth_cost(cost_volume(fixed, moving, 2))
    for temperature in (None, 200.0):
        u = coupled_convex(cost, 2, temperature=temperature)[0, :, 4:-4, 4:-4, 4:-4]
        torch.testing.assert_close(u.mean((1, 2, 3)), torch.tensor([1.0, -1.0, -2.0]), atol=0.25, rtol=0)


def test_the_soft_choice_has_a_gradient():
    cost = cost_volume(textured(3), textured(4), 1).requires_grad_(True)
    coupled_convex(cost, 1, temperature=50.0).square().sum().backward()
    assert float(cost.grad.abs().sum()) > 0


def test_consistent_fields_undo_each_other():
    torch.manual_seed(0)
    smooth = torch.nn.functional.interpolate(textured(5, (1, 3, 3, 3, 3)) - 0.5, size=(12, 12, 12), mode="trilinear")
    forward, backward = consistent(smooth, -smooth + 0.2)
    before = (smooth + warp(-smooth + 0.2, smooth)).abs().mean()
    after = (forward + warp(backward, forward)).abs().mean()
    assert float(after) < 0.2 * float(before)
