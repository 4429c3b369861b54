"""Another way into a rigid search, for scans whose edges differ: mutual information from middles laid on each other."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from valorlib.core.inputs import ImagePair
from valorlib.core.run import Progress
from valorlib.ops.rigid_polish import (
    Binned,
    Places,
    binned,
    climb,
    free_motion,
    mutual_information,
    places_of,
    share_inside,
    smoothed,
)
from valorlib.ops.rotations import distinct

SMOOTH_MM = 6.0
PLACES, LEAST_PLACES, LOOKS = 4000, 1000, 400_000
"""Places looked at, fewer when there are more rotations than LOOKS / PLACES."""
CLIMBS, STEPS, STEP_MM = 6, 30, 6.0
BORDER_MM = 10.0
"""A place counts as inside the moving image less and less over this width."""
APART_MM = 10.0
"""Results closer than this lead to the same place."""


def with_middles(
    pair: ImagePair,
    others: list[NDArray[np.float64]],
    turns: NDArray[np.float64],
    progress: Progress,
    *,
    keep: int,
    rng: np.random.Generator,
    device: str,
) -> NDArray[np.float64]:
    """(B, 4, 4), B at most `keep`: the best of the other matrices and of those found from middles laid on each other.

    Mutual information grows where little of the two scans overlaps; so it is weighed by the share that does.

    Args:
        pair: the scans.
        others: (4, 4) matrices, fixed to moving, found by other means.
        turns: (N, 3, 3) rotations tried around the middles.
        progress: called each step.
        keep: how many matrices to return.
        rng: picks the places.
        device: torch device.
    """
    fixed, moving = smoothed(pair.fixed, SMOOTH_MM), binned(smoothed(pair.moving, SMOOTH_MM), device)
    starts = np.tile(np.eye(4), (len(turns), 1, 1))
    starts[:, :3, :3] = turns
    starts[:, :3, 3] = pair.moving.grid.center - turns @ pair.fixed.grid.center
    few = max(LEAST_PLACES, min(PLACES, LOOKS // len(turns)))
    places = places_of(fixed, pair.fixed_mask, few, rng, device)
    order = np.argsort(-weighed(places, moving, starts))[:CLIMBS]
    places = places_of(fixed, pair.fixed_mask, PLACES, rng, device)
    free = free_motion(pair.fixed.grid)
    found, _ = climb(
        places,
        moving,
        starts[order],
        free,
        steps=STEPS,
        step_mm=STEP_MM,
        progress=progress,
        border_mm=BORDER_MM,
    )
    everything = np.concatenate([found, np.stack(others)])
    order = np.argsort(-weighed(places, moving, everything))
    return np.stack(distinct([everything[n] for n in order], pair.fixed.grid.corners(), APART_MM)[:keep])


def weighed(places: Places, moving: Binned, matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """(B,) mutual information, nats, times the share of the places that lie inside the moving image."""
    found = []
    for some in np.array_split(matrices, max(1, len(matrices) // 100)):
        m = torch.as_tensor(some, dtype=places.points.dtype, device=places.points.device)
        value, _ = mutual_information(places, moving, m[:, :3, :3], m[:, :3, 3])
        inside = share_inside(places, moving, m[:, :3, :3], m[:, :3, 3], BORDER_MM)
        found.append((value * inside).double().cpu().numpy())
    return np.concatenate(found)
