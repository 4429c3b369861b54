"""The energies of VALOR-Net, slice by slice, and the segmentation energy's exact minimizer.

Images are (B, 1, J, I) tensors in [0, 1]; B counts slices. T is the moving image, R the fixed one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from skimage.filters import threshold_multiotsu
from torch import Tensor

from valorlib.ops.geodesic import geodesic_distance
from valorlib.ops.warp import warp


def otsu_gaps(image: NDArray[np.float32], level: float) -> tuple[float, float]:
    """Distances from `level` down and up to the nearest of 0, the two thresholds of a 3-class Otsu, and 1.

    Never below 0.02, so that a level on a threshold still has a tent around it.
    """
    try:
        thresholds = threshold_multiotsu(image, classes=3)
    except ValueError:  # fewer than three gray values
        thresholds = np.asarray([1 / 3, 2 / 3])
    marks = np.array([0.0, *np.ravel(thresholds), 1.0])
    below, above = marks[marks <= level], marks[marks > level]
    down = level - (below.max() if below.size else 0.0)
    up = (above.min() if above.size else 1.0) - level
    return max(float(down), 0.02), max(float(up), 0.02)


def fitting(image: Tensor, level: float, gaps: tuple[float, float]) -> Tensor:
    """Phi = (f - a)^2 less a tent of height 1 at a: -1 at the level, positive where intensities are foreign.

    Source: Roberts and Spencer, Chan-Vese reformulation for selective segmentation, J. Math. Imaging Vis. 61, 2019,
    10.1007/s10851-019-00893-0, as VALOR-Net's mu1 - mu2 is read.
    """
    difference = image - level
    down, up = gaps
    tent = torch.where(difference <= 0, 1 + difference / down, 1 - difference / up)
    return difference**2 - tent.clamp(min=0.0)


def eikonal_distance(
    image: NDArray[np.float32], markers: NDArray[np.bool_], *, floor: float = 1e-3, slope_weight: float = 1000.0
) -> NDArray[np.float32]:
    """Geodesic distance from the markers in one slice, f = floor + weight |grad T|^2, over its maximum: 0 to 1.

    Args:
        image: (J, I), smoothed.
        markers: (J, I).
        floor: cost of a pixel without slope.
        slope_weight: cost of a squared slope (per pixel).

    Raises:
        InputError: no marker in the slice.
    """
    slopes = [np.asarray(np.gradient(image, axis=axis)) for axis in (0, 1)]
    slowness = floor + slope_weight * (slopes[0] ** 2 + slopes[1] ** 2)
    limit = float(np.finfo(np.float32).max)
    distance = geodesic_distance(slowness[None].astype(np.float32), markers[None], (1.0, 1.0, 1.0), limit_mm=limit)[0]
    top = float(distance.max())
    return np.asarray(distance / top if top > 0 else distance, dtype=np.float32)


def closed_form(phi: Tensor, distance: Tensor, *, lambda_1: float, mu: float) -> Tensor:
    """Theta in {0, 1} that minimizes lambda_1 Phi theta + mu D theta, pixel by pixel."""
    return (lambda_1 * phi + mu * distance < 0).to(phi.dtype)


def printed_minimizer(phi: Tensor, distance: Tensor, image: Tensor, *, lambda_1: float, mu: float) -> Tensor:
    """Theta that minimizes lambda_1 Phi theta + mu D |theta - T|, the loss as the paper prints it.

    It is the image T itself wherever mu D > lambda_1 |Phi|: a copy of the scan instead of a mask.
    """
    pull, hold = lambda_1 * phi, mu * distance
    return torch.where(pull < -hold, torch.ones_like(phi), torch.where(pull > hold, torch.zeros_like(phi), image))


def warp_slices(images: Tensor, u_pix: Tensor, *, mode: str = "bilinear") -> Tensor:
    """images(x + u), slice by slice. images: (B, C, J, I). u_pix: (B, 2, J, I), pixels, components (j, i)."""
    u_vox = torch.cat([torch.zeros_like(u_pix[:, :1]), u_pix], dim=1)[:, :, None]
    return warp(images[:, :, None], u_vox, mode=mode)[:, :, 0]


def blur(images: Tensor, sigma_pix: float) -> Tensor:
    """Gaussian mean of (B, C, J, I), the border repeated."""
    if sigma_pix <= 0:
        return images
    reach = max(1, int(3 * sigma_pix + 0.5))
    at = torch.arange(-reach, reach + 1, dtype=images.dtype, device=images.device)
    kernel = torch.exp(-0.5 * (at / sigma_pix) ** 2)
    kernel = kernel / kernel.sum()
    count = images.shape[1]
    padded = F.pad(images, (reach, reach, reach, reach), mode="replicate")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1).expand(count, 1, -1, 1), groups=count)
    return F.conv2d(rows, kernel.view(1, 1, 1, -1).expand(count, 1, 1, -1), groups=count)


def diffusion(u_pix: Tensor) -> Tensor:
    """Sum of squared slopes of (B, 2, J, I)."""
    return (u_pix.diff(dim=-1) ** 2).sum() + (u_pix.diff(dim=-2) ** 2).sum()


def folded_share(u_pix: NDArray[np.float32]) -> float:
    """Share of pixels of (B, 2, J, I) where the Jacobian of x + u is not positive (central differences)."""
    jj, ji = np.gradient(u_pix[:, 0], axis=(1, 2))
    ij, ii = np.gradient(u_pix[:, 1], axis=(1, 2))
    return float(np.mean((1 + jj) * (1 + ii) - ji * ij <= 0))


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The paper's weights.

    lambda_1, lambda_2: fitting terms in T and R. mu: distance. beta_1, beta_2: image terms. smooth: the diffusion term
    that the paper does not have.
    """

    lambda_1: float = 2.0
    lambda_2: float = 0.1
    mu: float = 30.0
    beta_1: float = 50.0
    beta_2: float = 50.0
    smooth: float = 0.0


