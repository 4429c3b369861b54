"""The job behind `valor points`: organs of one patient or day carried onto another, with all files of the result."""

from __future__ import annotations

import csv
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from valorlib.catalog import load
from valorlib.convert.files import read_image, write_field, write_image, write_labels, write_transform
from valorlib.convert.provenance import record_of
from valorlib.convert.results import check_output_folder, whole_folder, write_json
from valorlib.convert.surfaces import OrganSet, Surface, cloud_of, match_names, read_organs, write_surface
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.options import Options, as_dict
from valorlib.core.points import PointPair
from valorlib.core.results import Result
from valorlib.core.run import Run, part
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.folding import fold_summary
from valorlib.metrics.organs import organ_table, total_overlap
from valorlib.ops.organ_field import carried_masks, organ_field, smooth_field
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.points_picture import draw_picture

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Carried:
    """What a point registration made: surfaces by label, the dense field and what was warped with it."""

    surfaces: Mapping[int, Surface]
    sigma_mm: Mapping[int, F64]
    field: DisplacementField | None
    labels: LabelMap | None
    image: Image | None


def run_points(
    fixed: Path,
    moving: Path,
    output: Path,
    *,
    method: str = "mo_bcpd",
    options: Options | None = None,
    run: Run,
    images: tuple[Path, Path] | None = None,
    landmarks: PointPair | None = None,
    space: str = "lps",
    overwrite: bool = False,
) -> dict[str, Any]:
    """Carry the organs of `moving` onto those of `fixed` and write the result folder, whole or not at all.

    Writes moved_points.csv (for point files in their order), moved_<organ>.vtk, metrics.json, picture.png, and, with
    label maps or images, displacement.nrrd, transform.h5, warped_labels.nrrd and warped_moving.nrrd.

    Args:
        fixed: label map, .seg.nrrd, RTSTRUCT, mesh, folder of meshes, or points (CSV).
        moving: of the same kinds.
        output: the folder.
        method: a point method of the catalog.
        options: of the method; None: its default.
        run: device, seed, progress.
        images: the scans, fixed and moving; the moving one is warped.
        landmarks: corresponding points the registration does not see; the error at them is measured.
        space: "lps" or "ras" of files that do not say.
        overwrite: replace a former result.

    Returns:
        What metrics.json holds.

    Raises:
        InputError: inputs that cannot work; nothing is written.
    """
    check_output_folder(output, overwrite=overwrite)
    clock = _Clock()
    chosen = load(method)
    options = options or chosen.options()
    run.progress(0.0, "Reading")
    sides = match_names(read_organs(fixed, space=space), read_organs(moving, space=space))
    scans = tuple(read_image(path) for path in images) if images else None
    count = int(getattr(options, "sample_points", 2000))
    pair = PointPair(cloud_of(sides[0], count, run.seed), cloud_of(sides[1], count, run.seed + 1))
    clock.lap("read")
    result: Result = chosen.run(
        pair, options, Run(device=run.device, seed=run.seed, progress=part(run.progress, 0.05, 0.6))
    )
    clock.lap("register")
    carried = _carry(sides, pair, result, scans, run)
    clock.lap("field")
    numbers = _measure(sides, pair, result, carried)
    if landmarks is not None:
        numbers["landmarks"], by_organ = landmark_numbers(pair, result, landmarks)
        for row in numbers["organs"]:
            row |= {"landmarks": by_organ[row["label"]]} if row["label"] in by_organ else {}
    clock.lap("metrics")
    record = record_of(
        command="points",
        method=method,
        options=as_dict(options),
        inputs={
            "fixed": fixed,
            "moving": moving,
            **(dict(zip(("fixed_image", "moving_image"), images, strict=True)) if images else {}),
        },
        device=run.device,
        random_seed=run.seed,
        seconds=clock.seconds,
        warnings=(*sides[0].warnings, *sides[1].warnings, *result.warnings, *_field_warnings(numbers)),
    )
    record |= {"numbers": numbers, "record": dict(result.record)}
    with whole_folder(output, overwrite=overwrite) as folder:
        _write(folder, pair, result, carried, _names(sides))
        draw_picture(folder / "picture.png", sides, pair, result, carried.surfaces)
        clock.lap("write")
        record["seconds"], record["seconds_by_step"] = round(sum(clock.seconds.values()), 3), clock.seconds
        write_json(folder / "metrics.json", record)
    run.progress(1.0, "Done")
    return record


class _Clock:
    """Wall time of each step."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self._last, 3)
        self._last = now


def _names(sides: tuple[OrganSet, OrganSet]) -> dict[int, str]:
    return {**sides[1].names, **sides[0].names}


def move_points(result: Result, points: F64, labels: NDArray[np.int64] | None) -> F64:
    """(n, 3) fixed world positions of moving points, each with its organ's motion."""
    model: Any = result.model
    if model is None:
        raise InputError("method: expected one that can carry further points; choose mo_bcpd")
    return np.asarray(model.move(points, model.organs(labels, len(points))))


def _carry(
    sides: tuple[OrganSet, OrganSet], pair: PointPair, result: Result, scans: tuple[Image, ...] | None, run: Run
) -> Carried:
    surfaces, sigma = {}, {}
    model: Any = result.model
    for label, surface in sides[1].surfaces.items():
        owner = np.full(len(surface.points), label)
        surfaces[label] = Surface(move_points(result, surface.points, owner), surface.faces)
        sigma[label] = model.sigma_mm(surface.points, model.organs(owner, len(owner)))
    if result.moved is not None and not sides[1].surfaces:
        owner = np.ones(len(pair.moving.points), dtype=np.int64) if pair.moving.labels is None else pair.moving.labels
        for label in np.unique(owner).tolist():
            rows = owner == label
            surfaces[label] = Surface(result.moved.points[rows], np.zeros((0, 3), dtype=np.int64))
            sigma[label] = np.zeros(0) if result.sigma_mm is None else result.sigma_mm[rows]
    run.progress(0.65, "Making the field")
    field = _field(sides[0], pair, result, scans)
    labels = image = None
    run.progress(0.8, "Warping")
    if field is not None and sides[1].labels is not None:
        labels = resample_labels(sides[1].labels, field.grid, field)
    if field is not None and scans is not None:
        image = resample_image(scans[1], field.grid, field)
    run.progress(0.9, "Measuring")
    return Carried(surfaces, sigma, field, labels, image)


