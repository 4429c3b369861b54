"""The first step of a rigid search: cubes of edges, and FFT scores of all shifts for many rotations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.run import Progress
from valorlib.ops.contrast import intensity_range
from valorlib.ops.ngf import normalized_gradient, squared_products
from valorlib.ops.resample import block_means, resample_image, resample_labels

BATCH = 6
"""Rotations scored in one go."""


@dataclass(frozen=True, eq=False)
class Cube:
    """An image on an isotropic grid with world-aligned axes, and its edges.

    image, mask: (1, 1, K, J, I). edges: (1, 3, K, J, I), components (x, y, z). center: (3,) mm. diagonal_mm: of the
    image's own box, however it lies in the world.
    """

    image: Tensor
    mask: Tensor
    edges: Tensor
    grid: Grid
    center: NDArray[np.float64]
    noise: float
    diagonal_mm: float

    @property
    def spacing_mm(self) -> float:
        """Voxel size."""
        return self.grid.spacing[0]


def cube_of(image: Image, mask: LabelMap | None, spacing_mm: float, noise: float, device: str) -> Cube:
    """`image`, smoothed to its new voxel size, on a world-aligned isotropic grid around its own box."""
    low, high = intensity_range(image.name, image.array, 0.5, 99.5, most=200_000)
    thin = block_means(Image(np.clip(image.array, low, high), image.grid), spacing_mm / 2)
    sigma = [
        0.5 * spacing_mm / s if n > 1 and s < spacing_mm else 0.0
        for s, n in zip(thin.grid.spacing[::-1], thin.grid.shape, strict=True)
    ]
    smooth = Image(ndimage.gaussian_filter((thin.array - low) / (high - low), sigma, mode="nearest"), thin.grid)
    corners = image.grid.corners()
    start, stop = corners.min(0) + spacing_mm / 2, corners.max(0)
    size = np.maximum(1, np.ceil((stop - start) / spacing_mm)).astype(int)
    grid = Grid(tuple(size), (spacing_mm,) * 3, tuple(start))
    tensor = torch.from_numpy(resample_image(smooth, grid).array)[None, None].to(device)
    if mask is None:
        inside = image.grid.contains(grid.points())
    else:
        inside = resample_labels(LabelMap((mask.array > 0).astype(np.int32), mask.grid), grid).array > 0
    weight = torch.from_numpy(inside.astype(np.float32))[None, None].to(device)
    # A gradient at the border of the image or mask is not an edge of the body.
    inner = -torch.nn.functional.max_pool3d(-weight, 3, 1, 1) if min(grid.size) > 4 else weight
    edges = normalized_gradient(tensor, inner, spacing_mm, noise=noise)
    return Cube(tensor, inner, edges, grid, image.grid.center, noise, float(np.linalg.norm(image.grid.extent_mm)))


def search(
    cubes: tuple[Cube, Cube],
    rotations: NDArray[np.float64],
    *,
    keep: int,
    min_overlap: float,
    progress: Progress,
) -> list[NDArray[np.float64]]:
    """The `keep` best of all (rotation, shift) pairs as (4, 4) fixed-to-moving matrices, at most one a rotation.

    Args:
        cubes: fixed and moving, same spacing.
        rotations: (N, 3, 3) tried around the middle of the images.
        keep: how many.
        min_overlap: least overlap, as a share of the smaller mask.
        progress: called once every few rotations.
    """
    fixed, moving = cubes
    h = fixed.spacing_mm
    reach = int(np.ceil(moving.diagonal_mm / h)) + 1
    # Room for half of the shifts: those that wrap around onto each other share less than half of the image.
    shape = [_fast(max(n, reach) + min(n, reach) // 2) for n in fixed.grid.shape]
    axes = (-3, -2, -1)
    a = torch.fft.rfftn(squared_products(fixed.edges)[0], shape, dim=axes).conj()
    a[3:] *= 2
    am = torch.fft.rfftn(fixed.mask[0, 0], shape, dim=axes).conj()
    total = min(float(fixed.mask.sum()), float(moving.mask.sum()))
    scores, matrices = [], []
    for first in range(0, len(rotations), BATCH):
        progress(first / len(rotations), f"Trying rotation {first + 1} of {len(rotations)}")
        turns = rotations[first : first + BATCH]
        image, mask = _turned(moving, turns, reach)
        edges = normalized_gradient(image, mask, h, noise=moving.noise)
        b = torch.fft.rfftn(squared_products(edges), shape, dim=axes)
        similar = torch.fft.irfftn((a * b).sum(1), shape, dim=axes)
        overlap = torch.fft.irfftn(am * torch.fft.rfftn(mask[:, 0], shape, dim=axes), shape, dim=axes)
        score = torch.where(overlap >= min_overlap * total, similar / overlap.clamp_min(1), similar.new_tensor(-1.0))
        best, places = score.flatten(1).max(1)
        scores += best.tolist()
        for turn, place in zip(turns, places.tolist(), strict=True):
            matrices.append(_matrix(fixed, moving, turn, np.unravel_index(place, shape), shape, reach))
    order = np.argsort(scores)[::-1][:keep]
    return [matrices[n] for n in order if scores[n] > 0]


def _fast(n: int) -> int:
    """Next size with small prime factors."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _turned(moving: Cube, turns: NDArray[np.float64], reach: int) -> tuple[Tensor, Tensor]:
    """Moving image and mask on cubes of `reach` voxels around its center, axes turned: (B, 1, reach, reach, reach)."""
    half = (reach - 1) / 2
    # world = center + turn @ (h * (p - half)); p are (x, y, z) voxels of the new cube.
    shift = moving.grid.to_index(moving.center) - turns @ np.full(3, half)
    scale = 2 / np.maximum(np.asarray(moving.grid.size) - 1, 1)
    # affine_grid works in [-1, 1] on both sides (align_corners), components (x, y, z).
    linear = scale[:, None] * turns * half
    constant = scale * (turns @ np.full(3, half) + shift) - 1
    theta = torch.tensor(
        np.concatenate([linear, constant[..., None]], axis=2), dtype=moving.image.dtype, device=moving.image.device
    )
    grid = torch.nn.functional.affine_grid(theta, [len(turns), 1, reach, reach, reach], align_corners=True)
    both = torch.cat([moving.image, moving.mask], dim=1)
    # One long grid for all rotations: the image is not repeated.
    long = grid.reshape(1, -1, reach, reach, 3)
    turned = torch.nn.functional.grid_sample(both, long, align_corners=True)[0].reshape(2, len(turns), *[reach] * 3)
    return turned[0][:, None], (turned[1][:, None] > 0.99).to(turned.dtype)


def _matrix(
    fixed: Cube, moving: Cube, turn: NDArray[np.float64], peak: tuple[np.intp, ...], shape: list[int], reach: int
) -> NDArray[np.float64]:
    """Fixed voxel y meets turned moving voxel y + d at the peak d."""
    d = np.array([p if p < reach else p - n for p, n in zip(peak, shape, strict=True)], dtype=float)[::-1]
    h, offset = fixed.spacing_mm, (reach - 1) / 2
    m = np.eye(4)
    m[:3, :3] = turn
    m[:3, 3] = moving.center + turn @ (d * h - h * offset - np.asarray(fixed.grid.origin))
    return m
