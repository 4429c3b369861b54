"""`valor register`: two scans to a result folder."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valorlib.catalog import ENTRIES, load
from valorlib.commands.common import (
    add_common,
    add_seeds,
    add_settings,
    make_run,
    options_of,
    say,
    seeds_of,
    timed,
    unmeasured,
)
from valorlib.core.errors import InputError

if TYPE_CHECKING:
    from valorlib.core.images import LabelMap
    from valorlib.core.inputs import ImagePair
    from valorlib.core.points import PointPair
    from valorlib.core.results import Result
    from valorlib.core.run import Run
    from valorlib.core.transforms import Transform

IMAGE_METHODS = tuple(entry.name for entry in ENTRIES if entry.kind == "image")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "register",
        help="register two scans; with clicks, segment the tumor in both",
        description="Lays the moving scan on the fixed one. With clicks, finds the tumor in both scans.",
    )
    parser.add_argument("fixed", metavar="FIXED", help="NRRD, NIfTI, MHA or a DICOM folder")
    parser.add_argument("moving", metavar="MOVING", help="the scan that is laid on the fixed one")
    add_seeds(parser)
    parser.add_argument(
        "--seeds-on", default="moving", choices=("fixed", "moving"), help="scan that was clicked (default: moving)"
    )
    parser.add_argument("--method", default="valor", metavar="NAME", help="see valor methods (default: valor)")
    add_settings(parser)
    for side in ("fixed", "moving"):
        parser.add_argument(f"--{side}-mask", metavar="FILE", help=f"where the {side} scan may be used")
        parser.add_argument(f"--{side}-labels", metavar="FILE", help=f"structures in the {side} scan")
    parser.add_argument("--landmarks", nargs="+", metavar="FILE", help="corresponding points to measure the error at")
    parser.add_argument(
        "--guide", nargs="+", metavar="FILE", help="corresponding points that the registration shall follow"
    )
    parser.add_argument("--start", metavar="TRANSFORM", help="transform to start from")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace a former result")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, register, write."""
    from valorlib.convert.results import check_output_folder

    check_output_folder(Path(args.output), overwrite=args.overwrite)
    if args.method not in IMAGE_METHODS:
        raise InputError(f"--method: expected one of {', '.join(IMAGE_METHODS)}, got {args.method!r}")
    method = load(args.method)
    options = options_of(method, args)
    seconds: dict[str, float] = {}
    with timed(seconds, "read"):
        pair = read_pair(args)
        landmarks = read_landmark_files(args.landmarks, args.space)
        context = make_run(args, voxels=max(pair.fixed.array.size, pair.moving.array.size))
    with timed(seconds, "register"):
        result = with_segments(pair, method.run(pair, options, context), context)
    result = replace(result, warnings=(*result.warnings, *unmeasured(fixed=args.fixed, moving=args.moving)))
    record = write(args, pair, result, context, seconds, landmarks, options)
    say(args, record, lines_of(record, Path(args.output)))


def read_pair(args: argparse.Namespace) -> ImagePair:
    """Images, clicks, masks, structures, landmarks and start transform of the command line."""
    from valorlib.convert.files import read_image, read_transform
    from valorlib.core.inputs import ImagePair

    fixed, moving = read_image(args.fixed), read_image(args.moving)
    seeds = seeds_of(args, args.seeds_on)
    if seeds is not None:
        clicked = moving if seeds.on == "moving" else fixed
        tumor = seeds.points[seeds.tumors > 0]
        if not len(tumor):
            raise InputError("--seed: expected at least one click in a tumor, got background clicks only; add one")
        if not clicked.grid.contains(tumor).any():
            raise InputError(
                f"--seed: expected a click inside the {seeds.on} image, got clicks outside of it only; "
                "check --seeds-on and --space"
            )
    start: Transform | None = read_transform(args.start) if args.start else None
    return ImagePair(
        fixed,
        moving,
        seeds=seeds,
        fixed_mask=_mask(args.fixed_mask),
        moving_mask=_mask(args.moving_mask),
        fixed_labels=_labels(args.fixed_labels),
        moving_labels=_labels(args.moving_labels),
        landmarks=read_landmark_files(args.guide, args.space),
        start=start,
    )


def _labels(path: str | None) -> LabelMap | None:
    from valorlib.convert.files import read_labels

    return read_labels(path) if path else None


def _mask(path: str | None) -> LabelMap | None:
    mask = _labels(path)
    if mask is not None and not mask.labels:
        raise InputError(f"{path}: expected a mask with at least one voxel, got an empty one")
    return mask


def read_landmark_files(paths: list[str] | None, space: str) -> PointPair | None:
    """Corresponding points of one file with both, or of a fixed and a moving file."""
    from valorlib.convert.landmark_files import read_landmark_pair, read_landmarks

    if not paths:
        return None
    if len(paths) == 1:
        return read_landmarks(paths[0], space)
    if len(paths) == 2:
        return read_landmark_pair(paths[0], paths[1], space)
    raise InputError(f"landmarks: expected one file, or one fixed and one moving file, got {len(paths)} files")


