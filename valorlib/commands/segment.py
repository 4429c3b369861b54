"""`valor segment`: clicks in one scan to a label map."""

from __future__ import annotations

import argparse
from typing import Any

from valorlib.commands.common import (
    add_common,
    add_seeds,
    add_settings,
    make_run,
    output_file,
    say,
    seeds_of,
    settings_of,
    unmeasured,
)
from valorlib.core.errors import InputError

SUFFIXES = (".nrrd", ".nii", ".nii.gz", ".mha")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "segment", help="find the tumor around clicks in one scan", description="Clicks in one scan to a label map."
    )
    parser.add_argument("image", metavar="IMAGE", help="NRRD, NIfTI, MHA or a DICOM folder")
    add_seeds(parser)
    parser.add_argument("--second", metavar="IMAGE", help="another image in the same position, such as a subtraction")
    parser.add_argument("--probability", metavar="FILE", help="write the probability map, too")
    add_settings(parser)
    parser.add_argument("--output", required=True, metavar="FILE", help="label map: .nrrd, .seg.nrrd, .nii.gz, .mha")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, segment, write."""
    from valorlib.convert.files import read_image, write_image, write_labels
    from valorlib.core.options import with_settings
    from valorlib.metrics.volume import volume_ml
    from valorlib.ops.selective import SelectiveOptions, segment

    output = output_file(args.output, SUFFIXES)
    probability = output_file(args.probability, SUFFIXES) if args.probability else None
    if args.preset != "default":
        raise InputError(f"--preset: expected default, got {args.preset!r}")
    options = with_settings(SelectiveOptions(), settings_of(args))
    image = read_image(args.image)
    second = read_image(args.second) if args.second else None
    seeds = seeds_of(args, "fixed")
    if seeds is None:
        raise InputError("--seed: expected at least one click in the tumor, got none; add --seed X,Y,Z")
    result = segment(image, seeds, options, make_run(args, voxels=image.array.size), second=second)
    if probability is not None and result.probability is not None:
        write_image(result.probability, probability)
    write_labels(result.labels, output)
    tumors = [{"tumor": n, "volume_ml": volume_ml(result.labels, n)} for n in seeds.tumor_numbers]
    warnings = [*result.warnings, *unmeasured(image=args.image)]
    record = {"tumors": tumors, "warnings": warnings, "record": result.record, "output": str(output)}
    lines = [f"tumor {one['tumor']}: {one['volume_ml']:.3g} ml" for one in tumors]
    notes = [(number, note) for number, one in result.record["tumors"].items() for note in one["notes"]]
    lines += [f"note: Tumor {number}: {note}" for number, note in notes]
    lines += [f"warning: {text}" for text in warnings]
    say(args, record, [*lines, f"label map in {output}"])
