"""How far a registration can be trusted, and what that does to the dose: everything in one call, on core types."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointPair
from valorlib.core.run import Progress, Run, part
from valorlib.core.transforms import DisplacementField, Transform
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions, TransformUnderTest, UncertaintyResult, estimate
from valorlib.metrics.dose import check_dose, dose_at
from valorlib.metrics.dvh import (
    DEFAULT_METRICS,
    Dvh,
    DvhBand,
    Metric,
    MetricValue,
    dvh_band,
    metric_values,
    percentiles,
    volume_note,
)
from valorlib.metrics.folding import (
    FoldSummary,
    InverseConsistency,
    StructureJacobian,
    fold_summary,
    inverse_consistency,
    structure_jacobians,
)
from valorlib.metrics.landmarks import LandmarkErrors, landmark_errors
from valorlib.metrics.qa import Goal, GoalResult, QaRow, Tolerances, judge_goals, qa_table
from valorlib.metrics.solids import StructurePoints, sample_labels
from valorlib.metrics.summary import labels_of
from valorlib.ops.invert import invert_field
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.resample import resample_image
from valorlib.ops.sampling import DisplacementSampler, check_samples, doses_at_points, sampled_doses
from valorlib.ops.transforms import map_points, to_displacement

MAP_VOXELS = 200_000
"""Dose maps are computed on at most this many points, and resampled to the fixed grid."""
POINTS_PER_STRUCTURE = 10_000
STRUCTURES_NEED_DOSE = "structures: a DVH needs a dose too; add the dose, or leave the structures out"


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseQuestion:
    """What is asked about the dose.

    dose: in the space of the moving image, Gy. structures: points in the space of the fixed image. samples: transforms
    drawn. goals: judged on nominal and sampled doses. prescription_gy: for percent.
    """

    dose: Dose
    structures: tuple[StructurePoints, ...] = ()
    samples: int = 100
    goals: tuple[Goal, ...] = ()
    metrics: tuple[Metric, ...] = DEFAULT_METRICS
    prescription_gy: float | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class DoseAnswer:
    """What came out. nominal, mean, p05, p95: on the grid of the fixed image, Gy. bands, metrics, goals: DVHs."""

    nominal: Dose
    mean: Dose
    p05: Dose
    p95: Dose
    bands: tuple[DvhBand, ...]
    metrics: tuple[MetricValue, ...]
    goals: tuple[GoalResult, ...]
    warnings: tuple[str, ...]
    record: Mapping[str, Any]


@dataclass(frozen=True, eq=False, kw_only=True)
class Assessment:
    """All that is known about a transform.

    sigma: expected error, mm, on the fixed grid (see `uncertainty.in_mm`). displacement: the transform there.
    """

    uncertainty: UncertaintyResult
    sigma: Image
    rank: Image
    displacement: DisplacementField
    jacobian: Image
    folds: FoldSummary
    consistency: InverseConsistency | None
    structure_jacobians: tuple[StructureJacobian, ...]
    qa: tuple[QaRow, ...]
    landmarks: LandmarkErrors | None
    dose: DoseAnswer | None
    warnings: tuple[str, ...]


def structures_of(labels: LabelMap, *, seed: int = 0) -> tuple[StructurePoints, ...]:
    """Points of every label of a label map.

    Raises:
        InputError: no label at all.
    """
    if not labels.labels:
        raise InputError("structures: expected at least one structure, got an empty label map; choose another file")
    return tuple(sample_labels(labels, label, seed=seed) for label in labels.labels)


def assess(
    pair: ImagePair,
    transform: Transform,
    options: DirUncertaintyOptions,
    run: Run,
    *,
    question: DoseQuestion | None = None,
    landmarks: PointPair | None = None,
    tolerances: Tolerances | None = None,
) -> Assessment:
    """Uncertainty, folds, consistency, QA and, where a dose is given, what it means for the dose.

    Args:
        pair: the scans; with labels of both, the QA table compares the structures.
        transform: fixed to moving, from any program.
        options: of the uncertainty.
        run: seed and progress.
        question: about the dose.
        landmarks: corresponding points.
        tolerances: limits of the QA table.
    """
    tolerances = tolerances or Tolerances()
    if question is not None:
        check_samples(question.samples)
        check_dose(question.dose)
    share = 0.6 if question is not None else 0.9
    inner = Run(device=run.device, seed=run.seed, progress=part(run.progress, 0.0, share))
    found = estimate(TransformUnderTest(pair, transform), options, inner)
    run.progress(share, "Folds and inverse")
    grid = pair.fixed.grid
    field = to_displacement(transform, grid)
    jacobian = jacobian_determinant(field)
    folds = fold_summary(field, jacobian=jacobian)
    consistency = own_consistency(field)
    sigma, rank = resample_image(found.sigma, grid), resample_image(found.rank, grid)
    warnings = list(found.warnings)
    if folds.strict_count:
        warnings.append(folds.sentence)
    if not field.array.any():
        warnings.append("The transform is the identity: it moves nothing.")
    errors = landmark_errors(field, landmarks) if landmarks is not None else None
    answer = None
    if question is not None:
        answer = answer_dose(question, transform, sigma, grid, found.sigma_c_mm, run, part(run.progress, share, 1.0))
        warnings += answer.warnings
    rows = qa_table(
        tolerances,
        landmarks_mm=None if errors is None else errors.after_mm,
        structures=_structure_rows(pair, field),
        folds_pct=folds.strict_share_pct,
        fold_places=len(folds.places),
        consistency_p95_mm=consistency.p95_mm if consistency else None,
        sigma_mean_mm=float(found.record["sigma_mean_mm"]) if found.in_mm else None,
    )
    by_structure = structure_jacobians(jacobian, pair.fixed_labels) if pair.fixed_labels is not None else ()
    return Assessment(
        uncertainty=found,
        sigma=Image(sigma.array, grid, "sigma"),
        rank=rank,
        displacement=field,
        jacobian=jacobian,
        folds=folds,
        consistency=consistency,
        structure_jacobians=by_structure,
        qa=rows,
        landmarks=errors,
        dose=answer,
        warnings=tuple(dict.fromkeys(warnings)),
    )


def own_consistency(field: DisplacementField) -> InverseConsistency | None:
    """Consistency with the inverse found by iteration, at a resolution that keeps it quick."""
    grid = field.grid
    if np.prod(grid.shape) > 2_000_000:
        factor = (float(np.prod(grid.shape)) / 2_000_000) ** (1 / 3)
        coarse = grid.resampled([s * factor if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True)])
        field = to_displacement(field, coarse)
    inverse = invert_field(field)[0]
    try:
        return inverse_consistency(field, inverse)
    except InputError:
        return None


def _structure_rows(pair: ImagePair, field: DisplacementField) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for found in labels_of(pair, field):
        after = found["after"]
        row = {"name": found["name"], "dice": after["dice"]}
        for key, name in (("hd95_mm", "hd95_mm"), ("mean_mm", "distance_mm"), ("mean_distance_mm", "distance_mm")):
            if after.get(key) is not None:
                row[name] = after[key]
        rows.append(row)
    return rows


def answer_dose(
    question: DoseQuestion,
    transform: Transform,
    sigma: Image,
    grid: Grid,
    sigma_c_mm: float,
    run: Run,
    progress: Progress,
) -> DoseAnswer:
    """Nominal and sampled doses on the fixed grid and in the structures.

    Raises:
        InputError: the dose misses every structure, or the fixed image.
    """
    warnings = list(check_dose(question.dose))
    structures, left_out = _covered(question, transform)
    warnings += [*left_out, *beyond_scan(structures, grid)]
    box = np.concatenate([grid.corners(), *(s.points for s in structures)])
    sampler = DisplacementSampler(sigma, box, samples=question.samples, sigma_c_mm=sigma_c_mm, seed=run.seed + 1)
    bands: list[DvhBand] = []
    rows: list[MetricValue] = []
    nominal: dict[str, Dvh] = {}
    sampled: dict[str, NDArray[np.float32]] = {}
    for n, points in enumerate(structures):
        progress(0.3 * n / len(structures), f"Dose in {points.name}")
        gy = dose_at(question.dose, map_points(transform, points.points)).gy
        thin = points.thinned(POINTS_PER_STRUCTURE, run.seed)
        samples = doses_at_points(question.dose, transform, sampler, thin.points)
        dvh = Dvh(points.name, gy, points.weights_mm3 / 1000 / points.replicates)
        nominal[points.name], sampled[points.name] = dvh, samples
        bands.append(dvh_band(dvh, samples))
        rows += metric_values(points, gy, question.metrics, samples=samples, prescription_gy=question.prescription_gy)
        note = volume_note(points.volume_cc)
        warnings += [*points.warnings, *([f"{points.name}: {note}."] if note else [])]
    goals = judge_goals(question.goals, nominal, sampled, prescription_gy=question.prescription_gy)
    maps, record = _dose_maps(question.dose, transform, sampler, grid, part(progress, 0.3, 1.0))
    warnings += [] if question.samples >= 50 else [f"Only {question.samples} samples: percentiles are rough."]
    return DoseAnswer(
        nominal=maps[0],
        mean=maps[1],
        p05=maps[2],
        p95=maps[3],
        bands=tuple(bands),
        metrics=tuple(rows),
        goals=goals,
        warnings=tuple(warnings),
        record={**record, "samples": question.samples, "sigma_c_mm": sigma_c_mm},
    )


def _covered(question: DoseQuestion, transform: Transform) -> tuple[list[StructurePoints], list[str]]:
    """The structures the dose reaches, and a sentence for each it misses wholly or in part."""
    kept, warnings = [], []
    for points in question.structures:
        found = dose_at(question.dose, map_points(transform, points.points[:: max(1, len(points.points) // 5000)]))
        if found.outside_pct > 99.9:
            warnings.append(f"{points.name}: the dose does not cover it; it was left out.")
            continue
        if found.outside_pct > 0.1:
            warnings.append(f"{points.name}: {found.outside_pct:.1f} % lies outside the dose grid and counts as 0 Gy.")
        kept.append(points)
    if question.structures and not kept:
        raise InputError(
            "dose: expected a dose that covers the structures, got one that misses all of them; "
            "check that dose and scans are in the same frame of reference"
        )
    return kept, warnings


def beyond_scan(structures: list[StructurePoints], grid: Grid) -> list[str]:
    """A sentence for each structure that leaves the fixed scan, beyond which nothing is known of the transform."""
    warnings, missed = [], 0
    for points in structures:
        index = grid.to_index(points.points[:: max(1, len(points.points) // 5000)])
        margin = np.where(np.asarray(grid.size) > 1, 0.5, np.inf)
        outside = np.any((index < -margin) | (index > np.asarray(grid.size) - 1 + margin), axis=1)
        share = 100 * float(outside.mean())
        missed += share > 99.9
        if share > 1:
            warnings.append(
                f"{points.name}: {share:.0f} % lies outside the fixed scan; its uncertainty is a guess there."
            )
    if structures and missed == len(structures):
        raise InputError(
            "structures: expected structures in the fixed scan, got ones that all lie outside it; "
            "check that scan and structures are of one patient and frame of reference"
        )
    return warnings


def _dose_maps(
    dose: Dose, transform: Transform, sampler: DisplacementSampler, grid: Grid, progress: Progress
) -> tuple[tuple[Dose, Dose, Dose, Dose], dict[str, Any]]:
    """Nominal, mean, 5th and 95th percentile on the fixed grid."""
    factor = max(1.0, (float(np.prod(grid.shape)) / MAP_VOXELS) ** (1 / 3))
    work = grid
    if factor > 1:
        work = grid.resampled([s * factor if n > 1 else s for s, n in zip(grid.spacing, grid.size, strict=True)])
    points = work.points().reshape(-1, 3)
    maps = np.zeros((4, len(points)), dtype=np.float32)
    reach = map_points(transform, points)
    maps[0] = dose_at(dose, reach).gy
    near = _near_dose(dose, reach, float(sampler.sigma.array.max()))
    chosen = np.flatnonzero(near)
    for cut, gy in sampled_doses(dose, transform, sampler, points[chosen]):
        progress(cut.stop / max(len(chosen), 1), "Sampled dose maps")
        at = chosen[cut]
        maps[1, at] = gy.mean(axis=0)
        maps[2:, at] = percentiles(gy, (5, 95))
    names = ("nominal", "mean", "5th percentile", "95th percentile")
    images = [resample_image(Image(m.reshape(work.shape), work, n), grid) for m, n in zip(maps, names, strict=True)]
    nominal, mean, p05, p95 = (Dose(image.array, grid) for image in images)
    return (nominal, mean, p05, p95), {"dose_map_spacing_mm": list(work.spacing), "dose_map_points": len(chosen)}


def _near_dose(dose: Dose, points: NDArray[np.float64], sigma_mm: float) -> NDArray[np.bool_]:
    """True where a sample could meet dose: within 4 sigma of the dose grid and any dose there at all."""
    if not dose.array.any():
        return np.zeros(len(points), dtype=bool)
    margin = 4 * sigma_mm / np.sqrt(3) / np.asarray(dose.grid.spacing)
    index = dose.grid.to_index(points)
    return np.asarray(np.all((index > -0.5 - margin) & (index < np.asarray(dose.grid.size) - 0.5 + margin), axis=1))


def run_uncertainty(
    fixed: Path,
    moving: Path,
    transform: Path,
    output: Path,
    *,
    dose: Path | None = None,
    structures: Path | None = None,
    samples: int = 100,
    options: DirUncertaintyOptions | None = None,
    run: Run | None = None,
    goals: Path | None = None,
    prescription_gy: float | None = None,
    landmarks: Path | None = None,
    overwrite: bool = False,
    dicom: bool = False,
) -> dict[str, Any]:
    """Read files, assess, write the result folder, whole or not at all; returns what metrics.json holds.

    Args:
        fixed: scan the structures belong to.
        moving: scan the dose belongs to.
        transform: fixed to moving, from any program.
        output: folder to be made.
        dose: image in Gy or RTDOSE.
        structures: label map, segmentation, RTSTRUCT, or a folder of them.
        samples: transforms drawn.
        options: of the uncertainty.
        run: device, seed and progress.
        goals: list in JSON or CSV.
        prescription_gy: for dose in percent.
        landmarks: corresponding points.
        overwrite: replace a former result.
        dicom: write registration, doses and structures as DICOM objects too.

    Raises:
        InputError: one sentence on what cannot work; nothing is written then.
    """
    from valorlib.uncertainty_files import Job, run_job

    paths = {"fixed": fixed, "moving": moving, "transform": transform, "dose": dose, "structures": structures}
    job = Job(
        paths={**paths, "goals": goals, "landmarks": landmarks},
        output=output,
        samples=samples,
        prescription_gy=prescription_gy,
        overwrite=overwrite,
        dicom=dicom,
    )
    return run_job(job, options or DirUncertaintyOptions(), run or Run())
