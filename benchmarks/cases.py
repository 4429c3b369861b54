"""Image pairs with a known answer: generated breasts, a textured phantom, a real lung under known motion, real brains.

Every case has `fixed`, `moving` (Image) and `score(field) -> dict`. Seeds here were not used to choose settings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.ndimage import binary_erosion, distance_transform_edt, gaussian_filter, map_coordinates

from valorlib.convert.files import read_image, read_labels
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.transforms import DisplacementField
from valorlib.demo import make_pair
from valorlib.ops.agreement import carry_labels
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.lungs import lung_mask
from valorlib.ops.overlap import body_mask
from valorlib.ops.resample import resample_labels
from valorlib.ops.transforms import map_points

DATA = Path(os.environ.get("VALOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BREAST_SEEDS = range(1000, 1020)
# The 30 structures that subcortical brain benchmarks score (FreeSurfer numbers).
BRAIN_LABELS = (2, 3, 4, 7, 8, 10, 11, 12, 13, 14, 15, 16, 17, 18, 24, 28, 31)
BRAIN_LABELS += (41, 42, 43, 46, 47, 49, 50, 51, 52, 53, 54, 60, 63)


@dataclass(frozen=True, eq=False)
class Case:
    """A pair and how to score a field for it."""

    name: str
    pair: ImagePair
    score: object


def summary(prefix, values):
    """Mean, 95th percentile and maximum."""
    return {
        f"{prefix}_mean_mm": float(np.mean(values)),
        f"{prefix}_p95_mm": float(np.percentile(values, 95)),
        f"{prefix}_max_mm": float(np.max(values)),
    }


def folding(field, mask):
    """Folds and spread of volume change inside a mask."""
    determinant = jacobian_determinant(field).array[mask]
    log = np.log(np.maximum(determinant, 1e-9))
    return {"folds": int((determinant <= 0).sum()), "sd_log_jacobian": float(log.std())}


def field_errors(field, truth, mask):
    """Length of the difference of two fields inside a mask, mm."""
    return np.linalg.norm(field.array[mask] - truth.array[mask], axis=-1)


def breast(seed):
    """A generated 3T/7T pair at 0.7 and 1.1 mm; the motion grows from seed to seed."""
    first, last = BREAST_SEEDS[0], BREAST_SEEDS[-1]
    demo = make_pair(seed, mean_mm=2.7 + 11.3 * (seed - first) / (last - first))
    body = body_mask(demo.pair.fixed).array > 0
    marks = demo.landmarks

    def dice(field):
        carried = carry_labels(demo.moving_tumors, demo.pair.fixed.grid, field).array > 0
        truth = demo.fixed_tumors.array > 0
        return float(2 * (carried & truth).sum() / max(1, carried.sum() + truth.sum()))

    ceiling = dice(demo.truth)

    def score(field):
        error = np.linalg.norm(map_points(field, marks.fixed.points) - marks.moving.points, axis=1)
        tumor = error[marks.fixed.labels > 0]
        return {
            **summary("landmark", error),
            "tumor_mean_mm": float(tumor.mean()),
            "start_mm": demo.start_error_mm,
            "truth_dice": dice(field),
            "truth_dice_ceiling": ceiling,
            "tumor_diameter_mm": [round(2 * lesion.radius_mm, 1) for lesion in demo.lesions],
            "kinds": list(demo.kinds),
            **folding(field, body),
        }

    return Case(f"breast_{seed}", demo.pair, score)


def brain(direction):
    """Two subjects, 30 structures. Settings were chosen on the forward pair; the reverse was left for this table."""
    names = ["l2r_subject1", "vxm_scan"][:: 1 if direction == "forward" else -1]
    fixed, moving = (read_image(DATA / "brain" / f"{name}_t1.nii.gz") for name in names)
    labels, others = (read_labels(DATA / "brain" / f"{name}_seg.nii.gz") for name in names)
    inside = fixed.array > 0

    def score(field):
        carried = resample_labels(others, labels.grid, field).array
        found = []
        for label in BRAIN_LABELS:
            a, b = labels.array == label, carried == label
            found.append(2 * (a & b).sum() / max(1, a.sum() + b.sum()))
        return {"dice": float(np.mean(found)), **folding(field, inside)}

    return Case(f"brain_{direction}", ImagePair(fixed, moving), score)


def _smooth_field(grid, rng, scales):
    """Sum of smooth random fields, (K, J, I, 3) mm; scales: (length mm, largest mm)."""
    total = np.zeros((*grid.shape, 3))
    for length_mm, largest_mm in scales:
        sigma = [length_mm / s for s in grid.spacing[::-1]]
        part = np.stack([gaussian_filter(rng.standard_normal(grid.shape), sigma) for _ in range(3)], axis=-1)
        total += part * (largest_mm / np.linalg.norm(part, axis=-1).max())
    return total


def _pulled(array, grid, u_mm, order=3):
    index = np.moveaxis(grid.to_index(grid.points() + u_mm)[..., ::-1], -1, 0)
    return map_coordinates(array, index, order=order, mode="nearest").astype(np.float32)


def phantom(seed=2101):
    """Textured breast-like body, 128 x 128 x 96 at 2 mm, two-scale motion of 1.7 mm mean, other gray scale, noise."""
    rng = np.random.default_rng(seed)
    grid = Grid((128, 128, 96), (2.0, 2.0, 2.0))
    middle = (grid.points() - grid.center) / np.array([105, 105, 80])
    body = np.linalg.norm(middle, axis=-1) < 1
    texture = sum(
        w * gaussian_filter(rng.standard_normal(grid.shape), s) * s**1.5 for s, w in ((1.5, 1), (4, 1), (9, 1))
    )
    anatomy = np.where(body, 400 + 150 * texture / texture.std(), 0)
    anatomy = gaussian_filter(anatomy, 0.7)
    u = _smooth_field(grid, rng, ((32.0, 6.0), (16.0, 2.6)))
    fixed = _pulled(anatomy, grid, u) + rng.normal(0, 8, grid.shape)
    moving = 1.3 * anatomy + 60 * (anatomy > 50) + rng.normal(0, 10, grid.shape)
    truth = DisplacementField(u.astype(np.float32), grid)
    inside = binary_erosion(_pulled(body.astype(float), grid, u, 1) > 0.5, iterations=2)
    pair = ImagePair(Image(fixed.astype(np.float32), grid), Image(moving.astype(np.float32), grid))

    def score(field):
        return {**summary("error", field_errors(field, truth, inside)), **folding(field, inside), "start_mm": start}

    start = float(np.linalg.norm(u[inside], axis=-1).mean())
    return Case("phantom", pair, score)


def lung(kind, seed=2202):
    """A real thorax CT (POPI phase 0) under known motion: "smooth", or "sliding" along the pleura; lungs 6 % denser."""
    image = read_image(DATA / "lung" / "popi_phase00_ct.nrrd")
    grid, rng = image.grid, np.random.default_rng(seed)
    lungs = lung_mask(image).array > 0
    u = _smooth_field(grid, rng, ((40.0, 6.0),))
    height = np.linspace(0, 1, grid.shape[0])[:, None, None]
    slope = gaussian_filter(lungs.astype(float), 12 if kind == "smooth" else 25)
    u[..., 2] += 15.0 * (1 - height) * slope / slope.max()
    inside = _pulled(lungs.astype(float), grid, u, 1) > 0.5
    array = _pulled(image.array, grid, u)
    if kind == "sliding":
        still = _smooth_field(grid, rng, ((40.0, 2.0),))
        # Outside, the chest wall shows; where it would show lung, its nearest tissue does.
        nearest = distance_transform_edt(lungs, return_distances=False, return_indices=True)
        wall = _pulled(image.array[tuple(nearest)], grid, still)
        array, u = np.where(inside, array, wall), np.where(inside[..., None], u, still)
    array = np.where(inside, array * 1.0 + 0.06 * (array + 1000), array) + rng.normal(0, 15, grid.shape)
    truth = DisplacementField(u.astype(np.float32), grid)
    depth = distance_transform_edt(inside, sampling=grid.spacing[::-1])
    body = body_mask(image).array > 0
    outer = distance_transform_edt(~inside, sampling=grid.spacing[::-1])
    wall_rim = (outer > 0) & (outer <= 5) & body

    def score(field):
        error = np.linalg.norm(field.array - truth.array, axis=-1)
        return {
            **summary("error", error[inside]),
            "core_mean_mm": float(error[depth > 10].mean()),
            "rim_mean_mm": float(error[inside & (depth <= 5)].mean()),
            "wall_mean_mm": float(error[wall_rim].mean()),
            "start_mm": float(np.linalg.norm(u[inside], axis=-1).mean()),
            **folding(field, body),
        }

    return Case(f"lung_{kind}", ImagePair(Image(array.astype(np.float32), grid), image), score)


def image_cases():
    """Name to a function that makes the case."""
    cases = {f"breast_{seed}": lambda seed=seed: breast(seed) for seed in BREAST_SEEDS}
    cases |= {f"brain_{way}": lambda way=way: brain(way) for way in ("forward", "reverse")}
    cases["phantom"] = phantom
    cases |= {f"lung_{kind}": lambda kind=kind: lung(kind) for kind in ("smooth", "sliding")}
    from deformable_cases import deformable_cases

    return cases | deformable_cases()
