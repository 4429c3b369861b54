"""Lungs in a CT by their density."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.ops.overlap import body_mask


def lung_mask(image: Image, *, threshold_hu: float = -400.0, close_mm: float = 6.0) -> LabelMap:
    """1 in the lungs, vessels and small tumors inside them included.

    Args:
        image: CT, HU.
        threshold_hu: air and lung lie below.
        close_mm: denser things thinner than about twice this are filled.

    Raises:
        InputError: no air inside the body; not a thorax CT.
    """
    step = [max(1, round(2.5 / s)) for s in image.grid.spacing[::-1]]
    coarse = ndimage.uniform_filter(image.array, step)[tuple(slice(s // 2, None, s) for s in step)]
    body = body_mask(image).array[tuple(slice(s // 2, None, s) for s in step)] > 0
    spacing = [s * n for s, n in zip(image.grid.spacing[::-1], step, strict=True)]
    parts, count = ndimage.label((coarse < threshold_hu) & ndimage.binary_erosion(body))
    sizes_ml = np.bincount(parts.ravel())[1:] * np.prod(spacing) / 1000
    if not count or sizes_ml.max() < 100:
        raise InputError("image: expected a CT with lungs (air inside the body), found none; switch sliding off")
    lungs = np.isin(parts, 1 + np.flatnonzero(sizes_ml > 100))
    pads = [(int(np.ceil(close_mm / s)),) * 2 for s in spacing]
    padded = np.pad(lungs, pads)
    grown = ndimage.distance_transform_edt(~padded, sampling=spacing) <= close_mm
    closed = ndimage.distance_transform_edt(grown, sampling=spacing) > close_mm
    closed = closed[tuple(slice(a, closed.shape[n] - b) for n, (a, b) in enumerate(pads))] | lungs
    zoomed = closed
    for axis, (size, s) in enumerate(zip(image.grid.shape, step, strict=True)):
        zoomed = np.take(zoomed, np.minimum(np.arange(size) // s, zoomed.shape[axis] - 1), axis=axis)
    return LabelMap(zoomed.astype(np.int32), image.grid)
