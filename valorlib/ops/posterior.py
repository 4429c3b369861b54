"""The paper's posterior N(mu, G C C^T G^T) of a displacement, fitted to one case.

Source: Smolders, Deformable image registration uncertainty quantification, WBIR 2022, Eq. 2-4.
Differs: G is free on a coarse grid instead of a network's output, and starts at its closed form; lengths are in mm.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from valorlib.convert.tensors import field_to_voxels, image_to_tensor
from valorlib.core.errors import InputError
from valorlib.core.images import Image
from valorlib.core.run import Progress
from valorlib.core.transforms import DisplacementField
from valorlib.ops.adam import Adam
from valorlib.ops.resample import resample_image
from valorlib.ops.warp import warp

REFERENCE_MM = 1.95
"""Voxels of the paper, on which its lambda was chosen."""
RANGE_SHARE = (0.5, 99.5)
CT_RANGE_HU = 4000.0
"""What the paper divides HU by; other images are divided by their own range."""


@dataclass(frozen=True)
class PosteriorSettings:
    """lambda_mm2: weight of the Laplacian prior, 1/mm2. noise_share: sigma_I, share of the image's range."""

    lambda_mm2: float = 2.63
    noise_share: float = 0.01
    sigma_c_mm: float = 29.3
    steps: int = 60
    stride: int = 2


def prior_precision(settings: PosteriorSettings) -> float:
    """Precision, 1/mm2 per axis, where the image is flat: 6 lambda (1 - rho1), free of the grid."""
    return 1.5 * settings.lambda_mm2 * REFERENCE_MM**2 / settings.sigma_c_mm**2


def closed_form(warped: Tensor, spacing_kji: tuple[float, ...], settings: PosteriorSettings) -> Tensor:
    """(3, K, J, I) sigma per axis (k, j, i), mm: 1 / sqrt(g^2 / sigma_I^2 + prior precision).

    Args:
        warped: (K, J, I) moving image under mu, range 0 to 1.
        spacing_kji: mm.
        settings: weights.
    """
    slopes = torch.stack([torch.gradient(warped, spacing=h, dim=n)[0] for n, h in enumerate(spacing_kji)])
    data = functional.avg_pool3d((slopes**2)[None], 3, 1, 1, count_include_pad=False)[0]
    return torch.rsqrt(data / settings.noise_share**2 + prior_precision(settings))


def smooth_noise(shape: tuple[int, ...], sigma_vox: tuple[float, ...], generator: torch.Generator) -> Tensor:
    """(3, K, J, I) C epsilon: Gaussian noise smoothed with rows of unit length, so the variance is 1 everywhere."""
    noise = torch.randn(3, *shape, generator=generator)
    for axis, sigma in enumerate(sigma_vox, start=1):
        at = torch.arange(noise.shape[axis], dtype=torch.float32)
        rows = torch.exp(-0.5 * ((at[:, None] - at[None]) / max(sigma, 1e-3)) ** 2)
        rows = rows / rows.norm(dim=1, keepdim=True)
        noise = torch.tensordot(noise, rows, dims=([axis], [1])).movedim(-1, axis)
    return noise


def prior_loss(log_g: Tensor, spacing_kji: tuple[float, ...], settings: PosteriorSettings) -> Tensor:
    """Mean over voxels of (lambda / 2) tr((D - A) G rho G) - log G: Eq. 4 with the precomputed correlations.

    The trace equals (lambda / 4) sum over neighbors of rho1 (G_i - G_j)^2 + (1 - rho1)(G_i^2 + G_j^2).
    """
    g = torch.exp(log_g)
    total = -log_g.sum(0).mean()
    for axis, h in enumerate(spacing_kji, start=1):
        if g.shape[axis] < 2:
            continue
        rho = float(np.exp(-((h / settings.sigma_c_mm) ** 2) / 4))
        weight = settings.lambda_mm2 * (REFERENCE_MM / h) ** 2
        a, b = g.narrow(axis, 0, g.shape[axis] - 1), g.narrow(axis, 1, g.shape[axis] - 1)
        terms = rho * (a - b) ** 2 + (1 - rho) * (a**2 + b**2)
        total = total + 0.5 * weight * terms.sum(0).mean()
    return total


def posterior_loss(
    fixed: Tensor,
    moving: Tensor,
    mu_vox: Tensor,
    log_g: Tensor,
    spacing_kji: tuple[float, ...],
    settings: PosteriorSettings,
    generator: torch.Generator,
) -> Tensor:
    """One-sample estimate of minus the evidence bound, mean per voxel.

    Args:
        fixed: (1, 1, K, J, I), range 0 to 1.
        moving: the same grid.
        mu_vox: (1, 3, K, J, I) the given field, voxels (k, j, i).
        log_g: (3, K, J, I) log sigma per axis, mm.
        spacing_kji: mm.
        settings: weights.
        generator: of the noise.
    """
    shape = tuple(int(n) for n in log_g.shape[1:])
    noise = smooth_noise(shape, tuple(settings.sigma_c_mm / h for h in spacing_kji), generator).to(log_g)
    z_vox = mu_vox + (torch.exp(log_g) * noise / log_g.new_tensor(spacing_kji).view(3, 1, 1, 1))[None]
    misfit = (warp(moving, z_vox) - fixed).square().mean() / (2 * settings.noise_share**2)
    return misfit + prior_loss(log_g, spacing_kji, settings)


def posterior_sigma(
    fixed: Image,
    moving: Image,
    field: DisplacementField,
    settings: PosteriorSettings,
    *,
    seed: int = 0,
    progress: Progress,
) -> NDArray[np.float32]:
    """(K, J, I) rms of the 3D error length, mm, on the fixed grid: closed form, then G free on a coarse grid."""
    if not field.grid.matches(fixed.grid):
        raise InputError("field: expected the grid of the fixed image; resample it first")
    low, high = np.percentile(fixed.array, RANGE_SHARE)
    moved = resample_image(moving, fixed.grid)
    scale = CT_RANGE_HU if low < -500 else max(float(high - low), 1e-6)
    f, m = (((image_to_tensor(i, "cpu") - float(low)) / scale).clamp(0, 1) for i in (fixed, moved))
    spacing = fixed.grid.spacing[::-1]
    mu = field_to_voxels(field, "cpu")
    generator = torch.Generator().manual_seed(seed)
    start = closed_form(warp(m, mu)[0, 0], spacing, settings)
    coarse = [max(2, -(-n // settings.stride)) if n > 1 else 1 for n in fixed.grid.shape]
    log_g = functional.interpolate(torch.log(start)[None], size=coarse, mode="trilinear", align_corners=True)
    log_g = log_g.detach().requires_grad_()
    adam = Adam([log_g], 0.05)
    for step in range(settings.steps):
        progress(step / settings.steps, f"Posterior, step {step + 1}")
        dense = functional.interpolate(log_g, size=fixed.grid.shape, mode="trilinear", align_corners=True)[0]
        loss = posterior_loss(f, m, mu, dense, spacing, settings, generator)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
    with torch.no_grad():
        dense = functional.interpolate(log_g, size=fixed.grid.shape, mode="trilinear", align_corners=True)[0]
        return np.asarray(torch.exp(dense).square().sum(0).sqrt().numpy(), dtype=np.float32)
