"""Slices around the clicks as VALOR-Net takes them, and the way back into the volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import Seeds
from valorlib.core.transforms import AffineTransform, Transform
from valorlib.ops.geodesic import edge_intensity_slowness, geodesic_distance
from valorlib.ops.prepare import equalize, match_histogram, normalize
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import inverse_of, map_points
from valorlib.ops.valor_energy import eikonal_distance


@dataclass(frozen=True, eq=False)
class SliceBlock:
    """Neighboring slices of the fixed image around the first tumor, resized, and the moving image resampled onto them.

    moving, fixed: T and R in [0, 1] on `grid`. markers: (K, J, I), the clicked pixels. places: (n, 3) clicks, world LPS
    mm of the fixed image, and tumors: (n,) their numbers. first_slice: of the fixed image.
    """

    grid: Grid
    moving: Image
    fixed: Image
    markers: NDArray[np.bool_]
    places: NDArray[np.float64]
    tumors: NDArray[np.int64]
    first_slice: int


def block_grid(
    fixed: Grid, places: NDArray[np.float64], *, slices: int, pixels: int, crop_mm: float
) -> tuple[Grid, int]:
    """Grid of `slices` neighboring slices around the clicks (the middle without any), pixels x pixels each.

    crop_mm: half side of the square looked at around the clicks; 0 takes whole slices.
    """
    index = fixed.to_index(places) if len(places) else (np.asarray(fixed.size)[None] - 1) / 2
    count = min(slices, fixed.size[2])
    first = int(np.clip(round(float(np.median(index[:, 2]))) - count // 2, 0, fixed.size[2] - count))
    start, stop = np.zeros(3, int), np.asarray(fixed.size)
    if crop_mm > 0:
        reach = crop_mm / np.asarray(fixed.spacing)
        start = np.clip(np.floor(index.mean(0) - reach), 0, np.asarray(fixed.size) - 1).astype(int)
        stop = np.clip(np.ceil(index.mean(0) + reach) + 1, start + 1, fixed.size).astype(int)
    start[2], stop[2] = first, first + count
    box = fixed.cropped(start.tolist(), stop.tolist())
    wi, wj, _ = box.extent_mm
    return box.resampled((wi / pixels, wj / pixels, box.spacing[2])), first


def cut_slices(
    pair: ImagePair, *, slices: int, pixels: int, crop_mm: float, match: bool, equalized: bool, marker_mm: float
) -> SliceBlock:
    """The paper's preparation: slices, crop, [0, 1], histogram of T matched to R, CLAHE, resizing.

    Raises:
        InputError: clicks given, but none of them in the slices.
    """
    start: Transform = pair.start if pair.start is not None else AffineTransform.identity()
    places, tumors = _clicks(pair.seeds, start)
    around = places[tumors == tumors.min()] if len(tumors) else places
    grid, first = block_grid(pair.fixed.grid, around, slices=slices, pixels=pixels, crop_mm=crop_mm)
    fixed = normalize(resample_image(pair.fixed, grid))
    moving = normalize(resample_image(pair.moving, grid, start))
    moving = match_histogram(moving, fixed) if match else moving
    if equalized:
        fixed, moving = equalize(fixed), equalize(moving)
    inside = grid.contains(places).reshape(-1)
    if len(places) and not inside.any():
        raise InputError("seeds: expected at least one click in the fixed image's slices, got none; check the start")
    markers = np.zeros(grid.shape, dtype=bool)
    spots = np.round(grid.to_index(places[inside])).astype(int).reshape(-1, 3)
    for i, j, _ in np.clip(spots, 0, np.asarray(grid.size) - 1):
        markers[:, j, i] = True
    if markers.any():
        away = ndimage.distance_transform_edt(~markers[0], sampling=grid.spacing[1::-1])
        markers |= (away <= marker_mm)[None]
    return SliceBlock(grid, moving, fixed, markers, places[inside], tumors[inside], first)


def _clicks(seeds: Seeds | None, start: Transform) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Tumor clicks in the fixed image's world."""
    if seeds is None or not seeds.tumor_numbers:
        return np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    chosen = seeds.tumors > 0
    points = seeds.points[chosen]
    return (map_points(inverse_of(start), points) if seeds.on == "moving" else points), seeds.tumors[chosen]


def label_slices(theta: NDArray[np.float32], block: SliceBlock, *, open_pixels: int) -> LabelMap:
    """Theta at one half, cleaned; the pieces at the markers, each pixel given the nearest click's tumor.

    theta: (K, J, I). open_pixels: size of the opening and closing; 0 leaves them out.
    """
    labels = np.zeros(theta.shape, np.int32)
    disk = ndimage.iterate_structure(ndimage.generate_binary_structure(2, 1), max(1, open_pixels))
    for k, one in enumerate(theta >= 0.5):
        if open_pixels:
            one = ndimage.binary_closing(ndimage.binary_opening(one, disk), disk)
        parts, _ = ndimage.label(one)
        kept = np.unique(parts[block.markers[k] & one])
        labels[k] = np.isin(parts, kept[kept > 0])
    if len(block.tumors) > 1:
        points = block.grid.points()[labels > 0]
        nearest = np.argmin(np.linalg.norm(points[:, None] - block.places[None], axis=-1), axis=1)
        labels[labels > 0] = block.tumors[nearest]
    elif len(block.tumors):
        labels *= int(block.tumors[0])
    return LabelMap(labels, block.grid, {int(n): f"Tumor {n}" for n in np.unique(block.tumors)})


def slice_distance(block: SliceBlock, level: float, *, eikonal: bool) -> NDArray[np.float32]:
    """(K, J, I) distance from the markers in [0, 1], slice by slice; zero in slices without a marker.

    level: intensity of the tumor in T. eikonal: the paper's, over its maximum; else 1 stands for 20 mm-equivalents.
    """
    found = np.zeros(block.grid.shape, np.float32)
    spacing = block.grid.spacing[::-1]
    for k, one in enumerate(block.moving.array):
        if not block.markers[k].any():
            continue
        calm = np.asarray(ndimage.gaussian_filter(one, 1.0), dtype=np.float32)
        if eikonal:
            found[k] = eikonal_distance(calm, block.markers[k])
            continue
        away = ndimage.distance_transform_edt(~block.markers[k], sampling=spacing[1:])
        ring = (away > 6) & (away < 14)
        outside = float(np.median(calm[ring])) if ring.any() else 0.0
        slowness = edge_intensity_slowness(calm[None], spacing, inside=level, outside=outside)
        found[k] = geodesic_distance(slowness, block.markers[k][None], spacing, limit_mm=20.0)[0] / 20.0
    return found