@dataclass(frozen=True, eq=False)
class Energy:
    """The five terms for given slices, all as sums over pixels.

    moving, fixed: T and R. phi_moving, phi_fixed: fitting terms. distance: D, 0 to 1. sigma_pix: of T_s and R_s.
    as_printed: the distance term is D |theta - T| instead of D theta. look: where images are compared, 0 to 1; None:
    everywhere.
    """

    moving: Tensor
    fixed: Tensor
    phi_moving: Tensor
    phi_fixed: Tensor
    distance: Tensor
    weights: Weights
    sigma_pix: float
    as_printed: bool
    look: Tensor | None = None

    def segmentation(self, theta: Tensor, u_pix: Tensor) -> Tensor:
        """The part that the first network minimizes: fitting in T, distance, fitting in R of the warped theta."""
        held = (theta - self.moving).abs() if self.as_printed else theta
        own = self.weights.lambda_1 * (self.phi_moving * theta).sum() + self.weights.mu * (self.distance * held).sum()
        return own + self._carried(theta, u_pix)

    def registration(self, theta: Tensor, u_pix: Tensor) -> Tensor:
        """The part that the second network minimizes: fitting in R, squared difference, its high-pass, diffusion."""
        warped = warp_slices(self.moving, u_pix)
        difference = warped - self.fixed if self.look is None else (warped - self.fixed) * self.look
        local = blur(difference, self.sigma_pix) - difference
        images = self.weights.beta_1 * (difference**2).sum() + self.weights.beta_2 * (local**2).sum()
        return self._carried(theta, u_pix) + images + self.weights.smooth * diffusion(u_pix)

    def _carried(self, theta: Tensor, u_pix: Tensor) -> Tensor:
        return self.weights.lambda_2 * (self.phi_fixed * warp_slices(theta, u_pix)).sum()
