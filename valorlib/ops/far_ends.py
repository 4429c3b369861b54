"""How far the ends of carried organs lie from their partners."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from valorlib.ops.point_drift import Level
from valorlib.ops.point_motion import PointMotion

FAR_PCT = 95


def far_ends_mm(level: Level, motion: PointMotion) -> float:
    """95th percentile of the nearest distances, the larger of both directions, a mean over the organs of both clouds.

    Evidence counts fixed points alone: half an organ that nothing claims costs it nothing. This tells.
    """
    u = level.moving + motion.displacement(level.moving, level.moving_organs)
    moved, fixed = (motion.leave(u) - motion.center).cpu().numpy(), level.fixed.cpu().numpy()
    own, other = level.moving_organs.cpu().numpy(), level.fixed_organs.cpu().numpy()
    far = []
    for organ in np.intersect1d(own, other).tolist():
        y, x = moved[own == organ], fixed[other == organ]
        there, back = cKDTree(x).query(y)[0], cKDTree(y).query(x)[0]
        far.append(max(np.percentile(there, FAR_PCT), np.percentile(back, FAR_PCT)))
    return float(np.mean(far)) if far else float(np.inf)
