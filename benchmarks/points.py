"""MO-BCPD in numbers: python benchmarks/points.py {synthetic,faults,openkbp,copd,speed} [--count N]; one JSON each.

The real sets are read from the folder that VALOR_DATA names; a part without its data stops with a message.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import resource
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from points_cases import known_motion
from points_faults import outliers, tiny_organ, without_organ, wrong_labels
from scipy.stats import chi2

from valorlib.convert.files import read_labels
from valorlib.convert.surfaces import Surface, cloud_of, organs_of_labels
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import BCPD, GMC, OMC, PAPER, PRESETS
from valorlib.metrics.organs import enclosed_ml, point_distances, total_overlap
from valorlib.metrics.overlap import overlap
from valorlib.ops.organ_field import carried_masks

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("VALOR_DATA", ROOT / "shared" / "data"))
RESULTS = ROOT / "benchmarks" / "results"


def run_one(case, options):
    start = time.process_time()
    result = register(case.pair, options, Run())
    seconds = time.process_time() - start
    error = np.linalg.norm(result.moved.points - case.truth, axis=1)
    covered = float((error**2 < chi2.ppf(0.95, 3) * result.sigma_mm**2).mean())
    return {"error": error, "covered": covered, "cpu_s": seconds, "result": result}


def summary(runs):
    means = [float(r["error"].mean()) for r in runs]
    return {
        "cases": len(runs),
        "mean_mm": float(np.mean(means)),
        "median_of_cases_mm": float(np.median(means)),
        "median_of_points_mm": float(np.median(np.concatenate([r["error"] for r in runs]))),
        "p95_mm": float(np.mean([np.percentile(r["error"], 95) for r in runs])),
        "worst_case_mm": float(np.max(means)),
        "covered_95": float(np.mean([r["covered"] for r in runs])),
        "cpu_s": float(np.mean([r["cpu_s"] for r in runs])),
    }


def synthetic(count):
    sets = {
        "omc": OMC,
        "gmc": GMC,
        "bcpd": BCPD,
        "omc_paper_start": PAPER,
        "bcpd_paper_start": replace(PAPER, use_labels=False),
    }
    return {name: summary([run_one(known_motion(s), o) for s in range(count)]) for name, o in sets.items()}


def faults(count):
    made = {
        "clean": (lambda c, s: c, OMC),
        "outliers_30": (outliers, replace(OMC, outliers=0.3)),
        "missing_organ": (lambda c, s: without_organ(c), OMC),
        "organ_of_5_points": (lambda c, s: tiny_organ(c), OMC),
        "wrong_labels_10_mended": (wrong_labels, replace(OMC, label_error=0.1)),
        "wrong_labels_10_transition_only": (
            wrong_labels,
            replace(OMC, label_matrix=tuple((0.875 * np.eye(5) + 0.025).ravel())),
        ),
        "wrong_labels_10_bcpd": (wrong_labels, BCPD),
    }
    out = {}
    for name, (change, options) in made.items():
        runs = [run_one(change(known_motion(s, count=400), s), options) for s in range(count)]
        out[name] = summary(runs) | {"warnings": list(runs[0]["result"].warnings)}
    return out


def carried_numbers(fixed, moving, labels, result):
    """Surface distance, Dice, volume and overlap of organs carried onto a fixed set, a mean over organs."""
    masks = carried_masks(result.model, result.inverse.matrix, moving.labels, fixed.labels.grid, labels)
    rows = []
    for label in labels:
        surface, target = moving.surfaces[label], fixed.surfaces[label]
        moved = result.model.move(
            surface.points, result.model.organs(np.full(len(surface.points), label), len(surface.points))
        )
        first, second = (
            np.concatenate([p, p[f].mean(1)]) for p, f in ((moved, surface.faces), (target.points, target.faces))
        )
        d = point_distances(first, second)
        dice = overlap(masks[label], fixed.labels.array == label).dice
        growth = enclosed_ml(Surface(moved, surface.faces)) / enclosed_ml(target)
        rows.append((d["mean_mm"], d["hd95_mm"], dice, abs(np.log(growth))))
    return [float(v) for v in np.mean(rows, axis=0)] + [total_overlap(masks, fixed.labels.grid)["pct"]]


def openkbp(count, points=800):
    folder = DATA / "rt" / "openkbp"
    if not folder.is_dir():
        raise SystemExit(f"no data in {folder}; set VALOR_DATA")
    patients = sorted(p.name for p in folder.glob("pt_*"))
    sets = {p: organs_of_labels(read_labels(folder / p / "oars_label.nrrd")) for p in patients}
    clouds = {p: cloud_of(sets[p], points, n) for n, p in enumerate(patients)}
    presets = {"similarity": replace(OMC, size_mm=0.01, long_size_mm=0.0), "bcpd": BCPD, "gmc": GMC, "omc": OMC}
    pairs = list(itertools.permutations(patients, 2))[:: max(1, 30 // count)]
    out = {}
    for name, options in presets.items():
        rows, cpu = [], []
        for a, b in pairs:
            labels = sorted(set(sets[a].names) & set(sets[b].names))
            own = [
                PointCloud(c.points[m], c.labels[m])
                for c in (clouds[a], clouds[b])
                for m in [np.isin(c.labels, labels)]
            ]
            start = time.process_time()
            result = register(PointPair(*own), options, Run())
            cpu.append(time.process_time() - start)
            rows.append(carried_numbers(sets[a], sets[b], labels, result))
        names = ("surface_mean_mm", "hd95_mm", "dice", "log_volume_ratio", "overlap_pct")
        out[name] = {"pairs": len(rows), "cpu_s": float(np.mean(cpu))} | dict(
            zip(names, np.mean(rows, axis=0).tolist(), strict=True)
        )
    return out


def copd(count):
    """Keypoints of both phases with the pairing thrown away, 70 % drawn on each side, 10 % outliers added."""
    folder = DATA / "lung" / "dirlab_copd"
    if not folder.is_dir():
        raise SystemExit(f"no data in {folder}; set VALOR_DATA")
    spacing = {"insp": (1.75, 1.0, 1.25), "exp": (1.75, 1.25, 1.75)}
    out = {}
    for case in ("01", "02", "04", "06")[:count]:
        rng = np.random.default_rng(int(case))
        tables = [
            np.loadtxt(folder / f"copd{case}_{kind}_voxel.csv", delimiter=",", skiprows=1)
            for kind in ("keypoints", "landmarks")
        ]
        mm = [np.concatenate([t[:, :3] * spacing["insp"], t[:, 3:6] * spacing["exp"]], 1) for t in tables]
        keys, marks = mm
        sides = []
        for columns in (slice(0, 3), slice(3, 6)):
            points = keys[rng.permutation(len(keys))[: int(0.7 * len(keys))], columns]
            noise = rng.uniform(points.min(0), points.max(0), (len(points) // 10, 3))
            sides.append(PointCloud(np.concatenate([points, noise])))
        start = time.process_time()
        result = register(PointPair(*sides), PRESETS["keypoints"], Run())
        moved = result.model.move(marks[:, 3:6], np.zeros(len(marks), dtype=np.int64))
        error = np.linalg.norm(moved - marks[:, :3], axis=1)
        out[case] = {
            "mean_mm": float(error.mean()),
            "p95_mm": float(np.percentile(error, 95)),
            "cpu_s": time.process_time() - start,
        }
    out["mean_mm"] = float(np.mean([v["mean_mm"] for v in out.values()]))
    return out


def speed(count):
    torch.set_num_threads(1)
    out = {}
    for each in (400, 2000, 10_000, 40_000)[:count]:
        case = known_motion(0, count=each, degrees=15.0)
        done = run_one(case, OMC)
        gap = point_distances(done["result"].moved.points, case.pair.fixed.points)
        out[str(5 * each)] = {
            "cpu_s": done["cpu_s"],
            "surface_mean_mm": gap["mean_mm"],
            "error_mm": float(done["error"].mean()),
            "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
    return out


def main():
    parts = {
        "synthetic": (synthetic, 20),
        "faults": (faults, 5),
        "openkbp": (openkbp, 30),
        "copd": (copd, 4),
        "speed": (speed, 4),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--count", type=int, default=0, help="cases (default: all)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    function, most = parts[args.part]
    count = args.count or most
    numbers = function(count)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    record = {
        "command": f"python benchmarks/points.py {args.part} --count {count}",
        "commit": commit.stdout.strip(),
        "device": "cpu, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "numbers": numbers,
    }
    path = RESULTS / f"points_{args.part}.json"
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
