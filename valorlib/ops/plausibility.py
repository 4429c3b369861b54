"""Does what the images show speak for a registration? One check, the same for all methods."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.run import Run
from valorlib.core.transforms import Transform
from valorlib.ops.rigid_polish import Binned, Places, binned, mutual_information, places_of, smoothed
from valorlib.ops.transforms import map_points

PLACES = 12_000
SHARE = 0.05
"""Length of the test shifts, as a share of the longest side of the fixed image."""
LEAST_FALL = 0.02
"""Every test shift must lower the mutual information by this share."""
LEAST_MEAN_FALL = 0.1
ONE_CONTRAST = 0.7
"""Correlation of gray values above which two images are of one contrast."""
MOST_BEND = 0.03
"""Largest bend (95 %) of a motion between two contrasts, as a share of the longest side of the fixed image. A larger
one between scans of one contrast must raise the mutual information by at least its own share, ..."""
STEEP_BEND = 0.05
"""... and from here on by a share that grows with the square of the bend."""

Register = Callable[[ImagePair, Any, Run], Result]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Mutual information (nats) at the start, at the result and after small shifts of the result; how far it bends.

    shifted: one number a direction. correlation: of gray values, -1 to 1. bend_mm: 95 % of the distances between the
    motion and the rigid one that fits it best; at_rigid: mutual information there.
    """

    at_start: float
    at_rigid: float
    at_result: float
    shifted: tuple[float, ...]
    shift_mm: float
    correlation: float
    bend_mm: float
    side_mm: float

    def warnings(self) -> list[str]:
        """Plain sentences; none when the images speak for the result."""
        found = []
        if self.at_result <= self.at_start:
            found.append(
                "The two images are no more alike after the registration than before it (mutual information); "
                "check the overlay."
            )
        highest, mean = max(self.shifted), sum(self.shifted) / len(self.shifted)
        if highest > (1 - LEAST_FALL) * self.at_result or mean > (1 - LEAST_MEAN_FALL) * self.at_result:
            found.append(
                f"A shift of {self.shift_mm:.3g} mm makes the two images hardly less alike, so their content does not "
                "hold this alignment; check the overlay, or guide it by landmarks or outlines."
            )
        bend = self.bend_mm / self.side_mm
        needed = 1 + bend * max(1.0, bend / STEEP_BEND)
        if bend > MOST_BEND and self.at_result < needed * max(self.at_start, self.at_rigid):
            found.append(
                f"The motion bends by {self.bend_mm:.3g} mm, yet makes the two images not much more alike; check "
                "the overlay, and try another method or smoother settings."
            )
        if abs(self.correlation) < ONE_CONTRAST and bend > MOST_BEND:
            found.append(
                f"Between these two kinds of image the motion bends by {self.bend_mm:.3g} mm; matching of contents "
                "often misleads there: compare it with a rigid result."
            )
        return found

    def numbers(self) -> dict[str, float]:
        """For the record."""
        return {
            "mutual_information_at_start": round(self.at_start, 4),
            "mutual_information_of_rigid_part": round(self.at_rigid, 4),
            "mutual_information": round(self.at_result, 4),
            "mutual_information_shifted_highest": round(max(self.shifted), 4),
            "mutual_information_shifted_mean": round(sum(self.shifted) / len(self.shifted), 4),
            "test_shift_mm": round(self.shift_mm, 2),
            "correlation": round(self.correlation, 3),
            "bend_mm": round(self.bend_mm, 2),
        }


def evidence(pair: ImagePair, whole: Transform, start: Transform | None) -> Evidence:
    """Compare the images at a result, at its start and around it.

    Args:
        pair: the images.
        whole: fixed to moving.
        start: fixed to moving; None: where the headers put them.
    """
    side_mm = max(pair.fixed.grid.extent_mm)
    smooth_mm = min(3.0, side_mm / 40)
    fixed, moving = smoothed(pair.fixed, smooth_mm), binned(smoothed(pair.moving, smooth_mm), "cpu")
    places = places_of(fixed, pair.fixed_mask, PLACES, np.random.default_rng(0), "cpu")
    points = places.points.double().numpy()
    there = map_points(whole, points)
    before = points if start is None else map_points(start, points)
    axes = np.asarray(pair.fixed.grid.direction).T[[n > 1 for n in pair.fixed.grid.size]]
    rigid = _rigid(points, there)
    steps = SHARE * side_mm * np.concatenate([np.zeros((1, 3)), axes, -axes])
    scores = _scores(places, moving, there, steps)
    return Evidence(
        at_start=float(_scores(places, moving, before, steps[:1])[0]),
        at_rigid=float(_scores(places, moving, rigid, steps[:1])[0]),
        at_result=float(scores[0]),
        shifted=tuple(scores[1:].tolist()),
        shift_mm=SHARE * side_mm,
        correlation=_correlation(places, moving, there),
        bend_mm=float(np.percentile(np.linalg.norm(rigid - there, axis=1), 95)),
        side_mm=side_mm,
    )


def _scores(
    places: Places, moving: Binned, there: NDArray[np.float64], steps: NDArray[np.float64]
) -> NDArray[np.float64]:
    at = Places(torch.as_tensor(there, dtype=torch.float32), places.bins)
    shifts = torch.as_tensor(steps, dtype=torch.float32)
    with torch.no_grad():
        found, _ = mutual_information(at, moving, torch.eye(3).expand(len(shifts), 3, 3), shifts)
    return found.double().numpy()


def _correlation(places: Places, moving: Binned, there: NDArray[np.float64]) -> float:
    index = (np.c_[there, np.ones(len(there))] @ moving.to_voxel.double().numpy().T)[:, :3]
    shape = np.asarray(moving.values.shape[2:])
    inside = ((index > -0.5) & (index < shape - 0.5)).all(1)
    k, j, i = np.clip(np.round(index[inside]), 0, shape - 1).astype(int).T
    a, b = places.bins.numpy()[inside].astype(float), moving.values[0, 0].numpy()[k, j, i].astype(float)
    if inside.sum() < 10 or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _rigid(points: NDArray[np.float64], there: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the rigid motion that fits best puts the points."""
    a, b = points - points.mean(0), there - there.mean(0)
    u, _, v = np.linalg.svd(a.T @ b)
    turn = u @ np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ v))]) @ v
    found: NDArray[np.float64] = a @ turn + there.mean(0)
    return found


def alarmed(register: Register) -> Register:
    """`register` with the evidence in its record, and its warnings when images alone led it."""

    @functools.wraps(register)
    def checked(pair: ImagePair, options: Any, run: Run) -> Result:
        result = register(pair, options, run)
        if result.displacement is None:
            return result
        found = evidence(pair, result.transform, pair.start)
        guided = pair.landmarks is not None or (pair.fixed_labels is not None and pair.moving_labels is not None)
        warnings = result.warnings if guided else (*result.warnings, *found.warnings())
        return dataclasses.replace(result, warnings=warnings, record={**result.record, "evidence": found.numbers()})

    return checked
