"""Clouds that cannot be registered are refused, doubtful ones are named; one plain sentence each."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud, PointPair
from valorlib.ops.organ_drift import Clouds
from valorlib.ops.point_drift import Drifted
from valorlib.ops.point_start import FEW_POINTS, SCALE_RANGE, SIZE_TOLERANCE, OrganSizes
from valorlib.ops.thinning import spacing_mm

UNIT_RATIO = 50.0
NOT_THE_SAME = 2.0


def check_pair(pair: PointPair) -> None:
    """Raise InputError when a cloud cannot be registered."""
    check_cloud("fixed points", pair.fixed)
    check_cloud("moving points", pair.moving)
    if (pair.fixed.labels is None) != (pair.moving.labels is None):
        bare = "fixed" if pair.fixed.labels is None else "moving"
        raise InputError(
            f"{bare} points: expected an organ label for each point as the other set has; add a label column"
        )
    sizes = [np.linalg.norm(np.ptp(cloud.points, axis=0)) for cloud in (pair.fixed, pair.moving)]
    ratio = sizes[0] / sizes[1]
    if max(ratio, 1 / ratio) > UNIT_RATIO:
        small, large = ("moving", "fixed") if ratio > 1 else ("fixed", "moving")
        raise InputError(
            f"{small} points: expected mm, got a set {max(ratio, 1 / ratio):.0f} times smaller than the {large} "
            "points; one of them looks like meters, convert it to mm"
        )
    check_labels(pair)


def check_cloud(name: str, cloud: PointCloud) -> None:
    """Raise InputError for too few points, points in one plane, or the same point twice."""
    points = cloud.points
    if len(points) < 4:
        raise InputError(f"{name}: expected at least 4 points, got {len(points)}; lower the sampling distance")
    labels = np.zeros(len(points)) if cloud.labels is None else cloud.labels
    rows = np.column_stack([points, labels])
    order = np.lexsort(rows.T[::-1])
    same = np.nonzero((np.diff(rows[order], axis=0) == 0).all(axis=1))[0]
    if len(same):
        first, second = sorted((int(order[same[0]]) + 1, int(order[same[0] + 1]) + 1))
        raise InputError(
            f"{name}: expected each point once, got {len(same)} repeated (point {second} equals point {first}); "
            "remove the duplicates"
        )
    spread = np.linalg.svd(_some(points) - points.mean(0), compute_uv=False)
    if spread[2] <= 1e-6 * spread[0]:
        raise InputError(
            f"{name}: expected points in space, got all {len(points)} in one plane; add the third dimension"
        )


def _some(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return points[:: max(1, len(points) // 20_000)]


def check_labels(pair: PointPair) -> None:
    """Raise InputError when no organ occurs in both clouds."""
    if pair.fixed.labels is None or pair.moving.labels is None:
        return
    fixed, moving = np.unique(pair.fixed.labels), np.unique(pair.moving.labels)
    if not len(np.intersect1d(fixed, moving)):
        raise InputError(
            f"labels: expected an organ that occurs in both sets, got {names_of(fixed, pair.fixed.names)} in fixed and "
            f"{names_of(moving, pair.moving.names)} in moving; give both the same names"
        )


def names_of(labels: NDArray[np.int64], names: Mapping[int, str]) -> str:
    """The organs in words."""
    return ", ".join(names.get(int(label), str(int(label))) for label in labels[:8]) + (
        " ..." if len(labels) > 8 else ""
    )


def organ_warnings(pair: PointPair, sizes: OrganSizes, labels: tuple[int, ...], names: Mapping[int, str]) -> list[str]:
    """Sentences on organs of one set alone, small organs, and organs whose size does not fit the others."""
    out = []
    known = {int(labels[k]) for k in sizes.organs} if labels else set()
    for label in labels:
        name = names.get(label, str(label))
        if label in known or pair.fixed.labels is None or pair.moving.labels is None:
            continue
        if label in pair.moving.labels:
            out.append(f"{name} is missing in fixed; it moves with the similarity alone and has a wide error bar.")
        else:
            out.append(f"{name} is missing in moving; its fixed points are ignored.")
    counts = [_count(cloud, labels, sizes) for cloud in (pair.fixed, pair.moving)]
    middle = sizes.common_ratio
    for k, organ in enumerate(sizes.organs):
        name = names.get(int(labels[organ]), str(int(labels[organ]))) if labels else "The cloud"
        few = int(min(counts[0][k], counts[1][k]))
        relative = float(sizes.ratio[k] / middle)
        if few < FEW_POINTS:
            out.append(f"{name} has only {few} points; its own motion is uncertain.")
        elif max(relative, 1 / relative) > NOT_THE_SAME and len(sizes.organs) > 1:
            out.append(
                f"{name} is {relative:.2f} times the expected size in fixed: the scans show different parts of it; "
                "it was bent onto another shape, do not use its motion or its sigma."
            )
        elif abs(relative - 1) > SIZE_TOLERANCE and len(sizes.organs) > 1:
            out.append(
                f"{name} is {relative:.2f} times the expected size in fixed; cut by the field of view or a wrong "
                "split? It was left out of the start; check it."
            )
    return out


def _count(cloud: PointCloud, labels: tuple[int, ...], sizes: OrganSizes) -> list[int]:
    if cloud.labels is None or not labels:
        return [len(cloud.points)] * len(sizes.organs)
    return [int(np.count_nonzero(cloud.labels == labels[k])) for k in sizes.organs]


def drift_warnings(found: Drifted, last: Clouds, clouds: Clouds, names: Mapping[int, str]) -> list[str]:
    """Sentences on a poor fit: sigma, scale, unmatched points and organs."""
    out = []
    spacing = max(spacing_mm(last.fixed), spacing_mm(last.moving))
    sigma = found.sigmas[-1]
    if sigma > max(3 * spacing, 1.0):
        out.append(
            f"The fit is poor (sigma {sigma:.1f} mm at a point spacing of {spacing:.1f} mm); "
            "check labels, outlier share and start."
        )
    scale = found.motion.scale
    if scale <= SCALE_RANGE[0] * 1.001 or scale >= SCALE_RANGE[1] * 0.999:
        out.append(f"The scale ran to its bound ({scale:.2f}); the organs probably do not match.")
    matched = found.fixed_mass.cpu().numpy()
    known = np.isin(last.fixed_organs, last.moving_organs)
    if known.any() and matched[known].mean() < 0.5:
        out.append(
            f"Only {100 * matched[known].mean():.0f} % of the fixed points were matched; the rest counts as outliers."
        )
    for organ, label in enumerate(clouds.labels):
        own = (last.fixed_organs == organ) & known
        if own.any() and matched[own].mean() < 0.2:
            out.append(f"{names.get(label, str(label))} found no match in fixed; it follows the similarity.")
    return out
