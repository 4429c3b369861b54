"""Pairs with a known transform, made from a user's own image: denoised, moved by a random smooth field, fresh noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.convert.simpleitk import image_from_sitk, image_to_sitk
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.transforms import DisplacementField
from valorlib.ops.invert import invert_field
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.resample import resample_image

F32 = NDArray[np.float32]

WIDTHS_MM = (12.0, 25.0, 50.0)
LEAST_JACOBIAN = 0.3


@dataclass(frozen=True, eq=False)
class KnownPair:
    """Two images and the transform between them. truth: fixed to moving, exact to a hundredth of a mm."""

    fixed: Image
    moving: Image
    truth: DisplacementField


def random_field(
    grid: Grid,
    rng: np.random.Generator,
    *,
    size_mm: float,
    widths_mm: tuple[float, ...] = WIDTHS_MM,
    weights: tuple[float, ...] = (0.5, 0.7, 1.0),
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> DisplacementField:
    """A random smooth field whose 99.5th percentile length is `size_mm`, calmed until no volume falls below 0.3.

    Args:
        grid: where.
        rng: all chance.
        size_mm: size of the motion.
        widths_mm: Gaussian widths of the smoothed noises that are added up.
        weights: of each, relative.
        stretch: factor of the x, y and z components.
    """
    total = np.zeros((*grid.shape, 3), dtype=np.float32)
    for width, weight in zip(widths_mm, weights, strict=True):
        sigma = [width / s for s in grid.spacing[::-1]]
        for c in range(3):
            noise = ndimage.gaussian_filter(
                rng.standard_normal(grid.shape, dtype=np.float32), sigma, mode="reflect", truncate=3
            )
            total[..., c] += np.float32(weight * stretch[c]) * noise / max(float(noise.std()), 1e-12)
    total *= np.float32(size_mm / np.percentile(np.linalg.norm(total, axis=-1), 99.5))
    field = DisplacementField(total, grid)
    while float(jacobian_determinant(field).array.min()) < LEAST_JACOBIAN:
        field = DisplacementField(field.array * np.float32(0.9), grid)
    return field


def denoised(image: Image, *, steps: int = 20, conductance: float = 3.0) -> Image:
    """The image without its noise texture, edges kept (anisotropic diffusion); strong by default.

    A texture that both images of a made pair inherit would make registering them too easy.
    """
    picture = image_to_sitk(image)
    step = 0.9 * min(image.grid.spacing) / 2**4
    smooth = sitk.GradientAnisotropicDiffusion(picture, step, conductance, 1, steps)
    return image_from_sitk(smooth, image.name)


def noise_level(image: Image, inside: NDArray[np.bool_] | None = None) -> float:
    """Standard deviation of the noise of one image, from the smallest tenth of local high-pass energies."""
    high = ndimage.laplace(image.array.astype(np.float64))
    # The 7-point Laplacian of white noise of deviation s has deviation s sqrt(42).
    energy = ndimage.uniform_filter(high**2, 5) / 42
    values = energy[inside] if inside is not None else energy[energy > 0]
    if not values.size:
        return 0.0
    return float(np.sqrt(np.percentile(values, 15)))


def known_pair(base: Image, truth: DisplacementField, rng: np.random.Generator, *, noise: float) -> KnownPair:
    """Fixed = base + noise; moving = base moved so that `truth` maps fixed to moving, + other noise."""
    back = invert_field(truth, base.grid)[0]
    moved = resample_image(base, base.grid, back)
    images = []
    for image in (base, moved):
        fresh = noise * rng.standard_normal(base.grid.shape, dtype=np.float32)
        images.append(Image(image.array + fresh.astype(np.float32), base.grid, image.name))
    return KnownPair(images[0], images[1], truth)
