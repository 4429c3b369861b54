"""`valor evaluate`: the numbers of a result folder or of any transform."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valorlib.commands.common import add_common, say, set_threads
from valorlib.commands.register import read_landmark_files
from valorlib.core.errors import InputError

if TYPE_CHECKING:
    from valorlib.core.grid import Grid
    from valorlib.core.transforms import DisplacementField, Transform


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "evaluate",
        help="measure a result or any transform",
        description="Folds, volume change and inverse consistency; landmark errors, overlap and similarity when given.",
    )
    parser.add_argument("subject", metavar="DIR|TRANSFORM", help="result folder, or transform (fixed to moving)")
    parser.add_argument(
        "--landmarks", nargs="+", metavar="FILE", help="CSV of fixed x,y,z,moving x,y,z; or a fixed and a moving file"
    )
    parser.add_argument("--labels", nargs=2, metavar=("F", "M"), help="structures in the fixed and the moving scan")
    parser.add_argument("--images", nargs=2, metavar=("F", "M"), help="the fixed and the moving scan")
    parser.add_argument("--inverse", metavar="TRANSFORM", help="the inverse, to measure the consistency")
    parser.add_argument("--space", default="lps", choices=("lps", "ras"), help="space of CSV files (default: lps)")
    parser.add_argument("--output", metavar="FILE", help="write the numbers to a JSON file, too")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, measure, print."""
    from valorlib.commands.common import output_file
    from valorlib.convert.image_files import whole_or_not
    from valorlib.convert.results import write_json

    output = output_file(args.output, (".json",)) if args.output else None
    set_threads(args.threads, 0)
    record = measure(args)
    if output is not None:
        with whole_or_not(output) as part:
            write_json(part, record)
    say(args, record, lines_of(record))


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All numbers that the given files allow."""
    from valorlib.convert.files import read_image, read_labels, read_transform

    subject = Path(args.subject)
    inverse = args.inverse
    if subject.is_dir():
        transform = _of_folder(subject)
        there = subject / "inverse_displacement.nrrd"
        inverse = inverse or (str(there) if there.exists() else None)
    else:
        transform = read_transform(subject)
    labels = [read_labels(path) for path in args.labels or ()]
    images = [read_image(path) for path in args.images or ()]
    landmarks = read_landmark_files(args.landmarks, args.space)
    grid = images[0].grid if images else labels[0].grid if labels else None
    record: dict[str, Any] = {"transform": subject.name, **_field_numbers(transform, grid, inverse)}
    if landmarks is not None:
        from valorlib.metrics.landmarks import landmark_errors

        errors = landmark_errors(transform, landmarks)
        record["landmarks"] = {**errors.summary(), "per_point_mm": errors.after_mm}
        if errors.labels is not None and len(set(errors.labels.tolist())) > 1:
            kinds = sorted(set(errors.labels.tolist()))
            record["landmarks"]["per_label"] = {str(n): errors.of(n).summary() for n in kinds}
    if labels:
        record["structures"] = _structures(transform, labels)
    if images:
        record["similarity"] = _similarity(transform, images)
    if subject.is_dir():
        record["tumors"] = _tumors(subject)
    return record


def _of_folder(folder: Path) -> Transform:
    from valorlib.convert.files import read_transform

    for name in ("displacement.nrrd", "transform.h5"):
        if (folder / name).exists():
            return read_transform(folder / name)
    raise InputError(f"{folder}: expected a result folder with displacement.nrrd, found none; name the transform file")


def _field_numbers(transform: Transform, grid: Grid | None, inverse: str | None) -> dict[str, Any]:
    """Folds and inverse consistency; for an affine transform without any grid only its determinant."""
    import numpy as np

    from valorlib.convert.files import read_transform
    from valorlib.core.transforms import AffineTransform, Chain, DisplacementField
    from valorlib.metrics.folding import fold_summary
    from valorlib.metrics.summary import consistency_of
    from valorlib.ops.transforms import to_displacement

    if isinstance(transform, AffineTransform) and grid is None:
        return {"affine_determinant": float(np.linalg.det(transform.matrix[:3, :3]))}
    if isinstance(transform, Chain) and grid is None:
        fields = [part for part in transform.parts if not isinstance(part, AffineTransform)]
        if not fields or isinstance(fields[0], Chain):
            return {}
        grid = fields[0].grid
    field: DisplacementField = (
        transform if isinstance(transform, DisplacementField) else to_displacement(transform, grid or transform.grid)  # type: ignore[union-attr]
    )
    found: dict[str, Any] = {"folds": fold_summary(field).as_dict()}
    size = np.linalg.norm(field.array, axis=-1)
    found["displacement"] = {"mean_mm": float(size.mean()), "max_mm": float(size.max())}
    if inverse is not None:
        back = read_transform(inverse)
        if isinstance(back, DisplacementField):
            found["inverse_consistency"] = consistency_of(field, back)
    return found


def _structures(transform: Transform, labels: list[Any]) -> list[dict[str, Any]]:
    from valorlib.metrics.summary import pair_of_masks
    from valorlib.ops.resample import resample_labels

    fixed, moving = labels
    before, after = resample_labels(moving, fixed.grid), resample_labels(moving, fixed.grid, transform)
    return [
        {
            "label": n,
            "name": fixed.name_of(n),
            "before": pair_of_masks(before.array == n, fixed.array == n, fixed.grid),
            "after": pair_of_masks(after.array == n, fixed.array == n, fixed.grid),
        }
        for n in sorted({*fixed.labels, *moving.labels})
    ]


def _similarity(transform: Transform, images: list[Any]) -> dict[str, Any]:
    from valorlib.core.inputs import ImagePair
    from valorlib.metrics.summary import inside_both, similarity_of
    from valorlib.ops.resample import resample_image
    from valorlib.ops.transforms import to_displacement

    fixed, moving = images
    field = to_displacement(transform, fixed.grid)
    before, after = resample_image(moving, fixed.grid), resample_image(moving, fixed.grid, field)
    mask = inside_both(ImagePair(fixed, moving), field)
    return similarity_of(fixed.array, before.array, after.array, mask, fixed.grid)


def _tumors(folder: Path) -> list[dict[str, Any]]:
    """Volume of each tumor in the label maps of a result folder, and how well carried and found masks agree."""
    from valorlib.convert.files import read_labels
    from valorlib.metrics.summary import pair_of_masks
    from valorlib.metrics.volume import volume_ml

    maps = {n: read_labels(folder / f"{n}_seg.nrrd") for n in ("fixed", "moving", "warped")
            if (folder / f"{n}_seg.nrrd").exists()}  # fmt: skip
    found = []
    for label in sorted({n for m in maps.values() for n in m.labels}):
        one: dict[str, Any] = {"tumor": label, **{f"{n}_ml": volume_ml(m, label) for n, m in maps.items()}}
        if "fixed" in maps and "warped" in maps:
            masks = [maps[n].array == label for n in ("warped", "fixed")]
            one["agreement"] = pair_of_masks(masks[0], masks[1], maps["fixed"].grid)
        found.append(one)
    return found


def lines_of(record: dict[str, Any]) -> list[str]:
    """The numbers in words."""
    lines = []
    if "folds" in record:
        folds = record["folds"]
        lines.append(f"folds: {folds['strict_count']} voxels ({folds['strict_share_pct']:.3g} %)")
        lines.append(
            f"Jacobian: {folds['minimum']:.3f} to {folds['maximum']:.3f}, SDlogJ {folds['sd_log_jacobian']:.3f}"
        )
    if "affine_determinant" in record:
        lines.append(f"affine transform, determinant {record['affine_determinant']:.4f}")
    if "inverse_consistency" in record:
        error = record["inverse_consistency"]
        lines.append(f"inverse consistency: {error['mean_mm']:.3f} mm mean, {error['p95_mm']:.3f} mm p95")
    if "landmarks" in record:
        for when in ("before", "after"):
            error = record["landmarks"][when]
            lines.append(
                f"landmark error {when}: mean {error['mean_mm']:.3f}, median {error['median_mm']:.3f}, "
                f"p95 {error['p95_mm']:.3f}, max {error['max_mm']:.3f} mm ({error['count']} points)"
            )
    for one in record.get("structures", []):
        lines.append(f"{one['name']}: Dice {one['before']['dice']:.3f} before, {one['after']['dice']:.3f} after")
    if "similarity" in record:
        before, after = record["similarity"]["before"], record["similarity"]["after"]
        lines.append(f"NCC {before['ncc']:.3f} before, {after['ncc']:.3f} after (no proof of alignment)")
    for one in record.get("tumors", []):
        volumes = ", ".join(f"{n} {one[f'{n}_ml']:.3g} ml" for n in ("moving", "fixed", "warped") if f"{n}_ml" in one)
        lines.append(f"tumor {one['tumor']}: {volumes}")
    return lines or ["nothing to measure; add --landmarks, --labels or --images"]
