"""Masks of where an image may be looked at, and boxes around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap


def both(first: LabelMap | None, second: LabelMap | None) -> LabelMap | None:
    """1 where both masks (on one grid) are set; a mask that is None is set everywhere."""
    if first is None or second is None:
        return first if second is None else second
    return LabelMap(((first.array > 0) & (second.array > 0)).astype(np.int32), first.grid)


def outside(labels: LabelMap, margin_mm: float) -> LabelMap:
    """1 farther than `margin_mm` from every label."""
    away = distance_transform_edt(labels.array == 0, sampling=labels.grid.spacing[::-1])
    return LabelMap((away > margin_mm).astype(np.int32), labels.grid)


def inverted(labels: LabelMap) -> LabelMap:
    """1 outside every label, 0 inside."""
    return LabelMap((labels.array == 0).astype(np.int32), labels.grid)


def indicator(labels: LabelMap) -> Image:
    """1 inside any label, 0 outside."""
    return Image((labels.array > 0).astype(np.float32), labels.grid)


def bounding_grid(mask: LabelMap, margin_mm: float) -> Grid:
    """The part of the grid around the mask, with a margin; the whole grid when the mask is empty."""
    start, stop = [], []
    for axis, spacing in zip((2, 1, 0), mask.grid.spacing, strict=True):
        there: NDArray[np.intp] = np.flatnonzero((mask.array > 0).any(axis=tuple(a for a in range(3) if a != axis)))
        if not len(there):
            return mask.grid
        extra = int(np.ceil(margin_mm / spacing))
        start.append(max(0, int(there[0]) - extra))
        stop.append(min(mask.array.shape[axis], int(there[-1]) + 1 + extra))
    return mask.grid.cropped(start, stop)


def clipped(image: Image, limits: tuple[float, ...]) -> Image:
    """The image with intensities kept between two limits; without limits the image itself."""
    if len(limits) != 2:
        return image
    return Image(np.clip(image.array, limits[0], limits[1]), image.grid, image.name)
