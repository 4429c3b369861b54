"""Slices of images as PNG, embedded in reports."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, map_coordinates

from valorlib.core.grid import Grid

Gray = NDArray[np.float32]
Color = NDArray[np.uint8]
PLANES = ("axial", "coronal", "sagittal")
CONTOURS = ((255, 176, 0), (80, 220, 255), (255, 90, 190))


@dataclass(frozen=True, eq=False)
class View:
    """How a grid is shown: its axes turned to about left, posterior, superior.

    order: which array axis shows superior, posterior, left. flips: which of them run the other way.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, grid: Grid) -> View:
        """The view of a grid."""
        direction = np.asarray(grid.direction)
        free, axes = {0, 1, 2}, {}
        for world in (2, 1, 0):
            axes[world] = max(free, key=lambda n: abs(direction[world, n]))
            free.discard(axes[world])
        chosen = [axes[2], axes[1], axes[0]]  # index axes that show superior, posterior, left
        flips = [bool(direction[world, axis] < 0) for world, axis in zip((2, 1, 0), chosen, strict=True)]
        order = [2 - axis for axis in chosen]
        spacing = [grid.spacing[axis] for axis in chosen]
        return cls((order[0], order[1], order[2]), (flips[0], flips[1], flips[2]), (spacing[0], spacing[1], spacing[2]))

    def turned(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The array with axes (inferior to superior, anterior to posterior, right to left)."""
        found = np.transpose(array, self.order)
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flips)
        return found[steps]

    def slice_of(self, array: NDArray[np.generic], plane: int, at: Sequence[int], side: int) -> Gray:
        """One slice, anterior or superior up, patient's right on the left, about `side` pixels on the longer side.

        Args:
            array: (K, J, I).
            plane: 0 axial, 1 coronal, 2 sagittal.
            at: the voxel shown, in turned axes.
            side: pixels.
        """
        cut = np.asarray(self.turned(array).take(at[plane], axis=plane), dtype=np.float32)
        rows_mm, columns_mm = (s for n, s in enumerate(self.spacing) if n != plane)
        if plane != 0:
            cut = cut[::-1]
        scale = side / max(cut.shape[0] * rows_mm, cut.shape[1] * columns_mm)
        shape = [max(8, round(n * mm * scale)) for n, mm in zip(cut.shape, (rows_mm, columns_mm), strict=True)]
        index = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(shape, cut.shape, strict=True)]
        return np.asarray(
            map_coordinates(cut, np.meshgrid(*index, indexing="ij"), order=1, mode="nearest"), dtype=np.float32
        )

    def close_up(self, array: NDArray[Any], plane: int, at: NDArray[np.int64], side: int, width_mm: float) -> Gray:
        """A square of `width_mm` around a voxel (turned axes), `side` pixels wide; outside the image: black."""
        cut = np.asarray(self.turned(array).take(at[plane], axis=plane), dtype=np.float32)
        steps = [s for n, s in enumerate(self.spacing) if n != plane]
        middle = [v for n, v in enumerate(at) if n != plane]
        offsets = (np.arange(side) + 0.5) / side - 0.5
        index = [m + offsets * width_mm / s for m, s in zip(middle, steps, strict=True)]
        if plane != 0:
            index[0] = index[0][::-1]
        return np.asarray(
            map_coordinates(cut, np.meshgrid(*index, indexing="ij"), order=1, cval=float(cut.min())), dtype=np.float32
        )


def window(image: Gray, mask: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """Gray level shown black and that shown white: the 1st and 99.5th percentile."""
    values = image[::2, ::2, ::2] if mask is None else image[mask]
    low, high = (float(v) for v in np.percentile(values, (1, 99.5)))
    return (low, high) if high > low else (low, low + 1)


def gray(values: Gray, limits: tuple[float, float]) -> Color:
    """(h, w, 3) gray picture."""
    level = np.clip((values - limits[0]) / (limits[1] - limits[0]), 0, 1)
    return np.repeat(np.round(255 * level).astype(np.uint8)[..., None], 3, axis=2)


def overlay(fixed: Color, moving: Color) -> Color:
    """Fixed in cyan, moving in red: gray where both agree."""
    return np.stack([moving[..., 0], fixed[..., 1], fixed[..., 2]], axis=-1)


def checkerboard(fixed: Color, moving: Color, *, squares: int = 8) -> Color:
    """Squares of the fixed and the moving picture in turn."""
    size = max(fixed.shape[:2]) / squares
    row, column = (np.floor(np.arange(n) / size).astype(int) for n in fixed.shape[:2])
    return np.where(((row[:, None] + column) % 2 == 0)[..., None], fixed, moving)


def diverging(values: NDArray[np.floating[Any]], limit: float) -> Color:
    """Blue below 0, white at 0, orange above; full color at +-limit."""
    share = np.clip(values / max(limit, 1e-9), -1, 1)[..., None]
    ends = np.where(share < 0, np.array((11, 90, 160.0)), np.array((214, 96, 0.0)))
    return np.asarray(np.round(255 + (ends - 255) * np.abs(share)), dtype=np.uint8)


def with_contour(picture: Color, mask: Gray, color: tuple[int, int, int]) -> Color:
    """The picture with the border of a mask (0 to 1) drawn on it."""
    inside = mask >= 0.5
    found = picture.copy()
    found[binary_dilation(inside, iterations=2) & ~inside] = color
    return found


def png(picture: Color) -> bytes:
    """The picture as a PNG file."""
    height, width, _ = picture.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), picture.reshape(height, -1)], axis=1).tobytes()

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines, 6)) + chunk(b"IEND", b"")


def embedded(picture: Color) -> str:
    """The picture as a data address."""
    return "data:image/png;base64," + base64.b64encode(png(picture)).decode("ascii")
