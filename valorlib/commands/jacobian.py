"""`valor jacobian`: the local volume change of any transform."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from valorlib.commands.common import add_common, output_file, say, set_threads
from valorlib.core.errors import InputError

FOLD_COLUMNS = ("x_mm", "y_mm", "z_mm", "worst", "voxels", "volume_ml")
SUFFIXES = (".nrrd", ".nii", ".nii.gz", ".mha")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "jacobian",
        help="map of the local volume change of a transform",
        description="Jacobian determinant: 1 keeps the volume, 0.9 shrinks it by 10 %, 0 or less is a fold.",
    )
    parser.add_argument("transform", metavar="TRANSFORM", help="displacement.nrrd, .h5, .tfm ... (fixed to moving)")
    parser.add_argument("--reference", metavar="IMAGE", help="image whose grid the map gets")
    parser.add_argument("--structures", metavar="FILE", help="label map: volume change of each structure")
    parser.add_argument("--folds", metavar="FILE", help="write the places of folds to this CSV file")
    parser.add_argument("--log", action="store_true", help="write the natural logarithm")
    parser.add_argument("--output", required=True, metavar="FILE", help="image: .nrrd, .nii.gz, .mha")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, compute, write."""
    from valorlib.convert.files import read_image, read_labels, read_transform, write_image
    from valorlib.core.transforms import DisplacementField, VelocityField
    from valorlib.metrics.folding import fold_summary, structure_jacobians
    from valorlib.ops.jacobian import jacobian_determinant, log_of
    from valorlib.ops.transforms import to_displacement
    from valorlib.uncertainty_files import write_rows

    output = output_file(args.output, SUFFIXES)
    set_threads(args.threads, 0)
    transform = read_transform(args.transform)
    if args.reference:
        field = to_displacement(transform, read_image(args.reference).grid)
    elif isinstance(transform, DisplacementField | VelocityField):
        field = to_displacement(transform, transform.grid)
    else:
        raise InputError(f"{args.transform}: this transform has no grid of its own; add --reference IMAGE")
    determinant = jacobian_determinant(field)
    folds = fold_summary(field, jacobian=determinant)
    rows = structure_jacobians(determinant, read_labels(args.structures)) if args.structures else ()
    places = output_file(args.folds, (".csv",)) if args.folds else None
    write_image(log_of(determinant) if args.log else determinant, output)
    if places is not None:
        table = [
            (*(f"{v:.2f}" for v in p.position_mm), f"{p.worst:.4f}", p.voxels, f"{p.volume_ml:.4f}")
            for p in folds.places
        ]
        write_rows(places, FOLD_COLUMNS, table)
    lines = [
        f"Jacobian: {folds.minimum:.3f} to {folds.maximum:.3f}, mean {folds.mean:.3f}",
        folds.sentence,
        *(f"{r.name}: mean {r.mean:.3f}, {r.minimum:.3f} to {r.maximum:.3f}, {r.folds} folds" for r in rows),
        f"map in {output}",
    ]
    more = {"structures": [asdict(r) for r in rows]} if args.structures else {}
    say(args, {**folds.as_dict(), **more, "sentence": folds.sentence, "output": str(output)}, lines)
