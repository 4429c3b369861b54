"""How far a segmented tumor can be trusted: signs of a leak, and the alarm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from valorlib.ops.fitting import border_of, compactness, connected, smoothed
from valorlib.ops.lesion import Lesion, LesionSettings, Mask, Scene, Start, find_lesion

LEAST_AGREEMENT, LEAST_WITHOUT_SHADING = 0.86, 0.90
ENOUGH, NOTED = 0.70, 0.25
LARGEST_REST = 2.0 / ENOUGH - 2.0
"""Parts of a mask's volume that it may lack without a Dice below ENOUGH."""


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Whether the result may be a leak. score: 0 (sure) and up; raised from 1. signs: the numbers behind it.

    reasons: why it was raised. notes: what is worth a look and no reason for it.
    """

    score: float = 0.0
    signs: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def raised(self) -> bool:
        """True when the user must look."""
        return bool(self.reasons)


def dice(first: Mask, second: Mask) -> float:
    """Overlap of two masks, 1 when both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0


def judge(scene: Scene, lesion: Lesion, settings: LesionSettings) -> Alarm:
    """Signs of a leak: the region's border, variants that disagree, a border without contrast.

    The variants, which cost most, are left out where another sign has raised the alarm.
    """
    signs = _signs(lesion)
    reasons: list[str] = []
    notes: list[str] = []
    if signs["touches"] > 0:
        reasons.append(
            "the mask reaches the border of the region; it may have leaked. Drag its extent or paint it out."
        )
    if signs["satellites"] > NOTED:
        # A vessel near the tumor is no reason to doubt it; so much tissue that the mask would be wrong without it is.
        words = "more tissue of the same brightness lies close by; click it too, or choose the form non_mass."
        (reasons if signs["satellites"] > LARGEST_REST else notes).append(words)
    if lesion.surely_leaked:
        reasons.append("the mask is large and branches; it may have leaked. Drag its extent or click the background.")
    if signs["weak_border"] > 0.35:
        reasons.append("a large part of the border has little contrast; check it, or drag the tumor's extent.")
    if not reasons:
        signs["agreement"] = _agreement(scene, lesion, settings)
        if signs["agreement"] < LEAST_AGREEMENT:
            reasons.append("small changes of the settings change the mask a lot; check its border.")
    return Alarm(score=float(len(reasons)), signs=signs, reasons=tuple(reasons), notes=tuple(notes))


def choose(lesion: Lesion, alarm: Alarm, flat: Scene, settings: LesionSettings) -> tuple[Lesion, Alarm]:
    """The lesion, or that of the scene without slow shading where only that one is above suspicion.

    A sure lesion stays, and the alarm is raised when the other one differs much.
    """
    other = find_lesion(flat, settings)
    same = dice(lesion.mask, other.mask)
    signs = {**alarm.signs, "without_shading": same}
    if alarm.raised:
        if same < LEAST_WITHOUT_SHADING:
            second = judge(flat, other, settings)
            if not second.raised:
                return other, second
        return lesion, dataclasses.replace(alarm, signs=signs)
    if same >= LEAST_WITHOUT_SHADING:
        return lesion, dataclasses.replace(alarm, signs=signs)
    reason = "without the slow shading of the image the mask is another one; check its border."
    return lesion, dataclasses.replace(alarm, score=1.0, signs=signs, reasons=(reason,))


def _agreement(scene: Scene, lesion: Lesion, settings: LesionSettings) -> float:
    """Least overlap of the mask with those of changed settings; the search ends at the first that disagrees."""
    variants = [
        dataclasses.replace(settings, geodesic_weight=3 * settings.geodesic_weight + 0.5, passes=1),
        dataclasses.replace(settings, geodesic_weight=0.0, passes=1),
        dataclasses.replace(settings, regularity=3 * settings.regularity, passes=1),
    ]
    start: Start | None = lesion.start if len(scene.others) == 0 else None
    if settings.extent_mm > 0:
        variants, start = [dataclasses.replace(settings, extent_mm=1.2 * settings.extent_mm)], None
    least = 1.0
    for variant in variants:
        least = min(least, dice(lesion.mask, find_lesion(scene, variant, start).mask))
        if least < LEAST_AGREEMENT:
            break
    return least


def _signs(lesion: Lesion) -> dict[str, float]:
    steps = _border_steps(lesion)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return {
        "touches": float(lesion.touches_border),
        "weak_border": float(np.mean(steps < 0.35 * np.percentile(steps, 75))) if len(steps) else 1.0,
        "border_to_noise": middle / lesion.start.noise,
        "growth": dice(lesion.mask, lesion.start.growth.mask),
        "satellites": _satellites(lesion),
        "compactness": compactness(lesion.mask),
        "volume": lesion.volume_mm3,
    }


def _satellites(lesion: Lesion) -> float:
    """Volume, in parts of the tumor's, of other pieces as bright as its brighter part, from within 5 mm of it.

    Both are measured at one level, between the tumor's median and its border.
    """
    core = lesion.start.feature[lesion.mask]
    if not core.size:
        return 0.0
    level = (float(np.median(core)) + lesion.start.growth.threshold) / 2
    others = (lesion.start.feature >= level) & ~ndimage.binary_dilation(lesion.mask, iterations=1)
    near = ndimage.distance_transform_edt(~lesion.mask, sampling=lesion.region.spacing) <= 5.0
    return float(connected(others, others & near).sum() / max(1, np.count_nonzero(core >= level)))


def _border_steps(lesion: Lesion) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    """For each border voxel: mean feature 1.5 mm further in minus 1.5 mm further out, along the mask's normal."""
    spacing = lesion.region.spacing
    soft = smoothed(lesion.mask.astype(np.float32), 1.2, spacing)
    axes = [axis for axis in range(3) if soft.shape[axis] > 1]
    slopes = np.stack([np.gradient(soft, spacing[axis], axis=axis) for axis in axes], -1)
    border = np.argwhere(border_of(lesion.mask))
    normal = slopes[tuple(border.T)]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-6)
    way = np.zeros((len(border), 3))
    way[:, axes] = normal
    limit = np.asarray(soft.shape) - 1
    values = []
    for sign in (1.5, -2.0):
        at = np.clip(np.round(border + sign * way / np.asarray(spacing)).astype(int), 0, limit)
        values.append(lesion.start.feature[tuple(at.T)])
    return np.asarray(values[0] - values[1], dtype=np.float32)
