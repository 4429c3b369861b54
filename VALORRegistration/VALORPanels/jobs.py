"""Runs a function in one persistent worker while the main thread keeps the window alive.

A bare Python thread makes no progress in Slicer while Qt's loop idles, so the main thread waits with the interpreter
lock released and handles events in between. The worker stays the same thread: cuDNN keeps its plans per thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import slicer

from valorlib.core.errors import Cancelled

POLL_S = 0.02
GRACE_S = 0.8


class Job:
    """One call in the worker: its progress, its outcome, and the wish to end it."""

    def __init__(self, function: Callable[[Callable[[float, str], None]], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.cancelled = threading.Event()
        self.fraction, self.message = 0.0, ""
        self.value: Any = None
        self.error: BaseException | None = None

    def progress(self, fraction: float, message: str) -> None:
        """Progress of the library; called in the worker."""
        if self.cancelled.is_set():
            raise Cancelled
        self.fraction, self.message = fraction, message

    def work(self) -> None:
        """Run in the worker."""
        try:
            self.value = self.function(self.progress)
        except BaseException as error:
            self.error = error
        self.done.set()


class JobRunner:
    """One job at a time; `run` returns when it is done, with events handled meanwhile."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Job | None] | None = None
        self._job: Job | None = None
        self.cancelWait_s = 0.0

    @property
    def busy(self) -> bool:
        """True while a job runs."""
        return self._job is not None

    def run(self, function: Callable[[Any], Any], onProgress: Callable[[float, str], None]) -> Any:
        """Value of `function(progress)`.

        Raises:
            Cancelled: `cancel` was called. What the function raises, this raises.
        """
        if self.busy:
            raise RuntimeError("a job is running")
        job = self._job = Job(function)
        self._start().put(job)
        shown = (-1.0, "")
        cancelledAt = 0.0
        try:
            while not job.done.wait(POLL_S):
                if (job.fraction, job.message) != shown:
                    shown = (job.fraction, job.message)
                    onProgress(*shown)
                slicer.app.processEvents()
                if job.cancelled.is_set():
                    cancelledAt = cancelledAt or time.monotonic()
                    if time.monotonic() - cancelledAt > GRACE_S:
                        # The step at hand is long: leave it to end by itself, and give the next job a new worker.
                        self._queue = None
                        break
        finally:
            self._job = None
            self.cancelWait_s = time.monotonic() - cancelledAt if cancelledAt else 0.0
        if job.cancelled.is_set():
            raise Cancelled
        if job.error is not None:
            raise job.error
        return job.value

    def cancel(self) -> None:
        """Ask the running job to end; `run` raises within a second."""
        if self._job is not None:
            self._job.cancelled.set()

    def close(self) -> None:
        """End the worker after its job."""
        self.cancel()
        if self._queue is not None:
            self._queue.put(None)
            self._queue = None

    def _start(self) -> queue.Queue[Job | None]:
        if self._queue is None:
            self._queue = queue.Queue()
            threading.Thread(target=_loop, args=(self._queue,), name="VALOR worker", daemon=True).start()
        return self._queue


def _loop(jobs: queue.Queue[Job | None]) -> None:
    while True:
        job = jobs.get()
        if job is None:
            return
        job.work()


class TimeLeft:
    """Estimates the time left from the progress so far."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def text(self, fraction: float) -> str:
        """Time left in words, empty while nothing can be said."""
        from slicer.i18n import tr as _

        spent = time.monotonic() - self._start
        if fraction < 0.03 or spent < 1.0:
            return ""
        left = spent * (1.0 - fraction) / fraction
        if left < 90:
            return _("about {seconds} s left").format(seconds=max(1, round(left)))
        return _("about {minutes} min left").format(minutes=round(left / 60))
