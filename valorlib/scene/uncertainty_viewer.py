"""UncertaintyViewer on nodes: read the inputs, run, write the result.

    inputs = read_inputs(scene, fixed=..., moving=..., transform=..., dose=..., structures=...)    # main thread
    outcome = run(inputs, options, run, samples=100)                                                # worker
    nodes = write_result(scene, inputs, outcome, fixed=..., moving=...)                             # main thread

Roles of the result: "sigma", "rank", "jacobian", "log_jacobian", "folds" (markups), "dose_warped", "dose_mean",
"dose_p05", "dose_p95", "dvh" (table), "dvh_metrics" (table), "dvh_chart" (plot chart), its series
"series:<structure>:nominal|p05|p50|p95", "landmarks" (table), "landmark_points" (markups), "metrics" (table),
"checks" (table: tolerances and dose goals, each with its light).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import Any

import numpy as np

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.metrics.dvh import DvhBand
from valorlib.metrics.qa import Tolerances
from valorlib.scene.display import DIVERGING, DIVERGING_LOG, SEQUENTIAL, add_map, draw_above
from valorlib.scene.nodes import Recorder, ResultNodes, Steps, finish, recording, set_reference, show
from valorlib.scene.uncertainty_checks import check_rows
from valorlib.scene.uncertainty_run import ViewerInputs, ViewerOutcome
from valorlib.scene.uncertainty_run import compute as run
from valorlib.scene.valor_registration import read_landmarks, write_folds

__all__ = ["ViewerInputs", "ViewerOutcome", "read_inputs", "read_structures", "run", "write_result"]

LINES = ("nominal", "p05", "p50", "p95")
DRAWN_DOSE = 0.05
"""Share of the largest dose below which a dose map is not drawn."""
CHARTED = {"nominal": "{name}", "p05": "{name} 5 %", "p95": "{name} 95 %"}
"""Lines that the chart shows and their names in its legend; the median lies too close to the first to add it."""
LEGEND_ROOM = 1.35


def read_inputs(
    scene: Any,
    *,
    transform: Any,
    fixed: Any = None,
    moving: Any = None,
    dose: Any = None,
    structures: Any = None,
    fixed_landmarks: Any = None,
    moving_landmarks: Any = None,
) -> ViewerInputs:
    """Core types of the chosen nodes; a transform that is no field is sampled on the fixed grid.

    Args:
        scene: the MRML scene.
        transform: transform node, as applied to the moving image.
        fixed: scalar volume node.
        moving: scalar volume node.
        dose: scalar volume node, Gy, in the space of the moving image.
        structures: segmentation or label map node, in the space of the fixed image.
        fixed_landmarks: point list; point n corresponds to point n of `moving_landmarks`.
        moving_landmarks: point list.

    Raises:
        InputError: one sentence on the node that cannot be used.
    """
    mrml.require(transform, "vtkMRMLTransformNode", "a transform")
    fixed_image = mrml.image_from_node(fixed) if fixed is not None else None
    gray = mrml.dose_from_node(dose) if dose is not None else None
    grid = fixed_image.grid if fixed_image is not None else gray.grid if gray is not None else None
    # A moving node that already hangs under the transform is read where it was before.
    return ViewerInputs(
        mrml.transform_from_node(transform, grid),
        fixed_image,
        _without(moving, transform, mrml.image_from_node) if moving is not None else None,
        _without(dose, transform, mrml.dose_from_node) if dose is not None else None,
        read_structures(structures) if structures is not None else {},
        read_landmarks(fixed_landmarks, moving_landmarks),
    )


def _without(node: Any, transform: Any, read: Any) -> Any:
    """What a volume holds without the transform under test, where it hangs under it directly."""
    if node.GetParentTransformNode() is not transform:
        return read(node)
    parent = transform.GetParentTransformNode()
    node.SetAndObserveTransformNodeID(parent.GetID() if parent is not None else None)
    try:
        return read(node)
    finally:
        node.SetAndObserveTransformNodeID(transform.GetID())


def read_structures(node: Any, grid: Grid | None = None) -> dict[str, LabelMap]:
    """Each structure of a segmentation (overlaps kept) or label map by itself; empty ones are left out.

    Raises:
        InputError: another kind of node, or no structure in it.
    """
    if node.IsA("vtkMRMLSegmentationNode"):
        found = mrml.segments_from_node(node, grid)
    else:
        labels = mrml.labels_from_node(node)
        found = {
            labels.name_of(v): LabelMap((labels.array == v).astype(np.int32), labels.grid, {1: labels.name_of(v)})
            for v in labels.labels
        }
    filled = {name: mask for name, mask in found.items() if mask.array.any()}
    if not filled:
        raise InputError(f"{mrml.name_of(node)}: expected structures, got empty ones; draw or import them first")
    return filled


def write_result(
    scene: Any,
    inputs: ViewerInputs,
    outcome: ViewerOutcome,
    *,
    fixed: Any = None,
    name: str = "Uncertainty",
    tolerances: Tolerances | None = None,
) -> ResultNodes:
    """Write maps, doses, the DVH chart and the tables; show sigma (or the volume change) over the fixed image.

    Args:
        scene: the MRML scene.
        inputs: what was read.
        outcome: what `run` gave.
        fixed: the fixed volume node, for the background.
        name: of the run.
        tolerances: limits of the checks.
    """
    return finish(write_steps(scene, inputs, outcome, fixed=fixed, name=name, tolerances=tolerances, batch=True))


def write_steps(
    scene: Any,
    inputs: ViewerInputs,
    outcome: ViewerOutcome,
    *,
    fixed: Any = None,
    name: str = "Uncertainty",
    tolerances: Tolerances | None = None,
    batch: bool = False,
) -> Steps:
    """As `write_result`, a few nodes at a time."""
    with recording(scene, name, batch=batch) as recorder:
        shown = yield from _map_steps(recorder, outcome, name)
        yield from _dose_steps(recorder, outcome, name)
        if outcome.bands:
            yield from _dvh_steps(recorder, outcome.bands, name)
            _write_dvh_metrics(recorder, outcome, name)
            yield
        _write_landmarks(recorder, inputs, outcome, name)
        yield
        table = recorder.add("vtkMRMLTableNode", f"{name} numbers", "metrics")
        mrml.set_table(table, _numbers(outcome))
        mrml.set_table(recorder.add("vtkMRMLTableNode", f"{name} checks", "checks"), check_rows(outcome, tolerances))
        write_folds(recorder, outcome.folds.as_dict(), name)
        yield
        show(scene, fixed, shown, opacity=0.5)
    return recorder.results


def _map_steps(recorder: Recorder, outcome: ViewerOutcome, name: str) -> Generator[None, None, Any]:
    jacobian = add_map(
        recorder, outcome.jacobian, f"{name} volume change", "jacobian", points=DIVERGING, low=0.0, high=2.0
    )
    yield
    log = outcome.log_jacobian
    add_map(recorder, log, f"{name} log volume change", "log_jacobian", points=DIVERGING_LOG, low=-1.0, high=1.0)
    yield
    found = outcome.uncertainty
    if found is None:
        return jacobian
    add_map(recorder, found.rank, f"{name} rank", "rank", points=SEQUENTIAL, low=0.0, high=100.0, unit="%")
    yield
    inside = found.rank.array > 0
    high = max(float(np.percentile(found.sigma.array[inside], 98)), 1e-3) if inside.any() else 1e-3
    # Without a known scale the map ranks places; it must not be read as millimeters.
    unit = "mm" if found.in_mm else "relative"
    # Nothing is known of the air around the body: 0 there, and not drawn.
    sigma = Image(np.where(inside, found.sigma.array, 0.0).astype(np.float32), found.sigma.grid)
    shown = add_map(recorder, sigma, f"{name} sigma", "sigma", points=SEQUENTIAL, low=0.0, high=high, unit=unit)
    draw_above(shown, 1e-6)
    return shown


def _dose_steps(recorder: Recorder, outcome: ViewerOutcome, name: str) -> Iterator[None]:
    doses: dict[str, Dose | None] = {
        "dose_warped": outcome.dose_warped,
        "dose_mean": outcome.dose_mean,
        "dose_p05": outcome.dose_p05,
        "dose_p95": outcome.dose_p95,
    }
    top = max([float(d.array.max()) for d in doses.values() if d is not None], default=0.0)
    for role, dose in doses.items():
        if dose is not None:
            title = f"{name} {role.replace('_', ' ')}"
            image = Image(dose.array, dose.grid)
            node = add_map(recorder, image, title, role, points=SEQUENTIAL, low=0.0, high=max(top, 1e-3), unit="Gy")
            draw_above(node, DRAWN_DOSE * top)
            yield


def _dvh_steps(recorder: Recorder, bands: tuple[DvhBand, ...], name: str) -> Iterator[None]:
    """One table for all curves, a series a line, a chart for all."""
    table = recorder.add("vtkMRMLTableNode", f"{name} DVH", "dvh")
    columns: dict[str, Any] = {"Volume (%)": bands[0].volume_pct}
    for band in bands:
        lines = (band.nominal_gy, *(band.percentiles_gy[p] for p in (5.0, 50.0, 95.0)))
        columns |= {f"{band.name} {line} (Gy)": values for line, values in zip(LINES, lines, strict=True)}
    mrml.set_table(table, columns)
    chart = recorder.add("vtkMRMLPlotChartNode", f"{name} DVH chart", "dvh_chart")
    chart.SetTitle("Dose-volume histogram; dashed: 5th and 95th percentile of the samples")
    chart.SetXAxisTitle("Dose (Gy)")
    chart.SetYAxisTitle("Volume (%)")
    chart.SetLegendVisibility(True)
    # The legend stands at the right inside the chart: room beside the curves.
    top = max(float(np.max(band.percentiles_gy[95.0])) for band in bands)
    chart.SetXAxisRangeAuto(False)
    chart.SetXAxisRange(0.0, LEGEND_ROOM * max(top, 1.0))
    chart.SetYAxisRangeAuto(False)
    chart.SetYAxisRange(0.0, 100.0)
    from valorlib.convert.segment_files import color_of

    for number, band in enumerate(bands):
        for line in LINES:
            series = recorder.add(
                "vtkMRMLPlotSeriesNode",
                CHARTED.get(line, "{name} median").format(name=band.name),
                f"series:{band.name}:{line}",
            )
            series.SetAndObserveTableNodeID(table.GetID())
            series.SetXColumnName(f"{band.name} {line} (Gy)")
            series.SetYColumnName("Volume (%)")
            series.SetPlotType(series.PlotTypeScatter)
            series.SetMarkerStyle(series.MarkerStyleNone)
            solid = line == "nominal"
            series.SetLineStyle(series.LineStyleSolid if solid else series.LineStyleDash)
            series.SetLineWidth(3.0 if solid else 1.5)
            series.SetColor(*color_of(number))
            if line in CHARTED:
                chart.AddAndObservePlotSeriesNodeID(series.GetID())
        yield


def _write_dvh_metrics(recorder: Recorder, outcome: ViewerOutcome, name: str) -> None:
    table = recorder.add("vtkMRMLTableNode", f"{name} dose metrics", "dvh_metrics")
    rows = outcome.metrics
    mrml.set_table(
        table,
        {
            "Structure": [r.structure for r in rows],
            "Metric": [r.metric for r in rows],
            "Unit": [r.unit for r in rows],
            "Nominal": [round(r.value, 3) for r in rows],
            "Low (95 %)": [round(r.low, 3) for r in rows],
            "High (95 %)": [round(r.high, 3) for r in rows],
            "Numerical error": [round(r.error, 4) for r in rows],
            "Note": [r.note for r in rows],
        },
    )


def _write_landmarks(recorder: Recorder, inputs: ViewerInputs, outcome: ViewerOutcome, name: str) -> None:
    errors = outcome.landmarks
    if errors is None or inputs.landmarks is None:
        return
    table = recorder.add("vtkMRMLTableNode", f"{name} landmarks", "landmarks")
    labels = [f"L{n + 1}" for n in range(len(errors.after_mm))]
    mrml.set_table(
        table,
        {
            "Landmark": labels,
            "Before (mm)": errors.before_mm.round(2).tolist(),
            "After (mm)": errors.after_mm.round(2).tolist(),
        },
    )
    points = recorder.add("vtkMRMLMarkupsFiducialNode", f"{name} landmark points", "landmark_points")
    mrml.set_points(points, inputs.landmarks.fixed.points, labels, [f"{e:.2f} mm" for e in errors.after_mm])
    points.SetLocked(True)
    points.CreateDefaultDisplayNodes()
    points.GetDisplayNode().SetPointLabelsVisibility(False)
    points.GetDisplayNode().SetGlyphScale(1.5)
    set_reference(points, "VALOR.table", table)


def _numbers(outcome: ViewerOutcome) -> dict[str, list[Any]]:
    """The few numbers that sum a transform up."""
    folds, found = outcome.folds, outcome.uncertainty
    rows: list[tuple[str, float, str]] = [
        ("Folded voxels (any stencil)", float(folds.strict_count), ""),
        ("Folded volume", folds.strict_volume_ml, "ml"),
        ("Smallest volume factor", folds.minimum, ""),
        ("Largest volume factor", folds.maximum, ""),
        ("SD of log Jacobian", folds.sd_log_jacobian, ""),
    ]
    if found is not None:
        values = found.sigma.array[found.rank.array > 0]
        values = values if values.size else found.sigma.array.ravel()
        unit = "mm" if found.in_mm else "relative"
        rows += [(f"Sigma, {w}", float(np.percentile(values, p)), unit) for w, p in (("median", 50), ("95 %", 95))]
    if outcome.landmarks is not None and outcome.landmarks.after_mm.size:
        rows.append(("Landmark error, mean", float(outcome.landmarks.after_mm.mean()), "mm"))
        rows.append(("Landmark error, largest", float(outcome.landmarks.after_mm.max()), "mm"))
    return {"Metric": [r[0] for r in rows], "Value": [round(r[1], 4) for r in rows], "Unit": [r[2] for r in rows]}
