"""Time and memory of a whole-body CT pair of 512 x 512 x 300 voxels: python benchmarks/large.py [PRESET].

A drawn body with texture of two sizes under a known smooth motion; one process, one thread. Writes results/large.json.
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

SIZE, SPACING = (512, 512, 300), (0.8, 0.8, 1.2)
RESULTS = Path(__file__).resolve().parent / "results"


def drawn():
    """Fixed and moving CT, and the motion between them as a function of points."""
    import torch
    from scipy.ndimage import gaussian_filter

    from valorlib.core.grid import Grid
    from valorlib.core.images import Image
    from valorlib.ops.warp import sample

    rng = np.random.default_rng(2401)
    grid, coarse = Grid(SIZE, SPACING), Grid((172, 172, 151), (2.4, 2.4, 2.4))
    texture = sum(w * gaussian_filter(rng.standard_normal(coarse.shape), s) * s**1.5 for s, w in ((1.0, 1), (4.0, 1)))
    texture = torch.tensor((120 * texture / texture.std()).astype(np.float32))[None, None]
    u = np.stack([gaussian_filter(rng.standard_normal(coarse.shape), 20) for _ in range(3)])
    u = torch.tensor((u * 10 / np.linalg.norm(u, axis=0).max()).astype(np.float32))[None]  # (k, j, i), mm

    def slab(k, moved):
        j, i = np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0]), indexing="ij")
        at = torch.tensor(np.stack([k * SPACING[2] + 0 * j, j * SPACING[1], i * SPACING[0]]).astype(np.float32))
        at = at[None, :, None]
        if moved:
            at = at + sample(u, at / 2.4)
        middle = torch.tensor([180.0, 204.0, 204.0]).view(1, 3, 1, 1, 1)
        radius = torch.tensor([400.0, 130.0, 185.0]).view(1, 3, 1, 1, 1)
        inside = ((at - middle) / radius).square().sum(1, keepdim=True) < 1
        return torch.where(inside, 20 + sample(texture, at / 2.4), -1000.0)[0, 0, 0].numpy()

    fixed, moving = (np.stack([slab(k, moved) for k in range(SIZE[2])]) for moved in (True, False))

    def truth(points):
        at = torch.tensor(points[:, ::-1].T.copy(), dtype=torch.float32).view(1, 3, 1, 1, -1)
        return sample(u, at / 2.4)[0, :, 0, 0].T.numpy()[:, ::-1]

    return Image(fixed, grid), Image(moving, grid), truth


def one(preset):
    """Numbers, in a process of its own."""
    sys.path.insert(0, str(ROOT))
    from valorlib.catalog import load
    from valorlib.core.inputs import ImagePair
    from valorlib.core.run import Run

    fixed, moving, truth = drawn()
    before_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    method = load("compositive")
    begin = time.process_time()
    result = method.run(ImagePair(fixed, moving), method.presets[preset], Run())
    seconds = time.process_time() - begin
    peak_gb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    pick = (slice(8, -8, 8), slice(100, -100, 8), slice(80, -80, 8))
    points = fixed.grid.points()[pick][fixed.array[pick] > -500]
    found = result.displacement.array[pick][fixed.array[pick] > -500]
    error, start = np.linalg.norm(found - truth(points), axis=1), np.linalg.norm(truth(points), axis=1)
    return {
        "voxels": int(np.prod(SIZE)),
        "cpu_seconds": seconds,
        "stages": result.record["cpu_seconds"],
        "peak_memory_gb": peak_gb,
        "memory_before_gb": before_gb,
        "memory_estimate_gb": result.record["memory_estimate_gb"],
        "error_mean_mm": float(error.mean()),
        "error_p95_mm": float(np.percentile(error, 95)),
        "start_mm": float(start.mean()),
        "folds": result.record["folds"],
        "inverse_residual_max_mm": result.record["inverse_residual_max_mm"],
    }


def main():
    if len(sys.argv) > 2:
        print(json.dumps(one(sys.argv[2])))
        return
    preset = sys.argv[1] if len(sys.argv) > 1 else "quick"
    command = [sys.executable, __file__, "--one", preset]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=one_thread())
    path = RESULTS / "large.json"
    content = json.loads(path.read_text()) if path.exists() else {"case": "large", "runs": {}}
    content["runs"][f"compositive:{preset}"] = {**json.loads(done.stdout.splitlines()[-1]), **about()}
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    print(json.dumps(content["runs"][f"compositive:{preset}"], indent=1))


if __name__ == "__main__":
    main()
