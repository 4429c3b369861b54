"""Rows of the tables that faces show, from the numbers of a registration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIMILARITY = (("psnr_db", "PSNR", "dB"), ("ssim", "SSIM", ""), ("ncc", "NCC", ""), ("ngf", "NGF", ""))

Table = dict[str, list[Any]]


def metric_rows(summary: Mapping[str, Any]) -> Table:
    """Columns metric, before, after, unit of `metrics.summary.summarize`; a dash where there is no number."""
    rows: list[tuple[str, float | None, float | None, str]] = []
    similarity = summary.get("similarity", {})
    for key, title, unit in SIMILARITY:
        if key in similarity.get("after", {}):
            rows.append((title, similarity["before"][key], similarity["after"][key], unit))
    if "relative_ssd" in similarity.get("after", {}):
        rows.append(("Relative SSD", 1.0, similarity["after"]["relative_ssd"], ""))
    landmarks = summary.get("landmarks", {})
    for key, title in (("mean_mm", "Landmark error, mean"), ("p95_mm", "Landmark error, 95 %"), ("max_mm", "max")):
        if key in landmarks.get("after", {}):
            rows.append((title, landmarks.get("before", {}).get(key), landmarks["after"][key], "mm"))
    for one in summary.get("structures", ()):
        rows.append((f"Dice, {one['name']}", one["before"].get("dice"), one["after"].get("dice"), ""))
    for key, title in (("mean_mm", "Displacement, mean"), ("max_mm", "Displacement, largest")):
        if key in summary.get("displacement", {}):
            rows.append((title, None, summary["displacement"][key], "mm"))
    rows += _quality(summary)
    return {
        "Metric": [r[0] for r in rows],
        "Before": [_text(r[1]) for r in rows],
        "After": [_text(r[2]) for r in rows],
        "Unit": [r[3] for r in rows],
    }


def _quality(summary: Mapping[str, Any]) -> list[tuple[str, float | None, float | None, str]]:
    folds, inverse = summary.get("folds", {}), summary.get("inverse_consistency", {})
    rows: list[tuple[str, float | None, float | None, str]] = []
    for key, title, unit in (
        ("strict_count", "Folded voxels", ""),
        ("strict_volume_ml", "Folded volume", "ml"),
        ("sd_log_jacobian", "SD of log Jacobian", ""),
    ):
        if key in folds:
            rows.append((title, None, folds[key], unit))
    for key, title in (("mean_mm", "Inverse consistency, mean"), ("max_mm", "Inverse consistency, largest")):
        if key in inverse:
            rows.append((title, None, inverse[key], "mm"))
    return rows


def _text(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:d}" if isinstance(value, int) else f"{value:.4g}"


def tumor_rows(summary: Mapping[str, Any]) -> Table:
    """Columns of the tumors found: volumes in both scans, change, agreement; empty without tumors."""
    tumors = summary.get("tumors", ())
    if not tumors:
        return {}
    return {
        "Tumor": [f"Tumor {t['tumor']}" for t in tumors],
        "Fixed (ml)": _rounded([t.get("fixed_ml") for t in tumors], 3),
        "Moving (ml)": _rounded([t.get("moving_ml") for t in tumors], 3),
        "Change (%)": _rounded([t.get("change_pct") for t in tumors], 1),
        "In transform (%)": _rounded([t.get("transform_change_pct") for t in tumors], 1),
        "Dice": _rounded([t.get("agreement", {}).get("dice") for t in tumors], 3),
        "HD95 (mm)": _rounded([t.get("agreement", {}).get("hd95_mm") for t in tumors], 2),
    }


def _rounded(values: list[float | None], digits: int) -> list[float | None]:
    return [None if value is None else round(value, digits) for value in values]
