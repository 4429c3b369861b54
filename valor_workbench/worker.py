"""The process that computes. Imports no trame, no VTK and no MRML; started by `jobs`."""

from __future__ import annotations

import errno
import logging
import os
import pickle
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import connection as mp_connection
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.run import Run

logger = logging.getLogger(__name__)
Message = tuple[Any, ...]


@dataclass(frozen=True)
class Attempt:
    """How a task is tried. shrink: 1 is full size; 2 asks for half as many voxels along each axis."""

    device: str = "auto"
    shrink: int = 1


@dataclass(frozen=True)
class Context:
    """What a task gets beside its arguments: where to write, how to report, how it is tried."""

    folder: Path
    attempt: Attempt
    progress: Callable[[float, str], None]
    send: Callable[[str, Any], None]

    def run(self, seed: int = 0) -> Run:
        """The library's run of this task."""
        import torch

        from valorlib.convert.tensors import choose_device

        # Two threads on a busy machine are slower than one; methods that profit from more ask for them.
        torch.set_num_threads(1)
        return Run(device=choose_device(self.attempt.device), seed=seed, progress=self.progress)


def serve(connection: Connection, stop: Event, folder: Path) -> None:
    """Take tasks from the pipe, one after the other, until it closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(5)  # the page answers first, where cores are few
    _end_with_parent(folder)
    lock = threading.Lock()

    def send(*message: Any) -> None:
        with lock:
            connection.send(message)

    while True:
        try:
            number, function, arguments, attempt = connection.recv()
        except (EOFError, OSError):
            return
        send(number, *_answer(number, function, arguments, attempt, stop, folder, send))


def _answer(
    number: int,
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    attempt: Attempt,
    stop: Event,
    folder: Path,
    send: Callable[..., None],
) -> Message:
    last = [0.0, ""]

    def progress(fraction: float, message: str) -> None:
        if stop.is_set():
            raise Cancelled
        now, stage = time.monotonic(), message.split(",")[0]
        # Each message redraws the page's panel: steps within a stage are told twice a second.
        if stage != last[1] or now - float(last[0]) > 0.5:  # type: ignore[arg-type]
            last[:] = [now, stage]
            send(number, "progress", float(fraction), str(message))

    path = folder / f"{uuid.uuid4().hex}.pickle"
    context = Context(folder, attempt, progress, lambda kind, value: send(number, kind, value))
    try:
        value = function(context, *arguments)
        with path.open("wb") as file:
            pickle.dump(value, file, protocol=5)
    except Cancelled:
        return ("cancelled",)
    except InputError as error:
        return ("refused", str(error))
    except Exception as error:
        path.unlink(missing_ok=True)
        if is_out_of_memory(error):
            return ("memory", attempt)
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return ("refused", "disk: expected room for the result, got a full disk; free some space and apply again")
        logger.exception("task failed")
        return ("failed", f"{type(error).__name__}: {error}")
    return ("done", str(path))


def is_out_of_memory(error: BaseException) -> bool:
    """True for the processor's and the graphics card's ways of saying that memory ran out."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)


def _end_with_parent(folder: Path) -> None:
    """When the server dies without saying so, end at once and take the session's folder along."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        mp_connection.wait([parent.sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
