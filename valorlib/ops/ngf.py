"""Normalized gradient fields: edges as directions, whatever the contrast."""

from __future__ import annotations

import torch
from torch import Tensor


def gradient(image: Tensor, spacing_mm: float) -> Tensor:
    """Central differences of (B, 1, K, J, I), replicated borders: (B, 3, K, J, I), components (i, j, k), per mm."""
    padded = torch.nn.functional.pad(image, (1, 1, 1, 1, 1, 1), mode="replicate")
    di = padded[..., 1:-1, 1:-1, 2:] - padded[..., 1:-1, 1:-1, :-2]
    dj = padded[..., 1:-1, 2:, 1:-1] - padded[..., 1:-1, :-2, 1:-1]
    dk = padded[..., 2:, 1:-1, 1:-1] - padded[..., :-2, 1:-1, 1:-1]
    return torch.cat([di, dj, dk], dim=1) / (2 * spacing_mm)


def normalized_gradient(image: Tensor, mask: Tensor, spacing_mm: float, *, noise: float = 0.3) -> Tensor:
    """Gradient over its own length: (B, 3, K, J, I), length 0 (flat) to 1 (edge), 0 outside the mask.

    Args:
        image: (B, 1, K, J, I).
        mask: same shape, 1 where the image counts.
        spacing_mm: of the isotropic grid.
        noise: edge parameter epsilon as a share of the mean gradient length inside the mask, per batch item.

    Source: Haber, Intensity Gradient Based Registration and Fusion of Multi-modal Images, MICCAI 2006.
    """
    g = gradient(image, spacing_mm)
    length2 = g.square().sum(1, keepdim=True)
    dims = (1, 2, 3, 4)
    mean = (length2.sqrt() * mask).sum(dims, keepdim=True) / mask.sum(dims, keepdim=True).clamp_min(1)
    return g * mask / (length2 + (noise * mean).square() + 1e-12).sqrt()


def squared_products(n: Tensor) -> Tensor:
    """(B, 6, ...) xx, yy, zz, xy, xz, yz of (B, 3, ...)."""
    x, y, z = n.unbind(1)
    return torch.stack([x * x, y * y, z * z, x * y, x * z, y * z], dim=1)
