"""The paper's network: from fixed, moving and field to the log spread G of the posterior, at every voxel.

Source: Smolders, Deformable image registration uncertainty quantification, WBIR 2022: 3-D U-Net, 5 input channels, 16
features doubled over 3 levels.
Differs: instance normalization stands in for what the paper leaves open; train it with `ops.posterior.posterior_loss`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Module):
    """Two 3 x 3 x 3 convolutions."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv3d(channels_in, channels_out, 3, padding=1),
            nn.InstanceNorm3d(channels_out, affine=True),
            nn.LeakyReLU(0.1),
            nn.Conv3d(channels_out, channels_out, 3, padding=1),
            nn.LeakyReLU(0.1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, K, J, I) -> (B, channels_out, K, J, I)."""
        found: Tensor = self.layers(x)
        return found


class PosteriorUNet(nn.Module):
    """Amortized posterior: log sigma per axis, mm, for every voxel of any pair."""

    def __init__(self, features: int = 16, levels: int = 3, start_mm: float = 2.0) -> None:
        super().__init__()
        widths = [features * 2**n for n in range(levels + 1)]
        self.down = nn.ModuleList(_Block(a, b) for a, b in zip([5, *widths[:-1]], widths, strict=True))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.out = nn.Conv3d(features, 3, 1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias, math.log(start_mm))

    def forward(self, fixed: Tensor, moving: Tensor, field: Tensor) -> Tensor:
        """Log sigma, (B, 3, K, J, I), of images (B, 1, K, J, I), 0 to 1, and a field (B, 3, K, J, I), voxels."""
        x = torch.cat([fixed, moving, field], dim=1)
        kept: list[Tensor] = []
        for n, block in enumerate(self.down):
            x = block(x if n == 0 else functional.max_pool3d(x, 2, ceil_mode=True))
            kept.append(x)
        for n in reversed(range(len(self.up))):
            x = functional.interpolate(x, size=kept[n].shape[2:], mode="trilinear", align_corners=False)
            x = self.up[n](torch.cat([kept[n], x], dim=1))
        found: Tensor = self.out(x).clamp(-4, 4)
        return found
