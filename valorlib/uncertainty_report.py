"""The report of a registration's uncertainty: one HTML file that a physicist can file."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.charts_dvh import dvh_svg
from valorlib.core.inputs import ImagePair
from valorlib.ops.resample import resample_image
from valorlib.report import render
from valorlib.report_pictures import PLANES, View, checkerboard, diverging, embedded, gray, overlay, window
from valorlib.uncertainty import Assessment

SIDE = 330
STOPS = np.asarray([(0.0, 0, 0, 60), (0.35, 40, 90, 160), (0.65, 240, 180, 60), (1.0, 215, 40, 30)])
LIGHTS = {"pass": "within tolerance", "check": "look again", "fail": "outside tolerance", "none": "not judged"}
GOAL_LIGHTS = {"pass": "met", "check": "may be missed", "fail": "likely missed", "none": "not judged"}


def uncertainty_report(pair: ImagePair, found: Assessment, record: dict[str, Any]) -> str:
    """HTML of an assessment. record: what metrics.json holds."""
    dose = found.dose
    prescription = record["options"].get("prescription_gy")
    chart = dvh_svg(dose.bands, prescription_gy=prescription) if dose is not None and dose.bands else ""
    return render(
        "uncertainty.html.j2",
        title="Registration uncertainty",
        record=record,
        found=found,
        dose=dose,
        chart=chart,
        lights=LIGHTS,
        goal_lights=GOAL_LIGHTS,
        pictures=pictures_of(pair, found),
        curve=_curve(found),
        fixed=pair.fixed.name or "fixed scan",
        moving=pair.moving.name or "moving scan",
    )


def pictures_of(pair: ImagePair, found: Assessment) -> list[dict[str, Any]]:
    """Rows of pictures through the middle and through the place of the largest expected error."""
    warped = resample_image(pair.moving, pair.fixed.grid, found.displacement)
    view = View.of(pair.fixed.grid)
    body = found.rank.array > 0
    middle = np.asarray(np.argwhere(view.turned(body)).mean(axis=0) if body.any() else np.asarray(body.shape) / 2)
    places = {"the middle of the body": middle.astype(np.int64)}
    worst = np.where(body, found.sigma.array, 0)
    at = np.unravel_index(int(np.argmax(view.turned(worst))), worst.shape)
    places["the place of the largest expected error"] = np.asarray(at, dtype=np.int64)
    top = float(np.percentile(found.sigma.array[body], 99)) if body.any() else 1.0
    unit = "mm" if found.uncertainty.in_mm else "(not calibrated)"
    fixed_window, moving_window = window(pair.fixed.array), window(warped.array)
    spread = float(np.percentile(np.abs(pair.fixed.array - warped.array), 99)) or 1.0
    rows = []
    for words, place in places.items():
        at_voxel = [int(v) for v in place]
        names = ("colors", "board", "flicker", "difference", "sigma")
        cells: dict[str, list[tuple[str, str]]] = {key: [] for key in names}
        for plane, name in enumerate(PLANES):
            still = gray(view.slice_of(pair.fixed.array, plane, at_voxel, SIDE), fixed_window)
            moved = gray(view.slice_of(warped.array, plane, at_voxel, SIDE), moving_window)
            change = view.slice_of(pair.fixed.array - warped.array, plane, at_voxel, SIDE)
            sigma = view.slice_of(found.sigma.array, plane, at_voxel, SIDE)
            cells["colors"].append((name, embedded(overlay(still, moved))))
            cells["board"].append((name, embedded(checkerboard(still, moved))))
            cells["flicker"].append((name, flicker(still, moved)))
            cells["difference"].append((name, embedded(diverging(change, spread))))
            colored = heat(still, sigma, top)
            known = view.slice_of(body.astype(np.float32), plane, at_voxel, SIDE) > 0.5
            cells["sigma"].append((name, embedded(np.where(known[..., None], colored, still))))
        titles = {
            "sigma": (
                "Expected error",
                f"Over the fixed scan: dark blue 0, yellow {0.65 * top:.1f}, red {top:.1f} {unit} and more.",
            ),
            "colors": ("Color contrast", "Fixed in cyan, registered moving in red: gray where both agree."),
            "board": ("Checkerboard", "Squares of the fixed and the registered moving scan in turn."),
            "flicker": ("Flicker", "Fixed and registered moving scan by turns, each for a second."),
            "difference": ("Difference", f"Fixed minus moving; full color at {spread:.0f}."),
        }
        for key, (title, sentence) in titles.items():
            rows.append({"title": f"{title}, {words}", "sentence": sentence, "pictures": cells[key]})
    return rows


def flicker(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> str:
    """Data address of a picture that shows two pictures by turns; printed, it is the first."""
    size = f'width="{first.shape[1]}" height="{first.shape[0]}"'
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}><image {size} href="{embedded(first)}"/>'
        f'<image {size} href="{embedded(second)}" visibility="hidden"><animate attributeName="visibility" '
        'values="hidden;visible" dur="2s" calcMode="discrete" repeatCount="indefinite"/></image></svg>'
    )
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode("ascii")).decode("ascii")


def heat(base: NDArray[np.uint8], values: NDArray[np.float32], top: float) -> NDArray[np.uint8]:
    """Values from dark blue over yellow to red, laid over a gray picture."""
    share = np.clip(values / max(top, 1e-9), 0, 1)
    color = np.stack([np.interp(share, STOPS[:, 0], STOPS[:, c]) for c in (1, 2, 3)], axis=-1)
    return np.asarray(np.round(0.45 * base + 0.55 * color), dtype=np.uint8)


def _curve(found: Assessment) -> str:
    """Reliability curve of the calibration as SVG; empty without one."""
    calibration = found.uncertainty.calibration
    if calibration is None:
        return ""
    size = 240
    points = " ".join(f"{40 + p * size:.1f},{20 + (1 - q) * size:.1f}" for p, q in calibration.curve)
    labels = "".join(
        f'<text x="{40 + p * size:.0f}" y="{size + 36}" font-size="11" text-anchor="middle">{100 * p:.0f}</text>'
        f'<text x="34" y="{24 + (1 - p) * size:.0f}" font-size="11" text-anchor="end">{100 * p:.0f}</text>'
        for p in (0.0, 0.5, 1.0)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size + 60}" height="{size + 64}" font-family="sans-serif" '
        f'role="img" aria-label="Reliability curve"><rect x="40" y="20" width="{size}" height="{size}" fill="none" '
        f'stroke="#bbb"/><line x1="40" y1="{size + 20}" x2="{size + 40}" y2="20" stroke="#bbb" '
        f'stroke-dasharray="4 4"/><polyline points="{points}" fill="none" stroke="#0072b2" stroke-width="2"/>{labels}'
        f'<text x="{40 + size / 2}" y="{size + 54}" font-size="12" text-anchor="middle">expected, %</text>'
        f'<text transform="translate(12 {20 + size / 2}) rotate(-90)" font-size="12" text-anchor="middle">observed, %'
        "</text></svg>"
    )
