"""What the UncertaintyViewer found, in the form that files and reports are written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from valorlib.core.images import LabelMap
from valorlib.metrics.folding import StructureJacobian, structure_jacobians
from valorlib.metrics.qa import Tolerances
from valorlib.ops.resample import resample_labels
from valorlib.scene.uncertainty_checks import checks
from valorlib.scene.uncertainty_run import ViewerInputs, ViewerOutcome
from valorlib.uncertainty import Assessment, DoseAnswer, own_consistency

Rows = tuple[Sequence[str], list[Sequence[Any]]]


def assessment_of(
    outcome: ViewerOutcome,
    tolerances: Tolerances | None = None,
    samples: int = 0,
    structures: Mapping[str, LabelMap] | None = None,
) -> Assessment | None:
    """The outcome as an assessment; None where no uncertainty was estimated (no moving image).

    Args:
        outcome: of the viewer.
        tolerances: limits of the checks.
        samples: transforms drawn for the dose.
        structures: the viewer's, for the volume change in each.
    """
    found = outcome.uncertainty
    if found is None:
        return None
    return Assessment(
        uncertainty=found,
        sigma=found.sigma,
        rank=found.rank,
        displacement=outcome.field,
        jacobian=outcome.jacobian,
        folds=outcome.folds,
        consistency=own_consistency(outcome.field),
        structure_jacobians=_by_structure(outcome, structures or {}),
        qa=checks(outcome, tolerances),
        landmarks=outcome.landmarks,
        dose=_dose(outcome, samples),
        warnings=outcome.warnings,
    )


def _by_structure(outcome: ViewerOutcome, structures: Mapping[str, LabelMap]) -> tuple[StructureJacobian, ...]:
    """Volume change in each structure, overlaps kept; a structure between the voxels of the map is left out."""
    rows: list[StructureJacobian] = []
    for name, mask in structures.items():
        there = resample_labels(mask, outcome.jacobian.grid)
        rows += structure_jacobians(outcome.jacobian, LabelMap(there.array, there.grid, {1: name}))
    return tuple(rows)


def _dose(outcome: ViewerOutcome, samples: int) -> DoseAnswer | None:
    doses = (outcome.dose_warped, outcome.dose_mean, outcome.dose_p05, outcome.dose_p95)
    if any(dose is None for dose in doses):
        return None
    nominal, mean, low, high = doses
    return DoseAnswer(
        nominal=nominal,  # type: ignore[arg-type]
        mean=mean,  # type: ignore[arg-type]
        p05=low,  # type: ignore[arg-type]
        p95=high,  # type: ignore[arg-type]
        bands=outcome.bands,
        metrics=outcome.metrics,
        goals=outcome.goals,
        warnings=outcome.warnings,
        record={"samples": samples, "sigma_c_mm": outcome.uncertainty.sigma_c_mm if outcome.uncertainty else None},
    )


def table_rows(inputs: ViewerInputs, outcome: ViewerOutcome, tolerances: Tolerances | None = None) -> dict[str, Rows]:
    """Name of each CSV file to its columns and rows: checks, goals, landmarks; those without data are left out."""
    out: dict[str, Rows] = {
        "checks": (
            ("check", "value", "unit", "limit", "light", "note"),
            [(r.name, r.value, r.unit, r.limit, r.light, r.note) for r in checks(outcome, tolerances)],
        )
    }
    if outcome.goals:
        out["goals"] = (
            ("structure", "goal", "this_registration", "met", "probability"),
            [(g.goal.structure, g.goal.text, g.nominal, g.met, g.probability) for g in outcome.goals],
        )
    if outcome.landmarks is not None and inputs.landmarks is not None:
        errors = outcome.landmarks
        places = zip(inputs.landmarks.fixed.points, errors.before_mm, errors.after_mm, strict=True)
        rows = [(f"L{n}", *at.round(3), round(b, 3), round(a, 3)) for n, (at, b, a) in enumerate(places, start=1)]
        out["landmarks"] = (("landmark", "x_lps", "y_lps", "z_lps", "before_mm", "after_mm"), list(rows))
    return out
