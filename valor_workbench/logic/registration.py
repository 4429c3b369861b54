"""VALORRegistration: from the scans and clicks in the scene to a result in the scene."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from valor_workbench import tasks_registration
from valor_workbench.logic.method import MethodLogic
from valor_workbench.logic.runs import RunLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.seeds import SeedsLogic
from valor_workbench.logic.session import Session
from valor_workbench.tasks_registration import Registered
from valorlib.core.errors import InputError
from valorlib.core.points import PointPair
from valorlib.core.transforms import DisplacementField
from valorlib.scene.nodes import ResultNodes


class RegistrationLogic:
    """Apply of the registration panel."""

    def __init__(
        self, session: Session, scans: ScansLogic, seeds: SeedsLogic, method: MethodLogic, run: RunLogic
    ) -> None:
        self._session, self._scans, self._seeds, self._method, self._run = session, scans, seeds, method, run
        self.landmarks: PointPair | None = None
        self.truth: DisplacementField | None = None
        self.truth_of = ("", "")
        self.finished: list[Callable[[ResultNodes, Registered], None]] = []
        scans.changed.append(self.check)
        self.check()

    def check(self) -> None:
        """Say on the page why Apply cannot start, or nothing."""
        with self._session.server.state:
            self._run.state.data.why_not = self.why_not()

    def why_not(self) -> str:
        """One sentence on what is missing, or nothing."""
        fixed, moving = self._scans.node("fixed"), self._scans.node("moving")
        if fixed is None:
            return (
                "Choose the fixed scan."
                if self._scans.state.data.items
                else "Open two scans, or the generated example."
            )
        if moving is None:
            return "Choose the moving scan."
        if fixed is moving:
            return "Fixed and moving are the same scan; choose two."
        return ""

    def apply(self) -> None:
        """Start the run."""
        reason = self.why_not()
        if reason:
            raise InputError(reason)
        if self._session.runs.full:
            raise InputError("One run goes on and one waits; cancel or wait before starting another.")
        self._session.start(self._go())

    async def _go(self) -> None:
        from valorlib.scene import valor_registration as scene_functions

        if self._method.options is None:
            self._method.load()
        fixed, moving = self._scans.node("fixed"), self._scans.node("moving")
        side = self._seeds.state.data.on
        pair = scene_functions.read_inputs(self._session.scene, fixed, moving, seeds=self._seeds.lists(), seeds_on=side)
        self._session.workspace.stop_placing()
        name, options = self._method.state.data.name, self._method.options
        values = self._scans.state.data
        known = (values.fixed, values.moving) == self.truth_of
        landmarks, truth = (self.landmarks, self.truth) if known else (None, None)
        landmarks = self._scans.landmarks() or landmarks
        done: Registered = await self._run.run(tasks_registration.register, pair, name, options, landmarks, truth, 0)
        self._seeds.end_preview()
        field = done.result.displacement
        if field is None:
            raise InputError("result: expected a displacement field; choose another method")
        outcome = scene_functions.Outcome(done.result, field, done.warped, done.jacobian, done.record["numbers"])
        outcome = await asyncio.to_thread(scene_functions.prepared, outcome)
        nodes = await self._session.in_steps(scene_functions.write_steps(self._session.scene, outcome, fixed, moving))
        self._scans.refresh()
        for call in self.finished:
            await asyncio.sleep(0.005)
            call(nodes, done)

    def cancel(self) -> None:
        """End the run."""
        self._run.cancel()

    def set_option(self, name: Any, value: Any) -> None:
        """Change one option of the method."""
        self._method.set_option(name, value)
