"""The amortized posterior network: shapes, start, and one step that lowers its loss."""

from __future__ import annotations

import torch

from valorlib.networks.dir_unet import PosteriorUNet
from valorlib.ops.posterior import PosteriorSettings, posterior_loss


def test_it_starts_at_two_mm_and_learns_the_posterior():
    torch.manual_seed(0)
    shape = (9, 11, 10)
    fixed = torch.rand(1, 1, *shape)
    moving, mu = fixed.clone(), torch.zeros(1, 3, *shape)
    net = PosteriorUNet(features=4, levels=2)
    assert torch.allclose(net(fixed, moving, mu).exp(), torch.full((1, 3, *shape), 2.0), atol=1e-4)
    adam = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(25):
        generator = torch.Generator().manual_seed(1)
        log_g = net(fixed, moving, mu)[0]
        loss = posterior_loss(fixed, moving, mu, log_g, (2.0, 2.0, 2.0), PosteriorSettings(), generator)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
