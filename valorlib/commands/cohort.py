"""`valor cohort`: `valor register` over a table of cases, in parallel."""

from __future__ import annotations

import argparse
import contextlib
import io
from pathlib import Path
from typing import Any

from valorlib.commands.common import add_common, add_settings, len_affinity, progress_of, say
from valorlib.core.errors import InputError


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "cohort",
        help="register many cases from a table",
        description="CSV with the columns fixed,moving and any of name,seeds,seeds_on,method,landmarks,... A case that "
        "fails does not stop the others.",
    )
    parser.add_argument("manifest", metavar="MANIFEST.csv", help="one case a row; paths relative to the file")
    parser.add_argument("--workers", type=int, default=None, metavar="N", help="processes (default: one a core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="a running Dask scheduler, such as tcp://host:8786")
    parser.add_argument("--resume", action="store_true", help="keep what is done, run the rest")
    add_settings(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="a folder a case, summary.csv, report.html")
    add_common(parser)
    parser.set_defaults(run=run)


def run_case(words: list[str]) -> tuple[int, str]:
    """Run `valor register` with these words; returns its exit code and last line on standard error."""
    from valorlib.cli import main

    caught = io.StringIO()
    with contextlib.redirect_stderr(caught):
        code = main(["register", *words])
    lines = [line for line in caught.getvalue().splitlines() if line.strip()]
    return code, lines[-1].removeprefix("valor: ") if lines and code else ""


def run(args: argparse.Namespace) -> int:
    """Run all cases, write the summary; 2 when a case had wrong input, 1 when one met a bug."""
    from valorlib.cohort import read_manifest, run_cohort
    from valorlib.cohort_report import write_cohort
    from valorlib.convert.results import check_writable

    output = Path(args.output)
    if output.exists() and not output.is_dir():
        raise InputError(f"--output: expected a folder, got the file {args.output!r}")
    check_writable(output.absolute().parent)
    workers = args.workers if args.workers is not None else len_affinity()
    if workers < 1:
        raise InputError(f"--workers: expected 1 or more, got {workers}")
    words = ["--quiet", f"--device={args.device}", f"--preset={args.preset}"]
    words += [f"--threads={args.threads if args.threads is not None else 1}", f"--random-seed={args.random_seed}"]
    cases = read_manifest(Path(args.manifest), [*words, *(f"--set={text}" for text in args.settings)])
    statuses = run_cohort(
        cases,
        output,
        run_case,
        workers=min(workers, len(cases)),
        scheduler=args.scheduler,
        resume=args.resume,
        progress=progress_of(args),
    )
    record = write_cohort(output, statuses)
    lines = [f"{s.name}: {s.state}{f' ({s.message})' if s.message else ''}" for s in statuses]
    say(args, record, [*lines, f"results in {output}; open {output / 'report.html'}"])
    codes = {status.code for status in statuses if status.code}
    return next((code for code in (1, 3, 2) if code in codes), 0)
