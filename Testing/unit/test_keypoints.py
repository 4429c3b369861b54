import numpy as np
import torch

from valorlib.ops.convex import lattice
from valorlib.ops.keypoints import agree_on_graph, displacement_costs, foerstner_keypoints, spread_by_spline


def test_keypoints_lie_at_the_corners_of_a_box():
    image = torch.zeros(24, 24, 24)
    image[6:18, 6:18, 6:18] = 1
    found = foerstner_keypoints(image, torch.ones_like(image), count=8, apart_vox=4)
    corners = torch.tensor([[a, b, c] for a in (5.5, 17.5) for b in (5.5, 17.5) for c in (5.5, 17.5)])
    assert len(found) == 8
    assert float(torch.cdist(corners, found).amin(1).max()) < 2.6


def test_keypoints_respect_mask_count_and_distance():
    image = torch.rand(20, 20, 20, generator=torch.Generator().manual_seed(1))
    mask = torch.zeros_like(image)
    mask[:, :, 10:] = 1
    found = foerstner_keypoints(image, mask, count=15, apart_vox=2)
    assert len(found) <= 15
    assert bool((found[:, 2] >= 10).all())
    apart = torch.cdist(found, found, p=float("inf")) + 99 * torch.eye(len(found))
    assert float(apart.min()) > 2


def test_cost_is_least_at_the_true_displacement():
    features = torch.rand(1, 5, 12, 13, 14, generator=torch.Generator().manual_seed(2))
    fixed = torch.roll(features, (-2, 1, 0), (2, 3, 4))
    at = torch.tensor([[5.0, 6.0, 7.0], [4.0, 5.0, 6.0]])
    steps = lattice(2, at)
    costs = displacement_costs(fixed, features, at, at, steps)
    for row in costs:
        assert steps[int(row.argmin())].tolist() == [2.0, -1.0, 0.0]


def test_the_graph_outvotes_a_wrong_match():
    rng = np.random.default_rng(1)
    at = rng.uniform(0, 30, (40, 3))
    steps = lattice(2, torch.zeros(1))
    truth, wrong = torch.tensor([1.0, 0.0, -1.0]), torch.tensor([-2.0, 2.0, 2.0])
    costs = (steps - truth).square().sum(1).repeat(40, 1)
    costs[7] = (steps - wrong).square().sum(1)
    u, heat = agree_on_graph(costs, steps, at, neighbors=8, coupling=(0.3, 1.0, 3.0, 10.0, 10.0))
    torch.testing.assert_close(heat.sum(1), torch.ones(40))
    assert float((u[7] - truth).norm()) < 1.0
    assert float((u - truth).norm(dim=1).median()) < 0.3


def test_spline_repeats_affine_motion_exactly_and_passes_through_points():
    rng = np.random.default_rng(2)
    at, onto = rng.uniform(0, 50, (60, 3)), rng.uniform(-10, 60, (30, 3))
    linear, shift = rng.normal(size=(3, 3)) * 0.1, np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(
        spread_by_spline(at, at @ linear + shift, onto, smoothing=0.5), onto @ linear + shift, atol=1e-6
    )
    values = rng.normal(size=(60, 3))
    np.testing.assert_allclose(spread_by_spline(at, values, at, smoothing=0.0), values, atol=1e-6)
