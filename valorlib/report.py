"""The report of a registration: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from valorlib.charts import bar_chart
from valorlib.convert.results import Outputs
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.report_pictures import (
    CONTOURS,
    PLANES,
    View,
    checkerboard,
    diverging,
    embedded,
    gray,
    overlay,
    window,
    with_contour,
)

if TYPE_CHECKING:
    from jinja2 import Environment

SIDE = 330
CLOSE_UP_MM = 44.0
NOTICE = "For research. Not for diagnostic use."
LOW_AGREEMENT = 0.7
LARGE_CONSISTENCY_MM = 0.5


@cache
def environment() -> Environment:
    """Templates of this package, everything escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder = Path(__file__).parent / "report_templates"
    return Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def render(template: str, **values: Any) -> str:
    """A template of `report_templates/` with the values put in."""
    return environment().get_template(template).render(notice=NOTICE, **values)


def registration_report(pair: ImagePair, result: Result, outputs: Outputs, record: dict[str, Any]) -> str:
    """HTML of a registration.

    record: what metrics.json holds.
    """
    metrics = record["numbers"]
    return render(
        "registration.html.j2",
        record=record,
        metrics=metrics,
        title="Registration report",
        fixed=pair.fixed.name or "fixed",
        moving=pair.moving.name or "moving",
        warnings=[*record["warnings"], *warnings_of(metrics, told=record["warnings"])],
        good=good_of(metrics),
        pictures=pictures_of(pair, result, outputs),
        charts=charts_of(metrics),
    )


def warnings_of(metrics: dict[str, Any], told: Sequence[str] = ()) -> list[str]:
    """What a careful reader should know, in plain words; told: warnings that are shown already."""
    found = []
    folds = metrics["folds"]
    if folds["strict_count"]:
        found.append(
            f"The transform folds at {folds['strict_count']} voxels ({folds['strict_share_pct']:.3g} %); "
            "do not use it at those places."
        )
    error = metrics.get("inverse_consistency")
    if error and error["p95_mm"] > LARGE_CONSISTENCY_MM:
        found.append(
            f"Going there and back misses by {error['p95_mm']:.2f} mm at 5 % of the voxels; "
            "contours carried back will not land where they started."
        )
    before, after = metrics["similarity"]["before"], metrics["similarity"]["after"]
    if after["ncc"] < before["ncc"]:
        found.append("The images agree less after the registration than before; look at the overlays.")
    for one in metrics.get("tumors", []):
        dice = one.get("agreement", {}).get("dice")
        shown = any(f"Tumor {one['tumor']}: the masks found" in text for text in told)
        if dice is not None and dice < LOW_AGREEMENT and not shown:
            found.append(
                f"Tumor {one['tumor']}: the tumor found in the fixed scan and the one carried over from the moving "
                f"scan agree poorly (Dice {dice:.2f}); check both outlines."
            )
    if "landmarks" in metrics and metrics["landmarks"]["after"].get("max_mm", 0) > 3:
        found.append(f"One landmark is {metrics['landmarks']['after']['max_mm']:.1f} mm off.")
    return found


def good_of(metrics: dict[str, Any]) -> list[str]:
    """What was checked and found in order."""
    found = []
    if not metrics["folds"]["strict_count"]:
        found.append("No folds: the transform can be inverted at every voxel.")
    error = metrics.get("inverse_consistency")
    if error and error["p95_mm"] <= LARGE_CONSISTENCY_MM:
        found.append(f"There and back: {error['mean_mm']:.3f} mm off on average.")
    return found


def _focus(pair: ImagePair, result: Result) -> NDArray[np.int64]:
    """(3,) voxel (k, j, i) of the fixed image to show: the middle of the largest tumor, else of the body."""
    shape = np.asarray(pair.fixed.grid.shape)
    labels = result.fixed_seg or result.warped_seg
    if labels is not None and labels.labels:
        counts = {n: np.count_nonzero(labels.array == n) for n in labels.labels}
        where = np.argwhere(labels.array == max(counts, key=lambda n: counts[n]))
        return np.asarray(np.round(where.mean(axis=0)), dtype=np.int64)
    return shape // 2


