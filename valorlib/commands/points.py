"""`valor points`: organs of one patient or day carried onto another."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from valorlib.catalog import ENTRIES, load
from valorlib.commands.common import add_common, add_settings, make_run, options_of, say
from valorlib.commands.register import read_landmark_files
from valorlib.core.errors import InputError

POINT_METHODS = tuple(entry.name for entry in ENTRIES if entry.kind == "points")


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "points",
        help="carry organs or points onto another patient or day",
        description="Label maps or CSV files x,y,z[,label]; each organ moves by itself.",
    )
    parser.add_argument("fixed", metavar="FIXED", help="label map, or points as CSV")
    parser.add_argument("moving", metavar="MOVING", help="what is carried onto the fixed one")
    parser.add_argument("--images", nargs=2, metavar=("F", "M"), help="the scans, for a field on the fixed grid")
    parser.add_argument("--landmarks", nargs="+", metavar="FILE", help="corresponding points to measure the error at")
    parser.add_argument("--method", default="mo_bcpd", metavar="NAME", help="see valor methods (default: mo_bcpd)")
    parser.add_argument("--space", default="lps", choices=("lps", "ras"), help="space of CSV files (default: lps)")
    add_settings(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--overwrite", action="store_true", help="replace a former result")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Check, run, print."""
    from valorlib.convert.results import check_output_folder
    from valorlib.points import run_points

    check_output_folder(Path(args.output), overwrite=args.overwrite)
    if args.method not in POINT_METHODS:
        raise InputError(f"--method: expected one of {', '.join(POINT_METHODS)}, got {args.method!r}")
    record = run_points(
        Path(args.fixed),
        Path(args.moving),
        Path(args.output),
        method=args.method,
        options=options_of(load(args.method), args),
        run=make_run(args),
        images=(Path(args.images[0]), Path(args.images[1])) if args.images else None,
        landmarks=read_landmark_files(args.landmarks, args.space),
        space=args.space,
        overwrite=args.overwrite,
    )
    lines = [f"{args.method}: done in {record['seconds']:.1f} s on {record['device']}"]
    lines += organ_lines(record["numbers"])
    lines += [f"warning: {text}" for text in record.get("warnings", ())]
    say(args, record, [*lines, f"results in {args.output}"])


def organ_lines(numbers: dict[str, Any]) -> list[str]:
    """The organ table, a line an organ, and the landmark error where there is one; a dash for what is not known."""
    rows = numbers["organs"]
    width = max([len(str(row["organ"])) for row in rows] + [5])
    known = any("landmarks" in row for row in rows)
    lines = [f"{'organ':<{width}}  before mm  after mm  HD95 mm   Dice  sigma mm{'  landmarks mm' if known else ''}"]
    for row in rows:
        before, after = row.get("before") or {}, row.get("after") or {}
        cells = [
            _cell(before.get("mean_mm"), 9, 2),
            _cell(after.get("mean_mm"), 8, 2),
            _cell(after.get("hd95_mm"), 7, 2),
            _cell(row.get("dice"), 5, 3),
            _cell(row.get("sigma_mm"), 8, 2),
        ]
        marks = row.get("landmarks", {}).get("after", {})
        cells += [_cell(marks.get("mean_mm"), 12, 2)] if known else []
        lines.append(f"{row['organ']:<{width}}  " + "  ".join(cells))
    for when, error in numbers.get("landmarks", {}).items():
        lines.append(
            f"landmark error {when}: mean {error['mean_mm']:.2f}, median {error['median_mm']:.2f}, "
            f"p95 {error['p95_mm']:.2f}, max {error['max_mm']:.2f} mm"
        )
    return lines


def _cell(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:>{width}.{digits}f}"
