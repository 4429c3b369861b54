"""The last step of a rigid search: mutual information at random places climbs by gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Progress, part
from valorlib.ops.adam import Adam
from valorlib.ops.contrast import intensity_range
from valorlib.ops.resample import block_means
from valorlib.ops.rotations import moved_rigidly, rigid_matrices
from valorlib.ops.warp import sample

BINS = 32
BLOCK = 8
"""Voxels along each axis within which places come one after the other."""
FARTHEST_MM = 25.0
"""A climb that moves the corners by more has left the place it began at."""


@dataclass(frozen=True, eq=False)
class Places:
    """Random places in the fixed image, LPS mm (N, 3), and the bin of its intensity there, (N,)."""

    points: Tensor
    bins: Tensor


@dataclass(frozen=True, eq=False)
class Binned:
    """The moving image in units of bins, (1, 1, K, J, I), and world to its voxels (k, j, i), (4, 4)."""

    values: Tensor
    to_voxel: Tensor


def places_of(image: Image, mask: LabelMap | None, count: int, rng: np.random.Generator, device: str) -> Places:
    """About `count` places spread evenly over the mask, between the voxels."""
    low, high = intensity_range(image.name, image.array, 0.5, 99.5, most=200_000)
    index = rng.uniform(0, np.maximum(np.asarray(image.grid.shape) - 1, 1e-3), (count, 3))
    if mask is not None:
        k, j, i = np.round(index).astype(int).T
        inside = mask.array[k, j, i] > 0
        index = index[inside] if inside.sum() >= 100 else index
    # Neighbors one after the other: what is read for one is then at hand for the next.
    index = index[np.lexsort((index // BLOCK).T[::-1])]
    values = ndimage.map_coordinates(image.array, index.T, order=1, mode="nearest")
    bins = np.clip((values - low) / (high - low), 0, 1) * (BINS - 1)
    points = torch.tensor(image.grid.to_world(index[:, ::-1]), dtype=torch.float32, device=device)
    return Places(points, torch.tensor(np.round(bins), dtype=torch.int64, device=device))


def binned(image: Image, device: str) -> Binned:
    """Intensities of an image as bins 1 to BINS - 3, so that a cubic spline around each stays inside."""
    low, high = intensity_range(image.name, image.array, 0.5, 99.5, most=200_000)
    scaled = 1 + np.clip((image.array - low) / (high - low), 0, 1) * (BINS - 4)
    to_voxel = np.linalg.inv(image.grid.matrix)
    to_voxel[:3] = to_voxel[:3][::-1]
    values = torch.from_numpy(scaled.astype(np.float32))[None, None].to(device)
    return Binned(values, torch.tensor(to_voxel, dtype=torch.float32, device=device))


def mutual_information(places: Places, moving: Binned, rotation: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Mutual information of each of B motions, nats, and something with the same gradient in the motion: (B,), (B,).

    Source: Mattes, PET-CT image registration in the chest, IEEE TMI 22(1), 2003, 10.1109/TMI.2003.809072.
    Differs: places lie between the voxels, which removes the ripple of interpolation.
    """
    at = _ends(places, moving, rotation, shift)
    last = at.new_tensor(moving.values.shape[2:]) - 1
    inside = ((at.detach() > -0.5) & (at.detach() < last + 0.5)).all(-1)
    values = sample(moving.values, at.movedim(-1, 0)[None, ..., None])[0, 0, ..., 0]
    first = values.detach().floor().clamp(1, BINS - 3)
    share, slope = _spline((values.detach() - first).clamp(0, 1))
    bins = (places.bins * BINS + first.long() - 1)[..., None] + torch.arange(4, device=at.device)
    bins = bins + torch.arange(len(values), device=at.device)[:, None, None] * BINS**2
    joint = torch.zeros(len(values) * BINS**2, dtype=at.dtype, device=at.device)
    joint.index_add_(0, bins.flatten(), (share * inside[..., None]).flatten())
    joint = joint.view(-1, BINS, BINS)
    total = joint.sum((1, 2), keepdim=True).clamp_min(1)
    joint = joint / total
    row, column = joint.sum(2, keepdim=True), joint.sum(1, keepdim=True)
    found = (joint * ((joint + 1e-12) / (row * column + 1e-12)).log()).sum((1, 2))
    ratio = ((joint + 1e-7) / (column + 1e-7)).log()
    pull = (ratio.flatten()[bins] * slope).sum(-1) * inside / total[:, 0]
    return found, (pull * values).sum(1)


def share_inside(places: Places, moving: Binned, rotation: Tensor, shift: Tensor, border_mm: float) -> Tensor:
    """(B,) share of the places that each motion leaves inside the moving image, fading over a border of that width."""
    at = _ends(places, moving, rotation, shift)
    size_mm = 1 / moving.to_voxel[:3, :3].norm(dim=1)
    depth = torch.minimum(at + 0.5, at.new_tensor(moving.values.shape[2:]) - 0.5 - at) * size_mm
    share: Tensor = (depth.amin(-1) / border_mm + 0.5).clamp(0, 1).mean(1)
    return share


