"""Views draw one after the other, with the server's answers in between."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Any, ClassVar, Literal

from trame_rca.schedulers import RcaImageRenderScheduler


class Turns:
    """Lets one view draw, then the server answer, then the next view draw; all at once would be a long silence."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self.drawn = 0.0

    async def come(self) -> None:
        """Return when it is the caller's turn to draw."""
        async with self._lock:
            if monotonic() - self.drawn < 0.003:
                await asyncio.sleep(0.004)
            for _ in range(6):  # what came in meanwhile takes a few turns of the loop to be answered
                await asyncio.sleep(0)


class _AskedInTurn(asyncio.Event):
    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns = turns

    async def wait(self) -> Literal[True]:
        await super().wait()
        await self._turns.come()
        return True


class InTurn(RcaImageRenderScheduler):  # type: ignore[misc]
    """Scheduler of one view; all views share the turns."""

    turns: ClassVar = Turns()

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._request_event = _AskedInTurn(self.turns)

    async def _wait_for_still(self, since: float) -> bool:
        wanted = bool(await super()._wait_for_still(since))
        await self.turns.come()
        return wanted and not self._request_event.is_set()

    def _render_frame(self, quality: int) -> None:
        super()._render_frame(quality)
        self.turns.drawn = monotonic()
