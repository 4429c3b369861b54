"""How far a segmented tumor can be trusted: signs of a leak, and the alarm."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage

from valorlib.ops.fitting import border_of, compactness, connected, smoothed
from valorlib.ops.lesion import Lesion, LesionSettings, Mask, Scene, find_lesion

LARGE_MM3 = 8000.0


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """Whether the result may be a leak. score: 0 (sure) and up; raised from 1. signs: the numbers behind it."""

    score: float = 0.0
    signs: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()

    @property
    def raised(self) -> bool:
        """True when the user must look."""
        return bool(self.reasons)


def dice(first: Mask, second: Mask) -> float:
    """Overlap of two masks, 1 when both are empty."""
    total = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / total if total else 1.0


def judge(scene: Scene, lesion: Lesion, settings: LesionSettings) -> Alarm:
    """Signs of a leak: the region's border, variants that disagree, a border without contrast."""
    signs = _signs(scene, lesion, settings)
    reasons = []
    if signs["touches"] > 0:
        reasons.append(
            "the mask reaches the border of the region; it may have leaked. Drag its extent or paint it out."
        )
    if signs["satellites"] > 0.25:
        reasons.append("more tissue of the same brightness lies close by; click it too, or choose the form non_mass.")
    if signs["volume"] > LARGE_MM3 and signs["compactness"] < 0.75:
        reasons.append("the mask is large and branches; it may have leaked. Drag its extent or click the background.")
    if signs["agreement"] < 0.86:
        reasons.append("small changes of the settings change the mask a lot; check its border.")
    if signs["weak_border"] > 0.35:
        reasons.append("a large part of the border has little contrast; check it, or drag the tumor's extent.")
    return Alarm(score=float(len(reasons)), signs=signs, reasons=tuple(reasons))


def _signs(scene: Scene, lesion: Lesion, settings: LesionSettings) -> dict[str, float]:
    variants = [
        dataclasses.replace(settings, geodesic_weight=3 * settings.geodesic_weight + 0.5, passes=1),
        dataclasses.replace(settings, geodesic_weight=0.0, passes=1),
        dataclasses.replace(settings, regularity=3 * settings.regularity, passes=1),
    ]
    if settings.extent_mm > 0:
        variants = [dataclasses.replace(settings, extent_mm=1.2 * settings.extent_mm)]
    agreement = [dice(lesion.mask, find_lesion(scene, variant).mask) for variant in variants]
    steps = _border_steps(lesion)
    middle = float(np.median(steps)) if len(steps) else 0.0
    return {
        "touches": float(lesion.touches_border),
        "agreement": float(min(agreement)),
        "mean_agreement": float(np.mean(agreement)),
        "weak_border": float(np.mean(steps < 0.35 * np.percentile(steps, 75))) if len(steps) else 1.0,
        "border_to_noise": middle / lesion.noise,
        "growth": dice(lesion.mask, lesion.growth.mask),
        "satellites": _satellites(lesion),
        "compactness": compactness(lesion.mask),
        "volume": float(lesion.mask.sum() * np.prod(lesion.region.spacing)),
    }


def _satellites(lesion: Lesion) -> float:
    """Volume, in parts of the tumor's, of other pieces as bright as the tumor whose nearest voxel is within 5 mm."""
    core = lesion.feature[lesion.mask]
    if not core.size:
        return 0.0
    level = (float(np.median(core)) + lesion.growth.threshold) / 2
    others = (lesion.feature >= level) & ~ndimage.binary_dilation(lesion.mask, iterations=1)
    near = ndimage.distance_transform_edt(~lesion.mask, sampling=lesion.region.spacing) <= 5.0
    return float(connected(others, others & near).sum() / core.size)


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
        values.append(lesion.feature[tuple(at.T)])
    return np.asarray(values[0] - values[1], dtype=np.float32)
