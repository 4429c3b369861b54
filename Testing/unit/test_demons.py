import torch

from valorlib.core.grid import Grid
from valorlib.ops.demons import Demons, demons_force, symmetric_update, velocity_length_mm
from valorlib.ops.smooth import gaussian
from valorlib.ops.warp import exponential, warp


def blobs(seed, shape=(16, 18, 20)):
    noise = torch.rand(1, *shape, generator=torch.Generator().manual_seed(seed))
    image = gaussian(noise, (2.0, 2.0, 2.0))[None]
    return (image - image.mean()) / image.std()


def test_force_is_never_longer_than_the_step_and_zero_without_difference():
    fixed, moving = blobs(1), blobs(2)
    ones = torch.ones_like(fixed)
    force = demons_force(fixed, moving, ones, 0.7)
    assert float(force.square().sum(1).sqrt().max()) <= 0.7 + 1e-4
    assert float(demons_force(fixed, fixed, ones, 0.7).abs().max()) == 0


def test_force_matches_the_formula_at_one_voxel():
    fixed, moving = torch.zeros(1, 1, 5, 5, 5), torch.zeros(1, 1, 5, 5, 5)
    moving += torch.arange(5.0)  # slope 1 along i
    fixed += torch.arange(5.0) + 0.5
    force = demons_force(fixed, moving, torch.ones_like(fixed), 1.0)
    # difference .5, gradient (0, 0, 1), denominator 1 + .25 / 4
    torch.testing.assert_close(force[0, :, 2, 2, 2], torch.tensor([0.0, 0.0, 0.5 / 1.0625]))


def test_updates_find_a_shift_and_the_reversed_pair_gives_the_negative():
    moving = blobs(3)
    truth = torch.zeros(1, 3, 16, 18, 20)
    truth[:, 2] = 1.0
    fixed = warp(moving, truth)
    ones = torch.ones_like(fixed)
    demons = Demons.on(Grid((20, 18, 16)), 1.0, 1.0, 1.0)
    v, w = torch.zeros_like(truth), torch.zeros_like(truth)
    for _ in range(40):
        v, loss = symmetric_update(fixed, moving, v, ones, demons)
        w, _ = symmetric_update(moving, fixed, w, ones, demons)
    inner = (slice(None), slice(None), *(slice(4, -4),) * 3)
    assert float((exponential(v, 6) - truth)[inner].abs().mean()) < 0.1
    torch.testing.assert_close(v, -w, atol=1e-4, rtol=0)
    assert loss < 0.05


def test_length_is_in_mm():
    v = torch.ones(1, 3, 2, 2, 2)
    assert velocity_length_mm(v, Grid((2, 2, 2), (1.0, 2.0, 3.0))) == torch.tensor(14.0).sqrt()
