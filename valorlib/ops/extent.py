"""The fitting term of a tumor whose extent is known: an ellipsoid within it, drawn to the edges that agree with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.ops.fitting import distance_to

Field = NDArray[np.float32]
Vector = NDArray[np.float64]
RAYS, STEP_MM, HALF_MM = 240, 0.3, 0.9
"""An edge on a ray is where the means of this many mm before and after it differ most."""

SEARCHED, LEAST_EDGE, NOISE_TIMES = (0.3, 1.15), 0.12, 3.0
"""Edges are looked for between these parts of the extent, and count from this part of the contrast around and from this
multiple of the usual step near the middle."""

MEAN_REACH = 0.80
"""Of a tumor without edges, in parts of the distance to its farthest point."""

MIDDLE_MM = 0.6
"""How far a drag starts beside the tumor's middle, along each axis."""

SPREADS = (0.10, *(0.15,) * 5)
"""How much the mean reach and the second-order terms vary from tumor to tumor, in parts of the extent."""

LONG, LONG_SPREADS = 0.15, (0.12, 0.20, 0.20, 0.05, 0.05, 0.08)
"""With a drag to the farthest point: how much farther than to its sides a tumor reaches along it, and how much the
mean, this, the difference of the sides and the mixed terms vary."""

ENDS = ((1.0, 0.06), (0.93, 0.08))
"""Reach and its standard deviation at the end of the drag and on the other side."""

STARTS = (0.0, 0.2, 0.4)
"""Second-order terms along the drag that the fit starts from."""

RAY_SPREAD, NEARNESS = 0.15, (0.3, 0.2, 0.15, 0.12, 0.1, 0.1)
"""Of edges around the ellipsoid: their standard deviation, many neighbors saying the same; and how near to it they must
lie to count, round by round."""

FOREIGN, CORE, SHELL_MM = 1.25, 0.8, 5.0
"""Difference from the intensity within this part of the ellipsoid, in parts of half the step to the shell around it,
from which a voxel is foreign."""

STEEP, BEYOND = 12.0, 0.25
"""Rise of the term with the distance from the ellipsoid, and its value there."""


def extent_cost(
    feature: Field, middle: Vector, extent_mm: float, spacing: Sequence[float], end: Vector | None = None
) -> Field:
    """(K, J, I) fitting term: below 0 within the ellipsoid around the middle, unless it looks foreign there.

    Args:
        feature: high (or low) in the tumor.
        middle: voxel position (k, j, i).
        extent_mm: how far the tumor reaches from its middle at most.
        spacing: mm along (k, j, i).
        end: voxel position of the farthest point, where it is known.
    """
    share = distance_to(feature.shape, middle.tolist(), spacing) / extent_mm
    frame = np.eye(3) if end is None else _frame((end - middle) * np.asarray(spacing))
    edges, ways, strengths = _edges(feature, middle, extent_mm, spacing)
    found = _fitted(edges, ways @ frame, strengths, extent_mm, along=end is not None)
    reach = _reach(found, frame, middle, feature.shape, spacing)
    beyond = np.clip(STEEP * (share - reach) + BEYOND, -0.3, 4.0)
    foreign = np.clip(_foreign(feature, share / reach, extent_mm) - FOREIGN, -0.5, 2.0)
    return np.asarray(foreign + beyond, dtype=np.float32)


def _foreign(feature: Field, depth: Vector, extent_mm: float) -> Field:
    """Difference from the ellipsoid's intensity in parts of half the step to the shell, or of the own spread.

    depth: 0 in the middle, 1 on the ellipsoid.
    """
    core = feature[depth <= max(CORE, float(depth.min()))]
    shell = feature[(depth > 1.1) & (depth < 1.1 + SHELL_MM / extent_mm)]
    level = float(np.median(core))
    spread = 2.5 * 1.4826 * float(np.median(np.abs(core - level))) + 1e-3
    step = abs(level - float(np.median(shell))) if shell.size else 0.0
    return np.asarray(np.abs(feature - level) / max(spread, step / 2), dtype=np.float32)


def _directions(flat: bool) -> Vector:
    """(RAYS, 3) directions (k, j, i) evenly over the sphere, or over the circle of one slice."""
    n = np.arange(RAYS) + 0.5
    height = np.zeros(RAYS) if flat else 1 - 2 * n / RAYS
    angle = 2 * np.pi * n / RAYS if flat else np.pi * (1 + np.sqrt(5)) * n
    wide = np.sqrt(1 - height**2)
    return np.stack([height, wide * np.sin(angle), wide * np.cos(angle)], axis=1)