def _ends(places: Places, moving: Binned, rotation: Tensor, shift: Tensor) -> Tensor:
    """(B, N, 3) where each motion puts the places, voxels (k, j, i) of the moving image."""
    return (places.points @ rotation.mT + shift[:, None]) @ moving.to_voxel[:3, :3].T + moving.to_voxel[:3, 3]


def _spline(t: Tensor) -> tuple[Tensor, Tensor]:
    """Cubic B-spline weights (..., 4) of the bins around a value at t in [0, 1] after the second, and their slopes."""
    r = 1 - t
    share = torch.stack([r**3, 3 * t**3 - 6 * t**2 + 4, 3 * r**3 - 6 * r**2 + 4, t**3], dim=-1) / 6
    slope = torch.stack([-(r**2), 3 * t**2 - 4 * t, -3 * r**2 + 4 * r, t**2], dim=-1) / 2
    return share, slope


def polish(
    pair: ImagePair, matrices: NDArray[np.float64], progress: Progress, *, rng: np.random.Generator, device: str
) -> tuple[NDArray[np.float64], float]:
    """The best of (B, 4, 4) matrices after a climb of mutual information on two resolutions, and what it reached.

    The first matrix stands, with 0, when every climb walks off.
    """
    corners = np.c_[pair.fixed.grid.corners(), np.ones(8)]
    found, score = matrices, np.zeros(len(matrices))
    levels = ((3.0, 8_000, 30, 1.0), (0.0, 40_000, 60, 0.8))
    for number, (smooth_mm, count, steps, step_mm) in enumerate(levels):
        scaled = part(progress, number / len(levels), (number + 1) / len(levels))
        places = places_of(smoothed(pair.fixed, smooth_mm), pair.fixed_mask, count, rng, device)
        moving = binned(smoothed(pair.moving, smooth_mm), device)
        free = free_motion(pair.fixed.grid)
        moved, score = climb(places, moving, found, free, steps=steps, step_mm=step_mm, progress=scaled)
        way = np.linalg.norm(((moved - found) @ corners.T)[:, :3], axis=1).mean(1)
        score = np.where(way < FARTHEST_MM, score, -1.0)
        best = int(score.argmax())
        if score[best] < 0:
            return matrices[0], 0.0
        found = moved[best : best + 1]
    return found[0], float(score.max())


def smoothed(image: Image, sigma_mm: float) -> Image:
    """The image on a grid of about `sigma_mm`, smoothed by as much; 0: the image itself."""
    if sigma_mm == 0:
        return image
    thin = block_means(image, sigma_mm)
    spaces = zip(thin.grid.spacing[::-1], thin.grid.shape, strict=True)
    sigma = [sigma_mm / s if n > 1 and s < sigma_mm else 0.0 for s, n in spaces]
    return Image(ndimage.gaussian_filter(thin.array, sigma, mode="nearest"), thin.grid, image.name)


def free_motion(grid: Grid) -> NDArray[np.float64]:
    """(6, 6) projection onto the turns and shifts that keep a single slice in its plane; of a volume, onto all."""
    if grid.size[2] > 1:
        return np.eye(6)
    normal = np.asarray(grid.direction)[:, 2]
    across = np.outer(normal, normal)
    return np.block([[across, np.zeros((3, 3))], [np.zeros((3, 3)), np.eye(3) - across]])


def climb(
    places: Places,
    moving: Binned,
    matrices: NDArray[np.float64],
    free: NDArray[np.float64],
    *,
    steps: int,
    step_mm: float,
    progress: Progress,
    border_mm: float = 0.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The (B, 4, 4) matrices after Adam's steps, and the mutual information of each at the last of them.

    border_mm: above 0, mutual information counts times the share of the places inside, see `share_inside`.
    """
    x = places.points
    center = x.mean(0)
    radius_mm = float((x - center).square().sum(1).mean().sqrt())
    base = torch.as_tensor(matrices, dtype=x.dtype, device=x.device)
    scale = x.new_tensor(np.diag([step_mm / radius_mm] * 3 + [step_mm] * 3) @ free)
    motion = x.new_zeros(len(base), 6, requires_grad=True)
    adam = Adam([motion], 1.0)
    value = x.new_zeros(len(base))
    for step in range(steps):
        progress(step / steps, f"Mutual information, step {step + 1}")
        adam.rate = 0.02 ** (step / steps)
        adam.zero_grad()
        rotation, shift = moved_rigidly(base, center, motion @ scale)
        value, slope = mutual_information(places, moving, rotation, shift)
        if border_mm > 0:
            share = share_inside(places, moving, rotation, shift, border_mm)
            slope = slope * share.detach() + value.detach() * share
        (-slope).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    found = rigid_matrices(*moved_rigidly(base, center, motion.detach() @ scale))
    return found, value.detach().double().cpu().numpy()
