"""The web application: builds the server, joins logic and page, serves it to one browser on this computer."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
import webbrowser
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from valor_workbench.preflight import check_drawing, is_software
from valor_workbench.security import LOOPBACK, Guard, check_exposure
from valorlib.core.errors import InputError

logger = logging.getLogger(__name__)


def main(
    files: Sequence[str | Path] = (),
    *,
    demo: bool = False,
    port: int = 0,
    open_browser: bool = True,
    host: str = "127.0.0.1",
    allow_remote: bool = False,
    password: str | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    roots: Sequence[Path] = (),
) -> int:
    """Serve the workbench until it is stopped; the exit code of the command.

    files: opened at the start. demo: open the generated pair. port: 0 lets the system choose. roots: folders whose
    files the page may open; the current folder, the home folder and the folders of `files` when not given.

    Raises:
        InputError: a file that is not there, or an unsafe address.
    """
    tls = check_exposure(host, allow_remote=allow_remote, password=password, certificate=certificate, key=key)
    paths = [Path(file).expanduser().resolve() for file in files]
    for path in paths:
        if not path.exists():
            raise InputError(f"{path.name}: there is no such file; check the path")
    with ThreadPoolExecutor(1) as pool:
        probe = pool.submit(check_drawing)
        _import_heavy()
        renderer, problem = probe.result()
    if problem:
        sys.stderr.write(problem + "\n")
        return 1
    from valor_workbench.bench import Workbench

    stop_on_signals()

    secret = secrets.token_urlsafe(32)
    hosts = LOOPBACK if tls is None else (*LOOPBACK, host)
    guard = Guard(secret, hosts=hosts, password=password if tls else None)
    allowed = tuple(roots) or (Path.cwd(), Path.home(), *(path.parent for path in paths))
    bench = Workbench(guard, allowed, software_gl=is_software(renderer))
    return _serve(bench, guard, secret, paths, demo, port, open_browser, host, tls)


def _import_heavy() -> None:
    import trame_slicer.app.logic
    import trame_slicer.core  # noqa: F401


def _serve(
    bench: Any,
    guard: Guard,
    secret: str,
    paths: list[Path],
    demo: bool,
    port: int,
    open_browser: bool,
    host: str,
    tls: Any,
) -> int:
    server = bench.server
    # The library also reads sys.argv, TRAME_ARGS and TRAME_DEFAULT_HOST; none of them may change address or key.
    os.environ.pop("TRAME_DEFAULT_HOST", None)
    server.cli.set_defaults(authKey=secret, host=host)
    arguments, sys.argv = sys.argv, sys.argv[:1]
    os.environ.pop("TRAME_ARGS", None)

    def ready(**_: Any) -> None:
        scheme = "http" if tls is None else "https"
        shown = "127.0.0.1" if host in ("localhost", "127.0.0.1") else host
        link = f"{scheme}://{shown}:{server.port}/" + ("" if tls else f"?token={guard.token}")
        sys.stdout.write(f"\nVALOR workbench: open this link in a browser (it works once)\n{link}\n\n")
        sys.stdout.flush()
        if open_browser:
            webbrowser.open(link)
        bench.begin(paths, demo=demo)

    server.controller.on_server_ready.add(ready)
    more = {} if tls is None else {"ssl": tls}
    try:
        with contextlib.suppress(KeyboardInterrupt, asyncio.CancelledError):
            server.start(
                port=port,
                host=host,
                open_browser=False,
                show_connection_info=False,
                disable_logging=True,
                timeout=0,
                exec_mode="main",
                **more,
            )
    finally:
        sys.argv = arguments
        bench.close()
    return 0


def command(arguments: Sequence[str] | None = None) -> int:
    """The program `python -m valor_workbench`, with the settings for serving on a network."""
    parser = argparse.ArgumentParser(prog="python -m valor_workbench", description="VALOR in a browser")
    parser.add_argument("files", nargs="*", help="scans to open")
    parser.add_argument("--demo", action="store_true", help="open a generated pair of scans")
    parser.add_argument("--port", type=int, default=0, help="0 lets the system choose")
    parser.add_argument("--no-browser", action="store_true", help="print the link only")
    parser.add_argument("--root", action="append", default=[], type=Path, help="folder whose files may be opened")
    parser.add_argument("--host", default="127.0.0.1", help="address to serve on")
    parser.add_argument("--allow-remote", action="store_true", help="serve on another address than this computer's own")
    parser.add_argument("--password-file", type=Path, help="file with the password, for --allow-remote")
    parser.add_argument("--tls-certificate", type=Path)
    parser.add_argument("--tls-key", type=Path)
    given = parser.parse_args(arguments)
    try:
        password = given.password_file.read_text(encoding="utf-8").strip() if given.password_file else None
        return main(
            given.files,
            demo=given.demo,
            port=given.port,
            open_browser=not given.no_browser,
            host=given.host,
            allow_remote=given.allow_remote,
            password=password,
            certificate=given.tls_certificate,
            key=given.tls_key,
            roots=given.root,
        )
    except (InputError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2


def stop_on_signals() -> None:
    """Let SIGTERM end the server as Ctrl-C does, so that nothing is left behind."""
    with contextlib.suppress(ValueError, AttributeError):
        signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
