"""Selective segmentation from one click: generated tumors, isointense ones with one drag, real breast lesions.

    python benchmarks/segmentation.py [--cases 24] [--first 100] [--every 1] [--output segmentation.json]

Writes benchmarks/results/segmentation.json. Settings were chosen on seeds 0 to 23, 200 to 217 and 500 to 535 and on
another phantom, those of the drag also on 3000 to 3011; each third seed also has an isointense tumor. A drag is
simulated: it starts up to 1 mm off the tumor's middle and ends at its farthest voxel, 5 % off at most.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from valorlib.convert.files import read_image, read_labels  # noqa: E402
from valorlib.core.points import Seeds  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.demo import make_pair  # noqa: E402
from valorlib.ops.leak import dice  # noqa: E402
from valorlib.ops.selective import Preview, SelectiveOptions, segment  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", ROOT.parent / "shared" / "data"))
ENOUGH = 0.70


def click_in(labels, number, rng):
    """One random voxel of the tumor."""
    voxels = np.argwhere(labels.array == number)
    place = voxels[rng.integers(len(voxels))][::-1]
    return Seeds(labels.grid.to_world(place)[None], np.array([1]))


def drag(labels, number, rng):
    """From the middle to the farthest point, as a user would drag."""
    points = labels.grid.to_world(np.argwhere(labels.array == number)[:, ::-1])
    off = rng.standard_normal(3)
    middle = points.mean(0) + off / np.linalg.norm(off) * rng.uniform(0, 1.0)
    ways = points - points.mean(0)
    end = points.mean(0) + ways[np.linalg.norm(ways, axis=1).argmax()] * rng.uniform(0.95, 1.05)
    return SelectiveOptions(extent_at_mm=tuple(map(float, middle)), extent_to_mm=tuple(map(float, end)))


def score(image, labels, number, seeds, options):
    begin = time.process_time()
    result = segment(image, seeds, options, Run())
    seconds = time.process_time() - begin
    truth = labels.array == number
    tumor = result.record["tumors"]["1"]
    return {
        "dice": round(dice(result.labels.array == 1, truth), 4),
        "alarm": tumor["leak_alarm"],
        "volume_ml": round(tumor["volume_ml"], 4),
        "true_ml": round(float(truth.sum() * image.grid.voxel_volume_mm3 / 1000), 4),
        "cpu_s": round(seconds, 3),
    }


def generated(first, count):
    rows = []
    for seed in range(first, first + count):
        for kind in ("bright", "isointense") if seed % 3 == 0 else ("bright",):
            case = make_pair(seed, kind=kind, lesions=1)
            for name, image, labels in (
                ("moving", case.pair.moving, case.moving_tumors),
                ("fixed", case.pair.fixed, case.fixed_tumors),
            ):
                rng = np.random.default_rng([seed, 77])
                seeds = click_in(labels, 1, rng)
                row = {"seed": seed, "kind": kind, "image": name, **score(image, labels, 1, seeds, SelectiveOptions())}
                if kind == "isointense":
                    row["with_drag"] = score(image, labels, 1, seeds, drag(labels, 1, rng))
                rows.append(row)
                print(row, flush=True)
    return rows


def real(every):
    found = {}
    path = DATA / "breast" / "breast1_image.nrrd"
    if path.exists():
        image, labels = read_image(path), read_labels(DATA / "breast" / "breast1_label.nrrd")
        number = labels.labels[0]
        rows = []
        for place in np.argwhere(labels.array == number)[::every]:
            seeds = Seeds(labels.grid.to_world(place[::-1])[None], np.array([1]))
            rows.append(score(image, labels, number, seeds, SelectiveOptions()))
        values = [row["dice"] for row in rows]
        found["breast1"] = {"clicks": len(rows), "mean": round(float(np.mean(values)), 4), "worst": min(values)}
        found["breast1"]["alarms"] = sum(row["alarm"] for row in rows)
    for name in sorted(DATA.glob("breast/duke*_post1.png")):
        image, labels = read_image(name), read_labels(name.with_name(name.name.replace("post1", "tumour")))
        number = max(labels.labels, key=lambda n: int((labels.array == n).sum()))
        before = read_image(name.with_name(name.name.replace("post1", "pre")))
        rng = np.random.default_rng(0)
        rows = [score(image, labels, number, click_in(labels, number, rng), SelectiveOptions()) for _ in range(1)]
        extra = type(image)(image.array - before.array, image.grid)
        found[name.name.removesuffix("_post1.png")] = {
            "dice": [row["dice"] for row in rows],
            "alarms": [row["alarm"] for row in rows],
            "subtraction_alone": score(
                extra, labels, number, click_in(labels, number, np.random.default_rng(0)), SelectiveOptions()
            ),
        }
    return found


def preview_seconds():
    case = make_pair(3, lesions=1, kind="bright")
    preview, times = Preview(case.pair.moving), []
    for _ in range(6):
        begin = time.process_time()
        preview.click(case.pair.seeds, Run())
        times.append(time.process_time() - begin)
    return {"first_cpu_s": round(times[0], 3), "further_cpu_s": round(float(np.median(times[1:])), 3)}


def summary(rows):
    def part(kind, image):
        chosen = [row for row in rows if row["kind"] == kind and row["image"] == image]
        values = [row["dice"] for row in chosen]
        out = {"cases": len(values), "median": round(float(np.median(values)), 4), "worst": min(values)}
        if kind == "isointense":
            drags = [row["with_drag"]["dice"] for row in chosen]
            out["drag_median"], out["drag_worst"] = round(float(np.median(drags)), 4), min(drags)
        return out

    groups = {
        f"{kind}_{image}": part(kind, image) for kind in ("bright", "isointense") for image in ("moving", "fixed")
    }
    bad, good = ([r for r in rows if (r["dice"] < ENOUGH) == low] for low in (True, False))
    table = {
        "below_0.70_with_alarm": sum(r["alarm"] for r in bad),
        "below_0.70_silent": sum(not r["alarm"] for r in bad),
        "enough_with_alarm": sum(r["alarm"] for r in good),
        "enough_without_alarm": sum(not r["alarm"] for r in good),
    }
    return {**groups, "alarm": table, "cpu_s_median": round(float(np.median([r["cpu_s"] for r in rows])), 3)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--first", type=int, default=100)
    parser.add_argument("--every", type=int, default=1, help="click each n-th voxel of the real tumor; 0: none")
    parser.add_argument("--output", default="segmentation.json", help="file under results/")
    args = parser.parse_args()
    rows = generated(args.first, args.cases)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    out = {
        "command": f"python benchmarks/segmentation.py --cases {args.cases} --first {args.first} --every {args.every} "
        f"--output {args.output}",
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "device": "cpu, 1 thread",
        "summary": summary(rows),
        "preview": preview_seconds(),
        "real": real(args.every) if args.every else None,
        "cases": rows,
    }
    path = ROOT / "benchmarks" / "results" / args.output
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps({k: v for k, v in out.items() if k != "cases"}, indent=1))


if __name__ == "__main__":
    main()
