"""The U-Net of VALOR-Net."""

from __future__ import annotations

import torch

from valorlib.networks.unet import UNet


def count(channels_in, channels_out, width, levels):
    """Parameters counted by hand: 3x3 convolutions, one PReLU slope and two norm numbers a channel each."""

    def block(a, b):
        return (9 * a * b + b) + (9 * b * b + b) + 2 * (1 + 2 * b)

    down = block(channels_in, width) + (levels - 1) * block(width, width)
    return down + block(width, width) + levels * block(2 * width, width) + width * channels_out + channels_out


def test_has_the_parameters_counted_by_hand():
    net = UNet(2, 2, width=8, levels=3)
    assert sum(p.numel() for p in net.parameters()) == count(2, 2, 8, 3)


def test_keeps_any_size_and_starts_near_zero():
    torch.manual_seed(0)
    net = UNet(3, 2, width=8, levels=3)
    out = net(torch.rand(2, 3, 37, 50))
    assert out.shape == (2, 2, 37, 50)
    assert out.abs().max() < 0.1
    assert out.abs().max() > 0


def test_sees_far_beyond_one_convolution():
    torch.manual_seed(0)
    net = UNet(1, 1, width=4, levels=3).eval()
    image = torch.rand(1, 1, 64, 64, requires_grad=True)
    net(image)[0, 0, 32, 32].backward()
    reach = torch.nonzero(image.grad[0, 0].abs() > 0)
    assert reach.min() < 10
    assert reach.max() > 54


def test_slices_of_a_batch_do_not_mix():
    torch.manual_seed(0)
    net = UNet(1, 1, width=4, levels=2)
    images = torch.rand(3, 1, 16, 16)
    together = net(images)
    alone = torch.cat([net(one[None]) for one in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)
