"""Writes a run as the command line does: the same files, names and report."""

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


def saveUncertainty(folder: Path, run: dict[str, Any], progress: Any) -> None:
    """Write maps, tables, DICOM doses and transform and the report of an assessment; runs in the worker.

    Args:
        folder: where to; what it held of an earlier save is replaced.
        run: inputs, outcome, tolerances, options, samples, device and seconds of a run of this session.
        progress: called at each step.
    """
    from valorlib.convert.dicom_reg import write_deformable_registration, write_rtdose
    from valorlib.convert.provenance import record_of
    from valorlib.convert.results import whole_folder, write_json
    from valorlib.core.inputs import ImagePair
    from valorlib.core.options import as_dict
    from valorlib.scene.uncertainty_assessment import assessment_of, table_rows
    from valorlib.uncertainty_files import numbers_of, write_assessment, write_rows
    from valorlib.uncertainty_report import uncertainty_report

    inputs, outcome = run["inputs"], run["outcome"]
    record = record_of(
        command="uncertainty",
        method="dir_uncertainty",
        options=as_dict(run["options"]),
        inputs={},
        device=run["device"],
        random_seed=0,
        seconds={"assess": run["seconds"]},
        warnings=outcome.warnings,
    )
    found = assessment_of(outcome, run["tolerances"], run["samples"], inputs.structures)
    with whole_folder(folder, overwrite=True) as partial:
        progress(0.1, "Writing tables")
        for name, (columns, rows) in table_rows(inputs, outcome, run["tolerances"]).items():
            write_rows(partial / f"{name}.csv", columns, rows)
        progress(0.3, "Writing DICOM")
        write_deformable_registration(outcome.field, partial / "registration.dcm")
        doses = {"warped": outcome.dose_warped, "mean": outcome.dose_mean, "p05": outcome.dose_p05}
        for name, dose in {**doses, "p95": outcome.dose_p95}.items():
            if dose is not None:
                write_rtdose(dose, partial / f"dose_{name}.dcm", description=f"Dose, {name}")
        if found is not None:
            record["numbers"] = numbers_of(found)
            progress(0.5, "Writing maps")
            write_assessment(partial, found)
            progress(0.7, "Writing the report")
            html = uncertainty_report(ImagePair(inputs.fixed, inputs.moving), found, record)
            (partial / "report.html").write_text(html, encoding="utf-8")
        write_json(partial / "metrics.json", record)
    progress(1.0, "Saved")
