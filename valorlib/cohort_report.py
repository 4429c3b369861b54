"""Tables and charts over many cases: a CSV of all numbers, bars per case, correlations between metrics."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from valorlib.charts import bar_chart, matrix_chart
from valorlib.cohort import Status
from valorlib.report import render

METRICS = {"psnr_db": "PSNR", "ssim": "SSIM", "ncc": "NCC", "relative_ssd": "rel SSD", "ngf": "NGF"}
MASKS = {"dice": "Dice", "f1": "F1", "jaccard": "Jaccard"}


def row_of(status: Status, record: dict[str, Any] | None) -> dict[str, Any]:
    """One line of the table. record: the case's metrics.json, None when there is none."""
    row: dict[str, Any] = {
        "name": status.name,
        "state": status.state,
        "code": status.code,
        "seconds": status.seconds,
        "message": status.message,
    }
    if record is None:
        return row
    numbers = record["numbers"]
    for when in ("before", "after"):
        row.update({f"{key}_{when}": numbers["similarity"][when][key] for key in METRICS})
    row["folds"] = numbers["folds"]["strict_count"]
    row["sd_log_jacobian"] = numbers["folds"]["sd_log_jacobian"]
    row["inverse_consistency_mm"] = numbers.get("inverse_consistency", {}).get("mean_mm")
    for when in ("before", "after"):
        row[f"landmark_error_{when}_mm"] = numbers.get("landmarks", {}).get(when, {}).get("mean_mm")
    for one in numbers.get("tumors", []):
        name = f"tumor_{one['tumor']}"
        row[f"{name}_moving_ml"], row[f"{name}_fixed_ml"] = one.get("moving_ml"), one.get("fixed_ml")
        row[f"{name}_change_pct"] = one.get("change_pct")
        row.update({f"{name}_{key}": one.get("agreement", {}).get(key) for key in (*MASKS, "hd95_mm")})
    row["warnings"] = " | ".join(record["warnings"])
    return row


def write_cohort(output: Path, statuses: Sequence[Status]) -> dict[str, Any]:
    """Write summary.csv, cohort.json and report.html into the cohort's folder; returns the record."""
    records = {s.name: _record(output / s.name / "metrics.json") if s.state == "done" else None for s in statuses}
    rows = [row_of(status, records[status.name]) for status in statuses]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (output / "summary.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(rows)
    good = {name: record["numbers"] for name, record in records.items() if record is not None}
    names, matrix, count = correlations(list(good.values()))
    states = [row["state"] for row in rows]
    record = {
        "program": "SlicerVALOR",
        "command": "cohort",
        "cases": rows,
        "counts": {state: states.count(state) for state in sorted(set(states))},
        "correlation": {"metrics": names, "matrix": matrix, "slices": count},
    }
    (output / "cohort.json").write_text(json.dumps(record, indent=1), encoding="utf-8")
    charts = charts_of(good)
    if names:
        charts.append(matrix_chart(f"Pearson correlation between metrics over {count} slices", names, matrix))
    html = render("cohort.html.j2", title="Cohort report", rows=rows, counts=record["counts"], charts=charts)
    (output / "report.html").write_text(html, encoding="utf-8")
    return record


def _record(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


def slice_table(numbers: dict[str, Any]) -> list[dict[str, float]]:
    """All metrics of each slice; those of the first tumor where the slice holds it."""
    masks = {}
    for one in numbers.get("tumors", [])[:1]:
        masks = {row["slice"]: row for row in one.get("agreement", {}).get("per_slice", [])}
    found = []
    for one in numbers["similarity"]["per_slice"]:
        row = {key: float(one["after"][key]) for key in METRICS}
        row.update({key: float(masks[one["slice"]][key]) for key in MASKS if one["slice"] in masks})
        found.append(row)
    return found


def correlations(cases: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[float | None]], int]:
    """Names, Pearson matrix and number of slices; over slices with a tumor when there are enough, else over all."""
    rows = [row for numbers in cases for row in slice_table(numbers)]
    keys = [*METRICS, *MASKS]
    kept = [row for row in rows if "dice" in row]
    if len(kept) < 3:
        keys, kept = list(METRICS), rows
    if len(kept) < 3:
        return [], [], len(kept)
    table = np.array([[row[key] for key in keys] for row in kept])
    spread = table.std(axis=0)
    matrix: list[list[float | None]] = []
    for a in range(len(keys)):
        line: list[float | None] = []
        for b in range(len(keys)):
            flat = spread[a] < 1e-12 or spread[b] < 1e-12
            line.append(None if flat else float(np.corrcoef(table[:, a], table[:, b])[0, 1]))
        matrix.append(line)
    labels = {**METRICS, **MASKS}
    return [labels[key] for key in keys], matrix, len(kept)


def charts_of(cases: dict[str, dict[str, Any]]) -> list[str]:
    """Bars over the cases, and over the slices of each case."""
    if not cases:
        return []
    names = list(cases)
    after = [numbers["similarity"]["after"] for numbers in cases.values()]
    first: list[dict[str, Any]] = [
        (numbers.get("tumors") or [{}])[0].get("agreement", {}) for numbers in cases.values()
    ]
    whole: dict[str, list[float | None]] = {METRICS[key]: [one[key] for one in after] for key in ("ncc", "ssim", "ngf")}
    whole.update({name: [one.get(key) for one in first] for key, name in MASKS.items() if key != "f1"})
    found = [bar_chart("Similarity and overlap, each case", names, whole, top=1.0)]
    errors = {
        when: [numbers.get("landmarks", {}).get(when, {}).get("mean_mm") for numbers in cases.values()]
        for when in ("before", "after")
    }
    if any(v is not None for v in errors["after"]):
        found.append(bar_chart("Mean landmark error, each case", names, errors, axis="mm"))
    for name, numbers in cases.items():
        rows = list(numbers["similarity"]["per_slice"])
        masks = {}
        for one in numbers.get("tumors", [])[:1]:
            masks = {row["slice"]: row for row in one.get("agreement", {}).get("per_slice", [])}
        rows = [row for row in rows if row["slice"] in masks] or rows
        bars: dict[str, list[float | None]] = {METRICS[k]: [r["after"][k] for r in rows] for k in ("ncc", "ssim")}
        for key, label in MASKS.items():
            if masks:
                bars[label] = [masks[r["slice"]][key] for r in rows]
        found.append(bar_chart(f"{name}: metrics per slice", [str(r["slice"]) for r in rows], bars, top=1.0))
    return found
