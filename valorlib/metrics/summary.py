"""All numbers of one registration: whole, per slice and per tumor; ready for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointPair
from valorlib.core.results import Result
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.folding import fold_summary, inverse_consistency
from valorlib.metrics.landmarks import landmark_errors
from valorlib.metrics.overlap import overlap
from valorlib.metrics.similarity import (
    ncc,
    ngf_map,
    psnr,
    relative_ssd,
    seed_compatible,
    ssim_map,
    unit_range,
)
from valorlib.metrics.surface import surface_distance
from valorlib.metrics.volume import carried_change_pct, volume_change, volume_ml
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.overlap import body_mask
from valorlib.ops.resample import resample_image, resample_labels, resample_mask
from valorlib.ops.transforms import to_displacement

Array = NDArray[np.float32]
MAX_SLICES = 400


def inside_both(pair: ImagePair, displacement: DisplacementField) -> NDArray[np.bool_]:
    """(K, J, I) True at fixed voxels inside the body that land inside the moving image."""
    whole = LabelMap(np.ones(pair.moving.grid.shape, dtype=np.int32), pair.moving.grid)
    lands = resample_mask(whole, pair.fixed.grid, displacement).array > 0.5
    found = lands & (body_mask(pair.fixed).array > 0)
    if not found.any():
        found = lands
    return np.asarray(found if found.any() else np.ones_like(found))


def similarity_of(fixed: Array, before: Array, after: Array, mask: NDArray[np.bool_], grid: Grid) -> dict[str, Any]:
    """PSNR, SSIM, NCC, relative SSD and NGF before and after, whole and for each slice that has 30 voxels.

    Images are scaled to 0 to 1 inside the mask first, so that PSNR and relative SSD can be compared between scanners.
    """
    scaled = [unit_range(image, mask) for image in (fixed, before, after)]
    spacing = grid.spacing[::-1]
    maps = [(ssim_map(scaled[0], s), ngf_map(scaled[0], s, spacing_mm=spacing)) for s in scaled[1:]]

    def scores(at: tuple[slice, ...]) -> dict[str, dict[str, float]]:
        inside, a, b, c = mask[at], *(s[at] for s in scaled)
        found = {}
        for name, other, (structure, edges) in (("before", b, maps[0]), ("after", c, maps[1])):
            found[name] = {
                "psnr_db": finite(psnr(a, other, inside, peak=1.0)),
                "ssim": float(structure[at][inside].mean()),
                "ncc": ncc(a, other, inside),
                "relative_ssd": 1.0 if name == "before" else relative_ssd(a, b, c, inside),
                "ngf": float(edges[at][inside].mean()),
            }
        return found

    whole = scores((slice(None),) * 3)
    slices = [
        {"slice": k, **scores((slice(k, k + 1),))}
        for k in range(mask.shape[0])
        if np.count_nonzero(mask[k]) >= 30 and mask.shape[0] <= MAX_SLICES
    ]
    return {**whole, "voxels": int(mask.sum()), "per_slice": slices}


def finite(value: float) -> float:
    """The value, with infinity as 999 so that JSON can hold it."""
    return float(min(value, 999.0))


def pair_of_masks(mask: NDArray[np.bool_], reference: NDArray[np.bool_], grid: Grid) -> dict[str, float]:
    """Overlap and surface distance of two masks."""
    cover = overlap(mask, reference)
    found = {**asdict(cover), "f1": cover.f1}
    if mask.any() and reference.any():
        found.update(asdict(surface_distance(mask, reference, grid)))
    return found


def tumors_of(result: Result, jacobian: Image, truth: LabelMap | None) -> list[dict[str, Any]]:
    """Volume, volume change and agreement of each tumor that was segmented.

    agreement: the moving mask carried to the fixed scan against the mask found in the fixed scan itself.
    """
    fixed, moving, warped = result.fixed_seg, result.moving_seg, result.warped_seg
    labels = sorted({n for m in (fixed, moving, warped) if m is not None for n in m.labels})
    found = []
    for label in labels:
        one: dict[str, Any] = {"tumor": label}
        for name, mask in (("fixed", fixed), ("moving", moving), ("warped", warped)):
            if mask is not None:
                one[f"{name}_ml"] = volume_ml(mask, label)
        if fixed is not None and moving is not None:
            one["change_pct"] = volume_change(fixed, moving, label).change_pct
        if warped is not None:
            one["transform_change_pct"] = carried_change_pct(jacobian, warped, label)
        if fixed is not None and warped is not None:
            one["agreement"] = pair_of_masks(warped.array == label, fixed.array == label, fixed.grid)
            one["agreement"]["per_slice"] = slice_dice(warped.array == label, fixed.array == label)
        if truth is not None and warped is not None:
            one["against_truth"] = pair_of_masks(warped.array == label, truth.array == label, truth.grid)
        found.append(one)
    return found


def slice_dice(mask: NDArray[np.bool_], reference: NDArray[np.bool_]) -> list[dict[str, float]]:
    """Dice and Jaccard of each slice that holds any of the two masks."""
    found: list[dict[str, float]] = []
    for k in np.flatnonzero((mask | reference).any(axis=(1, 2))):
        cover = overlap(mask[k], reference[k])
        found.append({"slice": int(k), "dice": cover.dice, "jaccard": cover.jaccard, "f1": cover.f1})
    return found


def labels_of(pair: ImagePair, displacement: DisplacementField) -> list[dict[str, Any]]:
    """Overlap of the given structures, before and after carrying the moving ones to the fixed image."""
    if pair.fixed_labels is None or pair.moving_labels is None:
        return []
    fixed = pair.fixed_labels
    before = resample_labels(pair.moving_labels, fixed.grid)
    after = resample_labels(pair.moving_labels, fixed.grid, displacement)
    return [
        {
            "label": label,
            "name": fixed.name_of(label),
            "before": pair_of_masks(before.array == label, fixed.array == label, fixed.grid),
            "after": pair_of_masks(after.array == label, fixed.array == label, fixed.grid),
        }
        for label in sorted({*fixed.labels, *pair.moving_labels.labels})
    ]


def landmarks_of(displacement: DisplacementField, landmarks: PointPair) -> dict[str, Any]:
    """Landmark errors before and after, whole and per label; after per point."""
    errors = landmark_errors(displacement, landmarks)
    found: dict[str, Any] = dict(errors.summary())
    found["after"]["per_point_mm"] = [round(float(e), 4) for e in errors.after_mm]
    if errors.labels is not None:
        found["per_label"] = {str(n): errors.of(int(n)).summary() for n in np.unique(errors.labels)}
    return found


def consistency_of(field: DisplacementField, inverse: DisplacementField, *, step: int = 2) -> dict[str, float]:
    """How far a point lands from where it started, there and back, at each `step`-th voxel along each axis."""
    grid = field.grid
    size = [len(range(0, n, step)) for n in grid.size]
    thin = Grid((size[0], size[1], size[2]), tuple(step * s for s in grid.spacing), grid.origin, grid.direction)  # type: ignore[arg-type]
    error = inverse_consistency(DisplacementField(field.array[::step, ::step, ::step], thin), inverse)
    return {
        "mean_mm": error.mean_mm,
        "p95_mm": error.p95_mm,
        "max_mm": error.max_mm,
        "outside_pct": error.outside_pct,
    }


def summarize(
    pair: ImagePair,
    result: Result,
    *,
    warped: Image | None = None,
    before: Image | None = None,
    inside: NDArray[np.bool_] | None = None,
    jacobian: Image | None = None,
    landmarks: PointPair | None = None,
    truth: LabelMap | None = None,
) -> dict[str, Any]:
    """All numbers of a registration.

    Args:
        pair: what was registered.
        result: what came out.
        warped: the moving image on the fixed grid, when at hand.
        before: the same without a transform, when at hand.
        inside: where to compare the images, when at hand.
        jacobian: the determinant, when at hand.
        landmarks: corresponding points, kept apart from those given to the method.
        truth: true tumors on the fixed grid, for tests and benchmarks.
    """
    field = result.displacement or to_displacement(result.transform, pair.fixed.grid)
    warped = warped or resample_image(pair.moving, pair.fixed.grid, field)
    jacobian = jacobian or jacobian_determinant(field)
    before = before or resample_image(pair.moving, pair.fixed.grid)
    mask = inside_both(pair, field) if inside is None else inside
    found: dict[str, Any] = {
        "similarity": similarity_of(pair.fixed.array, before.array, warped.array, mask, pair.fixed.grid),
        "similarity_seed_compatible": asdict(seed_compatible(pair.fixed.array, before.array, warped.array)),
        "folds": fold_summary(field, jacobian=jacobian).as_dict(),
    }
    if result.inverse_displacement is not None:
        found["inverse_consistency"] = consistency_of(field, result.inverse_displacement)
    size = np.linalg.norm(field.array, axis=-1)[mask]
    found["displacement"] = {"mean_mm": float(size.mean()), "max_mm": float(size.max())}
    if result.fixed_seg is not None or result.moving_seg is not None:
        found["tumors"] = tumors_of(result, jacobian, truth)
    structures = labels_of(pair, field)
    if structures:
        found["structures"] = structures
    points = landmarks or pair.landmarks
    if points is not None:
        found["landmarks"] = landmarks_of(field, points)
    return found
