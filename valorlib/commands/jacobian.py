"""`valor jacobian`: the local volume change of any transform."""

from __future__ import annotations

import argparse
from typing import Any

from valorlib.commands.common import add_common, output_file, say, set_threads
from valorlib.core.errors import InputError

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
    parser.add_argument("--log", action="store_true", help="write the natural logarithm")
    parser.add_argument("--output", required=True, metavar="FILE", help="image: .nrrd, .nii.gz, .mha")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, compute, write."""
    from valorlib.convert.files import read_image, read_transform, write_image
    from valorlib.core.transforms import DisplacementField, VelocityField
    from valorlib.metrics.folding import fold_summary
    from valorlib.ops.jacobian import jacobian_determinant, log_of
    from valorlib.ops.transforms import to_displacement

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
    write_image(log_of(determinant) if args.log else determinant, output)
    lines = [
        f"Jacobian: {folds.minimum:.3f} to {folds.maximum:.3f}, mean {folds.mean:.3f}",
        folds.sentence,
        f"map in {output}",
    ]
    say(args, {**folds.as_dict(), "sentence": folds.sentence, "output": str(output)}, lines)
