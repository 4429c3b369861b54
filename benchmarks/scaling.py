"""How time and memory of the main method grow with the number of voxels: python benchmarks/scaling.py.

A generated pair is enlarged to n x n x n voxels of 0.9 mm, so that all levels have work to do. One process a size, one
thread. Writes results/scaling.json and results/scaling.svg.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from run import ROOT, about, one_thread

SIZES = (64, 96, 128, 192, 256)
RESULTS = Path(__file__).resolve().parent / "results"


def enlarged(image, count, shift):
    from scipy.ndimage import zoom

    from valorlib.core.grid import Grid
    from valorlib.core.images import Image

    array = zoom(image.array, [count / n for n in image.array.shape], order=1)
    grid = Grid(array.shape[::-1], (0.9, 0.9, 0.9), (shift, 0.0, 0.0))
    return Image(array, grid, image.name)


def one(count):
    """Numbers of one size, in a process of its own."""
    sys.path.insert(0, str(ROOT))
    from valorlib.catalog import load
    from valorlib.core.inputs import ImagePair
    from valorlib.core.run import Run
    from valorlib.demo import make_pair

    small = make_pair(1100, size="small", lesions=0).pair
    # The scans of the generated pair cover unlike boxes: the moving one is cut to the middle and moved a little.
    moving = small.moving.array[4:-4, 6:-6, 6:-6]
    moving = type(small.moving)(
        moving,
        small.moving.grid.cropped((6, 6, 4), [n - m for n, m in zip(small.moving.grid.size, (6, 6, 4), strict=True)]),
    )
    pair = ImagePair(enlarged(small.fixed, count, 0.0), enlarged(moving, count, 2.0))
    method = load("valor")
    begin = time.process_time()
    result = method.run(pair, method.presets["default"], Run())
    return {
        "voxels": count**3,
        "cpu_seconds": time.process_time() - begin,
        "peak_memory_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "memory_estimate_gb": result.record["memory_estimate_gb"],
        "folds": result.record["folds"],
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


def main():
    if len(sys.argv) > 1:
        print(json.dumps(one(int(sys.argv[1]))))
        return
    rows = []
    for count in SIZES:
        command = [sys.executable, __file__, str(count)]
        done = subprocess.run(command, check=True, env=one_thread(), capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(rows[-1], flush=True)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "scaling.json").write_text(json.dumps({"rows": rows, **about()}, indent=1) + "\n")
        plot(rows)


if __name__ == "__main__":
    main()
