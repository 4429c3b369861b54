"""Summary over the generated breast pairs: python benchmarks/breast_summary.py writes results/breast_summary.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"
OURS = "valor:default"
METHODS = ("valor", "valor_net", "compositive", "convex_adam", "voxelmorph_pp", "log_demons", "classical")


def beside(cases):
    """Each peer against `valor` on the pairs that both ran: CPU seconds and landmark error as multiples of ours.

    Peers only register; so the seconds are compared with those of the whole job and with those of its registration.
    """
    found = {}
    for peer in sorted({name for runs in cases for name in runs if name.split(":")[0] not in METHODS}):
        both = [(runs[OURS], runs[peer]) for runs in cases if OURS in runs and peer in runs]
        slower = [theirs["cpu_seconds"] / ours["cpu_seconds"] for ours, theirs in both]
        alone = [theirs["cpu_seconds"] / registration(ours["stages"]) for ours, theirs in both]
        worse = [theirs["landmark_mean_mm"] / ours["landmark_mean_mm"] for ours, theirs in both]
        found[peer] = {
            "cases": len(both),
            "least_times_slower": min(slower),
            "median_times_slower": float(np.median(slower)),
            "least_times_slower_than_registration": min(alone),
            "least_times_the_error": min(worse),
            "faster_and_more_accurate_in": sum(s < 1 and w < 1 for s, w in zip(slower, worse, strict=True)),
        }
    return found


def registration(stages):
    """CPU seconds of what peers do as well: all but the segmentation."""
    return sum(stages[name] for name in ("prepare", "register", "fields"))


def main():
    runs, cases = {}, []
    for path in sorted(RESULTS.glob("breast_1*.json")):
        good = {name: row for name, row in json.loads(path.read_text())["runs"].items() if "failed" not in row}
        cases.append(good)
        for name, numbers in good.items():
            runs.setdefault(name, []).append(numbers)
    summary = {}
    for name, rows in runs.items():
        column = lambda key, rows=rows: np.array([row[key] for row in rows], dtype=float)  # noqa: E731
        lost = [row["truth_dice_ceiling"] - row["truth_dice"] for row in rows if min(row["tumor_diameter_mm"]) >= 7]
        summary[name] = {
            "cases": len(rows),
            "landmark_median_mm": float(np.median(column("landmark_mean_mm"))),
            "landmark_worst_mm": float(column("landmark_mean_mm").max()),
            "tumor_median_mm": float(np.median(column("tumor_mean_mm"))),
            "tumor_worst_mm": float(column("tumor_mean_mm").max()),
            "start_mm": [float(column("start_mm").min()), float(column("start_mm").max())],
            "dice_lost_worst": float(max(lost)) if lost else None,
            "folds": int(column("folds").sum()),
            "cpu_seconds_median": float(np.median(column("cpu_seconds"))),
            "cpu_seconds_worst": float(column("cpu_seconds").max()),
            "peak_memory_gb": float(column("peak_memory_gb").max()),
        }
    summary["beside"] = beside(cases)
    text = json.dumps(summary, indent=1) + "\n"
    (RESULTS / "breast_summary.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