def pictures_of(pair: ImagePair, result: Result, outputs: Outputs) -> list[dict[str, Any]]:
    """Rows of pictures: a title, a sentence, and an address for each plane."""
    grid = pair.fixed.grid
    view = View.of(grid)
    focus = np.zeros(grid.shape, dtype=bool)
    focus[tuple(_focus(pair, result))] = True
    at = np.argwhere(view.turned(focus))[0]
    planes = [p for p in range(3) if min(view.turned(focus).take(at[p], axis=p).shape) > 1]
    before = outputs.before.array
    limits = [window(image, outputs.inside) for image in (pair.fixed.array, outputs.warped_moving.array)]

    def cut(array: NDArray[Any], plane: int) -> NDArray[np.float32]:
        return view.slice_of(array, plane, at, SIDE)

    def row(title: str, sentence: str, draw: Any) -> dict[str, Any]:
        shown = [(PLANES[plane], embedded(draw(plane))) for plane in planes]
        return {"title": title, "sentence": sentence, "pictures": shown}

    def shown(array: NDArray[Any], plane: int, which: int) -> NDArray[np.uint8]:
        return gray(cut(array, plane), limits[which])

    warped, fixed = outputs.warped_moving.array, pair.fixed.array
    rows = [
        row("Before", "Fixed in cyan, moving in red; gray where both agree.",
            lambda p: overlay(shown(fixed, p, 0), shown(before, p, 1))),
        row("After", "The same with the registered moving scan.",
            lambda p: overlay(shown(fixed, p, 0), shown(warped, p, 1))),
        row("Checkerboard", "Fixed and registered moving scan in turn; borders should run on.",
            lambda p: checkerboard(shown(fixed, p, 0), shown(warped, p, 1))),
        row("Difference before", "Moving minus fixed, each in its own gray window: orange brighter, blue darker.",
            lambda p: diverging(shown(before, p, 1)[..., 0] / 255 - shown(fixed, p, 0)[..., 0] / 255, 0.8)),
        row("Difference after", "The same after registration.",
            lambda p: diverging(shown(warped, p, 1)[..., 0] / 255 - shown(fixed, p, 0)[..., 0] / 255, 0.8)),
        row("Local volume change", "Orange: tissue takes more room in the moving scan; blue: less; full color at "
            "factor 1.65. White: unchanged.",
            lambda p: diverging(np.log(np.clip(cut(outputs.jacobian.array, p), 0.05, 20)), 0.5)),
    ]  # fmt: skip
    if result.fixed_seg is not None or result.warped_seg is not None:
        rows.insert(2, _tumor_row(pair, result, outputs, view, at, planes, limits))
    return rows


def _tumor_row(
    pair: ImagePair,
    result: Result,
    outputs: Outputs,
    view: View,
    at: NDArray[np.int64],
    planes: list[int],
    limits: list[tuple[float, float]],
) -> dict[str, Any]:
    """Close-ups of the shown tumor in both scans, each plane, with both outlines."""
    drawn = []
    for labels, color in ((result.fixed_seg, CONTOURS[0]), (result.warped_seg, CONTOURS[1])):
        for n in labels.labels if labels is not None else ():
            drawn.append(((labels.array == n).astype(np.float32), color))  # type: ignore[union-attr]
    shown = []
    tumors = np.any([mask > 0 for mask, _ in drawn], axis=0) if drawn else np.zeros(pair.fixed.grid.shape, dtype=bool)
    # Wide enough for the whole of a large tumor.
    size_mm = np.ptp(np.argwhere(tumors), axis=0) * pair.fixed.grid.spacing[::-1] if tumors.any() else np.zeros(3)
    width_mm = max(CLOSE_UP_MM, 1.4 * float(size_mm.max()))
    for name, array, limit in (
        ("fixed", pair.fixed.array, limits[0]),
        ("moving", outputs.warped_moving.array, limits[1]),
    ):
        # A tumor brighter than nearly all of the body must not be plain white.
        top = max(limit[1], float(np.percentile(array[tumors], 98))) if tumors.any() else limit[1]
        for plane in planes:
            picture = gray(view.close_up(array, plane, at, SIDE, width_mm), (limit[0], top))
            for mask, color in drawn:
                picture = with_contour(picture, view.close_up(mask, plane, at, SIDE, width_mm), color)
            shown.append((f"{name}, {PLANES[plane]}", embedded(picture)))
    sentence = "Yellow: found in the fixed scan. Blue: carried over from the moving scan, which is shown registered."
    return {"title": "Tumor", "sentence": sentence, "pictures": shown}


def charts_of(metrics: dict[str, Any]) -> list[str]:
    """Bars over slices, as SVG."""
    found = []
    slices = metrics["similarity"]["per_slice"]
    if len(slices) > 1:
        names = [str(one["slice"]) for one in slices]
        for key, title in (("ncc", "Correlation (NCC) per slice"), ("ssim", "Structural similarity per slice")):
            values = {when: [one[when][key] for one in slices] for when in ("before", "after")}
            found.append(bar_chart(title, names, values, top=1.0))
        values = {when: [one[when]["psnr_db"] for one in slices] for when in ("before", "after")}
        found.append(bar_chart("PSNR per slice", names, values, axis="dB"))
    for one in metrics.get("tumors", []):
        rows = one.get("agreement", {}).get("per_slice", [])
        if rows:
            values = {name: [r[key] for r in rows] for key, name in (("dice", "Dice"), ("jaccard", "Jaccard"))}
            title = f"Tumor {one['tumor']}: agreement of found and carried outline per slice"
            found.append(bar_chart(title, [str(r["slice"]) for r in rows], values, top=1.0))
    errors = metrics.get("landmarks", {}).get("after", {}).get("per_point_mm", [])
    if 1 < len(errors) <= 400:
        worst = sorted(errors, reverse=True)
        names = [str(n + 1) for n in range(len(worst))]
        found.append(bar_chart("Landmark error after, worst first", names, {"error": worst}, axis="mm"))
    return found
