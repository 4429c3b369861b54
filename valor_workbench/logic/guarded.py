"""The door between page and logic: whatever a handler raises becomes one sentence on the page."""

from __future__ import annotations

from typing import Any

from valor_workbench.logic.session import Session


class Guarded:
    """A logic object whose public methods never raise; the page gets this one."""

    def __init__(self, session: Session, logic: Any) -> None:
        self._session, self._logic = session, logic

    def __getattr__(self, name: str) -> Any:
        """The method of the logic object, guarded."""
        if name.startswith("_"):
            raise AttributeError(name)
        return self._session.guarded(getattr(self._logic, name))
