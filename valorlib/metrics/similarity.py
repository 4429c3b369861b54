"""How much two images on one grid look alike. None of these numbers proves alignment: look at landmarks and folds too.

All functions take arrays (K, J, I) of one shape and an optional mask, True where the images count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from valorlib.core.errors import InputError, check_shape

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


def _pair(fixed: Array, warped: Array, mask: Mask | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    check_shape("warped", warped, " ".join(map(str, np.shape(fixed))))
    if mask is None:
        return np.asarray(fixed, dtype=np.float64).ravel(), np.asarray(warped, dtype=np.float64).ravel()
    check_shape("mask", mask, " ".join(map(str, np.shape(fixed))))
    if not mask.any():
        raise InputError("mask: expected at least one voxel, got none; the images may not overlap")
    return np.asarray(fixed[mask], dtype=np.float64), np.asarray(warped[mask], dtype=np.float64)


def unit_range(image: Array, mask: Mask | None = None) -> Array:
    """The image scaled so that its smallest value (inside the mask) is 0 and its largest 1; 0 when it is constant."""
    values = image if mask is None else image[mask]
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.zeros_like(image, dtype=np.float32)
    return np.asarray((image - low) / (high - low), dtype=np.float32)


def psnr(fixed: Array, warped: Array, mask: Mask | None = None, *, peak: float | None = None) -> float:
    """Peak signal-to-noise ratio, dB; the peak is the range of `fixed` unless given; inf for equal images."""
    a, b = _pair(fixed, warped, mask)
    top = float(a.max() - a.min()) if peak is None else peak
    mse = float(np.mean((a - b) ** 2))
    if mse == 0:
        return float("inf")
    return float(10 * np.log10(max(top, 1e-12) ** 2 / mse))


def ncc(fixed: Array, warped: Array, mask: Mask | None = None) -> float:
    """Pearson's correlation, -1 to 1; 0 when one image is constant."""
    a, b = _pair(fixed, warped, mask)
    a, b = a - a.mean(), b - b.mean()
    # Not a @ b: that waits for idle cores, and sums in another order on two threads than on one.
    square, other, product = (float(np.einsum("n,n", one, two)) for one, two in ((a, a), (b, b), (a, b)))
    size = float(np.sqrt(square * other))
    return product / size if size > 0 else 0.0


def relative_ssd(fixed: Array, before: Array, after: Array, mask: Mask | None = None) -> float:
    """Sum of squared differences after registration over that before; below 1 is better, 0 for a perfect match."""
    a, b = _pair(fixed, before, mask)
    _, c = _pair(fixed, after, mask)
    start = float(np.sum((a - b) ** 2))
    return float(np.sum((a - c) ** 2)) / start if start > 0 else 0.0


def ssim_map(fixed: Array, warped: Array, *, window: int = 7, peak: float = 1.0) -> Array:
    """Structural similarity of each voxel, uniform window, as scikit-image computes it.

    Along axes shorter than the window, the window is one voxel. Source: Wang, Image quality assessment, IEEE Trans.
    Image Process. 13(4), 2004, doi:10.1109/TIP.2003.819861.
    """
    check_shape("warped", warped, " ".join(map(str, np.shape(fixed))))
    a, b = np.asarray(fixed, dtype=np.float32), np.asarray(warped, dtype=np.float32)
    size = tuple(window if n >= window else 1 for n in a.shape)
    count = int(np.prod(size))
    sample = count / max(count - 1, 1)  # unbiased variance
    mean_a, mean_b = uniform_filter(a, size), uniform_filter(b, size)
    var_a = sample * (uniform_filter(a * a, size) - mean_a**2)
    var_b = sample * (uniform_filter(b * b, size) - mean_b**2)
    both = sample * (uniform_filter(a * b, size) - mean_a * mean_b)
    c1, c2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    top = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return np.asarray(top / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)), dtype=np.float32)


def ssim(fixed: Array, warped: Array, mask: Mask | None = None) -> float:
    """Mean structural similarity of the two images, each scaled to 0 to 1; 1 for equal images."""
    found = ssim_map(unit_range(fixed, mask), unit_range(warped, mask))
    return float(found.mean() if mask is None else found[mask].mean())


def ngf_map(fixed: Array, warped: Array, *, spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> Array:
    """Squared cosine between the gradients of each voxel, 0 to 1, damped where both are flat.

    spacing_mm: along (k, j, i). Source: Haber, Intensity gradient based registration, Methods Inf. Med. 46, 2007.
    """
    check_shape("warped", warped, " ".join(map(str, np.shape(fixed))))
    products, squares = 0.0, []
    slopes = [_slopes(image, spacing_mm) for image in (fixed, warped)]
    for one in slopes:
        square = sum(s * s for s in one)
        squares.append(square + float(np.mean(square)) * 0.1 + 1e-12)
    products = sum(a * b for a, b in zip(*slopes, strict=True))
    return np.asarray(products**2 / (squares[0] * squares[1]), dtype=np.float32)


def _slopes(image: Array, spacing_mm: tuple[float, float, float]) -> list[Array]:
    return [
        np.asarray(np.gradient(image, step, axis=axis), dtype=np.float32)
        for axis, step in enumerate(spacing_mm)
        if image.shape[axis] > 1
    ]


def ngf(
    fixed: Array,
    warped: Array,
    mask: Mask | None = None,
    *,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> float:
    """Mean of `ngf_map`, each voxel weighted by the strength of the fixed gradient: 0 to 1, 1 when edges agree."""
    found = ngf_map(fixed, warped, spacing_mm=spacing_mm)
    slopes = _slopes(fixed, spacing_mm)
    weight = np.sqrt(sum(s * s for s in slopes)) if slopes else np.zeros_like(found)
    if mask is not None:
        found, weight = found[mask], weight[mask]
    total = float(weight.sum())
    return float((found * weight).sum()) / total if total > 0 else 0.0


@dataclass(frozen=True)
class SeedCompatible:
    """The predecessor's definitions, to compare with its published numbers.

    ncc is not centered (cosine), ngf is normalized by the whole image (always about 1), psnr has peak 1 on images
    scaled to 0 to 1, ssim is on the same images.
    """

    psnr: float
    ssim: float
    ncc: float
    relative_ssd: float
    ngf: float


def seed_compatible(fixed: Array, before: Array, after: Array) -> SeedCompatible:
    """The predecessor's five scores. Their definitions are kept although NCC and NGF say little."""
    a, b, c = unit_range(fixed), unit_range(before), unit_range(after)
    cosine = float(np.sum(a * c) / max(np.sqrt(float(np.sum(a * a)) * float(np.sum(c * c))), 1e-12))
    gradients = [np.stack(_slopes(image, (1.0, 1.0, 1.0))) for image in (a, c)]
    norms = [float(np.sqrt((g**2).sum())) for g in gradients]
    local = (gradients[0] * gradients[1]).sum(axis=0) / max(norms[0] * norms[1], 1e-12)
    return SeedCompatible(
        psnr=psnr(a, c, peak=1.0),
        ssim=float(ssim_map(a, c).mean()),
        ncc=cosine,
        relative_ssd=relative_ssd(a, b, c),
        ngf=float(np.mean(1 - local**2)),
    )
