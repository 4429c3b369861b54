"""MO-BCPD on real organs: head and neck of different patients, lungs at two breathing states, brains."""

from __future__ import annotations

import itertools
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from valorlib.convert.files import read_labels
from valorlib.convert.surfaces import OrganSet, Surface, cloud_of, organs_of_labels, surface_of_mask
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import BCPD, GMC, OMC, PRESETS
from valorlib.metrics.organs import enclosed_ml, surface_distances, total_overlap
from valorlib.metrics.overlap import overlap
from valorlib.ops.organ_field import carried_masks

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("VALOR_DATA", ROOT / "shared" / "data"))
METHODS = {"omc": OMC, "bcpd": BCPD, "gmc": GMC, "similarity": replace(OMC, size_mm=0.01, long_size_mm=0.0)}
COLUMNS = (
    "surface_mean_mm",
    "hd95_mm",
    "dice",
    "log_volume_ratio",
    "p95_mm",
    "hd95_of_whole_mm",
    "log_volume_ratio_of_whole",
    "overlap_pct",
    "in_others_pct",
)
LEAST_SLICES = 3


def _folder(*parts):
    folder = DATA.joinpath(*parts)
    if not folder.is_dir():
        raise SystemExit(f"no data in {folder}; set VALOR_DATA")
    return folder


def in_others_pct(masks, labels):
    """Share of the carried organs that lies in another organ of the fixed label map, percent, a mean over organs."""
    shares = [(masks[k] & (labels.array != k) & (labels.array != 0)).sum() / max(1, masks[k].sum()) for k in masks]
    return 100 * float(np.mean(shares))


def carried_numbers(fixed, moving, labels, result):
    """Surface distance, Dice, volume and overlap of organs carried onto a fixed set, a mean over organs.

    Of whole: without organs of fewer than three slices, which are cut by the field of view.
    """
    masks = carried_masks(result.model, result.inverse.matrix, moving.labels, fixed.labels.grid, labels)
    rows, whole = [], []
    for label in labels:
        surface, target = moving.surfaces[label], fixed.surfaces[label]
        moved = result.model.move(
            surface.points, result.model.organs(np.full(len(surface.points), label), len(surface.points))
        )
        carried = Surface(moved, surface.faces)
        d = surface_distances(carried, target)
        dice = overlap(masks[label], fixed.labels.array == label).dice
        growth = enclosed_ml(carried) / enclosed_ml(target)
        rows.append((d["mean_mm"], d["hd95_mm"], dice, abs(np.log(growth)), d["p95_mm"]))
        whole.append(min(_thinnest(one.labels, label) for one in (fixed, moving)) >= LEAST_SLICES)
    shared = total_overlap(masks, fixed.labels.grid)["pct"]
    values = np.array(rows)
    kept = values[whole] if any(whole) else values
    means = [*values.mean(0), kept[:, 1].mean(), kept[:, 3].mean()]
    return [float(v) for v in means] + [shared, in_others_pct(masks, fixed.labels)]


def _thinnest(labels, label):
    """Voxels of an organ along its shortest side."""
    where = np.nonzero(labels.array == label)
    return min(int(np.ptp(axis)) + 1 for axis in where)


def _all_pairs(sets, pairs, points, only, done):
    """Each method on each ordered pair of organ sets; yields the means of a method, and its pairs, after each pair."""
    clouds = {name: cloud_of(sets[name], points, n) for n, name in enumerate(sets)}
    for method, options in METHODS.items():
        if only not in ("", method):
            continue
        rows = dict(done.get(method, {}).get("rows", {}))
        for a, b in pairs:
            if f"{a} {b}" in rows:
                continue
            labels = sorted(set(sets[a].names) & set(sets[b].names))
            own = [
                PointCloud(c.points[m], c.labels[m])
                for c in (clouds[a], clouds[b])
                for m in [np.isin(c.labels, labels)]
            ]
            start = time.process_time()
            result = register(PointPair(*own), options, Run())
            seconds = time.process_time() - start
            row = [seconds, *carried_numbers(sets[a], sets[b], labels, result)]
            rows[f"{a} {b}"] = [round(value, 4) for value in row]
            means = np.mean(list(rows.values()), axis=0).tolist()
            yield method, {"pairs": len(rows)} | dict(zip(("cpu_s", *COLUMNS), means, strict=True)) | {"rows": rows}