def with_segments(pair: ImagePair, result: Result, context: Run) -> Result:
    """The result with the clicked tumors; segmented here in both scans when the method only registers."""
    if pair.seeds is None or result.moving_seg is not None or result.fixed_seg is not None:
        return result
    from valorlib.convert.results import complete
    from valorlib.core.points import Seeds
    from valorlib.ops.resample import resample_labels
    from valorlib.ops.selective import SelectiveOptions, segment
    from valorlib.ops.transforms import map_points

    outputs = complete(pair, result)
    on_moving = pair.seeds.on == "moving"
    there = map_points(outputs.inverse_displacement if on_moving else outputs.displacement, pair.seeds.points)
    carried = Seeds(there, pair.seeds.tumors, "fixed" if on_moving else "moving")
    moving_seeds, fixed_seeds = (pair.seeds, carried) if on_moving else (carried, pair.seeds)
    moving = segment(pair.moving, moving_seeds, SelectiveOptions(), context)
    fixed = segment(pair.fixed, fixed_seeds, SelectiveOptions(), context)
    return replace(
        result,
        moving_seg=moving.labels,
        fixed_seg=fixed.labels,
        warped_seg=resample_labels(moving.labels, pair.fixed.grid, outputs.displacement),
        warnings=(
            *result.warnings,
            *(f"{text} (moving scan)" for text in moving.warnings),
            *(f"{text} (fixed scan)" for text in fixed.warnings),
        ),
    )


def write(
    args: argparse.Namespace,
    pair: ImagePair,
    result: Result,
    context: Run,
    seconds: dict[str, float],
    landmarks: PointPair | None,
    options: Any,
) -> dict[str, Any]:
    """Write the result folder; returns what metrics.json holds."""
    from valorlib.convert.results import complete, whole_folder, write_json, write_registration
    from valorlib.metrics.summary import summarize
    from valorlib.report import registration_report

    with timed(seconds, "metrics"):
        outputs = complete(pair, result)
        result = replace(result, displacement=outputs.displacement, inverse_displacement=outputs.inverse_displacement)
        metrics = summarize(
            pair,
            result,
            warped=outputs.warped_moving,
            before=outputs.before,
            inside=outputs.inside,
            jacobian=outputs.jacobian,
            landmarks=landmarks,
        )
    record = {**_origin(args, pair, result, context, seconds, options), "numbers": metrics}
    record["record"] = dict(result.record)
    with whole_folder(Path(args.output), overwrite=args.overwrite) as folder:
        with timed(seconds, "write"):
            write_registration(folder, result, outputs)
            html = registration_report(pair, result, outputs, record)
            (folder / "report.html").write_text(html, encoding="utf-8")
        context.progress(1.0, "Done")
        record["seconds"], record["seconds_by_step"] = round(sum(seconds.values()), 3), seconds
        write_json(folder / "metrics.json", record)
    return record


def _origin(
    args: argparse.Namespace, pair: ImagePair, result: Result, context: Run, seconds: dict[str, float], options: Any
) -> dict[str, Any]:
    """What went in, and who computed."""
    from valorlib.convert.provenance import record_of
    from valorlib.core.options import as_dict

    names = ("fixed", "moving", "seeds", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels", "start")
    record = record_of(
        command="register",
        method=args.method,
        options=as_dict(options),
        inputs={name: getattr(args, name) for name in names},
        device=context.device,
        random_seed=context.seed,
        seconds=seconds,
        warnings=result.warnings,
    )
    if pair.seeds is not None:
        record["seeds"] = {"on": pair.seeds.on, "points": pair.seeds.points, "tumors": pair.seeds.tumors}
    return record


def lines_of(record: dict[str, Any], output: Path) -> list[str]:
    """The summary that is printed."""
    metrics = record["numbers"]
    lines = [f"{record['method']}: done in {record['seconds']:.1f} s on {record['device']}"]
    if "landmarks" in metrics:
        before, after = metrics["landmarks"]["before"], metrics["landmarks"]["after"]
        lines.append(f"landmark error: {before['mean_mm']:.2f} mm before, {after['mean_mm']:.2f} mm after (mean)")
    for one in metrics.get("tumors", []):
        parts = [f"{side} {one[f'{side}_ml']:.3g} ml" for side in ("moving", "fixed") if f"{side}_ml" in one]
        if one.get("change_pct") is not None:
            parts.append(f"change {one['change_pct']:+.1f} %")
        if "agreement" in one:
            parts.append(f"agreement (Dice) {one['agreement']['dice']:.2f}")
        lines.append(f"tumor {one['tumor']}: " + ", ".join(parts))
    folds = metrics["folds"]
    lines.append(
        f"folds: {folds['strict_count']} voxels; volume change {folds['minimum']:.2f} to {folds['maximum']:.2f}"
    )
    lines += [f"warning: {text}" for text in record["warnings"]]
    lines.append(f"results in {output}; open {output / 'report.html'}")
    return lines
