"""Acceptance of a registration in the manner of AAPM TG-132, and of a plan by dose goals: a light, and the number."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.options import Options, option
from valorlib.metrics.dvh import Dvh, Metric

Light = Literal["pass", "check", "fail", "none"]


@dataclass(frozen=True, kw_only=True)
class Tolerances(Options):
    """Limits of the table; the defaults are those of TG-132 for a voxel of 2 to 3 mm. Each clinic sets its own."""

    landmark_mean_mm: float = option(2.0, "Mean landmark error", low=0, high=50, unit="mm")
    landmark_max_mm: float = option(5.0, "Largest landmark error", low=0, high=100, unit="mm")
    dice: float = option(0.8, "Dice of a structure, at least", low=0, high=1)
    distance_mm: float = option(3.0, "Mean distance to agreement", low=0, high=50, unit="mm")
    hd95_mm: float = option(6.0, "95th percentile surface distance", low=0, high=100, unit="mm")
    volume_change_pct: float = option(20.0, "Volume change of a structure", low=0, high=500, unit="%")
    folds_pct: float = option(0.0, "Folded voxels", low=0, high=100, unit="%")
    consistency_mm: float = option(3.0, "Inverse consistency, 95th percentile", low=0, high=50, unit="mm")
    sigma_mean_mm: float = option(3.0, "Mean expected error", low=0, high=50, unit="mm")


@dataclass(frozen=True, kw_only=True)
class QaRow:
    """One line: what, how much, what is allowed, and the light: pass, check (up to 1.5 times the limit) or fail."""

    name: str
    value: float
    unit: str
    limit: float | None
    light: Light
    note: str = ""


def judged(name: str, value: float, unit: str, limit: float, *, at_least: bool = False, note: str = "") -> QaRow:
    """A line with its light."""
    light: Light = "none"
    if np.isfinite(value):
        good = value >= limit if at_least else value <= limit
        near = value >= limit - 0.5 * (1 - limit) if at_least else value <= 1.5 * limit
        light = "pass" if good else "check" if near else "fail"
    return QaRow(name=name, value=value, unit=unit, limit=limit, light=light, note=note)


def qa_table(
    tolerances: Tolerances,
    *,
    landmarks_mm: NDArray[np.float64] | None = None,
    structures: Sequence[Mapping[str, Any]] = (),
    folds_pct: float | None = None,
    fold_places: int = 0,
    consistency_p95_mm: float | None = None,
    sigma_mean_mm: float | None = None,
) -> tuple[QaRow, ...]:
    """The table, with the lines for which there are data.

    Args:
        tolerances: limits.
        landmarks_mm: (n,) errors after registration.
        structures: each with name, dice, hd95_mm, distance_mm and volume_change_pct, those that are known.
        folds_pct: strict share of folded voxels.
        fold_places: how many places they form.
        consistency_p95_mm: of the field and its inverse.
        sigma_mean_mm: mean expected error inside the body.
    """
    rows = []
    if landmarks_mm is not None and len(landmarks_mm):
        low, high = mean_interval(landmarks_mm)
        note = f"{len(landmarks_mm)} points, 95 % interval of the mean {low:.2f} to {high:.2f} mm"
        mean = float(landmarks_mm.mean())
        rows.append(judged("Landmark error, mean", mean, "mm", tolerances.landmark_mean_mm, note=note))
        rows.append(judged("Landmark error, largest", float(landmarks_mm.max()), "mm", tolerances.landmark_max_mm))
    for structure in structures:
        rows += _structure_rows(structure, tolerances)
    if folds_pct is not None:
        note = f"{fold_places} places" if fold_places else ""
        rows.append(judged("Folded voxels", folds_pct, "%", tolerances.folds_pct, note=note))
    if consistency_p95_mm is not None:
        rows.append(judged("Inverse consistency, p95", consistency_p95_mm, "mm", tolerances.consistency_mm))
    if sigma_mean_mm is not None:
        rows.append(judged("Expected error, mean in body", sigma_mean_mm, "mm", tolerances.sigma_mean_mm))
    return tuple(rows)


def _structure_rows(structure: Mapping[str, Any], tolerances: Tolerances) -> list[QaRow]:
    name, rows = str(structure["name"]), []
    if "dice" in structure:
        rows.append(judged(f"{name}: Dice", float(structure["dice"]), "", tolerances.dice, at_least=True))
    for key, words, unit, limit in (
        ("hd95_mm", "HD95", "mm", tolerances.hd95_mm),
        ("distance_mm", "mean distance to agreement", "mm", tolerances.distance_mm),
        ("volume_change_pct", "volume change", "%", tolerances.volume_change_pct),
    ):
        if key in structure:
            value = float(structure[key])
            row = judged(f"{name}: {words}", abs(value), unit, limit)
            rows.append(QaRow(**{**row.__dict__, "value": value}))
    return rows


def mean_interval(values: NDArray[np.float64], *, draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean by bootstrap."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (draws, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Goal:
    """What a plan shall keep: a metric of a structure, at most or at least a value (Gy, % or cc)."""

    structure: str
    metric: Metric
    relation: Literal["<=", ">="]
    value: float

    @property
    def text(self) -> str:
        """As one writes it."""
        return f"{self.metric.text} {self.relation} {self.value:g} {self.metric.unit}"


@dataclass(frozen=True, kw_only=True)
class GoalResult:
    """A goal with what came out. probability: share of the sampled doses that meet it, with its standard error."""

    goal: Goal
    nominal: float
    met: bool
    probability: float
    probability_error: float
    light: Light


def judge_goals(
    goals: Sequence[Goal],
    nominal: Mapping[str, Dvh],
    samples: Mapping[str, NDArray[np.float32]],
    *,
    prescription_gy: float | None = None,
) -> tuple[GoalResult, ...]:
    """Each goal on the nominal dose and on the samples.

    Args:
        goals: the list; structures are found without regard to case.
        nominal: name to DVH.
        samples: name to (s, n) sampled doses at points of equal weight.
        prescription_gy: for metrics in percent.
    """
    names = {name.casefold(): name for name in nominal}
    results = []
    for goal in goals:
        name = names.get(goal.structure.casefold())
        if name is None:
            raise InputError(f"goals: {goal.structure!r} is no structure; there are {', '.join(nominal)}")
        value = goal.metric.of(nominal[name], prescription_gy)
        met = _meets(value, goal)
        probability = error = float("nan")
        if name in samples:
            rows = samples[name]
            weight = np.full(rows.shape[1], nominal[name].volume_cc / rows.shape[1])
            hits = [_meets(goal.metric.of(Dvh(name, row, weight), prescription_gy), goal) for row in rows]
            probability = float(np.mean(hits))
            # Wilson's centered share keeps the error above 0 when all samples agree.
            centered = (sum(hits) + 2) / (len(hits) + 4)
            error = float(np.sqrt(centered * (1 - centered) / (len(hits) + 4)))
        likely = probability if np.isfinite(probability) else float(met)
        light: Light = "pass" if likely >= 0.9 else "check" if likely >= 0.5 else "fail"
        results.append(
            GoalResult(goal=goal, nominal=value, met=met, probability=probability, probability_error=error, light=light)
        )
    return tuple(results)


def _meets(value: float, goal: Goal) -> bool:
    return bool(value <= goal.value if goal.relation == "<=" else value >= goal.value)


def parse_goal(structure: str, text: str) -> Goal:
    """Goal of a text such as "D95% >= 57 Gy" or "V20Gy <= 30 %"."""
    found = re.fullmatch(
        r"\s*(.+?)\s*(<=|>=|<|>|\u2264|\u2265)\s*([\d.]+)\s*(Gy|cGy|%|cc|cm3)?\s*", text, re.IGNORECASE
    )
    if not found or not structure.strip():
        raise InputError(f"goal: expected a structure and a text like 'D95% >= 57 Gy', got {structure!r}, {text!r}")
    metric = Metric.parse(found[1])
    value = float(found[3])
    unit = (found[4] or metric.unit).lower()
    if unit == "cgy":
        value, unit = value / 100, "gy"
    if unit.replace("cm3", "cc") != metric.unit.lower():
        raise InputError(f"goal: {metric.text} is given in {metric.unit}, got {found[4]!r}; write {metric.unit}")
    relation: Literal["<=", ">="] = ">=" if found[2] in (">", ">=", "\u2265") else "<="
    return Goal(structure=structure.strip(), metric=metric, relation=relation, value=value)


def read_goals(path: str | Path) -> tuple[Goal, ...]:
    """Goals of a JSON list of {"structure", "goal"} or a CSV file with these columns."""
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path}: cannot be read as text; give a goal list in JSON or CSV") from None
    if path.suffix.lower() == ".json":
        try:
            rows = json.loads(text)
        except ValueError:
            raise InputError(f"{path}: expected JSON, got something else; save the goal list again") from None
    else:
        rows = list(csv.DictReader(io.StringIO(text)))
    if not isinstance(rows, list) or not all(isinstance(r, dict) and {"structure", "goal"} <= set(r) for r in rows):
        raise InputError(f"{path}: expected a list with the columns structure and goal")
    return tuple(parse_goal(str(row["structure"]), str(row["goal"])) for row in rows)


def goals_csv(goals: Sequence[Goal]) -> str:
    """The goal list as CSV, as `read_goals` takes it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["structure", "goal"])
    writer.writerows([goal.structure, goal.text] for goal in goals)
    return out.getvalue()
