"""Registration and its preview, as the worker runs them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from valor_workbench.tasks_files import write_table
from valor_workbench.worker import Context
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.options import Options
from valorlib.core.points import PointPair, Seeds
from valorlib.core.results import LabelResult, Result
from valorlib.core.run import Run, part
from valorlib.core.transforms import DisplacementField


@dataclass(frozen=True, eq=False)
class Registered:
    """A registration, measured and written.

    record: what metrics.json holds. folder: the result folder inside the session's. error: distance to the known
    deformation, mm, where there is one.
    """

    result: Result
    warped: Image
    jacobian: Image
    record: Mapping[str, Any]
    folder: Path
    error: Image | None = None


_preview: dict[str, Any] = {}


def preview(context: Context, image: Image | None, key: str, seeds: Seeds) -> LabelResult | None:
    """Tumors at the clicks, at once; the image is sent only when its key is new (else None asks for it)."""
    from valorlib.ops.selective import Preview

    if _preview.get("key") != key:
        if image is None:
            return None
        _preview.update(key=key, preview=Preview(image))
    found: LabelResult = _preview["preview"].click(seeds, context.run())
    return replace(found, probability=None)


def register(
    context: Context,
    pair: ImagePair,
    name: str,
    options: Options,
    landmarks: PointPair | None,
    truth: DisplacementField | None,
    seed: int,
) -> Registered:
    """Run a method, measure the result and write its folder."""
    from valorlib.catalog import load

    run = context.run(seed)
    small = _shrunk(pair, context.attempt.shrink)
    began = time.perf_counter()
    method = load(name)
    result = method.run(small, options, replace(run, progress=part(run.progress, 0.0, 0.85)))
    seconds = {"register": time.perf_counter() - began}
    if small is not pair:
        result = _enlarged(result, pair)
    result = with_segments(pair, result, replace(run, progress=part(run.progress, 0.85, 0.9)))
    return _measured(context, pair, result, name, options, landmarks, truth, run, seconds)


def with_segments(pair: ImagePair, result: Result, run: Run) -> Result:
    """The result with the clicked tumors; found here when the method only registers."""
    from valorlib.commands.register import with_segments as add

    return add(pair, result, run)


def _measured(
    context: Context,
    pair: ImagePair,
    result: Result,
    name: str,
    options: Options,
    landmarks: PointPair | None,
    truth: DisplacementField | None,
    run: Run,
    seconds: dict[str, float],
) -> Registered:
    from valorlib.convert.provenance import record_of
    from valorlib.convert.results import complete, whole_folder, write_json, write_registration
    from valorlib.core.options import as_dict
    from valorlib.metrics.summary import summarize
    from valorlib.report import registration_report

    run.progress(0.9, "Measuring")
    outputs = complete(pair, result)
    result = replace(result, displacement=outputs.displacement, inverse_displacement=outputs.inverse_displacement)
    metrics = summarize(pair, result, warped=outputs.warped_moving, jacobian=outputs.jacobian, landmarks=landmarks)
    record = record_of(
        command="workbench",
        method=name,
        options=as_dict(options),
        inputs={},
        device=run.device,
        random_seed=run.seed,
        seconds=seconds,
        warnings=result.warnings,
    )
    record["inputs"] = {role: _input(image) for role, image in (("fixed", pair.fixed), ("moving", pair.moving))}
    record["numbers"], record["record"] = metrics, dict(result.record)
    record["places"] = _places(result.fixed_seg)
    error = error_map(result.displacement, truth, pair)
    if error is not None:
        record["truth"] = _truth_numbers(error)
    run.progress(0.96, "Writing the result")
    target = context.folder / f"result-{uuid4().hex[:8]}"
    with whole_folder(target) as folder:
        write_registration(folder, result, outputs)
        (folder / "report.html").write_text(registration_report(pair, result, outputs, record), encoding="utf-8")
        write_json(folder / "metrics.json", record)
        _write_tables(folder, record, error)
    run.progress(1.0, "Done")
    return Registered(result, outputs.warped_moving, outputs.jacobian, record, target, error)


def _write_tables(folder: Path, record: Mapping[str, Any], error: Image | None) -> None:
    from valorlib.convert.files import write_image
    from valorlib.scene.tables import metric_rows, tumor_rows

    write_table(folder / "measures.csv", metric_rows(record["numbers"]))
    write_table(folder / "tumors.csv", tumor_rows(record["numbers"]))
    if error is not None:
        write_image(error, folder / "error_to_truth.nrrd")


def _input(image: Image) -> dict[str, str]:
    """What tells one input from another; the checksum is of the voxels, since there may be no file."""
    return {"name": image.name, "sha256": hashlib.sha256(image.array.tobytes()).hexdigest()}


def _places(labels: LabelMap | None) -> dict[str, list[float]]:
    """The middle of each tumor, LPS mm."""
    if labels is None:
        return {}
    found = {n: np.argwhere(labels.array == n).mean(axis=0)[::-1] for n in labels.labels}
    return {str(n): labels.grid.to_world(index).tolist() for n, index in found.items()}


def error_map(field: DisplacementField | None, truth: DisplacementField | None, pair: ImagePair) -> Image | None:
    """Distance to a known deformation inside the body, mm; 0 outside, None where nothing is known."""
    from valorlib.ops.overlap import body_mask

    if field is None or truth is None or not field.grid.matches(truth.grid):
        return None
    error = np.linalg.norm(field.array - truth.array, axis=-1) * (body_mask(pair.fixed).array > 0)
    return Image(error.astype(np.float32), truth.grid, "error")


def _truth_numbers(error: Image) -> dict[str, Any]:
    """Mean, 95th percentile, and where the error is largest (LPS mm)."""
    worst = np.unravel_index(int(error.array.argmax()), error.array.shape)
    inside = error.array[error.array > 0]
    return {
        "mean_mm": float(inside.mean()) if inside.size else 0.0,
        "p95_mm": float(np.percentile(inside, 95)) if inside.size else 0.0,
        "at": error.grid.to_world(worst[::-1]).tolist(),
    }


def _shrunk(pair: ImagePair, factor: int) -> ImagePair:
    if factor <= 1:
        return pair
    from valorlib.ops.resample import resample_image, resample_labels

    def coarse(image: Image) -> Image:
        return resample_image(image, image.grid.resampled([factor * s for s in image.grid.spacing]))

    fixed, moving = coarse(pair.fixed), coarse(pair.moving)

    def labels(given: LabelMap | None, image: Image) -> LabelMap | None:
        return None if given is None else resample_labels(given, image.grid)

    return replace(
        pair,
        fixed=fixed,
        moving=moving,
        fixed_mask=labels(pair.fixed_mask, fixed),
        moving_mask=labels(pair.moving_mask, moving),
        fixed_labels=labels(pair.fixed_labels, fixed),
        moving_labels=labels(pair.moving_labels, moving),
    )


def _enlarged(result: Result, pair: ImagePair) -> Result:
    """A result found at a lower resolution, put on the grids of the images."""
    from valorlib.ops.transforms import to_displacement

    return Result(
        to_displacement(result.transform, pair.fixed.grid),
        losses=result.losses,
        warnings=(*result.warnings, "Found at half the resolution, because the memory ran out."),
        record=result.record,
    )


def compare(context: Context, mode: str, fixed: Image, warped: Image) -> Image:
    """A volume that compares two images on one grid; mode: "difference" or "checker"."""
    from valorlib.scene.comparison import checkerboard_of, difference_of

    return difference_of(fixed, warped) if mode == "difference" else checkerboard_of(fixed, warped, 15.0)
