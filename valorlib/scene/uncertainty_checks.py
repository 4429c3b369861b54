"""The table of checks: tolerances of a registration and dose goals, each with its light."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from valorlib.metrics.qa import GoalResult, QaRow, Tolerances, qa_table
from valorlib.scene.uncertainty_run import ViewerOutcome


def checks(outcome: ViewerOutcome, tolerances: Tolerances | None = None) -> tuple[QaRow, ...]:
    """The lines for which the outcome has data."""
    voxels = outcome.jacobian.array.size
    found = outcome.uncertainty
    sigma = None
    if found is not None and found.in_mm:
        values = found.sigma.array[found.rank.array > 0]
        sigma = float(np.mean(values)) if values.size else None
    errors = outcome.landmarks.after_mm if outcome.landmarks is not None else None
    return qa_table(
        tolerances or Tolerances(),
        landmarks_mm=errors,
        folds_pct=100.0 * outcome.folds.strict_count / voxels,
        sigma_mean_mm=sigma,
    )


def check_rows(outcome: ViewerOutcome, tolerances: Tolerances | None = None) -> dict[str, list[Any]]:
    """Columns of the table node: check, value, unit, limit, light, note."""
    rows = [(r.name, r.value, r.unit, r.limit, r.light, r.note) for r in checks(outcome, tolerances)]
    rows += [_goal_row(result) for result in outcome.goals]
    names = ("Check", "Value", "Unit", "Limit", "Light", "Note")
    columns: dict[str, list[Any]] = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    columns["Limit"] = ["" if limit is None else f"{limit:g}" for limit in columns["Limit"]]
    return columns


def _goal_row(result: GoalResult) -> tuple[Any, ...]:
    goal = result.goal
    note = "no samples" if math.isnan(result.probability) else f"met in {100 * result.probability:.0f} % of the samples"
    name = f"{goal.structure} {goal.metric.text} {goal.relation}"
    return name, result.nominal, goal.metric.unit, goal.value, result.light, note
