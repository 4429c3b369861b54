"""Summary over the generated breast pairs: python benchmarks/breast_summary.py writes results/breast_summary.json."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

RESULTS = Path(__file__).resolve().parent / "results"


def main():
    runs = {}
    for path in sorted(RESULTS.glob("breast_1*.json")):
        for name, numbers in json.loads(path.read_text())["runs"].items():
            if "failed" not in numbers:
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
    text = json.dumps(summary, indent=1) + "\n"
    (RESULTS / "breast_summary.json").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
