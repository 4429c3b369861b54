"""More image pairs for the deformable methods: T1 to PD, a tumor that grew, lungs given as masks with keypoints."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
from cases import DATA, Case, _pulled, _smooth_field, field_errors, folding, summary
from scipy.ndimage import distance_transform_edt

from valorlib.convert.files import read_image, read_labels
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.core.transforms import DisplacementField
from valorlib.ops.overlap import body_mask
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import map_points


def t1_pd(seed):
    """T1 and PD of one head; the T1 is deformed by a known smooth motion of 8 mm at most.

    The truth is that motion after the rigid motion between the scans, found by mutual information on the undeformed
    images; its own error is part of every figure. Errors count in the head where the PD, which is lower, shows it.
    """
    from valorlib.catalog import load

    t1, pd = (read_image(DATA / "brain" / f"chris_{name}.nii.gz") for name in ("t1", "PD"))
    grid = t1.grid.resampled((1.76, 1.76, 1.76))
    small = resample_image(t1, grid)
    method = load("ngf_rigid")
    rigid = method.run(ImagePair(small, pd), method.presets["default"], Run()).transform
    rng = np.random.default_rng(seed)
    u = _smooth_field(grid, rng, ((30.0, 8.0),))
    fixed = Image(_pulled(small.array, grid, u), grid)
    moved = map_points(rigid, (grid.points() + u).reshape(-1, 3)).reshape(*grid.shape, 3)
    truth = DisplacementField((moved - grid.points()).astype(np.float32), grid)
    inside = (body_mask(fixed).array > 0) & pd.grid.contains(moved.reshape(-1, 3)).reshape(grid.shape)
    at_start = map_points(rigid, grid.points().reshape(-1, 3)).reshape(*grid.shape, 3) - grid.points()
    start = float(np.linalg.norm(at_start - truth.array, axis=-1)[inside].mean())

    def score(field):
        return {**summary("error", field_errors(field, truth, inside)), **folding(field, inside), "start_mm": start}

    return Case(f"t1pd_{seed}", ImagePair(fixed, pd, start=rigid), score)


def longitudinal(seed, *, masked=True):
    """A head under a known smooth motion in which a tumor of 24 mm has grown; its two masks are given, or not.

    Errors count outside the tumor and 5 mm around it, and in the tissue from there to 20 mm, which it must not drag.
    """
    t1 = read_image(DATA / "brain" / "chris_t1.nii.gz")
    grid = t1.grid.resampled((1.32, 1.32, 1.32))
    moving, rng = resample_image(t1, grid), np.random.default_rng(seed)
    u = _smooth_field(grid, rng, ((25.0, 6.0),))
    body = body_mask(moving).array > 0
    depth = distance_transform_edt(body, sampling=grid.spacing[::-1])
    deep = np.argwhere(depth > 40)
    center = grid.to_world(deep[rng.integers(len(deep))][::-1])
    tumor = np.linalg.norm(grid.points() - center, axis=-1) < 12
    fixed = _pulled(moving.array, grid, u)
    fixed[tumor] = 1.5 * np.percentile(moving.array[body], 95) * (0.8 + 0.2 * rng.random(int(tumor.sum())))
    truth = DisplacementField(u.astype(np.float32), grid)
    away = distance_transform_edt(~tumor, sampling=grid.spacing[::-1])
    inside, ring = body & (away > 5), body & (away > 5) & (away <= 20)
    labels = LabelMap(tumor.astype(np.int32), grid)
    pair = ImagePair(Image(fixed, grid), moving)
    pair = replace(pair, fixed_labels=labels) if masked else pair

    def score(field):
        error = field_errors(field, truth, inside)
        ring_error = field_errors(field, truth, ring)
        return {
            **summary("error", error),
            "near_tumor_mean_mm": float(ring_error.mean()),
            "near_tumor_max_mm": float(ring_error.max()),
            "start_mm": float(np.linalg.norm(u[inside], axis=-1).mean()),
            **folding(field, inside),
        }

    return Case(f"longitudinal_{'masked' if masked else 'unmasked'}", pair, score)


def _voxels(path):
    """Places (N, 3) at exhale and at inhale, voxels; the header says which columns are which."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    return [np.array([[float(row[f"{phase}_{axis}"]) for axis in "ijk"] for row in rows]) for phase in ("exp", "insp")]


def copd(number):
    """Exhale and inhale lungs of one patient as distance maps of their masks, keypoints given, scored by landmarks.

    There are no scans: the keypoint pairs (automatic) are given as landmarks, and the 300 expert ones score. Both lie
    on the inhale voxels, as the source of the data scores them: the difference of scale is a start they give away.
    """
    folder, name = DATA / "lung" / "dirlab_copd", f"copd{number:02d}"
    images, grids, spacing = [], [], (1.75, 1.00, 1.25)
    for phase in ("exp", "insp"):
        mask = read_labels(folder / f"{name}_{phase}_mask.nii.gz").array > 0
        grid = Grid(mask.shape[::-1], spacing)
        away = [distance_transform_edt(m, sampling=spacing[::-1]) for m in (mask, ~mask)]
        signed = np.clip(away[0] - away[1], -20, 20)
        images.append(Image(signed.astype(np.float32), grid))
        grids.append(grid)
    points = {}
    for kind in ("keypoints", "landmarks"):
        ends = _voxels(folder / f"{name}_{kind}_voxel.csv")
        points[kind] = [grid.to_world(end) for grid, end in zip(grids, ends, strict=True)]
    pair = ImagePair(*images, landmarks=PointPair(*(PointCloud(p) for p in points["keypoints"])))
    fixed, moving = points["landmarks"]
    inside = images[0].array > 0

    def score(field):
        error = np.linalg.norm(map_points(field, fixed) - moving, axis=1)
        start = float(np.linalg.norm(fixed - moving, axis=1).mean())
        return {**summary("landmark", error), "start_mm": start, **folding(field, inside)}

    return Case(name, pair, score)


def deformable_cases():
    """Name to a function that makes the case."""
    cases = {f"t1pd_{seed}": lambda seed=seed: t1_pd(seed) for seed in (1, 2)}
    for masked in (True, False):
        name = f"longitudinal_{'masked' if masked else 'unmasked'}"
        cases[name] = lambda masked=masked: longitudinal(2301, masked=masked)
    return cases | {f"copd{n:02d}": lambda n=n: copd(n) for n in (1, 2, 4, 6)}