def _edges(feature: Field, middle: Vector, extent_mm: float, spacing: Sequence[float]) -> tuple[Vector, Vector, Vector]:
    """All edges on rays from the middle: distance in parts of the extent (n,), way (n, 3), strength 0 to 1 (n,)."""
    ways = _directions(feature.shape[0] == 1)
    along = np.arange(0.0, SEARCHED[1] * extent_mm + 2 * HALF_MM, STEP_MM)
    at = middle[:, None, None] + ways.T[:, :, None] * along / np.asarray(spacing)[:, None, None]
    values = ndimage.map_coordinates(feature, at, order=1, mode="nearest")
    count = round(HALF_MM / STEP_MM)
    total = np.cumsum(np.pad(values, ((0, 0), (1, 0))), axis=1)
    means = (total[:, count:] - total[:, :-count]) / count
    steps = np.abs(means[:, count:] - means[:, :-count])
    where = (along[count : count + steps.shape[1]] - STEP_MM / 2) / extent_mm
    low, high = np.percentile(values, [5, 95])
    # Near the middle there is no border: steps there are noise and texture.
    usual = float(np.median(steps[:, where <= max(SEARCHED[0], where[min(2, len(where) - 1)])]))
    strength = steps * 1.5 / max(float(high - low), 1e-3)
    edge = (strength > LEAST_EDGE) & (steps > NOISE_TIMES * usual)
    edge[:, 1:] &= steps[:, 1:] >= steps[:, :-1]
    edge[:, :-1] &= steps[:, :-1] > steps[:, 1:]
    edge &= (where >= SEARCHED[0]) & (where <= SEARCHED[1])
    ray, place = np.nonzero(edge)
    return where[place], ways[ray], np.minimum(1.0, strength[ray, place])


def _frame(way: Vector) -> Vector:
    """(3, 3) columns: the way's direction and two that are perpendicular to it."""
    first = way / np.linalg.norm(way)
    second = np.cross(first, np.eye(3)[np.argmin(np.abs(first))])
    second /= np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)], axis=1)


def _terms(ways: Vector) -> Vector:
    """(n, 9) what the reach is a sum of: one, the direction and its products in pairs."""
    a, b, c = ways.T
    return np.stack(
        [np.ones_like(a), a, b, c, a * a - 1 / 3, (b * b - c * c) / 2, 2 * a * b, 2 * a * c, 2 * b * c], axis=1
    )


def _usual(extent_mm: float, along: bool) -> tuple[Vector, Vector]:
    """(9,) what tumors are like before an edge is seen, and (9, 9) how certain that is.

    With `along` the first axis is that of a drag to the farthest point.
    """
    mean, *others = LONG_SPREADS if along else SPREADS
    certain = np.diag(1.0 / np.array([mean, *[MIDDLE_MM / extent_mm] * 3, *others]) ** 2)
    usual = np.array([MEAN_REACH, 0.0, 0.0, 0.0, LONG if along else 0.0, *[0.0] * 4])
    if not along:
        return usual, certain
    known = certain @ usual
    for side, (reach, spread) in zip((1.0, -1.0), ENDS, strict=True):
        term = _terms(np.array([[side, 0.0, 0.0]]))[0]
        certain = certain + np.outer(term, term) / spread**2
        known = known + term * reach / spread**2
    return np.linalg.solve(certain, known), certain


def _fitted(edges: Vector, ways: Vector, strengths: Vector, extent_mm: float, *, along: bool) -> Vector:
    """(9,) of the reach that agrees best with edges and with what tumors are like; rays may cross many edges.

    An edge counts by its strength and its nearness to the ellipsoid, which narrows round by round. With a drag to the
    farthest point it starts from several shapes and the best supported one is kept.
    """
    terms = _terms(ways)
    usual, certain = _usual(extent_mm, along)
    best, most = usual, -np.inf
    for start in STARTS if along else (0.0,):
        found = np.array(usual)
        if along:
            found[0], found[4] = (ENDS[0][0] + ENDS[1][0]) / 2 - start * 2 / 3, start
        for near in NEARNESS:
            weight = strengths * np.exp(-0.5 * ((edges - terms @ found) / near) ** 2) / RAY_SPREAD**2
            weighted = (terms * weight[:, None]).T
            found[:] = np.linalg.solve(weighted @ terms + certain, weighted @ edges + certain @ usual)
        nearness = np.exp(-0.5 * ((edges - terms @ found) / NEARNESS[-1]) ** 2)
        off = found - usual
        support = float((strengths * nearness).sum() * (NEARNESS[-1] / RAY_SPREAD) ** 2 - 0.5 * off @ certain @ off)
        if support > most:
            best, most = found, support
    return np.asarray(best, dtype=np.float64)


def _reach(found: Vector, frame: Vector, middle: Vector, shape: Sequence[int], spacing: Sequence[float]) -> Vector:
    """(K, J, I) the reach in the direction of each voxel, in parts of the extent."""
    axes = [(np.arange(n) - c) * s for n, c, s in zip(shape, middle, spacing, strict=True)]
    k, j, i = np.meshgrid(*axes, indexing="ij", sparse=True)
    square = np.maximum(k * k + j * j + i * i, 1e-6)
    mean, *slopes, long, sides, ab, ac, bc = found
    a, b, c = frame @ np.asarray(slopes)
    # The second-order terms as one symmetric matrix, turned from the frame to the voxels.
    m = frame @ np.array([[long, ab, ac], [ab, sides / 2, bc], [ac, bc, -sides / 2]]) @ frame.T
    bent = m[0, 0] * k * k + m[1, 1] * j * j + m[2, 2] * i * i
    bent = bent + 2 * (m[0, 1] * k * j + m[0, 2] * k * i + m[1, 2] * j * i)
    reach = mean - long / 3 + (a * k + b * j + c * i) / np.sqrt(square) + bent / square
    return np.asarray(np.clip(reach, 0.3, 1.1))
