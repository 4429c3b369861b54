"""A box of the image around the clicks, resampled to cubes, and the way back onto the image's grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import Image

LAST_BITS = 1e-6


@dataclass(frozen=True, eq=False)
class Region:
    """A box of an image, its axes those of the image.

    array: (K, J, I) float32 on `grid`, whose voxels are (about) cubes, one slice thick for single-slice images.
    open_faces: (3, 2) bool, (k, j, i) by (first, last): true where the box ends inside the image.
    """

    array: NDArray[np.float32]
    grid: Grid
    open_faces: NDArray[np.bool_]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Mm along (k, j, i)."""
        return self.grid.spacing[::-1]

    def index_of(self, points: NDArray[np.float64]) -> NDArray[np.int64]:
        """(N, 3) nearest voxels (k, j, i) inside the box of world points (N, 3)."""
        index = np.round(self.grid.to_index(points)).astype(np.int64)
        return np.clip(index, 0, np.asarray(self.grid.size) - 1)[:, ::-1]


def region_box(
    image: Image, low: Sequence[float], high: Sequence[float]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First and one-past-last voxel (i, j, k) of the box between two continuous indices (i, j, k), cut to the image."""
    size = np.asarray(image.grid.size)
    # A box must not depend on the last bit of an index.
    start = np.clip(np.floor(np.asarray(low) + LAST_BITS), 0, size - 1).astype(np.int64)
    stop = np.clip(np.ceil(np.asarray(high) - LAST_BITS) + 1, start + 1, size).astype(np.int64)
    return start, stop


def cut_region(image: Image, points: NDArray[np.float64], *, radius_mm: float, spacing_mm: float) -> Region:
    """The box that reaches `radius_mm` beyond all points, at cubes of `spacing_mm`."""
    index, margin = image.grid.to_index(points), radius_mm / np.asarray(image.grid.spacing)
    start, stop = region_box(image, index.min(0) - margin, index.max(0) + margin)
    (i0, j0, k0), (i1, j1, k1) = start, stop
    crop = image.array[k0:k1, j0:j1, i0:i1]
    box = image.grid.cropped(start.tolist(), stop.tolist())
    wanted = [s if n == 1 else spacing_mm for s, n in zip(box.spacing, box.size, strict=True)]
    grid = box.resampled(wanted)
    open_faces = np.stack([start > 0, stop < np.asarray(image.grid.size)], axis=1)[::-1]
    return Region(_shrunk(crop, box, grid), grid, open_faces)


def _shrunk(crop: NDArray[np.float32], box: Grid, grid: Grid) -> NDArray[np.float32]:
    ratio = np.asarray(grid.spacing) / np.asarray(box.spacing)
    sigma = [0.4 * np.sqrt(max(r**2 - 1, 0.0)) for r in ratio[::-1]]
    return onto_grid(ndimage.gaussian_filter(crop, sigma) if max(sigma) > 0 else crop, box, grid)


def onto_grid(array: NDArray[np.float32], grid: Grid, onto: Grid) -> NDArray[np.float32]:
    """Linear interpolation between two grids with the same axes; the border value beyond the border."""
    first = grid.to_index(onto.to_world((0, 0, 0)))[::-1]
    scale = np.asarray(onto.spacing)[::-1] / np.asarray(grid.spacing)[::-1]
    out = ndimage.affine_transform(array, scale, first, output_shape=onto.shape, order=1, mode="nearest")
    return np.asarray(out, dtype=np.float32)


def paste_region(values: NDArray[np.float32], grid: Grid, onto: Grid, out: NDArray[np.float32]) -> None:
    """Write `values` (on `grid`) into the part of `out` (on `onto`) that the box covers; linear between voxels."""
    corners = onto.to_index(grid.corners())
    size = np.asarray(onto.size)
    start = np.clip(np.ceil(corners.min(0) - 1e-6), 0, size - 1).astype(int)
    stop = np.clip(np.floor(corners.max(0) + 1e-6) + 1, start + 1, size).astype(int)
    (i0, j0, k0), (i1, j1, k1) = start, stop
    out[k0:k1, j0:j1, i0:i1] = onto_grid(values, grid, onto.cropped(start.tolist(), stop.tolist()))
