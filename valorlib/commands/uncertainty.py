"""`valor uncertainty`: how far a transform can be trusted, and what that does to the dose."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from valorlib.commands.common import add_common, add_settings, make_run, options_of, say, whole

if TYPE_CHECKING:
    from valorlib.methods.dir_uncertainty import DirUncertaintyOptions


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "uncertainty",
        help="expected error of a transform, and the dose-volume histogram with its band",
        description="Takes a transform from any program (fixed to moving), the two scans, and dose and structures.",
    )
    parser.add_argument("fixed", metavar="FIXED", help="NRRD, NIfTI, MHA or a DICOM folder")
    parser.add_argument("moving", metavar="MOVING", help="the other scan; the dose belongs to it")
    parser.add_argument("--transform", required=True, metavar="FILE", help="fixed to moving")
    parser.add_argument("--dose", metavar="FILE", help="dose on the moving scan, Gy")
    parser.add_argument("--structures", metavar="FILE|DIR", help="structures on the fixed scan")
    parser.add_argument("--samples", type=whole, default=100, metavar="N", help="transforms drawn (default: 100)")
    parser.add_argument("--goals", metavar="FILE", help="dose goals to check, see the documentation")
    parser.add_argument("--prescription", type=float, metavar="GY", help="prescribed dose, for goals in percent")
    parser.add_argument("--landmarks", metavar="FILE", help="corresponding points, for the acceptance table")
    parser.add_argument("--dicom", action="store_true", help="write RTDOSE, REG and SEG too, in a folder dicom/")
    add_settings(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace a former result")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check, run, print."""
    from valorlib.convert.results import check_output_folder
    from valorlib.methods.dir_uncertainty import METHOD
    from valorlib.ops.sampling import check_samples
    from valorlib.uncertainty import run_uncertainty

    check_output_folder(Path(args.output), overwrite=args.overwrite)
    check_samples(args.samples)
    record = run_uncertainty(
        Path(args.fixed),
        Path(args.moving),
        Path(args.transform),
        Path(args.output),
        dose=Path(args.dose) if args.dose else None,
        structures=Path(args.structures) if args.structures else None,
        samples=args.samples,
        options=cast("DirUncertaintyOptions", options_of(METHOD, args)),
        run=make_run(args),
        goals=Path(args.goals) if args.goals else None,
        prescription_gy=args.prescription,
        landmarks=Path(args.landmarks) if args.landmarks else None,
        overwrite=args.overwrite,
        dicom=args.dicom,
    )
    lines = [f"done in {record['seconds']:.1f} s on {record['device']}"]
    lines += [f"warning: {text}" for text in record.get("warnings", ())]
    say(args, record, [*lines, f"results in {args.output}; open {args.output}/report.html"])
