"""A structure drawn as planar contours, made solid: shape interpolation between slices, end caps by a stated rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from valorlib.core.errors import InputError, check_finite, check_shape

F64 = NDArray[np.float64]

CAPS = {"none": 0.0, "quarter": 0.25, "third": 1 / 3, "half": 0.5, "rounded": 0.5}
"""End-cap rule to the share of the slice distance a structure goes on beyond its first and last contour.

All are slabs but "rounded": a dome that draws in from the outline with the square of the height, to nothing at half a
slice.
"""
MAX_PIXELS = 6_000_000
BRIDGED = 3.2
"""Slices up to this many slice distances apart are joined (two missing slices); wider gaps split the structure."""


@dataclass(frozen=True, eq=False)
class Contours:
    """Closed planar contours of one structure, all in parallel planes.

    polygons: each (n, 3), LPS mm. Contours of one plane are combined by even-odd, so a contour inside another is a
    hole, and a keyhole contour (one line in and back) is too.
    """

    name: str
    polygons: tuple[F64, ...]

    def __post_init__(self) -> None:
        kept = []
        for n, polygon in enumerate(self.polygons):
            points = np.asarray(polygon, dtype=np.float64)
            check_shape(f"{self.name} contour {n}", points, "n 3")
            check_finite(f"{self.name} contour {n}", points)
            if len(points) >= 3:
                kept.append(points)
        object.__setattr__(self, "polygons", tuple(kept))


@dataclass(frozen=True, eq=False)
class ContourSolid:
    """Contours made solid; build it with `solid_of`.

    axes: rows are the in-plane directions and the normal. offsets_mm: rising heights of the slices. distance: (S, Y, X)
    signed distance to the outline, mm, positive inside, at pixels of `pixel_mm` from `corner`. cap_mm: how far the
    structure goes on beyond an end. rounded: it draws in there. warnings: plain sentences.
    """

    name: str
    axes: F64
    offsets_mm: F64
    distance: NDArray[np.float32]
    corner: F64
    pixel_mm: float
    cap_mm: float
    gap_mm: float
    rounded: bool = False
    warnings: tuple[str, ...] = field(default=())

    @property
    def slice_mm(self) -> float:
        """Usual distance of the slices."""
        return _usual_step(self.offsets_mm)

    @property
    def box(self) -> tuple[F64, F64]:
        """Lower and upper corner, in the frame of `axes`, mm."""
        size = np.asarray(self.distance.shape[:0:-1]) - 1
        low = np.append(self.corner, self.offsets_mm[0] - self.cap_mm)
        return low, np.append(self.corner + size * self.pixel_mm, self.offsets_mm[-1] + self.cap_mm)

    def inside(self, points: F64) -> NDArray[np.bool_]:
        """True for the LPS points, (n, 3), that lie in the structure."""
        local = np.asarray(points) @ self.axes.T
        height, beyond, inside = self._height(local[:, 2])
        at = np.stack([height, *((local[:, c] - self.corner[c]) / self.pixel_mm for c in (1, 0))])
        outside = -float(self.pixel_mm)
        found = ndimage.map_coordinates(self.distance, at, order=1, mode="constant", cval=outside)
        if self.rounded and self.cap_mm > 0:
            widest = self.distance.max(axis=(1, 2))[np.round(height).astype(int)]
            found = found - widest * np.square(beyond / self.cap_mm)
        return np.asarray((found > 0) & inside)

    def _height(self, z: F64) -> tuple[F64, F64, NDArray[np.bool_]]:
        """Slice index of a height, how far it is beyond an end, mm, and whether the structure can be there at all."""
        inside = (z >= self.offsets_mm[0] - self.cap_mm) & (z <= self.offsets_mm[-1] + self.cap_mm)
        index = np.interp(z, self.offsets_mm, np.arange(len(self.offsets_mm), dtype=np.float64))
        beyond = np.maximum(np.maximum(self.offsets_mm[0] - z, z - self.offsets_mm[-1]), 0)
        if len(self.offsets_mm) == 1:
            return index, beyond, inside
        below = np.clip(np.searchsorted(self.offsets_mm, z) - 1, 0, len(self.offsets_mm) - 2)
        wide = (np.diff(self.offsets_mm) > self.gap_mm)[below] & (z > self.offsets_mm[0]) & (z < self.offsets_mm[-1])
        near_low = z <= self.offsets_mm[below] + self.cap_mm
        near_high = z >= self.offsets_mm[below + 1] - self.cap_mm
        index = np.where(wide & near_low, below, np.where(wide & near_high, below + 1, index))
        gap = np.minimum(z - self.offsets_mm[below], self.offsets_mm[below + 1] - z)
        return index, np.where(wide, gap, beyond), inside & (~wide | near_low | near_high)


def solid_of(contours: Contours, *, cap: str = "rounded", pixel_mm: float | None = None) -> ContourSolid:
    """A structure's contours as a solid.

    Args:
        contours: at least one closed contour.
        cap: "rounded", "none", "quarter", "third" or "half": how the structure goes on beyond its ends (`CAPS`).
            Programs differ here more than anywhere else: rounded agrees best with Eclipse, half is the full slab of
            CERR.
        pixel_mm: in-plane resolution of the distance maps; None: by size.
    """
    if cap not in CAPS:
        raise InputError(f"cap: expected one of {', '.join(CAPS)}, got {cap!r}")
    if not contours.polygons:
        raise InputError(f"{contours.name}: expected contours, got none; the structure is empty")
    axes = _plane_axes(contours)
    local = [polygon @ axes.T for polygon in contours.polygons]
    heights = np.asarray([float(np.median(p[:, 2])) for p in local])
    tilt = max(float(np.ptp(p[:, 2])) for p in local)
    if tilt > 0.5:
        raise InputError(f"{contours.name}: expected planar contours, got points {tilt:.2g} mm off their plane")
    offsets, group = _slices(heights)
    pixel = pixel_mm or _pixel(local, len(offsets))
    low = np.min([p[:, :2].min(0) for p in local], axis=0) - 3 * pixel
    high = np.max([p[:, :2].max(0) for p in local], axis=0) + 3 * pixel
    shape = tuple(int(n) for n in (np.ceil((high - low) / pixel).astype(int) + 1)[::-1])
    maps = np.empty((len(offsets), *shape), dtype=np.float32)
    for s in range(len(offsets)):
        outlines = [local[n][:, :2] for n in np.flatnonzero(group == s)]
        maps[s] = signed_distance(outlines, low, pixel, (shape[0], shape[1]))
    usual = _usual_step(offsets)
    return ContourSolid(
        contours.name,
        axes,
        offsets,
        maps,
        low,
        pixel,
        CAPS[cap] * usual,
        BRIDGED * usual,
        cap == "rounded",
        _gap_warnings(contours, offsets),
    )


def signed_distance(
    outlines: Sequence[F64], corner: F64, pixel_mm: float, shape: tuple[int, int]
) -> NDArray[np.float32]:
    """(Y, X) distance to closed outlines, mm, positive inside by even-odd; exact near them, to a pixel far off."""
    inside = fill(outlines, corner, pixel_mm, shape)
    far = ndimage.distance_transform_edt(inside) - ndimage.distance_transform_edt(~inside)
    out: NDArray[np.float32] = ((far - 0.5 * np.sign(far)) * pixel_mm).astype(np.float32)
    segments = _segments(outlines)
    if not len(segments):
        return out
    rows, columns = np.nonzero(np.abs(far) <= 2)
    at = np.stack([columns, rows], axis=1) * pixel_mm + corner
    out[rows, columns] = np.where(inside[rows, columns], 1, -1) * _to_segments(at, segments, pixel_mm)
    return out


def fill(outlines: Sequence[F64], corner: F64, pixel_mm: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """(Y, X) True where a pixel center lies inside by even-odd of all outlines."""
    flips = np.zeros((shape[0], shape[1] + 1), dtype=np.int64)
    for outline in outlines:
        a = (outline - corner) / pixel_mm
        b = np.roll(a, -1, axis=0)
        low, high = np.minimum(a[:, 1], b[:, 1]), np.maximum(a[:, 1], b[:, 1])
        first, last = np.ceil(low).astype(int), np.ceil(high).astype(int)  # rows with low <= y < high
        count = np.maximum(last - first, 0)
        edge = np.repeat(np.arange(len(a)), count)
        row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
        t = (row - a[edge, 1]) / (b[edge, 1] - a[edge, 1])
        x = a[edge, 0] + t * (b[edge, 0] - a[edge, 0])
        keep = (row >= 0) & (row < shape[0])
        column = np.clip(np.ceil(x[keep]).astype(int), 0, shape[1])
        np.add.at(flips, (row[keep], column), 1)
    return np.asarray(np.cumsum(flips, axis=1)[:, :-1] % 2 == 1)


def _segments(outlines: Sequence[F64]) -> F64:
    """(n, 4) segments x0 y0 x1 y1; those walked twice (the slit of a keyhole) left out."""
    parts = [np.hstack([p, np.roll(p, -1, axis=0)]) for p in outlines]
    segments = np.concatenate(parts)
    segments = segments[np.any(segments[:, :2] != segments[:, 2:], axis=1)]
    key = np.round(segments, 3)
    swap = (key[:, 0] > key[:, 2]) | ((key[:, 0] == key[:, 2]) & (key[:, 1] > key[:, 3]))
    key[swap] = key[swap][:, [2, 3, 0, 1]]
    _, index, count = np.unique(key, axis=0, return_inverse=True, return_counts=True)
    once = count[index.ravel()] % 2 == 1
    return np.asarray(segments[once])


def _to_segments(points: F64, segments: F64, pixel_mm: float) -> F64:
    """Distance of points to the nearest segment, found by the nearest of dense samples and computed exactly."""
    start, along = segments[:, :2], segments[:, 2:] - segments[:, :2]
    length = np.linalg.norm(along, axis=1)
    count = np.maximum(1, np.ceil(length / (0.5 * pixel_mm)).astype(int))
    owner = np.repeat(np.arange(len(segments)), count)
    step = np.arange(len(owner)) - np.repeat(np.cumsum(count) - count, count)
    samples = start[owner] + along[owner] * ((step + 0.5) / count[owner])[:, None]
    nearest = owner[cKDTree(samples).query(points, k=1)[1]]
    offset = points - start[nearest]
    t = np.clip((offset * along[nearest]).sum(1) / np.maximum(length[nearest] ** 2, 1e-12), 0, 1)
    return np.asarray(np.linalg.norm(offset - t[:, None] * along[nearest], axis=1))


def _plane_axes(contours: Contours) -> F64:
    """Rows: in-plane x and y, normal. The normal is the common normal of the contours, along + of its main axis."""
    total = np.zeros(3)
    for p in contours.polygons:
        normal = 0.5 * np.cross(p, np.roll(p, -1, axis=0)).sum(axis=0)
        total += normal * (1 if normal[np.argmax(np.abs(normal))] > 0 else -1)
    size = np.linalg.norm(total)
    if size < 1e-9:
        raise InputError(f"{contours.name}: expected contours with an area, got lines; the structure is empty")
    normal = total / size
    normal = np.where(np.abs(normal) > 1 - 1e-6, np.sign(normal), normal)
    if np.count_nonzero(np.abs(normal) == 1):
        normal = np.where(np.abs(normal) == 1, normal, 0.0)
    helper = np.eye(3)[int(np.argmin(np.abs(normal)))]
    x = helper - normal * (helper @ normal)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(normal, x), normal])


def _slices(heights: F64) -> tuple[F64, NDArray[np.int64]]:
    """Rising heights of the planes, and the plane of each contour; planes within 0.05 mm are one."""
    order = np.argsort(heights, kind="stable")
    new = np.concatenate([[False], np.diff(heights[order]) > 0.05])
    group = np.empty(len(heights), dtype=np.int64)
    group[order] = np.cumsum(new)
    offsets = np.asarray([heights[group == s].mean() for s in range(group.max() + 1)])
    return offsets, group


def _usual_step(offsets: F64) -> float:
    """Median distance of neighboring slices; 1 mm where there is one slice only (nothing tells how thick it is)."""
    return float(np.median(np.diff(offsets))) if len(offsets) > 1 else 1.0


def _pixel(local: Sequence[F64], slices: int) -> float:
    low = np.min([p[:, :2].min(0) for p in local], axis=0)
    high = np.max([p[:, :2].max(0) for p in local], axis=0)
    size = high - low
    wanted = float(np.clip(size.max() / 200, 0.1, 1.0))
    return max(wanted, float(np.sqrt(size[0] * size[1] * slices / MAX_PIXELS)))


def _gap_warnings(contours: Contours, offsets: F64) -> tuple[str, ...]:
    if len(offsets) == 1:
        return (f"{contours.name}: drawn on one slice only; a thickness of 1 mm is assumed for its caps.",)
    steps = np.diff(offsets) / _usual_step(offsets)
    bridged = int(np.sum((steps > 1.5) & (steps <= BRIDGED)))
    split = int(np.sum(steps > BRIDGED))
    out = []
    if bridged:
        out.append(f"{contours.name}: slices are missing in {bridged} places; the shape was interpolated there.")
    if split:
        out.append(f"{contours.name}: drawn in {split + 1} parts with gaps between; each part has its own end caps.")
    return tuple(out)
