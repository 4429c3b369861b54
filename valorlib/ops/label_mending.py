"""Wrong organ labels: found by where the points lie in both clouds, and mended before the final run."""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from valorlib.ops.organ_drift import Clouds, Plan, build_bases, stiff_motion
from valorlib.ops.point_motion import PointMotion

ROUNDS = 2
NEIGHBORS = 3


def mend_labels(clouds: Clouds, plan: Plan, start: NDArray[np.float64], error: float) -> tuple[Clouds, int]:
    """Clouds with likelier labels, and how many labels were changed.

    A moving point gets the organ whose motion carries it onto that organ's fixed points; a fixed point the organ whose
    moved points lie there. The label it came with counts by the chance of an error. Wrong source labels would otherwise
    drag points along with the wrong organ, which no transition matrix of the likelihood can undo.

    Args:
        clouds: with the labels as they came.
        plan: of the run.
        start: (4, 4) moving to fixed.
        error: share of wrong labels; 0 changes nothing.
    """
    if error <= 0 or len(clouds.labels) < 2:
        return clouds, 0
    first = clouds
    for _ in range(ROUNDS):
        bases = build_bases(clouds, plan, start)
        motion = stiff_motion(clouds, plan, start, bases, lambda loop, sigma: None)
        clouds = dataclasses.replace(clouds, moving_organs=_mended_moving(clouds, first.moving_organs, motion, error))
        clouds = dataclasses.replace(clouds, fixed_organs=_mended_fixed(clouds, first.fixed_organs, motion, error))
    changed = np.count_nonzero(clouds.moving_organs != first.moving_organs)
    return clouds, int(changed + np.count_nonzero(clouds.fixed_organs != first.fixed_organs))


def _near(points: NDArray[np.float64], query: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) mean distance of `query` to its nearest few `points`."""
    if len(points) <= NEIGHBORS:
        return np.full(len(query), np.inf)
    return np.asarray(cKDTree(points).query(query, k=NEIGHBORS)[0].mean(1))


def _choose(cost: NDArray[np.float64], came: NDArray[np.int64], variance: float, error: float) -> NDArray[np.int64]:
    """Organ of the highest posterior; cost: (n, L) distances, mm."""
    count = cost.shape[1]
    prior = np.full(cost.shape, np.log(error / (count - 1)))
    prior[np.arange(len(came)), came] = np.log(1 - error)
    score = prior - cost**2 / (2 * variance)
    return np.where(np.isfinite(score.max(1)), score.argmax(1), came).astype(np.int64)


def _spread(distance: NDArray[np.float64], own: NDArray[np.int64]) -> float:
    """Typical squared distance of a point to its own organ, mm^2; half of the points are surely right."""
    mine = distance[np.arange(len(own)), own]
    return float(np.median(mine[np.isfinite(mine)]) ** 2)


def _mended_moving(clouds: Clouds, came: NDArray[np.int64], motion: PointMotion, error: float) -> NDArray[np.int64]:
    cost = []
    for organ in range(len(clouds.labels)):
        there = motion.move(clouds.moving, np.full(len(clouds.moving), organ))
        cost.append(_near(clouds.fixed[clouds.fixed_organs == organ], there))
    table = np.stack(cost, axis=1)
    return _choose(table, came, _spread(table, came), error)


def _mended_fixed(clouds: Clouds, came: NDArray[np.int64], motion: PointMotion, error: float) -> NDArray[np.int64]:
    moved = motion.move(clouds.moving, clouds.moving_organs)
    cost = [_near(moved[clouds.moving_organs == organ], clouds.fixed) for organ in range(len(clouds.labels))]
    table = np.stack(cost, axis=1)
    return _choose(table, came, _spread(table, came), error)
