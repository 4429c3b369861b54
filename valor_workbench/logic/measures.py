"""The numbers of a run as rows of the page: name, value, note, place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = dict[str, Any]


def row(name: str, value: str, note: str = "", at: Sequence[float] | None = None) -> Row:
    """One row; at: LPS mm, shown as RAS."""
    return {"name": name, "value": value, "note": note, "at": None if at is None else ras_of(at)}


def ras_of(lps: Sequence[float]) -> list[float]:
    """LPS mm as RAS mm, for the page, which speaks Slicer's language."""
    x, y, z = (float(v) for v in lps)
    return [-x, -y, z]


def registration_summary(record: Mapping[str, Any]) -> str:
    """One sentence on a registration."""
    if not record:
        return "A saved result; press Apply to measure it again."
    metrics = record.get("numbers", {})
    words = [f"Done in {float(record.get('seconds', 0)):.1f} s."]
    landmarks = metrics.get("landmarks")
    if landmarks:
        words.append(
            f"Landmarks: {landmarks['before']['mean_mm']:.1f} mm before, {landmarks['after']['mean_mm']:.1f} mm after."
        )
    folded = metrics.get("folds", {}).get("strict_count", 0)
    words.append("No folds." if not folded else f"{folded} voxels fold.")
    return " ".join(words)


def registration_rows(record: Mapping[str, Any]) -> list[Row]:
    """Tumors first, then trust, then similarity."""
    metrics = record.get("numbers", {})
    rows = [r for one in metrics.get("tumors", ()) for r in _tumor(one, record)]
    truth = record.get("truth")
    if truth:
        rows.append(
            row(
                "Error to the known truth", f"{truth['mean_mm']:.2f} mm", "Mean in the body; largest place", truth["at"]
            )
        )
    landmarks = metrics.get("landmarks")
    if landmarks:
        for key, name in (("mean_mm", "Landmark error, mean"), ("max_mm", "Landmark error, largest")):
            rows.append(row(name, _change(landmarks, key, "mm", ".2f")))
    folds = metrics.get("folds", {})
    places = folds.get("places", ())
    rows.append(
        row(
            "Folded voxels",
            f"{folds.get('strict_count', 0)}",
            "Worst place",
            places[0]["position_mm"] if places else None,
        )
    )
    if "minimum" in folds:
        rows.append(row("Volume change, smallest to largest", f"{folds['minimum']:.2f} to {folds['maximum']:.2f}"))
    inverse = metrics.get("inverse_consistency", {})
    if "mean_mm" in inverse:
        rows.append(row("There and back, mean", f"{inverse['mean_mm']:.3f} mm"))
    similarity = metrics.get("similarity", {})
    for key, name, spec in (
        ("ncc", "Correlation (NCC)", ".3f"),
        ("ssim", "SSIM", ".3f"),
        ("psnr_db", "PSNR, dB", ".1f"),
    ):
        if key in similarity.get("after", {}):
            rows.append(row(name, _change(similarity, key, "", spec)))
    return rows


def saved_rows(
    columns: Mapping[str, Mapping[str, Sequence[Any]]], points: Any
) -> tuple[list[Row], list[Row], list[Row], list[Row]]:
    """Checks, goals, dose figures and landmarks of the tables of a saved result.

    Args:
        columns: table to its columns: checks, dvh_metrics, landmarks, those that there are.
        points: markups node of the landmarks, or None.
    """
    checks: list[Row] = []
    goals: list[Row] = []
    for one in _lines(columns.get("checks", {})):
        limit = f" (limit {one['Limit']})" if one["Limit"] else ""
        text = f"{float(one['Value']):.2f} {one['Unit']}{limit}"
        is_goal = str(one["Check"]).endswith(("<=", ">="))
        (goals if is_goal else checks).append({**row(str(one["Check"]), text, str(one["Note"])), "light": one["Light"]})
    doses = [
        {**row(f"{one['Structure']} {one['Metric']}", f"{float(one['Nominal']):.1f} {one['Unit']}"), "light": "none"}
        for one in _lines(columns.get("dvh_metrics", {}))
    ]
    landmarks = []
    for n, one in enumerate(_lines(columns.get("landmarks", {}))):
        words = f"{float(one['Before (mm)']):.1f} to {float(one['After (mm)']):.1f} mm"
        place = list(points.GetNthControlPointPositionWorld(n)) if points is not None else None
        landmarks.append((float(one["After (mm)"]), {**row(str(one["Landmark"]), words), "at": place}))
    landmarks.sort(key=lambda pair: -pair[0])
    return checks, goals, doses, [line for _, line in landmarks[:50]]


def _lines(columns: Mapping[str, Sequence[Any]]) -> list[Row]:
    count = len(next(iter(columns.values()), ()))
    return [{name: values[n] for name, values in columns.items()} for n in range(count)]


def _tumor(one: Mapping[str, Any], record: Mapping[str, Any]) -> list[Row]:
    name, rows = f"Tumor {one['tumor']}", []
    at = record.get("places", {}).get(str(one["tumor"]))
    if "moving_ml" in one and "fixed_ml" in one:
        rows.append(
            row(f"{name}: moving to fixed", f"{one['moving_ml']:.2f} to {one['fixed_ml']:.2f} ml", "Show the tumor", at)
        )
    if one.get("change_pct") is not None:
        rows.append(row(f"{name}: change", f"{round(one['change_pct']):+d} %"))
    agreement = one.get("agreement", {})
    if "dice" in agreement:
        rows.append(
            row(
                f"{name}: agreement (Dice)",
                f"{agreement['dice']:.2f}",
                "Carried mask against the one found in the fixed scan",
            )
        )
    return rows


def _change(block: Mapping[str, Any], key: str, unit: str, spec: str) -> str:
    after = f"{block['after'][key]:{spec}}"
    before = block.get("before", {}).get(key)
    return (f"{before:{spec}} to {after}" if before is not None else after) + (f" {unit}" if unit else "")
