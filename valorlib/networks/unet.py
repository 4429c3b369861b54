"""The U-Net both networks of VALOR-Net are built from."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ConvolutionBlock(nn.Module):
    """Twice: 3 x 3 convolution, PReLU, instance norm, dropout."""

    def __init__(self, channels_in: int, channels_out: int, dropout: float) -> None:
        super().__init__()
        steps: list[nn.Module] = []
        for channels in (channels_in, channels_out):
            steps += [
                nn.Conv2d(channels, channels_out, 3, padding=1),
                nn.PReLU(),
                nn.InstanceNorm2d(channels_out, affine=True),
                nn.Dropout2d(dropout),
            ]
        self.steps = nn.Sequential(*steps)

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, J, I) -> (B, channels_out, J, I)."""
        out: Tensor = self.steps(x)
        return out


class UNet(nn.Module):
    """Encoder and decoder with skip connections, as many channels at every level.

    The head starts near zero, so that a network that adds to a start begins at that start.

    Source: Ronneberger, U-Net, MICCAI 2015, 10.1007/978-3-319-24574-4_28. Differs: PReLU and instance norm (batch norm
    of one image behaves differently in training and use), equal width, nearest upsampling, any image size.
    """

    def __init__(
        self, channels_in: int, channels_out: int, *, width: int = 32, levels: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        ins = [channels_in] + [width] * levels
        self.down = nn.ModuleList(ConvolutionBlock(channels, width, dropout) for channels in ins[:-1])
        self.bottom = ConvolutionBlock(width, width, dropout)
        self.up = nn.ModuleList(ConvolutionBlock(2 * width, width, dropout) for _ in range(levels))
        self.head = nn.Conv2d(width, channels_out, 1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels_in, J, I) -> (B, channels_out, J, I); sizes are padded to the next multiple inside."""
        height, wide = x.shape[-2:]
        unit = 2 ** len(self.down)
        x = F.pad(x, (0, -wide % unit, 0, -height % unit), mode="replicate")
        skips = []
        for block in self.down:
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, 2)
        x = self.bottom(x)
        for block, skip in zip(self.up, reversed(skips), strict=True):
            x = block(torch.cat([F.interpolate(x, scale_factor=2.0, mode="nearest"), skip], dim=1))
        out: Tensor = self.head(x)[..., :height, :wide]
        return out
