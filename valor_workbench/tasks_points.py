"""Organ surfaces carried over, as the worker computes it; and the generated organs."""

from __future__ import annotations

import base64
import csv
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from valor_workbench.tasks_files import write_table
from valor_workbench.transfers import safe_name
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
        _write_surfaces(folder, outcome)
        write_table(folder / "organs.csv", _columns(outcome.rows))
        (folder / "report.html").write_text(_report(organs, result, outcome, record), encoding="utf-8")
    # The method's own model may be large and is not needed by the page.
    outcome = replace(outcome, result=replace(outcome.result, model=None))
    return Carried(outcome, result.warnings, record, target)


def _write_surfaces(folder: Path, outcome: Any) -> None:
    from valorlib.convert.surfaces import Surface, write_surface

    (folder / "surfaces").mkdir()
    for number, surface in outcome.surfaces.items():
        name = safe_name(outcome.names[number], any_suffix=True)
        write_surface(Surface(surface.points, surface.faces), folder / "surfaces" / f"{name}.vtk")


def _columns(rows: Sequence[Any]) -> dict[str, list[Any]]:
    lines = [asdict(row) for row in rows]
    return {key: [line[key] for line in lines] for key in (lines[0] if lines else {})}


def _report(organs: Any, result: Any, outcome: Any, record: Mapping[str, Any]) -> str:
    from valorlib.points_picture import draw_picture
    from valorlib.report import render

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "organs.png"
        draw_picture(path, None, organs.pair, result, {})
        picture = base64.b64encode(path.read_bytes()).decode()
    count = len(outcome.rows)
    values = list(record["options"].get("coherence_matrix") or ())
    matrix = [values[n * count : (n + 1) * count] for n in range(count)] if len(values) == count * count else []
    return render(
        "points.html.j2",
        title="Organs carried over",
        fixed="fixed structures",
        moving="moving structures",
        record=record,
        rows=outcome.rows,
        matrix=matrix,
        picture=picture,
    )


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
