"""Faults put into known cases: wrong labels, outliers, missing and tiny organs."""

from __future__ import annotations

import numpy as np
from points_cases import KnownMotion

from valorlib.core.points import PointCloud, PointPair


def _pair(fixed, moving, names):
    return PointPair(PointCloud(*fixed, names=names), PointCloud(*moving, names=names))


def wrong_labels(case, seed, share=0.1):
    """`share` of the points of both clouds get the label of another organ."""
    rng = np.random.default_rng([seed, 11])
    sides = []
    for cloud in (case.pair.fixed, case.pair.moving):
        labels = cloud.labels.copy()
        hit = rng.random(len(labels)) < share
        labels[hit] = 1 + (labels[hit] - 1 + rng.integers(1, 5, hit.sum())) % 5
        sides.append((cloud.points, labels))
    return KnownMotion(_pair(*sides, case.pair.fixed.names), case.truth, case.similarity)


def outliers(case, seed, share=0.3):
    """`share` of the fixed points is uniform noise in the box of the cloud, with random labels."""
    rng = np.random.default_rng([seed, 12])
    cloud = case.pair.fixed
    count = int(share / (1 - share) * len(cloud.points))
    low, high = cloud.points.min(0), cloud.points.max(0)
    points = np.concatenate([cloud.points, rng.uniform(low, high, (count, 3))])
    labels = np.concatenate([cloud.labels, rng.integers(1, 6, count)])
    moving = (case.pair.moving.points, case.pair.moving.labels)
    return KnownMotion(_pair((points, labels), moving, cloud.names), case.truth, case.similarity)


def without_organ(case, label=2):
    """The fixed cloud lacks one organ."""
    cloud = case.pair.fixed
    keep = cloud.labels != label
    moving = (case.pair.moving.points, case.pair.moving.labels)
    return KnownMotion(
        _pair((cloud.points[keep], cloud.labels[keep]), moving, cloud.names), case.truth, case.similarity
    )


def tiny_organ(case, label=2, count=5):
    """One organ has only a few points in the fixed cloud."""
    cloud = case.pair.fixed
    rows = np.nonzero(cloud.labels == label)[0]
    keep = np.ones(len(cloud.points), dtype=bool)
    keep[rows[count:]] = False
    moving = (case.pair.moving.points, case.pair.moving.labels)
    return KnownMotion(
        _pair((cloud.points[keep], cloud.labels[keep]), moving, cloud.names), case.truth, case.similarity
    )
