"""MO-BCPD in numbers: python benchmarks/points.py PART [--count N] [--only ROW] [--resume]; a JSON each, row by row.

Parts: synthetic, faults, unlike, openkbp, copd, lung_surfaces, synthseg, sliding, speed. The real sets are read from
the folder that VALOR_DATA names; a part without its data stops with a message.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import resource
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from points_cases import known_motion
from points_faults import outliers, tiny_organ, without_organ, wrong_labels
from points_real import copd, lung_surfaces, openkbp, synthseg
from points_sliding import sliding
from points_unlike import unlike
from scipy.stats import chi2

from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import register
from valorlib.methods.mo_bcpd_options import BCPD, GMC, OMC, PAPER
from valorlib.metrics.organs import point_distances

ROOT = Path(__file__).resolve().parents[1]
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


def synthetic(count, only, done):
    sets = {
        "omc": OMC,
        "gmc": GMC,
        "bcpd": BCPD,
        "omc_paper_start": PAPER,
        "bcpd_paper_start": replace(PAPER, use_labels=False),
        "omc_identity_start": replace(OMC, start="given"),
        "bcpd_identity_start": replace(BCPD, start="given"),
        "omc_identity_start_no_labels": replace(OMC, start="given", use_labels=False),
        "omc_paper_start_similarity_first": replace(PAPER, similarity_first=True),
        "bcpd_paper_start_similarity_first": replace(PAPER, similarity_first=True, use_labels=False),
    }
    for name, options in sets.items():
        if only not in ("", name) or name in done:
            continue
        yield name, summary([run_one(known_motion(s), options) for s in range(count)])


def faults(count, only, done):
    made = {
        "clean": (lambda c, s: c, OMC),
        "outliers_30": (outliers, replace(OMC, outliers=0.3)),
        "missing_organ": (lambda c, s: without_organ(c), OMC),
        "organ_of_5_points": (lambda c, s: tiny_organ(c), OMC),
        "wrong_labels_10_mended": (wrong_labels, replace(OMC, label_error=0.1)),
        "wrong_labels_10_confusion_matrix": (
            wrong_labels,
            replace(OMC, label_matrix=tuple((0.875 * np.eye(5) + 0.025).ravel())),
        ),
        "wrong_labels_10_transition_only": (
            wrong_labels,
            replace(OMC, label_matrix=tuple((0.875 * np.eye(5) + 0.025).ravel()), long_size_mm=0.0),
        ),
        "wrong_labels_10_bcpd": (wrong_labels, BCPD),
    }
    for name, (change, options) in made.items():
        if only not in ("", name):
            continue
        runs = [run_one(change(known_motion(s, count=400), s), options) for s in range(count)]
        yield name, summary(runs) | {"warnings": list(runs[0]["result"].warnings)}


def speed(count, only, done):
    torch.set_num_threads(1)
    for each in (400, 2000, 10_000, 40_000)[:count]:
        if only not in ("", str(5 * each)):
            continue
        case = known_motion(0, count=each, degrees=15.0)
        # The first of the short runs pays for loading the libraries: the best of three counts.
        done = min((run_one(case, OMC) for _ in range(3 if each == 400 else 1)), key=lambda run: run["cpu_s"])
        gap = point_distances(done["result"].moved.points, case.pair.fixed.points)
        numbers = {
            "cpu_s": done["cpu_s"],
            "surface_mean_mm": gap["mean_mm"],
            "error_mm": float(done["error"].mean()),
            "peak_rss_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        }
        yield str(5 * each), numbers
        if each == 400:
            peer = pycpd(case)
            yield "pycpd_2000", peer | {"times_slower": peer.get("cpu_s", np.nan) / done["cpu_s"]}


def pycpd(case):
    """pycpd's deformable registration of the same clouds, laid over one another first, in its own environment."""
    python = ROOT / "build" / "peers" / "pycpd" / "bin" / "python"
    if not python.exists():
        return {"left_out": "no environment; run benchmarks/peers/setup.sh"}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        np.savez(home / "in.npz", fixed=case.pair.fixed.points, moving=case.pair.moving.points)
        subprocess.run(
            [python, ROOT / "benchmarks" / "peers" / "pycpd_peer.py", home / "in.npz", home / "out.npz"], check=True
        )
        with np.load(home / "out.npz") as out:
            moved, seconds = out["moved"], float(out["cpu_s"])
    gap = point_distances(moved, case.pair.fixed.points)
    error = np.linalg.norm(moved - case.truth, axis=1)
    return {"cpu_s": seconds, "surface_mean_mm": gap["mean_mm"], "error_mm": float(error.mean())}


def main():
    parts = {
        "synthetic": (synthetic, 20),
        "faults": (faults, 5),
        "unlike": (unlike, 4),
        "openkbp": (openkbp, 30),
        "copd": (copd, 4),
        "lung_surfaces": (lung_surfaces, 4),
        "synthseg": (synthseg, 6),
        "sliding": (sliding, 5),
        "speed": (speed, 4),
    }
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=parts)
    parser.add_argument("--count", type=int, default=0, help="cases (default: all)")
    parser.add_argument(
        "--only", default="", help="one row of the part (a method or a case); the others stay as they are"
    )
    parser.add_argument("--resume", action="store_true", help="keep the rows, and pairs of rows, that are there")
    args = parser.parse_args()
    torch.set_num_threads(1)
    function, most = parts[args.part]
    count = args.count or most
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    record = {
        "command": f"python benchmarks/points.py {args.part} --count {count}",
        "commit": commit.stdout.strip(),
        "device": "cpu, one thread",
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        "numbers": {},
    }
    path = RESULTS / f"points_{args.part}.json"
    if (args.only or args.resume) and path.exists():
        record["numbers"] = json.loads(path.read_text(encoding="utf-8"))["numbers"]
    done = dict(record["numbers"]) if args.resume else {}
    for name, numbers in function(count, args.only, done):
        record["numbers"][name] = numbers
        text = re.sub(
            r"\[\s+([^\[\]{}]*?)\s+\]",
            lambda found: "[" + " ".join(found[1].split()) + "]",
            json.dumps(record, indent=1),
        )
        path.write_text(text + "\n", encoding="utf-8")
        shown = {k: v for k, v in numbers.items() if k != "rows"} if isinstance(numbers, dict) else numbers
        print(name, json.dumps(shown), flush=True)


if __name__ == "__main__":
    main()
