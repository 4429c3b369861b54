"""Runs tasks in a process of their own: progress, time left, cancel, kill, another try when memory runs out.

The server's loop only looks at a pipe; whatever a task returns comes back as a file that a thread reads.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import multiprocessing
import pickle
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

from valor_workbench import worker
from valor_workbench.worker import Attempt
from valorlib.core.errors import Cancelled, InputError

logger = logging.getLogger(__name__)
POLL_S = 0.03
GRACE_S = 0.4


class JobFailed(RuntimeError):
    """A task ended without a result; the text is for the user."""


@dataclass
class Progress:
    """What the page shows of a running task. left_s: None while nothing is known."""

    fraction: float = 0.0
    message: str = ""
    left_s: float | None = None
    note: str = ""


@dataclass
class TimeLeft:
    """Guesses how long a task still takes, from its own pace."""

    started: float = field(default_factory=time.monotonic)
    left_s: float | None = None

    def update(self, fraction: float, now: float | None = None) -> float | None:
        """Seconds left, smoothed; None during the first 1.5 s or 3 percent."""
        spent = (time.monotonic() if now is None else now) - self.started
        if spent < 1.5 or fraction < 0.03:
            return None
        guess = spent * (1 - fraction) / fraction
        self.left_s = guess if self.left_s is None else 0.7 * self.left_s + 0.3 * guess
        return self.left_s


class JobRunner:
    """One worker process; one task at a time, and a few that wait.

    folder: the session's own; results pass through it. waiting: how many tasks may wait beside the running one.
    """

    def __init__(self, folder: Path, *, waiting: int = 1) -> None:
        self._folder = folder
        self._most = 1 + waiting
        self._context = multiprocessing.get_context("spawn")
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._stop: Event = self._context.Event()
        self._numbers = itertools.count(1)
        self._lock = asyncio.Lock()
        self._tickets: list[int] = []
        self._current: int | None = None
        self._dropped: set[int] = set()

    @property
    def pid(self) -> int | None:
        """Process id of the worker, when one runs."""
        return self._process.pid if self._process is not None and self._process.is_alive() else None

    @property
    def busy(self) -> bool:
        """True while a task runs or waits."""
        return bool(self._tickets)

    @property
    def full(self) -> bool:
        """True when no further task is taken."""
        return len(self._tickets) >= self._most

    def warm_up(self) -> None:
        """Start the worker before it is needed."""
        if self.pid is None:
            self._start()

    async def run(
        self,
        function: Callable[..., Any],
        *arguments: Any,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        on_message: Callable[[str, Any], None] = lambda kind, value: None,
        device: str = "auto",
    ) -> Any:
        """The value of function(context, *arguments), computed in the worker.

        Raises:
            Cancelled: `cancel` was called. InputError: the task refused its input.
            JobFailed: the worker ended, memory ran out at every size, or a bug.
        """
        if self.full:
            raise InputError(f"run: expected at most {self._most} at once; wait for one to end or cancel it")
        ticket = next(self._numbers)
        self._tickets.append(ticket)
        try:
            if self._lock.locked():
                on_progress(Progress(message="Waiting for the run before it"))
            async with self._lock:
                if ticket in self._dropped:
                    raise Cancelled
                self._current = ticket
                return await self._tries(function, arguments, on_progress, on_message, device)
        finally:
            self._current = None
            self._tickets.remove(ticket)
            self._dropped.discard(ticket)

    async def _tries(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        on_progress: Callable[[Progress], None],
        on_message: Callable[[str, Any], None],
        device: str,
    ) -> Any:
        note = ""
        for attempt in attempts(device):
            outcome = await self._once(function, arguments, attempt, on_progress, on_message, note)
            if outcome[0] == "done":
                return await asyncio.to_thread(_take, Path(outcome[1]))
            if outcome[0] == "cancelled":
                raise Cancelled
            if outcome[0] == "refused":
                raise InputError(outcome[1])
            if outcome[0] != "memory":
                raise JobFailed(outcome[1])
            self._kill()
            note = after_memory_error(attempt)
        raise JobFailed("The memory is too small even at half size; close other programs or crop the images.")

    async def _once(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        attempt: Attempt,
        on_progress: Callable[[Progress], None],
        on_message: Callable[[str, Any], None],
        note: str,
    ) -> tuple[Any, ...]:
        self.warm_up()
        if self._pipe is None:
            raise JobFailed("The computing process could not be started; restart the workbench.")
        self._stop.clear()
        number = next(self._numbers)
        clock = TimeLeft()
        on_progress(Progress(0.0, "Starting", None, note))
        try:
            await asyncio.to_thread(self._pipe.send, (number, function, arguments, attempt))
        except OSError:
            return ("failed", self._epitaph())
        asked_to_stop = 0.0
        while True:
            for message in self._messages(number):
                if message[0] == "progress":
                    fraction = min(1.0, max(0.0, message[1]))
                    on_progress(Progress(fraction, message[2], clock.update(fraction), note))
                elif message[0] in ("done", "cancelled", "refused", "failed", "memory"):
                    return message
                else:
                    on_message(message[0], message[1])
            if self.pid is None:
                return ("cancelled",) if self._stop.is_set() else ("failed", self._epitaph())
            if self._stop.is_set():
                asked_to_stop = asked_to_stop or time.monotonic()
                if time.monotonic() - asked_to_stop > GRACE_S:
                    self._kill()
                    return ("cancelled",)
            await asyncio.sleep(POLL_S)

    def _messages(self, number: int) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = []
        try:
            while self._pipe is not None and self._pipe.poll():
                message = self._pipe.recv()
                if message[0] == number:
                    found.append(message[1:])
        except (EOFError, OSError):
            pass
        return found

    def cancel(self) -> None:
        """End the running task within a second; what waits stays."""
        if self._current is not None:
            self._stop.set()

    def cancel_all(self) -> None:
        """End the running task and forget those that wait."""
        self._dropped.update(ticket for ticket in self._tickets if ticket != self._current)
        self.cancel()

    def close(self) -> None:
        """End the worker."""
        self._kill()

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        self._stop = self._context.Event()
        self._process = self._context.Process(
            target=worker.serve, args=(theirs, self._stop, self._folder), daemon=True, name="valor-worker"
        )
        self._process.start()
        theirs.close()
        self._pipe = ours

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join(2)
        if self._pipe is not None:
            self._pipe.close()
        self._process, self._pipe = None, None

    def _epitaph(self) -> str:
        code = self._process.exitcode if self._process is not None else None
        self._kill()
        why = "the system may have run out of memory" if code == -9 else f"exit code {code}"
        return f"The computing process ended unexpectedly ({why}); nothing was changed, Apply starts it again."


def attempts(device: str) -> tuple[Attempt, ...]:
    """What is tried in turn when memory runs out."""
    first = (Attempt(device), Attempt("cpu")) if device != "cpu" else (Attempt("cpu"),)
    return (*first, Attempt("cpu", 2))


def after_memory_error(attempt: Attempt) -> str:
    """The sentence that tells the user what happens now."""
    if attempt.device != "cpu":
        return "The graphics card ran out of memory; running again on the processor."
    return "The memory ran out; running again at half the resolution."


def _take(path: Path) -> Any:
    """Read a result that our own worker wrote into our own folder, and remove the file."""
    try:
        with path.open("rb") as file:
            return pickle.load(file)
    finally:
        path.unlink(missing_ok=True)
