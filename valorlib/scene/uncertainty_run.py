"""The UncertaintyViewer's computations, from core types to core types: run them in any worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointPair
from valorlib.core.run import Run, part
from valorlib.core.transforms import DisplacementField, Transform
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions, TransformUnderTest, UncertaintyResult, estimate
from valorlib.metrics.dose import check_dose, dose_at
from valorlib.metrics.dvh import Dvh, DvhBand, MetricValue, dvh_band, metric_values
from valorlib.metrics.folding import FoldSummary, fold_summary
from valorlib.metrics.landmarks import LandmarkErrors, landmark_errors
from valorlib.metrics.qa import Goal, GoalResult, judge_goals
from valorlib.metrics.solids import StructurePoints, sample_labels
from valorlib.ops.jacobian import jacobian_determinant, log_of
from valorlib.ops.resample import resample_dose
from valorlib.ops.sampling import DisplacementSampler, corners_of, doses_at_points, sampled_doses
from valorlib.ops.transforms import map_points, to_displacement

BAND_POINTS = 10_000
"""Points of equal weight a structure, for the sampled DVHs."""
MAP_VOXELS = 300_000
"""Most voxels of the dose maps."""


@dataclass(frozen=True, eq=False)
class ViewerInputs:
    """What the viewer works on, core types in world coordinates.

    transform: fixed to moving. dose: in the space of the moving image (the plan's), Gy. structures: name to a label map
    of 0 and 1, in the space of the fixed image. landmarks: fixed and moving points, in order.
    """

    transform: Transform
    fixed: Image | None = None
    moving: Image | None = None
    dose: Dose | None = None
    structures: Mapping[str, LabelMap] = field(default_factory=dict)
    landmarks: PointPair | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class ViewerOutcome:
    """What the viewer shows; parts whose inputs were missing are None or empty.

    field: the transform on the fixed grid. jacobian, log_jacobian: its volume factor. uncertainty: the expected error.
    dose_*: on a grid of the fixed space, Gy. bands: DVH of each structure with percentiles over the samples.
    goals: dose goals with the share of samples that meet each.
    """

    field: DisplacementField
    jacobian: Image
    log_jacobian: Image
    folds: FoldSummary
    uncertainty: UncertaintyResult | None = None
    dose_warped: Dose | None = None
    dose_mean: Dose | None = None
    dose_p05: Dose | None = None
    dose_p95: Dose | None = None
    bands: tuple[DvhBand, ...] = ()
    metrics: tuple[MetricValue, ...] = ()
    landmarks: LandmarkErrors | None = None
    goals: tuple[GoalResult, ...] = ()
    warnings: tuple[str, ...] = ()


def grid_of(inputs: ViewerInputs) -> Grid:
    """Where maps are made: the fixed image's grid, else the transform's, else that of the dose.

    Raises:
        InputError: none of them is there.
    """
    if inputs.fixed is not None:
        return inputs.fixed.grid
    if isinstance(inputs.transform, DisplacementField):
        return inputs.transform.grid
    if inputs.dose is not None:
        return inputs.dose.grid
    raise InputError("fixed: expected an image to lay the maps on, got none; choose the fixed volume")


def compute(
    inputs: ViewerInputs,
    options: DirUncertaintyOptions,
    run: Run,
    *,
    samples: int = 100,
    goals: Sequence[Goal] = (),
) -> ViewerOutcome:
    """All that the viewer shows.

    Args:
        inputs: see ViewerInputs.
        options: of the uncertainty.
        run: seed and progress.
        samples: transforms drawn for the dose.
        goals: dose goals to judge; need dose and structures.
    """
    grid = grid_of(inputs)
    run.progress(0.0, "Volume change")
    displacement = to_displacement(inputs.transform, grid)
    jacobian = jacobian_determinant(displacement)
    folds = fold_summary(displacement, jacobian=jacobian)
    found = _uncertainty(inputs, options, run)
    warnings = list(found.warnings) if found is not None else []
    if folds.strict_count:
        warnings.append(folds.sentence)
    dose: dict[str, Any] = {}
    if inputs.dose is not None:
        warnings += check_dose(inputs.dose)
        step = Run(seed=run.seed, progress=part(run.progress, 0.7, 1.0))
        dose = _dose(inputs, inputs.dose, grid, found, step, samples, goals)
    elif goals:
        warnings.append("Dose goals need a dose and structures; none was judged.")
    landmarks = landmark_errors(inputs.transform, inputs.landmarks) if inputs.landmarks is not None else None
    run.progress(1.0, "Done")
    return ViewerOutcome(
        field=displacement,
        jacobian=jacobian,
        log_jacobian=log_of(jacobian),
        folds=folds,
        uncertainty=found,
        landmarks=landmarks,
        warnings=tuple(warnings),
        **dose,
    )


def _uncertainty(inputs: ViewerInputs, options: DirUncertaintyOptions, run: Run) -> UncertaintyResult | None:
    if inputs.fixed is None or inputs.moving is None:
        return None
    pair = ImagePair(inputs.fixed, inputs.moving)
    step = Run(device=run.device, seed=run.seed, progress=part(run.progress, 0.1, 0.7))
    return estimate(TransformUnderTest(pair, inputs.transform), options, step)


def _dose(
    inputs: ViewerInputs,
    dose: Dose,
    grid: Grid,
    found: UncertaintyResult | None,
    run: Run,
    samples: int,
    goals: Sequence[Goal] = (),
) -> dict[str, Any]:
    """Dose maps and DVHs, by the names they have in ViewerOutcome."""
    where = dose_grid(grid, dose)
    warped = resample_dose(dose, where, inputs.transform)
    structures = [sample_labels(mask, 1, seed=run.seed) for mask in inputs.structures.values()]
    sampler = None
    if found is not None:
        box = corners_of([where, *(m.grid for m in inputs.structures.values())])
        sampler = DisplacementSampler(found.sigma, box, samples=samples, sigma_c_mm=found.sigma_c_mm, seed=run.seed)
    bands: list[DvhBand] = []
    metrics: list[MetricValue] = []
    nominal: dict[str, Dvh] = {}
    sampled: dict[str, NDArray[np.float32]] = {}
    for number, points in enumerate(structures):
        run.progress(0.3 * number / len(structures), f"Dose in {points.name}")
        dvh, gy = _nominal_and_sampled(inputs.transform, dose, points, sampler)
        nominal[points.name] = dvh
        if gy is not None:
            sampled[points.name] = gy
        flat = np.repeat(dvh.gy[None].astype(np.float32), 2, axis=0)
        bands.append(dvh_band(dvh, flat if gy is None else gy))
        at_points = dose_at(dose, map_points(inputs.transform, points.points)).gy
        metrics += metric_values(points, at_points, samples=gy) if gy is not None else metric_values(points, at_points)
    out: dict[str, Any] = {"dose_warped": warped, "bands": tuple(bands), "metrics": tuple(metrics)}
    out["goals"] = judge_goals(goals, nominal, sampled)
    if sampler is not None:
        maps = _maps(inputs.transform, dose, where, sampler, run)
        out |= dict(zip(("dose_mean", "dose_p05", "dose_p95"), maps, strict=True))
    return out


def dose_grid(grid: Grid, dose: Dose) -> Grid:
    """Grid of the dose maps: over the fixed grid, at the spacing of the dose or coarser."""
    spacing = np.maximum(dose.grid.spacing, grid.spacing)
    voxels = float(np.prod(np.asarray(grid.extent_mm) / spacing))
    factor = max(1.0, voxels / MAP_VOXELS) ** (1 / 3)
    return grid.resampled([float(v) for v in spacing * factor])


def _nominal_and_sampled(
    transform: Transform, dose: Dose, points: StructurePoints, sampler: DisplacementSampler | None
) -> tuple[Dvh, NDArray[np.float32] | None]:
    nominal = dose_at(dose, map_points(transform, points.points))
    if not nominal.inside.any():
        raise InputError(
            f"{points.name}: expected a dose that covers the structure, got one that misses it; "
            "check that both belong to these scans"
        )
    dvh = Dvh(points.name, nominal.gy, points.weights_mm3 / 1000 / points.replicates)
    if sampler is None:
        return dvh, None
    return dvh, doses_at_points(dose, transform, sampler, points.thinned(BAND_POINTS).points)


def _maps(
    transform: Transform, dose: Dose, grid: Grid, sampler: DisplacementSampler, run: Run
) -> tuple[Dose, Dose, Dose]:
    """Mean, 5th and 95th percentile of the sampled doses at each voxel."""
    at = grid.points().reshape(-1, 3)
    out = np.empty((3, len(at)), dtype=np.float32)
    for rows, gy in sampled_doses(dose, transform, sampler, at):
        run.progress(0.3 + 0.7 * rows.start / len(at), "Dose maps")
        out[0, rows] = gy.mean(axis=0)
        out[1:, rows] = np.percentile(gy, (5, 95), axis=0)
    mean, low, high = (Dose(values.reshape(grid.shape), grid) for values in out)
    return mean, low, high
