"""`valor methods`: what there is, and the options of one method. The list needs no torch."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from valorlib.catalog import ENTRIES, load
from valorlib.commands.common import add_common
from valorlib.core.options import OptionInfo, describe


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "methods", help="list the methods, or one method's options", description="The methods, or one's options."
    )
    parser.add_argument("method", nargs="?", metavar="NAME", help="show the options and presets of this method")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Print the list, or one method."""
    record: Any
    if args.method is None:
        record = [{"name": e.name, "title": e.title, "kind": e.kind, "sentence": e.sentence} for e in ENTRIES]
        lines = [f"{e.name:<16}{e.kind:<8}{e.title}: {e.sentence}" for e in ENTRIES]
    else:
        method = load(args.method)
        infos = describe(method.options)
        record = {
            "name": method.name,
            "title": method.title,
            "source": method.source,
            "presets": {name: method.reasons.get(name, "") for name in method.presets},
            "options": [{**vars(info), "kind": info.kind.__name__} for info in infos],
        }
        lines = [f"{method.title} ({method.source})", "", "presets:"]
        lines += [f"  {name:<16}{method.reasons.get(name, '')}" for name in method.presets]
        lines += ["", "options (--set name=value):", *(f"  {_line(info)}" for info in infos)]
    if args.json:
        sys.stdout.write(json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    elif not args.quiet:
        sys.stdout.write("\n".join(lines) + "\n")


def _line(info: OptionInfo) -> str:
    limits = ", ".join(map(str, info.choices))
    if not limits and (info.low is not None or info.high is not None):
        low, high = ("" if v is None else f"{v:g}" for v in (info.low, info.high))
        limits = f"{low} to {high} {info.unit}".strip()
    return f"{info.name}={info.default}  {info.help}" + (f" [{limits}]" if limits else "")
