"""What tells a lesion from its surroundings near a click: marker, direction of contrast, local intensities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True, eq=False)
class Growth:
    """The region that grows from the marker down to the intensity where its border is sharpest.

    mask: (K, J, I). threshold: of the feature. contrast: mean border step at that threshold, per mm.
    inside, outside: mean feature in the mask and just around it.
    """

    mask: NDArray[np.bool_]
    threshold: float
    contrast: float
    inside: float
    outside: float


def ball(
    shape: Sequence[int], center: Sequence[float], radius_mm: float, spacing: Sequence[float]
) -> NDArray[np.bool_]:
    """(K, J, I) true within `radius_mm` of the voxel `center` (k, j, i); the center itself always."""
    return distance_to(shape, center, spacing) <= max(radius_mm, 1e-6)


def distance_to(shape: Sequence[int], center: Sequence[float], spacing: Sequence[float]) -> NDArray[np.float32]:
    """(K, J, I) mm from the voxel position `center` (k, j, i)."""
    axes = [((np.arange(n) - c) * s) ** 2 for n, c, s in zip(shape, center, spacing, strict=True)]
    squares = axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]
    return np.asarray(np.sqrt(squares), dtype=np.float32)


def smoothed(array: NDArray[np.float32], sigma_mm: float, spacing: Sequence[float]) -> NDArray[np.float32]:
    """Gaussian mean of sigma mm; not along an axis one voxel long."""
    sigma = [sigma_mm / s if n > 1 else 0.0 for s, n in zip(spacing, array.shape, strict=True)]
    return np.asarray(ndimage.gaussian_filter(array, sigma, mode="nearest"), dtype=np.float32)


def snap(
    feature: NDArray[np.float32], index: NDArray[np.int64], spacing: Sequence[float], radius_mm: float
) -> NDArray[np.int64]:
    """(3,) the voxel with the highest feature within `radius_mm` of the click `index` (k, j, i)."""
    near = ball(feature.shape, index.tolist(), radius_mm, spacing)
    best = np.argmax(np.where(near, feature, -np.inf))
    return np.asarray(np.unravel_index(int(best), feature.shape), dtype=np.int64)


def border_step(feature: NDArray[np.float32], spacing: Sequence[float]) -> NDArray[np.float32]:
    """(K, J, I) length of the feature's slope, per mm."""
    slopes = [np.gradient(feature, s, axis=a) for a, s in enumerate(spacing) if feature.shape[a] > 1]
    return np.asarray(np.sqrt(sum(slope**2 for slope in slopes)), dtype=np.float32)


def connected(mask: NDArray[np.bool_], marker: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of the mask that touch the marker."""
    parts, count = ndimage.label(mask)
    touched = np.zeros(count + 1, dtype=bool)
    touched[parts[marker & mask]] = True
    return np.asarray(touched[parts])


def border_of(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask's own voxels that have a neighbor outside it; the end of the array counts as inside."""
    inner = mask.copy()
    for axis in range(mask.ndim):
        to, of = np.moveaxis(inner, axis, 0), np.moveaxis(mask, axis, 0)
        to[1:] &= of[:-1]
        to[:-1] &= of[1:]
    return np.asarray(mask & ~inner)


def compactness(mask: NDArray[np.bool_], border: NDArray[np.bool_] | None = None) -> float:
    """About 1 and more for a ball (a disk in one slice), towards 0 for a branching shape; without unit.

    border: of the mask, where it is known already.
    """
    border = border_of(mask) if border is None else border
    volume, surface = float(mask.sum()), max(float(border.sum()), 1.0)
    if mask.shape[0] == 1:
        return 3.545 * float(np.sqrt(volume)) / surface
    return float(4.836 * volume ** (2.0 / 3.0) / surface)


def grow(
    feature: NDArray[np.float32],
    marker: NDArray[np.bool_],
    spacing: Sequence[float],
    *,
    smallest_mm3: float = 15.0,
    largest_mm3: float = np.inf,
    steps: int = 24,
) -> Growth:
    """Lower a threshold from the marker's intensity and keep the level with the sharpest border; branches count less.

    Args:
        feature: (K, J, I), high in the lesion, smoothed a little.
        marker: (K, J, I), the clicked voxels.
        spacing: mm along (k, j, i).
        smallest_mm3: smaller regions are not judged.
        largest_mm3: larger regions are not judged.
        steps: thresholds tried.

    Source: Hojjatoleslami and Kittler, Region growing: a new approach, IEEE Trans. Image Process. 7(7), 1998,
    10.1109/83.701170 (average contrast).
    """
    voxel = float(np.prod(spacing)) if feature.shape[0] > 1 else float(np.prod(spacing[1:])) ** 1.5
    top = float(feature[marker].mean())
    bottom = float(np.percentile(feature, 20))
    slope = border_step(feature, spacing)
    best: tuple[float, float, float, NDArray[np.bool_]] | None = None
    for level in np.linspace(top, bottom, steps + 2)[1:-1]:
        mask = connected(feature >= level, marker)
        size = mask.sum() * voxel
        if size < smallest_mm3:
            continue
        if best is not None and size > largest_mm3:
            break
        border = border_of(mask)
        step = float(slope[border].mean()) if border.any() else 0.0
        merit = step * min(1.0, compactness(mask, border))
        if best is None or merit > best[0]:
            best = (merit, step, float(level), mask)
    if best is None:
        best = (0.0, 0.0, (top + bottom) / 2, marker.copy())
    _, step, level, mask = best
    around = ndimage.binary_dilation(mask, iterations=3) & ~ndimage.binary_dilation(mask)
    inside = float(feature[mask].mean())
    outside = float(feature[around].mean()) if around.any() else bottom
    return Growth(mask, level, step, inside, outside)