def _field(
    fixed: OrganSet, pair: PointPair, result: Result, scans: tuple[Image, ...] | None
) -> DisplacementField | None:
    model: Any = result.model
    if fixed.labels is not None:
        labels = fixed.labels
        if scans is not None and not scans[0].grid.matches(labels.grid):
            labels = resample_labels(labels, scans[0].grid)
        return organ_field(model, labels)
    if scans is None or result.moved is None:
        return None
    return smooth_field(model, pair.moving.points, result.moved.points, scans[0].grid)


def _measure(sides: tuple[OrganSet, OrganSet], pair: PointPair, result: Result, carried: Carried) -> dict[str, Any]:
    names = _names(sides)
    numbers: dict[str, Any] = {"organs": organ_table(sides, pair, result, carried.surfaces, carried.labels, names)}
    if carried.field is not None:
        summary = fold_summary(carried.field)
        numbers["folds"] = summary.as_dict()
    fixed, moving = sides[0].labels, sides[1].labels
    if fixed is not None and moving is not None and result.inverse is not None:
        matrix = np.asarray(getattr(result.inverse, "matrix", np.eye(4)))
        grid: Grid = fixed.grid
        labels = [label for label in moving.labels if label in fixed.labels]
        before = carried_masks(None, matrix, moving, grid, labels)
        after = carried_masks(result.model, matrix, moving, grid, labels)
        numbers["overlap"] = {"similarity": total_overlap(before, grid), "after": total_overlap(after, grid)}
    if result.sigma_mm is not None:
        numbers["sigma_mm"] = {"mean": float(result.sigma_mm.mean()), "p95": float(np.percentile(result.sigma_mm, 95))}
    return numbers


def landmark_numbers(
    pair: PointPair, result: Result, landmarks: PointPair
) -> tuple[dict[str, dict[str, float]], dict[int, dict[str, Any]]]:
    """Distance of moving from fixed landmarks before and after; each moves with the organ of the nearest point.

    Returns:
        Of all landmarks, and of those of each organ by label (with their count); the latter is empty without labels.
    """
    _, nearest = cKDTree(pair.moving.points).query(landmarks.moving.points)
    labels = None if pair.moving.labels is None else pair.moving.labels[nearest]
    places = {
        "before": landmarks.moving.points,
        "after": move_points(result, landmarks.moving.points, labels),
    }
    distances = {when: np.linalg.norm(at - landmarks.fixed.points, axis=1) for when, at in places.items()}
    organs: dict[int, dict[str, Any]] = {}
    for label in [] if labels is None else np.unique(labels).tolist():
        own = {when: _distance_summary(distance[labels == label]) for when, distance in distances.items()}
        organs[label] = {"count": int((labels == label).sum())} | own
    return {when: _distance_summary(distance) for when, distance in distances.items()}, organs


def _distance_summary(distance: F64) -> dict[str, float]:
    return {
        "mean_mm": float(distance.mean()),
        "median_mm": float(np.median(distance)),
        "p95_mm": float(np.percentile(distance, 95)),
        "max_mm": float(distance.max()),
    }


def _field_warnings(numbers: dict[str, Any]) -> tuple[str, ...]:
    count = numbers.get("folds", {}).get("count", 0)
    return (f"{count} voxels fold; do not use the field there.",) if count else ()


def file_name(name: str) -> str:
    """The organ's name as a part of a file name: letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "organ"


def _write(folder: Path, pair: PointPair, result: Result, carried: Carried, names: Mapping[int, str]) -> None:
    _write_points(folder / "moved_points.csv", pair, result)
    taken: set[str] = set()
    for label, surface in carried.surfaces.items():
        name = file_name(names.get(label, str(label)))
        name = f"{name}_{label}" if name in taken else name
        taken.add(name)
        write_surface(surface, folder / f"moved_{name}.vtk", {"sigma_mm": carried.sigma_mm[label]})
    if carried.field is not None:
        write_field(carried.field, folder / "displacement.nrrd")
        write_transform(carried.field, folder / "transform.h5")
    if carried.labels is not None:
        write_labels(carried.labels, folder / "warped_labels.nrrd")
    if carried.image is not None:
        write_image(carried.image, folder / "warped_moving.nrrd")


def _write_points(path: Path, pair: PointPair, result: Result) -> None:
    moved = result.moved
    if moved is None:
        raise InputError("method: expected one that moves points; choose mo_bcpd")
    count = len(moved.points)
    words = [""] * count
    if pair.moving.labels is not None:
        own = {
            label: label if pair.moving.normals is not None else pair.moving.names.get(label, label)
            for label in np.unique(pair.moving.labels).tolist()
        }
        words = [str(own[label]) for label in pair.moving.labels.tolist()]
    sigma = np.zeros(count) if result.sigma_mm is None else result.sigma_mm
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x", "y", "z", "label", "sigma_mm"])
        for (x, y, z), word, value in zip(moved.points.tolist(), words, sigma.tolist(), strict=True):
            writer.writerow([f"{x:.6f}", f"{y:.6f}", f"{z:.6f}", word, f"{value:.4f}"])
