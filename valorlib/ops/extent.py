"""The fitting term of a tumor whose extent is known: an ellipsoid within it, as far as borders are seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.ops.fitting import distance_to

Field = NDArray[np.float32]
RAYS, ROUNDS = 240, 5
FOREIGN = 1.25
"""Difference from the middle's intensity, in parts of half the step to the surroundings, from which it is foreign."""

SEEN_TO, PERSIST_MM, PERSIST_SHARE = 1.08, 2.0, 0.7
"""A border is seen up to this part of the extent, where at least this share of the next mm is foreign."""

MEAN_REACH = 0.80
"""Of a tumor without borders, in parts of the distance to its farthest point; plain tissue counts 0.06 beyond it."""

MIDDLE_MM = 0.6
"""How far a drag starts beside the tumor's middle, along each axis."""

SPREADS = (0.10, 0.15)
"""How much the mean reach and the second-order terms vary from tumor to tumor, in parts of the extent."""

RAY_SPREAD, OUTLIER = 0.25, 0.15
"""Of borders on rays around the ellipsoid: their standard deviation, many neighbors saying the same; and where a border
begins to count less."""

OUTER = 0.6
"""Weight of a border beyond the ellipsoid, which may be that of the tissue that the tumor lies in."""


def extent_cost(feature: Field, middle: NDArray[np.float64], extent_mm: float, spacing: Sequence[float]) -> Field:
    """(K, J, I) fitting term: below 0 within the ellipsoid around the middle, unless it looks foreign there.

    Args:
        feature: high (or low) in the tumor.
        middle: voxel position (k, j, i).
        extent_mm: how far the tumor reaches from its middle at most.
        spacing: mm along (k, j, i).
    """
    share = distance_to(feature.shape, middle.tolist(), spacing) / extent_mm
    foreign = _foreign(feature, share, extent_mm)
    borders, ways = _borders(foreign, middle, extent_mm, spacing)
    reach = _reach(_fitted(borders, ways, extent_mm), middle, feature.shape, spacing)
    beyond = np.clip(8.0 * (share - reach), -0.3, 4.0)
    return np.asarray(np.clip(foreign - FOREIGN, -0.5, 2.0) + beyond, dtype=np.float32)


def _foreign(feature: Field, share: Field, extent_mm: float) -> Field:
    """Difference from the middle's intensity in parts of half the step to the surroundings, or of the own spread."""
    core = feature[share <= max(0.5, float(share.min()))]
    shell = feature[(share > 1.1) & (share < 1.1 + 5.0 / extent_mm)]
    level = float(np.median(core))
    spread = 2.5 * 1.4826 * float(np.median(np.abs(core - level))) + 1e-3
    step = abs(level - float(np.median(shell))) if shell.size else 0.0
    return np.asarray(np.abs(feature - level) / max(spread, step / 2), dtype=np.float32)


def _directions(flat: bool) -> NDArray[np.float64]:
    """(RAYS, 3) directions (k, j, i) evenly over the sphere, or over the circle of one slice."""
    n = np.arange(RAYS) + 0.5
    height = np.zeros(RAYS) if flat else 1 - 2 * n / RAYS
    angle = 2 * np.pi * n / RAYS if flat else np.pi * (1 + np.sqrt(5)) * n
    wide = np.sqrt(1 - height**2)
    return np.stack([height, wide * np.sin(angle), wide * np.cos(angle)], axis=1)


def _borders(
    foreign: Field, middle: NDArray[np.float64], extent_mm: float, spacing: Sequence[float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where rays from the middle meet foreign tissue that goes on, in parts of the extent (n,), and their ways (n, 3).

    A vessel, which ends again, is no border.
    """
    step = 0.4
    ways = _directions(foreign.shape[0] == 1)
    along = np.arange(0.3 * extent_mm, (SEEN_TO + 0.02) * extent_mm + PERSIST_MM, step)
    at = middle[:, None, None] + ways.T[:, :, None] * along / np.asarray(spacing)[:, None, None]
    other = ndimage.map_coordinates(foreign, at, order=1, mode="nearest") > FOREIGN
    count = round(PERSIST_MM / step)
    total = np.cumsum(np.pad(other, ((0, 0), (1, 0))), axis=1)
    goes_on = total[:, count:] - total[:, :-count] >= PERSIST_SHARE * count
    begins = other[:, : goes_on.shape[1]] & goes_on
    first = along[begins.argmax(1)] / extent_mm
    seen = begins.any(1) & (first <= SEEN_TO)
    return first[seen], ways[seen]


def _terms(ways: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, 9) what the reach is a sum of: one, the direction and its products in pairs."""
    k, j, i = ways.T
    return np.stack([np.ones_like(k), k, j, i, k * k - 1 / 3, j * j - 1 / 3, 2 * k * j, 2 * k * i, 2 * j * i], axis=1)


def _fitted(borders: NDArray[np.float64], ways: NDArray[np.float64], extent_mm: float) -> NDArray[np.float64]:
    """(9,) of the reach that lies closest to the borders; a ball of the mean reach where none is seen.

    A border that is nearer than the ellipsoid contradicts it; one that is farther away may belong to other tissue.
    """
    terms = _terms(ways)
    usual = np.array([MEAN_REACH, *[0.0] * 8])
    certain = np.array([1 / SPREADS[0], *[extent_mm / MIDDLE_MM] * 3, *[1 / SPREADS[1]] * 5]) ** 2
    weight, found = np.full(len(borders), 1 / RAY_SPREAD**2), usual
    for _ in range(ROUNDS):
        weighted = (terms * weight[:, None]).T
        found = np.linalg.solve(weighted @ terms + np.diag(certain), weighted @ borders + certain * usual)
        left = borders - terms @ found
        weight = np.where(left > 0, OUTER, 1.0) ** 2 / (1 + (left / OUTLIER) ** 2) / RAY_SPREAD**2
    return np.asarray(found, dtype=np.float64)


def _reach(
    found: NDArray[np.float64], middle: NDArray[np.float64], shape: Sequence[int], spacing: Sequence[float]
) -> NDArray[np.float64]:
    """(K, J, I) the reach in the direction of each voxel, in parts of the extent."""
    axes = [(np.arange(n) - c) * s for n, c, s in zip(shape, middle, spacing, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    square = np.maximum(k * k + j * j + i * i, 1e-6)
    mean, a, b, c, kk, jj, kj, ki, ji = found
    bent = kk * k * k + jj * j * j + 2 * (kj * k * j + ki * k * i + ji * j * i)
    reach = mean - (kk + jj) / 3 + (a * k + b * j + c * i) / np.sqrt(square) + bent / square
    return np.asarray(np.clip(reach, 0.4, 1.0))