def openkbp(count, only, done, points=800):
    """Head and neck organs of six patients."""
    folder = _folder("rt", "openkbp")
    patients = sorted(p.name for p in folder.glob("pt_*"))
    sets = {p: organs_of_labels(read_labels(folder / p / "oars_label.nrrd")) for p in patients}
    yield from _all_pairs(sets, list(itertools.permutations(patients, 2))[:: max(1, 30 // count)], points, only, done)


def synthseg(count, only, done, points=800):
    """Deep structures and ventricles of the brain, both sides by themselves, of different people."""
    folder = _folder("brain", "synthseg")
    kept = (4, 10, 11, 12, 13, 16, 17, 18, 43, 49, 50, 51, 52, 53, 54)
    sets = {}
    for path in sorted(folder.glob("labels_*.nii.gz"))[:3]:
        labels = read_labels(path)
        array = np.where(np.isin(labels.array, kept), labels.array, 0)
        where = [np.nonzero(array.any(axis=other))[0] for other in ((1, 2), (0, 2), (0, 1))]
        box = tuple(slice(max(0, w[0] - 12), w[-1] + 13) for w in where)
        grid = labels.grid
        origin = grid.to_world(np.array([[part.start for part in box[::-1]]], dtype=float))[0]
        shape = tuple(part.stop - part.start for part in box[::-1])
        cut = Grid(shape, grid.spacing, tuple(origin.tolist()), grid.direction)
        sets[path.name] = organs_of_labels(LabelMap(array[box], cut))
    yield from _all_pairs(sets, list(itertools.permutations(sets, 2))[:count], points, only, done)


SPACING = {"insp": (1.75, 1.0, 1.25), "exp": (1.75, 1.25, 1.75)}
CASES = ("01", "02", "04", "06")


def _table(folder, case, kind):
    """(n, 6) inhale and exhale positions, mm; the files differ in their order of columns."""
    path = folder / f"copd{case}_{kind}_voxel.csv"
    head = path.read_text().split("\n", 1)[0].split(",")
    values = dict(zip(head, np.loadtxt(path, delimiter=",", skiprows=1).T, strict=True))
    return np.concatenate(
        [np.stack([values[f"{p}_{a}"] for a in "ijk"], 1) * SPACING[p] for p in ("insp", "exp")], axis=1
    )


def _errors(result, marks, organs, start):
    error = np.linalg.norm(result.model.move(marks[:, 3:6], organs) - marks[:, :3], axis=1)
    return {
        "mean_mm": float(error.mean()),
        "p95_mm": float(np.percentile(error, 95)),
        "cpu_s": time.process_time() - start,
    }


def copd(count, only, done):
    """Keypoints of both phases with the pairing thrown away, 70 % drawn on each side, 10 % outliers added."""
    folder = _folder("lung", "dirlab_copd")
    means = []
    for case in CASES[:count]:
        if only not in ("", case):
            continue
        rng = np.random.default_rng(int(case))
        keys, marks = (_table(folder, case, kind) for kind in ("keypoints", "landmarks"))
        sides = []
        for columns in (slice(0, 3), slice(3, 6)):
            points = keys[rng.permutation(len(keys))[: int(0.7 * len(keys))], columns]
            noise = rng.uniform(points.min(0), points.max(0), (len(points) // 10, 3))
            sides.append(PointCloud(np.concatenate([points, noise])))
        start = time.process_time()
        result = register(PointPair(*sides), PRESETS["keypoints"], Run())
        numbers = _errors(result, marks, np.zeros(len(marks), dtype=np.int64), start)
        means.append(numbers["mean_mm"])
        yield case, numbers
    if not only:
        yield "mean_mm", float(np.mean(means))


def lung_surfaces(count, only, done, points=2000):
    """Surfaces of the lungs alone, affine start: landmarks inside are carried along, none is seen."""
    folder = _folder("lung", "dirlab_copd")
    for case in CASES[:count]:
        if only not in ("", case):
            continue
        marks = _table(folder, case, "landmarks")
        sets = []
        for phase in ("insp", "exp"):
            array = read_labels(folder / f"copd{case}_{phase}_mask.nii.gz").array != 0
            grid = Grid(array.shape[::-1], SPACING[phase])
            sets.append(OrganSet({1: "lungs"}, {1: surface_of_mask(array, grid)}))
        pair = PointPair(*(cloud_of(one, points, n) for n, one in enumerate(sets)))
        start = time.process_time()
        result = register(pair, PRESETS["lungs"], Run())
        own = result.model.organs(np.ones(len(marks), dtype=np.int64), len(marks))
        centers = [one.surfaces[1].points.mean(0) for one in sets]
        shift = np.linalg.norm(marks[:, 3:6] - centers[1] + centers[0] - marks[:, :3], axis=1)
        yield case, {"centers_mean_mm": float(shift.mean())} | _errors(result, marks, own, start)
