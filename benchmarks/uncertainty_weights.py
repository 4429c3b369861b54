"""Exponents of what is seen around a place (`valorlib/solve/local_doubt.py`), fitted on made cases of their own.

    python benchmarks/uncertainty_weights.py

Least squares of log error on the logarithms, each without its mean over the case; each case is also judged with
exponents from the three others. Writes benchmarks/results/uncertainty_weights.json.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import torch
from uncertainty import valor
from uncertainty_cases import Plan, make_case

from valorlib.convert.provenance import versions
from valorlib.core.images import Image
from valorlib.core.run import silent
from valorlib.metrics.calibration import calibrate
from valorlib.ops.error_maps import FLOOR_MM, geometric_mean
from valorlib.ops.resample import resample_image
from valorlib.solve.error_estimates import full_parts, looks, own_register, quarrel, working_pair
from valorlib.solve.local_doubt import surroundings

OUT = Path(__file__).parent / "results" / "uncertainty_weights.json"
KEPT = Path(__file__).resolve().parents[1] / "build" / "uncertainty_weights"
PLANS = (
    Plan("hn_a", "pt_12", "head_neck", 321, 9),
    Plan("hn_b", "pt_201", "head_neck", 322, 7, noise_hu=28),
    Plan("th_a", "popi_right", "thorax", 323, 9, stretch=(1, 1, 2)),
    Plan("th_b", "popi_left", "thorax", 324, 12, noise_hu=25, stretch=(1, 1, 2)),
)
Table = dict[str, np.ndarray]
RIDGE = 0.01


def table_of(plan: Plan) -> Table:
    """Logarithms at the voxels where errors are counted: of both raw estimates, of what is around, and the error."""
    path = KEPT / f"{plan.name}.pickle"
    if path.exists():
        found: Table = pickle.loads(path.read_bytes())
        return found
    case = make_case(plan)
    transform = valor(case)
    work = working_pair(case.fixed, case.moving, transform)
    registers = own_register(work, "cpu", False), own_register(work, "cpu", False, aligned=True)
    seen = looks(work, *registers, silent)
    quick = quarrel(work, seen)
    full = geometric_mean([*full_parts(work, registers, repeats=4, seed=7, progress=silent), quick, quick])
    maps = {
        "quick": np.log(np.maximum(quick, FLOOR_MM)),
        "full": np.log(np.maximum(full, FLOOR_MM)),
        **surroundings(work.fixed, work.field, work.inside),
    }
    table = {k: resample_image(Image(v, work.grid), case.fixed.grid).array[case.mask] for k, v in maps.items()}
    table["error"] = np.linalg.norm(transform.array - case.truth.array, axis=-1)[case.mask]
    KEPT.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(table))
    return table


def design(table: Table, raw: str) -> np.ndarray:
    """(n, 4) logarithms without their means; columns raw, depth, flatness, bend."""
    columns = np.stack([table[k] for k in (raw, "depth", "flatness", "bend")], axis=1).astype(np.float64)
    return columns - columns.mean(axis=0)


def fitted(tables: list[Table], raw: str) -> np.ndarray:
    """Exponents by ridge regression; every case counts alike."""
    rng = np.random.default_rng(0)
    columns, targets = [], []
    for table in tables:
        chosen = rng.permutation(len(table["error"]))[:12_000]
        columns.append(design(table, raw)[chosen])
        error = table["error"]
        # A tenth of the usual error keeps the logarithm of tiny ones from ruling.
        y = np.log(error[chosen] / np.sqrt(np.mean(error**2)) + 0.1)
        targets.append(y - y.mean())
    a, y = np.concatenate(columns), np.concatenate(targets)
    return np.linalg.solve(a.T @ a + RIDGE * len(a) * np.diag(a.var(axis=0)), a.T @ y)


def judged(table: Table, raw: str, weights: np.ndarray) -> dict:
    """Rank and likelihood, each estimate with its own right scale."""
    sigma = np.exp(table[raw].mean() + design(table, raw) @ weights)
    found = calibrate(sigma, table["error"])
    scaled = calibrate(sigma, table["error"], scale=found.scale)
    return {
        "spearman": found.spearman, "scale_needed": found.scale, "worst_gap": scaled.worst_gap,
        "nll_gain": scaled.constant_nll - scaled.nll,
    }  # fmt: skip


def main() -> None:
    """Run, print, write."""
    torch.set_num_threads(1)
    tables = {plan.name: table_of(plan) for plan in PLANS}
    result: dict = {"versions": versions()}
    for raw in ("quick", "full"):
        names = ("raw", "depth", "flatness", "bend")
        result[raw] = {
            "weights": dict(zip(names, fitted(list(tables.values()), raw).round(3).tolist(), strict=True)),
            "rows": [
                {
                    "case": name,
                    "before": judged(table, raw, np.asarray([1.0, 0, 0, 0])),
                    "left_out": judged(table, raw, fitted([t for n, t in tables.items() if n != name], raw)),
                }
                for name, table in tables.items()
            ],
        }
    print(json.dumps(result, indent=1))
    OUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
