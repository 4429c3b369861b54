"""Steps before a registration: intensities, cropping and resizing. Each is a pure function and may be left out.

Where bodies lie (masks, overlap, starts) is in `overlap.py` beside this file.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import ArrayLike, NDArray
from skimage import exposure

from valorlib.convert.simpleitk import image_to_sitk
from valorlib.core.errors import InputError, check_finite
from valorlib.core.images import Image, LabelMap
from valorlib.ops.contrast import intensity_range
from valorlib.ops.resample import resample_image


def _with(image: Image, array: NDArray[np.floating]) -> Image:
    return Image(array.astype(np.float32), image.grid, image.name)


def crop_to_region(image: Image, points: ArrayLike, *, margin_mm: float) -> Image:
    """The part of the image that holds all points and a margin around them; voxels keep their places.

    Args:
        image: any image.
        points: (N, 3) LPS mm.
        margin_mm: added on each side, cut off at the image's border.

    Raises:
        InputError: no point, or the region lies outside the image.
    """
    where = np.atleast_2d(np.asarray(points, dtype=np.float64))
    if where.size == 0:
        raise InputError("points: expected at least one point to crop around, got none")
    index = image.grid.to_index(where)
    margin = margin_mm / np.asarray(image.grid.spacing)
    start = np.maximum(np.floor(index.min(0) - margin), 0).astype(int)
    stop = np.minimum(np.ceil(index.max(0) + margin) + 1, image.grid.size).astype(int)
    if np.any(start >= stop):
        raise InputError("points: expected points inside the image, got a region outside of it; check LPS and RAS")
    (i0, j0, k0), (i1, j1, k1) = start, stop
    return Image(image.array[k0:k1, j0:j1, i0:i1], image.grid.cropped(start.tolist(), stop.tolist()), image.name)


def normalize(image: Image, *, low_percentile: float = 0.0, high_percentile: float = 100.0) -> Image:
    """Intensities stretched to [0, 1] between two percentiles (0 and 100: minimum and maximum), cut off beyond.

    Raises:
        InputError: an image with NaN, or one without contrast.
    """
    check_finite(image.name or "image", image.array)
    low, high = intensity_range(image.name, image.array, low_percentile, high_percentile)
    return _with(image, np.clip((image.array - low) / (high - low), 0.0, 1.0))


def match_histogram(image: Image, reference: Image, *, foreground: bool = False) -> Image:
    """`image` with its intensities mapped, order kept, so that their histogram is that of `reference`.

    Direction: the first image is changed, the second never. The paper matches the 3T (moving) to the 7T (fixed) one.

    Args:
        image: the one that is changed.
        reference: the one it shall look like.
        foreground: match voxels above each image's lowest value alone, so that how much background there is does not
            shift the tissues; the background takes the reference's lowest value.
    """
    if not foreground:
        return _with(image, exposure.match_histograms(image.array, reference.array))
    inside, there = image.array > image.array.min(), reference.array > reference.array.min()
    out = np.full(image.array.shape, reference.array.min(), dtype=np.float32)
    if inside.any() and there.any():
        # A thousand quantiles say all that a gray scale holds, in a fraction of the time of a full sort of pairs.
        at = np.linspace(0, 1, 1001)
        low, high = (np.quantile(values, at) for values in (image.array[inside], reference.array[there]))
        out[inside] = np.interp(image.array[inside], low, high)
    return _with(image, out)


def equalize(image: Image, *, clip_limit: float = 0.01, tiles: int = 8) -> Image:
    """Contrast-limited adaptive histogram equalization of each slice along k; output in [0, 1].

    Args:
        image: any range; it is stretched to [0, 1] first.
        clip_limit: 0 to 1; higher gives more contrast.
        tiles: regions along each side of a slice.
    """
    stretched = normalize(image).array
    kernel = [max(1, n // tiles) for n in stretched.shape[1:]]
    slices = [exposure.equalize_adapthist(one, kernel_size=kernel, clip_limit=clip_limit) for one in stretched]
    return _with(image, np.stack(slices))


def resize_slices(image: Image, *, pixels: int = 320) -> Image:
    """Each slice resampled to pixels x pixels over the same area (the paper: 320); slices stay where they are."""
    _, _, nk = image.grid.size
    wi, wj, _ = image.grid.extent_mm
    return resample_image(image, image.grid.resampled((wi / pixels, wj / pixels, image.grid.extent_mm[2] / nk)))


def correct_bias(image: Image, mask: LabelMap | None = None, *, working_mm: float = 4.0, iterations: int = 30) -> Image:
    """Image divided by the slow shading that N4 finds (mean of the shading in the mask is 1).

    Args:
        image: non-negative intensities (MR).
        mask: where to look; None takes all voxels above zero.
        working_mm: the shading is estimated on a grid this coarse.
        iterations: at most, on each of three levels.

    Source: Tustison, N4ITK, IEEE Trans. Med. Imaging 29(6), 2010, 10.1109/TMI.2010.2046908.
    """
    if image.array.min() < 0:
        raise InputError(f"{image.name or 'image'}: expected no negative value for N4, got {image.array.min():g}")
    full = image_to_sitk(image)
    inside = (image.array > 0) if mask is None else (mask.array > 0)
    if not inside.any():
        raise InputError("mask: expected voxels to estimate the shading from, got none")
    mask_sitk = sitk.GetImageFromArray(inside.astype(np.uint8))
    mask_sitk.CopyInformation(full)
    shrink = [
        max(1, min(round(working_mm / s), n // 8)) for s, n in zip(image.grid.spacing, image.grid.size, strict=True)
    ]
    n4 = sitk.N4BiasFieldCorrectionImageFilter()
    n4.SetMaximumNumberOfIterations([iterations] * 3)
    n4.SetNumberOfThreads(1)
    if min(image.grid.size) < 4:
        raise InputError("image: expected at least 4 slices for N4, got fewer; leave bias correction off")
    n4.Execute(sitk.Shrink(full, shrink), sitk.Shrink(mask_sitk, shrink))
    shading = np.exp(sitk.GetArrayFromImage(n4.GetLogBiasFieldAsImage(full)))
    return _with(image, image.array * (shading[inside].mean() / shading))
