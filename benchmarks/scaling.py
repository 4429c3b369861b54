"""How time and memory of the main method grow with the number of voxels: python benchmarks/scaling.py [--sizes 64 256].

With --cli also the wall time and memory of the whole job from the command line, files read and written, on the
generated pair of `valor demo` (run it on an idle machine).

A generated pair of n x n x n voxels of 0.9 mm each, so that all levels have work to do; its motion of 5 mm is known.
One process makes the pair, another registers it, on one thread, which is what the product does at any size. Each row
says its commit. Writes results/scaling.json and results/scaling.svg; sizes that are not asked for keep their rows.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from run import about, one_thread

SIZES = (64, 96, 128, 192, 256)
SPACING_MM = 0.9
MOVING_ORIGIN = (2.0, 0.0, 0.0)
RESULTS = Path(__file__).resolve().parent / "results"


def make(count, path):
    """A generated breast that fills the cube, its texture as fine as in the small pairs, moved by about 5 mm."""
    from valorlib.core.grid import Grid
    from valorlib.demo_anatomy import Breast, make_noises, signal
    from valorlib.demo_fields import known_field

    rng = np.random.default_rng(1100)
    fixed = Grid((count,) * 3, (SPACING_MM,) * 3)
    side = SPACING_MM * count
    motion = known_field(fixed, rng, mean_mm=5.0)
    lattice = Grid((int(side) + 40,) * 3, (1.0,) * 3, (-20.0,) * 3)
    half = side * np.array([0.46, 0.8, 0.55])
    breast = Breast(fixed.center + np.array([0, 0.25 * side, 0]), half, lattice, make_noises(lattice, rng), ())
    scans = []
    for field, places in (("7T", motion.mapped), ("3T", Grid(fixed.size, fixed.spacing, MOVING_ORIGIN).points())):
        clean = np.concatenate([signal(breast, places[k : k + 8], field) for k in range(0, count, 8)])
        real, imaginary = 0.02 * rng.standard_normal((2, *clean.shape), dtype=np.float32)
        scans.append(1000 * np.hypot(clean + real, imaginary))
    voxels = rng.integers(8, count - 8, (20000, 3))
    here, there = fixed.to_world(voxels[:, ::-1]), motion.mapped[tuple(voxels.T)]
    depth = np.minimum(breast.depth_mm(there), breast.wall_mm(there))
    inside = (depth > 3) & Grid(fixed.size, fixed.spacing, MOVING_ORIGIN).contains(there)
    np.savez(path, fixed=scans[0], moving=scans[1], here=here[inside], there=there[inside])


def one(count, path):
    """Numbers of one size, in a process of its own."""
    from valorlib.catalog import load
    from valorlib.core.grid import Grid
    from valorlib.core.images import Image
    from valorlib.core.inputs import ImagePair
    from valorlib.core.run import Run
    from valorlib.ops.transforms import map_points

    made, size, spacing = np.load(path), (count,) * 3, (SPACING_MM,) * 3
    fixed = Image(made["fixed"], Grid(size, spacing), "fixed")
    moving = Image(made["moving"], Grid(size, spacing, MOVING_ORIGIN), "moving")
    method = load("valor")
    begin, clock = time.process_time(), time.perf_counter()
    result = method.run(ImagePair(fixed, moving), method.presets["default"], Run())
    seconds, wall = time.process_time() - begin, time.perf_counter() - clock
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    error = np.linalg.norm(map_points(result.displacement, made["here"]) - made["there"], axis=1)
    return {
        "voxels": count**3,
        "cpu_seconds": seconds,
        "wall_seconds": wall,
        "stages": {**result.record["cpu_seconds"], "levels": result.record["level_cpu_seconds"]},
        "peak_memory_gb": peak_gb,
        "memory_estimate_gb": result.record["memory_estimate_gb"],
        "start_mm": float(np.linalg.norm(made["here"] - made["there"], axis=1).mean()),
        "error_mean_mm": float(error.mean()),
        "error_p95_mm": float(np.percentile(error, 95)),
        "folds": result.record["folds"],
        "inverse_residual_mean_mm": result.record["inverse_residual_mean_mm"],
        "similarity": result.record["local_correlation"],
    }


def plot(rows):
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "scaling"
    from matplotlib import pyplot as plt

    voxels = np.array([row["voxels"] for row in rows]) / 1e6
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, name, title in ((left, "cpu_seconds", "CPU seconds"), (right, "peak_memory_gb", "Peak memory, GB")):
        axis.plot(voxels, [row[name] for row in rows], "o-")
        axis.set(xlabel="million voxels", title=title, xlim=(0, None), ylim=(0, None))
    figure.savefig(RESULTS / "scaling.svg", metadata={"Date": None})


def child(*words):
    command = [sys.executable, __file__, *map(str, words)]
    return subprocess.run(command, check=True, env=one_thread(), capture_output=True, text=True).stdout


def command_line(times=3):
    """`valor register` on the generated pair with its clicks: wall seconds and peak memory, each time."""
    valor = [sys.executable, "-m", "valorlib"]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "pair"
        subprocess.run([*valor, "demo", "--output", str(made), "--quiet"], check=True, env=one_thread())
        job = [*valor, "register", str(made / "fixed.nrrd"), str(made / "moving.nrrd"), "--threads", "1", "--quiet"]
        job += ["--seeds", str(made / "seeds.csv"), "--overwrite", "--output", f"{folder}/out"]
        for _ in range(times):
            clock = time.perf_counter()
            process = subprocess.Popen(job, env=one_thread())
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - clock
            if status:
                raise SystemExit(f"{' '.join(job)}: ended with {status}")
            runs.append(
                {
                    "wall_seconds": round(wall, 2),
                    "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
                    "peak_memory_gb": round(used.ru_maxrss / 1e6, 3),
                }
            )
    return {"job": "valor register on the pair of valor demo, 1 thread", "runs": runs, "commit": about()["commit"]}


def main():
    if sys.argv[1:2] in (["make"], ["one"]):
        task, count, path = sys.argv[1:]
        print(json.dumps((make if task == "make" else one)(int(count), path)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES, help="voxels a side")
    parser.add_argument("--cli", action="store_true", help="measure the command line, too")
    args = parser.parse_args()
    path = RESULTS / "scaling.json"
    held = json.loads(path.read_text()) if path.exists() else {"rows": []}
    if args.cli:
        held["command_line"] = command_line()
        print(held["command_line"], flush=True)
        path.write_text(json.dumps(held, indent=1) + "\n")
    rows = {row["voxels"]: row for row in held["rows"]}
    for count in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            pair = Path(folder) / "pair.npz"
            child("make", count, pair)
            rows[count**3] = json.loads(child("one", count, pair).splitlines()[-1]) | {"commit": about()["commit"]}
        print(rows[count**3], flush=True)
        RESULTS.mkdir(exist_ok=True)
        ordered = [rows[voxels] for voxels in sorted(rows)]
        path.write_text(json.dumps(held | {"rows": ordered, **about()}, indent=1) + "\n")
        plot(ordered)


if __name__ == "__main__":
    main()
