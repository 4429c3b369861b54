"""`valor workbench`: the web page."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
from pathlib import Path
from typing import Any

from valorlib.commands.common import add_common
from valorlib.core.errors import InputError


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "workbench", help="open the workbench in the browser", description="The three modules as a web page."
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="scans, label maps or transforms to open")
    parser.add_argument("--demo", action="store_true", help="open a generated pair")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: any free one)")
    parser.add_argument("--no-browser", action="store_true", help="print the address, open no browser")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine alone)")
    parser.add_argument("--allow-remote", action="store_true", help="let other machines connect")
    parser.add_argument("--password", help="asked for before the page opens")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="TLS certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="TLS key")
    parser.add_argument("--root", type=Path, action="append", default=[], metavar="DIR", help="folder it may open")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until stopped."""
    if importlib.util.find_spec("trame") is None:
        raise InputError(
            "workbench: expected the workbench packages; install them with pip install slicervalor[workbench]"
        )
    if not 0 <= args.port <= 65535:
        raise InputError(f"--port: expected 0 to 65535, got {args.port}")
    main = importlib.import_module("valor_workbench.app").main
    return int(
        main(
            args.files,
            demo=args.demo,
            port=args.port,
            open_browser=not args.no_browser,
            host=args.host,
            allow_remote=args.allow_remote,
            password=args.password,
            certificate=args.certificate,
            key=args.key,
            roots=args.root,
        )
    )
