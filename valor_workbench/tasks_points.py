"""Organ surfaces carried over, as the worker computes it; and the generated organs."""

from __future__ import annotations

import csv
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from valor_workbench.worker import Context
from valorlib.core.images import LabelMap
from valorlib.core.options import Options
from valorlib.core.run import part


@dataclass(frozen=True, eq=False)
class Carried:
    """What came out. outcome: for the scene. record: what metrics.json holds."""

    outcome: Any
    warnings: tuple[str, ...]
    record: Mapping[str, Any]
    folder: Path


def carry(context: Context, organs: Any, name: str, options: Options, seed: int) -> Carried:
    """Register the clouds, carry the surfaces, measure, write the result folder."""
    from valorlib.catalog import load
    from valorlib.convert import files
    from valorlib.convert.provenance import record_of
    from valorlib.convert.results import whole_folder, write_json
    from valorlib.core.options import as_dict
    from valorlib.scene.point_cloud_run import measure

    run, began = context.run(seed), time.perf_counter()
    result = load(name).run(organs.pair, options, replace(run, progress=part(run.progress, 0.0, 0.8)))
    run.progress(0.8, "Carrying the surfaces")
    outcome = measure(organs, result)
    record = record_of(
        command="workbench",
        method=name,
        options=as_dict(options),
        inputs={},
        device=run.device,
        random_seed=seed,
        seconds={"register": time.perf_counter() - began},
        warnings=result.warnings,
    )
    record["numbers"] = {"organs": [asdict(row) for row in outcome.rows]}
    run.progress(0.95, "Writing the result")
    target = context.folder / f"result-{uuid4().hex[:8]}"
    with whole_folder(target) as folder:
        _write_points(folder / "moved_points.csv", organs, result)
        files.write_field(outcome.transform, folder / "displacement.nrrd")
        files.write_transform(outcome.transform, folder / "transform.h5")
        write_json(folder / "metrics.json", record)
    # The method's own model may be large and is not needed by the page.
    outcome = replace(outcome, result=replace(outcome.result, model=None))
    return Carried(outcome, result.warnings, record, target)


def _write_points(path: Path, organs: Any, result: Any) -> None:
    labels = organs.pair.moving.labels
    sigma = result.sigma_mm if result.sigma_mm is not None else np.zeros(len(result.moved.points))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "z", "label", "sigma_mm"])
        for n, (x, y, z) in enumerate(result.moved.points.tolist()):
            word = "" if labels is None else organs.names.get(int(labels[n]), str(labels[n]))
            writer.writerow([f"{x:.4f}", f"{y:.4f}", f"{z:.4f}", word, f"{sigma[n]:.4f}"])


def make_organs_demo(context: Context, seed: int) -> tuple[LabelMap, LabelMap]:
    """Five generated organs of two patients: fixed and moving."""
    from valorlib.demo_organs import make_organs

    context.progress(0.1, "Making organs")
    case = make_organs(seed, spacing_mm=2.5)
    return case.fixed, case.moving
