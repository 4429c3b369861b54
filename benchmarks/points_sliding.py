"""Neighbors that slide along, follow or pass each other: how much carried organs overlap and drag."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from points_real import METHODS, carried_numbers

from valorlib.convert.surfaces import OrganSet, cloud_of, organs_of_labels
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register

# Label: center, half axes, mm. The kidney lies 2 mm behind the liver, the colon 2 mm below the kidney; two loops of
# bowel lie one on the other in front of the colon.
ORGANS = {
    1: ((-8, -29, 15), (45, 28, 35)),
    2: ((12, 21, 10), (22, 20, 30)),
    3: ((12, 21, -36), (20, 16, 14)),
    4: ((0, -20, -47), (20, 13, 9)),
    5: ((0, -20, -68), (20, 13, 9)),
}
# Millimeters each label moves. slide: liver down, kidney up. follow: the colon goes up with the kidney.
# pass: the loops of bowel change places.
MOTIONS = {
    "slide": {1: (0, 0, -12), 2: (0, 0, 12)},
    "follow": {1: (0, 0, -12), 2: (0, 0, 12), 3: (0, 0, 12)},
    "pass": {4: (0, 0, -21), 5: (0, 0, 21)},
}


@dataclass
class Neighbors:
    """Organs of both sides as label maps with surfaces, and the true shift of each label, mm."""

    fixed: OrganSet
    moving: OrganSet
    shifts: dict[int, np.ndarray]


def neighbors(kind, seed, *, spacing_mm=2.0):
    """Boxes with rounded edges that move as `kind` says, and all together by a few mm more."""
    common = np.random.default_rng([seed, 77]).uniform(-3, 3, 3)
    shifts = {label: np.array(MOTIONS[kind].get(label, (0, 0, 0)), dtype=float) + common for label in ORGANS}
    extent = np.array([110.0, 130.0, 180.0])
    size = tuple(int(n) for n in np.ceil(extent / spacing_mm))
    grid = Grid(size, (spacing_mm,) * 3, tuple((-extent / 2 - (0, 0, 12)).tolist()))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij"), axis=-1)[..., ::-1]
    points = grid.to_world(index.astype(float))
    sides = []
    for share in (1.0, 0.0):
        array = np.zeros(grid.shape, dtype=np.int16)
        for label, (center, half) in ORGANS.items():
            offset = (points - np.array(center) - share * shifts[label]) / half
            array[(np.abs(offset) ** 4).sum(-1) < 1] = label
        sides.append(organs_of_labels(LabelMap(array, grid)))
    return Neighbors(*sides, shifts)


def numbers_of(case, options, *, points, seed):
    """Of one case and method: distances, overlap with each other and with other fixed organs, error of the shift."""
    sides = (case.fixed, case.moving)
    pair = PointPair(*(cloud_of(side, points, seed + n) for n, side in enumerate(sides)))
    result = register(pair, options, Run())
    numbers = carried_numbers(*sides, list(case.shifts), result)
    true = np.stack([case.shifts[label] for label in pair.moving.labels.tolist()])
    error = np.linalg.norm(result.moved.points - pair.moving.points - true, axis=1)
    return {
        "surface_mean_mm": numbers[0],
        "dice": numbers[2],
        "overlap_pct": numbers[-2],
        "in_others_pct": numbers[-1],
        "error_mm": float(error.mean()),
    }


def sliding(count, only, done, points=600):
    """Each motion and method, a mean over seeds."""
    for kind in MOTIONS:
        if only not in ("", kind):
            continue
        cases = [neighbors(kind, seed) for seed in range(count)]
        for name, options in METHODS.items():
            if done.get(f"{kind}/{name}", {}).get("cases") == count:
                continue
            rows = [numbers_of(case, options, points=points, seed=seed) for seed, case in enumerate(cases)]
            means = {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}
            yield f"{kind}/{name}", {"cases": count} | means
