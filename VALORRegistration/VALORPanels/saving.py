"""Writes a registration as the command line does: the same files, names and report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any


def saveRegistration(folder: Path, run: dict[str, Any], progress: Any) -> None:
    """Write the result folder, whole or not at all; runs in the worker.

    Args:
        folder: where to; what it held of an earlier save is replaced.
        run: pair, result, method, options, device and seconds of a run of this session.
        progress: called at each step.
    """
    from valorlib.convert.provenance import record_of
    from valorlib.convert.results import complete, whole_folder, write_json, write_registration
    from valorlib.core.options import as_dict
    from valorlib.metrics.summary import summarize
    from valorlib.report import registration_report

    pair, result = run["pair"], run["result"]
    progress(0.1, "Inverting the transform")
    outputs = complete(pair, result)
    result = replace(result, displacement=outputs.displacement, inverse_displacement=outputs.inverse_displacement)
    progress(0.4, "Measuring")
    numbers = summarize(pair, result, warped=outputs.warped_moving, jacobian=outputs.jacobian)
    record = record_of(
        command="register",
        method=run["method"],
        options=as_dict(run["options"]),
        inputs={},
        device=run["device"],
        random_seed=0,
        seconds={"register": run["seconds"]},
        warnings=result.warnings,
    )
    record.update(numbers=numbers, record=dict(result.record), seconds=round(run["seconds"], 3))
    with whole_folder(folder, overwrite=True) as partial:
        progress(0.6, "Writing files")
        write_registration(partial, result, outputs)
        progress(0.8, "Writing the report")
        html = registration_report(pair, result, outputs, record)
        (partial / "report.html").write_text(html, encoding="utf-8")
        write_json(partial / "metrics.json", record)
    progress(1.0, "Saved")
