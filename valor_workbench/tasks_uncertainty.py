"""How far a registration can be trusted, as the worker computes it; and the generated radiotherapy case."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from valor_workbench.tasks_files import write_table
from valor_workbench.worker import Context
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.options import Options
from valorlib.core.points import PointPair
from valorlib.core.transforms import DisplacementField, Transform

MISSED = 0.25
"""Share of the known motion that the transform of the generated case misses."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is asked: a transform, and what hangs on it.

    goals: (structure, text) such as ("target", "D95% >= 57 Gy").
    """

    pair: ImagePair
    transform: Transform
    options: Options
    tolerances: Options
    dose: Dose | None = None
    structures: Mapping[str, LabelMap] | None = None
    landmarks: PointPair | None = None
    goals: tuple[tuple[str, str], ...] = ()
    samples: int = 100


@dataclass(frozen=True, eq=False)
class Assessed:
    """What came out. outcome: for the scene. found: the whole assessment. chart: SVG, empty without a dose."""

    outcome: Any
    found: Any
    chart: str
    seconds: float
    folder: Path


@dataclass(frozen=True, eq=False)
class RtDemo:
    """The generated radiotherapy case. transform: misses a known share of the motion."""

    fixed: Image
    moving: Image
    structures: LabelMap
    dose: Dose
    transform: DisplacementField
    landmarks: PointPair


def assess(context: Context, question: Question, seed: int) -> Assessed:
    """Judge a transform, and what it means for the dose; write the result folder."""
    from valor_workbench.charts import with_read_out
    from valorlib.charts_dvh import dvh_svg
    from valorlib.convert.provenance import record_of
    from valorlib.convert.results import whole_folder, write_json
    from valorlib.core.options import as_dict
    from valorlib.metrics.qa import parse_goal
    from valorlib.metrics.solids import sample_labels
    from valorlib.uncertainty import DoseQuestion
    from valorlib.uncertainty import assess as compute
    from valorlib.uncertainty_files import numbers_of, write_assessment
    from valorlib.uncertainty_report import uncertainty_report

    run, began = context.run(seed), time.perf_counter()
    goals = tuple(parse_goal(*goal) for goal in question.goals)
    asked = None
    if question.dose is not None:
        structures = tuple(sample_labels(mask, 1, seed=seed) for mask in (question.structures or {}).values())
        asked = DoseQuestion(dose=question.dose, structures=structures, samples=question.samples, goals=goals)
    found = compute(
        question.pair,
        question.transform,
        question.options,  # type: ignore[arg-type]
        run,
        question=asked,
        landmarks=question.landmarks,
        tolerances=question.tolerances,  # type: ignore[arg-type]
    )
    seconds = time.perf_counter() - began
    record = record_of(
        command="workbench",
        method="dir_uncertainty",
        options=as_dict(question.options),
        inputs={},
        device=run.device,
        random_seed=seed,
        seconds={"assess": seconds},
        warnings=found.warnings,
    )
    record["numbers"] = numbers_of(found)
    target = context.folder / f"result-{uuid4().hex[:8]}"
    with whole_folder(target) as folder:
        write_assessment(folder, found)
        write_json(folder / "metrics.json", record)
        _write_tables(folder, question, found)
        (folder / "report.html").write_text(uncertainty_report(question.pair, found, record), encoding="utf-8")
    chart = ""
    if found.dose is not None and found.dose.bands:
        chart = with_read_out(dvh_svg(found.dose.bands, width=660, height=400), found.dose.bands)
    return Assessed(_for_scene(found), found, chart, seconds, target)


def _write_tables(folder: Path, question: Question, found: Any) -> None:
    """Checks, goals and landmarks as CSV; the dose tables are there already."""
    from valorlib.convert.files import write_field

    if found.displacement is not None:
        write_field(found.displacement, folder / "displacement.nrrd")
    keys = ("name", "value", "unit", "limit", "light", "note")
    write_table(folder / "checks.csv", {key: [getattr(one, key) for one in found.qa] for key in keys})
    goals = () if found.dose is None else found.dose.goals
    write_table(
        folder / "goals.csv",
        {
            "structure": [one.goal.structure for one in goals],
            "goal": [one.goal.text for one in goals],
            "this_registration": [one.nominal for one in goals],
            "met": [one.met for one in goals],
            "probability": [one.probability for one in goals],
        },
    )
    if found.landmarks is not None and question.landmarks is not None:
        points = question.landmarks.fixed.points
        write_table(
            folder / "landmarks.csv",
            {
                **{axis: points[:, n].round(3).tolist() for n, axis in enumerate(("x_lps", "y_lps", "z_lps"))},
                "before_mm": found.landmarks.before_mm.round(3).tolist(),
                "after_mm": found.landmarks.after_mm.round(3).tolist(),
            },
        )


def _for_scene(found: Any) -> Any:
    from dataclasses import replace

    from valorlib.ops.jacobian import log_of
    from valorlib.scene.uncertainty_run import ViewerOutcome

    dose = found.dose
    parts: dict[str, Any] = {}
    if dose is not None:
        parts = {
            "dose_warped": dose.nominal,
            "dose_mean": dose.mean,
            "dose_p05": dose.p05,
            "dose_p95": dose.p95,
            "bands": dose.bands,
            "metrics": dose.metrics,
            "goals": dose.goals,
        }
    return ViewerOutcome(
        field=found.displacement,
        jacobian=found.jacobian,
        log_jacobian=log_of(found.jacobian),
        folds=found.folds,
        uncertainty=replace(found.uncertainty, sigma=_in_body(found), rank=found.rank),
        landmarks=found.landmarks,
        warnings=found.warnings,
        **parts,
    )


def _in_body(found: Any) -> Image:
    """The expected error, 0 outside the body, where it says nothing."""
    return Image(np.where(found.rank.array > 0, found.sigma.array, 0).astype(np.float32), found.sigma.grid)


def chart_of_table(context: Context, columns: Mapping[str, Sequence[float]]) -> str:
    """The DVH chart of a saved table: of each structure the nominal curve, the median and the ends of the band."""
    from valor_workbench.charts import with_read_out
    from valorlib.charts_dvh import dvh_svg
    from valorlib.metrics.dvh import DvhBand

    volume = np.asarray(columns["Volume (%)"])
    names = [name.removesuffix(" nominal (Gy)") for name in columns if name.endswith(" nominal (Gy)")]
    bands = []
    for name in names:
        nominal, low, middle, high = (np.asarray(columns[f"{name} {k} (Gy)"]) for k in ("nominal", "p05", "p50", "p95"))
        bands.append(
            DvhBand(
                name=name,
                volume_cc=0.0,
                volume_pct=volume,
                nominal_gy=nominal,
                percentiles_gy={5.0: low, 50.0: middle, 95.0: high},
                monte_carlo_gy=np.zeros_like(volume),
                family_low_gy=low,
                family_high_gy=high,
            )
        )
    return with_read_out(dvh_svg(bands, width=660, height=400), bands)


def make_rt_demo(context: Context, seed: int) -> RtDemo:
    """Two days of a generated pelvis with structures, dose, and a registration that misses some of the motion."""
    from valorlib.demo_rt import make_rt_case

    context.progress(0.1, "Making a radiotherapy case")
    case = make_rt_case(seed, spacing_mm=4.0)
    labels = case.pair.fixed_labels
    if labels is None:
        raise RuntimeError("the generated case has no structures")
    field = DisplacementField((1 - MISSED) * case.truth.array, case.truth.grid)
    return RtDemo(case.pair.fixed, case.pair.moving, labels, case.dose, field, case.landmarks)
