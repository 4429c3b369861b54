"""Jacobian against analytic fields and SimpleITK's filter at 256^3, and planted folds.

    python benchmarks/jacobian.py

Writes benchmarks/results/jacobian.json. CPU seconds, one thread each.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from valorlib.convert.provenance import versions
from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.folding import fold_summary
from valorlib.ops.jacobian import jacobian_determinant

OUT = Path(__file__).parent / "results" / "jacobian.json"


def waves(grid: Grid, amplitude_mm: float, length_mm: float) -> tuple[DisplacementField, np.ndarray]:
    """u = a (sin ky, sin kz, sin kx), whose determinant is 1 + (a k)^3 cos kx cos ky cos kz."""
    k = np.float32(2 * np.pi / length_mm)
    x, y, z = (np.float32(s) * np.arange(n, dtype=np.float32) for s, n in zip(grid.spacing, grid.size, strict=True))
    u = np.empty((*grid.shape, 3), dtype=np.float32)
    u[..., 0] = amplitude_mm * np.sin(k * y)[None, :, None]
    u[..., 1] = amplitude_mm * np.sin(k * z)[:, None, None]
    u[..., 2] = amplitude_mm * np.sin(k * x)[None, None, :]
    product = np.cos(k * z)[:, None, None] * np.cos(k * y)[None, :, None] * np.cos(k * x)[None, None, :]
    return DisplacementField(u, grid), 1 + (amplitude_mm * k) ** 3 * product


def planted(grid: Grid, count: int, seed: int = 0) -> dict:
    """Folds of one voxel put into a smooth field, and how many of them the strict count places."""
    rng = np.random.default_rng(seed)
    field, _ = waves(grid, 3.0, 60.0)
    u = field.array.copy()
    lattice = np.stack(np.meshgrid(*(np.arange(4, n - 4, 7) for n in grid.shape), indexing="ij"), -1).reshape(-1, 3)
    places = lattice[rng.permutation(len(lattice))[:count]]
    for k, j, i in places:
        u[k, j, i] += rng.choice([-1.0, 1.0], 3) * 2.2 * np.asarray(grid.spacing)
    start = time.process_time()
    found = fold_summary(DisplacementField(u, grid))
    cpu = time.process_time() - start
    world = np.asarray([p.position_mm for p in found.places])
    reach = 2.5 * max(grid.spacing)
    hit = [float(np.linalg.norm(world - grid.to_world(p[::-1]), axis=1).min()) < reach for p in places]
    return {"planted": count, "found_pct": 100 * float(np.mean(hit)), "places": len(found.places), "cpu_s": cpu}


def main() -> None:
    """Run, print, write."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    grid = Grid((256, 256, 256))
    field, truth = waves(grid, 4.0, 80.0)
    ours, theirs = [], []
    for _ in range(6):
        start = time.process_time()
        found = jacobian_determinant(field).array
        ours.append(time.process_time() - start)
        image = sitk.GetImageFromArray(field.array, isVector=True)
        start = time.process_time()
        other = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(image))
        theirs.append(time.process_time() - start)
    inner = np.s_[2:-2, 2:-2, 2:-2]
    result = {
        "versions": versions(),
        "size": 256,
        "cpu_s": {"ours": min(ours), "simpleitk": min(theirs)},
        "largest_error_inside": {
            "ours": float(np.abs(found - truth)[inner].max()),
            "ours_fourth_order": float(np.abs(jacobian_determinant(field, order=4).array - truth)[inner].max()),
            "simpleitk": float(np.abs(other - truth)[inner].max()),
        },
        "largest_error_with_border": {
            "ours": float(np.abs(found - truth).max()), "simpleitk": float(np.abs(other - truth).max())
        },
        "folds": planted(Grid((96, 90, 80), (1.5, 1.5, 2.0)), 100),
    }  # fmt: skip
    OUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
