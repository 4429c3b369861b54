"""What every run shows: why it cannot start, stage, progress, time left, the note of a second try."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from valor_workbench.jobs import Progress
from valor_workbench.logic.session import Session
from valor_workbench.states import RunState


class RunLogic:
    """The state of the run box; one for all panels, since one run goes on at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = session.typed(RunState)

    async def run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run a task with its progress on the page."""
        runs, server = self._session.runs, self._session.server
        waiting = runs.busy

        def show(progress: Progress) -> None:
            nonlocal waiting
            if progress.message.startswith("Waiting"):
                return
            if waiting:
                # Its turn has come: what it waited for may have been no run but the worker's first imports.
                waiting = False
                with server.state:
                    self.state.data.queued = 0
            self._show(progress)

        with server.state:
            self._session.say("")
            self.state.data.note = ""
            self.state.data.queued = 1 if waiting else 0
            self.state.data.running = True
        try:
            return await runs.run(function, *arguments, on_progress=show)
        finally:
            with server.state:
                self.state.data.running = runs.busy
                self.state.data.queued = 0
                self.state.data.percent = 0.0

    def _show(self, progress: Progress) -> None:
        with self._session.server.state:
            data = self.state.data
            data.percent = round(100 * progress.fraction, 1)
            data.message = progress.message
            data.left = "" if progress.left_s is None else time_words(progress.left_s)
            data.note = progress.note or data.note

    def cancel(self) -> None:
        """End the running task and forget the waiting one."""
        with self._session.server.state:
            self.state.data.message, self.state.data.left = "Cancelling", ""
        self._session.runs.cancel_all()


def time_words(seconds: float) -> str:
    """About how long, for people."""
    if seconds < 5:
        return "a few seconds left"
    if seconds < 90:
        return f"about {5 * round(seconds / 5):.0f} s left"
    return f"about {seconds / 60:.0f} min left"
