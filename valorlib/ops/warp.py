"""Pull tensors back along displacements in voxels. The only place where voxels become grid_sample's [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def identity(u_vox: Tensor) -> Tensor:
    """Voxel index of every voxel.

    Args:
        u_vox: (B, C, K, J, I); gives the shape, the device and the kind of number.

    Returns:
        (1, 3, K, J, I), components (k, j, i).
    """
    axes = [torch.arange(n, dtype=u_vox.dtype, device=u_vox.device) for n in u_vox.shape[2:]]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def sample(image: Tensor, at_vox: Tensor, *, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Values of an image at voxel positions.

    Args:
        image: (B, C, K, J, I).
        at_vox: (B, 3, k, j, i), voxel indices of `image`, components (k, j, i); any number of places.
        mode: "bilinear" (linear along all three axes) or "nearest".
        padding: "border" continues the outermost value, "zeros" puts 0 outside.

    Returns:
        (B, C, k, j, i).
    """
    # grid_sample wants (i, j, k) in [-1, 1]; align_corners=True puts +-1 on voxel centers.
    scaled = [_unit(at_vox[:, axis], image.shape[2 + axis]) for axis in (2, 1, 0)]
    return F.grid_sample(image, torch.stack(scaled, dim=-1), mode=mode, padding_mode=padding, align_corners=True)


def _unit(at: Tensor, count: int) -> Tensor:
    # An axis of one voxel has no length: every place on it reads that voxel.
    return at * (2.0 / (count - 1)) - 1.0 if count > 1 else torch.zeros_like(at)


def warp(image: Tensor, u_vox: Tensor, *, mode: str = "bilinear", padding: str = "border") -> Tensor:
    """Pull an image back along a displacement: out(x) = image(x + u(x)).

    Args:
        image: (B, C, K, J, I).
        u_vox: (B, 3, K, J, I), voxels, components (k, j, i).
        mode: "bilinear" or "nearest".
        padding: "border" or "zeros".

    Returns:
        (B, C, K, J, I).
    """
    return sample(image, identity(u_vox) + u_vox, mode=mode, padding=padding)


def compose_voxels(first: Tensor, second: Tensor) -> Tensor:
    """Displacement of `first`, then `second`: first(x) + second(x + first(x)). All (B, 3, K, J, I), voxels."""
    return first + warp(second, first)


def exponential(v_vox: Tensor, steps: int) -> Tensor:
    """Displacement after unit time along a stationary velocity, by scaling and squaring.

    Args:
        v_vox: (B, 3, K, J, I), voxels per unit time, components (k, j, i).
        steps: number of squarings.

    Returns:
        (B, 3, K, J, I), voxels.
    """
    u_vox = v_vox * 0.5**steps
    at = identity(v_vox)
    for _ in range(steps):
        u_vox = u_vox + sample(u_vox, at + u_vox)
    return u_vox


def resize(image: Tensor, shape: Sequence[int]) -> Tensor:
    """Linear resize over the same box (outer border to outer border), as `Grid.resampled` lays its voxels.

    Args:
        image: (B, C, K, J, I).
        shape: new (K, J, I).
    """
    return F.interpolate(image, size=tuple(int(n) for n in shape), mode="trilinear", align_corners=False)


def resize_field(u_vox: Tensor, shape: Sequence[int]) -> Tensor:
    """Resize a displacement over the same box, and express it in the new voxels.

    Args:
        u_vox: (B, 3, K, J, I), voxels, components (k, j, i).
        shape: new (K, J, I).
    """
    factor = u_vox.new_tensor([new / old for new, old in zip(shape, u_vox.shape[2:], strict=True)])
    return resize(u_vox, shape) * factor.view(1, 3, 1, 1, 1)
