"""`valor uncertainty` from files to a result folder."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from valorlib.charts_dvh import dvh_svg
from valorlib.convert.dicom_rt import is_rtdose, is_rtstruct, read_rtdose, read_rtstruct
from valorlib.convert.files import read_dose, read_image, read_transform, write_image
from valorlib.convert.image_files import write_dose
from valorlib.convert.provenance import record_of
from valorlib.convert.results import check_output_folder, whole_folder, write_json
from valorlib.convert.structures import read_structures
from valorlib.core.errors import InputError
from valorlib.core.inputs import ImagePair
from valorlib.core.options import as_dict
from valorlib.core.run import Run, part
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions
from valorlib.metrics.dvh import DvhBand, MetricValue
from valorlib.metrics.qa import read_goals
from valorlib.ops.contrast import check_contrast
from valorlib.ops.resample import resample_image
from valorlib.ops.sampling import check_samples
from valorlib.uncertainty import STRUCTURES_NEED_DOSE, Assessment, DoseQuestion, assess
from valorlib.uncertainty_dicom import check_job_frames, write_dicom_results


@dataclass(frozen=True, kw_only=True)
class Job:
    """Files in, folder out. paths: role to path or None. dicom: write the results as DICOM objects too."""

    paths: Mapping[str, Path | None]
    output: Path
    samples: int = 100
    prescription_gy: float | None = None
    overwrite: bool = False
    dicom: bool = False


def run_job(job: Job, options: DirUncertaintyOptions, run: Run) -> dict[str, Any]:
    """Read, assess, write; returns what metrics.json holds.

    Raises:
        InputError: one sentence; nothing is written then.
    """
    check_output_folder(job.output, overwrite=job.overwrite)
    check_samples(job.samples)
    if job.paths.get("structures") and not job.paths.get("dose"):
        raise InputError(STRUCTURES_NEED_DOSE)
    check_job_frames(job.paths)
    seconds: dict[str, float] = {}
    with _timed(seconds, "read"):
        pair, transform, question, warnings = _read(job, run)
        landmarks = _landmarks(job)
    with _timed(seconds, "assess"):
        inner = replace(run, progress=part(run.progress, 0.05, 0.9))
        found = assess(pair, transform, options, inner, question=question, landmarks=landmarks)
    found = replace(found, warnings=tuple(dict.fromkeys([*warnings, *found.warnings])))
    record = record_of(
        command="uncertainty",
        method="dir_uncertainty",
        options={**as_dict(options), "samples": job.samples, "prescription_gy": job.prescription_gy},
        inputs=dict(job.paths),
        device=run.device,
        random_seed=run.seed,
        seconds=seconds,
        warnings=found.warnings,
    )
    record["numbers"] = numbers_of(found)
    run.progress(0.92, "Writing")
    with whole_folder(job.output, overwrite=job.overwrite) as folder:
        with _timed(seconds, "write"):
            write_assessment(folder, found, job.prescription_gy)
            if job.dicom:
                record["warnings"] = [
                    *record["warnings"],
                    *write_dicom_results(folder / "dicom", found, pair.fixed, job.paths),
                ]
            html = _report(pair, found, record)
            (folder / "report.html").write_text(html, encoding="utf-8")
        record["seconds"], record["seconds_by_step"] = round(sum(seconds.values()), 3), seconds
        write_json(folder / "metrics.json", record)
        run.progress(1.0, "Done")
    return record


def _report(pair: ImagePair, found: Assessment, record: dict[str, Any]) -> str:
    from valorlib.uncertainty_report import uncertainty_report

    return uncertainty_report(pair, found, record)


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = round(time.perf_counter() - start, 3)


def _need(job: Job, role: str) -> Path:
    path = job.paths.get(role)
    if path is None:
        raise InputError(f"{role}: expected a file, got none")
    return Path(path)


def _read(job: Job, run: Run) -> tuple[ImagePair, Any, DoseQuestion | None, list[str]]:
    pair = ImagePair(read_image(_need(job, "fixed")), read_image(_need(job, "moving")))
    check_contrast(pair)
    transform = read_transform(_need(job, "transform"))
    dose_path, structures_path = job.paths.get("dose"), job.paths.get("structures")
    if dose_path is None:
        return pair, transform, None, []
    warnings: list[str] = []
    if Path(dose_path).is_file() and is_rtdose(Path(dose_path)):
        found = read_rtdose(dose_path, prescription_gy=job.prescription_gy)
        dose = found.dose
        warnings += found.warnings
    else:
        dose = read_dose(dose_path)
    structures = read_structures(structures_path, seed=run.seed) if structures_path is not None else ()
    if structures_path is not None and Path(structures_path).is_file() and is_rtstruct(Path(structures_path)):
        warnings += read_rtstruct(structures_path).warnings
    goals = job.paths.get("goals")
    question = DoseQuestion(
        dose=dose,
        structures=tuple(structures),
        samples=job.samples,
        goals=read_goals(goals) if goals is not None else (),
        prescription_gy=job.prescription_gy,
    )
    return pair, transform, question, warnings


def _landmarks(job: Job) -> Any:
    path = job.paths.get("landmarks")
    if path is None:
        return None
    from valorlib.convert.landmark_files import read_landmarks

    return read_landmarks(path)


def numbers_of(found: Assessment) -> dict[str, Any]:
    """All numbers, ready for JSON."""
    uncertainty = found.uncertainty
    numbers: dict[str, Any] = {
        "uncertainty": {
            **uncertainty.record,
            "in_mm": uncertainty.in_mm,
            "scale": asdict(uncertainty.scale),
            "upper_bound": uncertainty.upper_bound,
            "sigma_c_mm": uncertainty.sigma_c_mm,
            "calibration": uncertainty.calibration.as_dict() if uncertainty.calibration else None,
        },
        "folds": found.folds.as_dict(),
        "qa": [asdict(row) for row in found.qa],
        "structure_jacobians": [asdict(row) for row in found.structure_jacobians],
    }
    if found.consistency is not None:
        c = found.consistency
        numbers["inverse_consistency"] = {
            "mean_mm": c.mean_mm, "p95_mm": c.p95_mm, "max_mm": c.max_mm, "outside_pct": c.outside_pct
        }  # fmt: skip
    if found.landmarks is not None:
        numbers["landmarks"] = found.landmarks.summary()
    if found.dose is not None:
        numbers["dose"] = {
            **found.dose.record,
            "metrics": [asdict(row) for row in found.dose.metrics],
            "goals": [
                {
                    "structure": g.goal.structure, "goal": g.goal.text, "nominal": g.nominal, "met": g.met,
                    "probability": g.probability, "probability_error": g.probability_error, "light": g.light,
                }
                for g in found.dose.goals
            ],
            "band_width_gy": {b.name: float((b.band(90)[1] - b.band(90)[0]).mean()) for b in found.dose.bands},
        }  # fmt: skip
    return numbers


def write_assessment(folder: Path, found: Assessment, prescription_gy: float | None = None) -> None:
    """Write maps, tables and chart into a folder, by their fixed names."""
    write_image(found.sigma, folder / "sigma.nrrd")
    write_image(found.jacobian, folder / "jacobian.nrrd")
    if found.uncertainty.in_mm:
        write_image(resample_image(found.uncertainty.radius(0.95), found.sigma.grid), folder / "radius_95.nrrd")
    else:
        write_image(found.rank, folder / "rank.nrrd")
    if found.dose is None:
        return
    for name in ("mean", "p05", "p95"):
        write_dose(getattr(found.dose, name), folder / f"dose_{name}.nrrd")
    write_rows(folder / "dvh.csv", DVH_COLUMNS, dvh_rows(found.dose.bands))
    write_rows(folder / "dvh_metrics.csv", METRIC_COLUMNS, metric_rows(found.dose.metrics))
    chart = dvh_svg(found.dose.bands, prescription_gy=prescription_gy)
    (folder / "dvh.svg").write_text(chart, encoding="utf-8")


DVH_COLUMNS = ("structure", "volume_pct", "nominal_gy", "p05_gy", "p50_gy", "p95_gy")
METRIC_COLUMNS = (
    "structure", "metric", "unit", "nominal", "numerical_error", "low_95", "median", "high_95", "monte_carlo_error",
    "note",
)  # fmt: skip


def dvh_rows(bands: Sequence[DvhBand]) -> Iterator[tuple[Any, ...]]:
    """Rows of dvh.csv: the dose that each share of the volume gets, nominal and percentiles of the samples' DVHs."""
    for band in bands:
        columns = (band.nominal_gy, *(band.percentiles_gy[p] for p in (5.0, 50.0, 95.0)))
        for n, level in enumerate(band.volume_pct):
            yield (band.name, f"{level:.4g}", *(f"{c[n]:.4f}" for c in columns))


def metric_rows(metrics: Sequence[MetricValue]) -> Iterator[tuple[Any, ...]]:
    """Rows of dvh_metrics.csv; what is not known is empty."""
    for m in metrics:
        values = (m.value, m.error, m.low, m.median, m.high, m.monte_carlo)
        yield (m.structure, m.metric, m.unit, *("" if v != v else f"{v:.4f}" for v in values), m.note)


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write a CSV table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
