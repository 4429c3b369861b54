"""What the three modules share: making nodes, remembering what a run made, and taking it back.

All functions get the scene (or nodes of it) passed in, run on the main thread, and touch MRML alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

RUN = "VALOR.run"
"""Attribute of a node: the run that made it."""
ROLE = "VALOR.role"
"""Attribute of a node: what it is in that run, e.g. "warped", "transform", "jacobian", "folds"."""


@dataclass(frozen=True)
class ResultNodes:
    """The nodes that one run made.

    run: name of the run, its own in the scene. roles: role to node ID, the nodes a face shows. ids: every node ID that
    the run made. before: slice composite node ID to the (background, foreground, label, opacity) it had.
    """

    run: str
    roles: Mapping[str, str]
    ids: tuple[str, ...] = ()
    before: Mapping[str, tuple[str, str, str, float]] = field(default_factory=dict)

    def node(self, scene: Any, role: str) -> Any:
        """Node of a role, or None when the run made none or it was deleted."""
        return scene.GetNodeByID(self.roles[role]) if role in self.roles else None


def remove(scene: Any, results: ResultNodes) -> None:
    """Take a run back: its nodes go, the slice views show what they showed before."""
    raise NotImplementedError


def find_results(scene: Any) -> list[ResultNodes]:
    """Runs whose nodes are in the scene, oldest first; works after save and reload too."""
    raise NotImplementedError


def show(
    scene: Any,
    background: Any = None,
    foreground: Any = None,
    *,
    label: Any = None,
    opacity: float | None = None,
) -> None:
    """Set the layers of every slice view (composite node); None leaves a layer as it is. Adds no views."""
    raise NotImplementedError


def set_blend(scene: Any, opacity: float) -> None:
    """Opacity of the foreground in every slice view, 0 to 1."""
    raise NotImplementedError


def jump_to(scene: Any, point_ras: Iterable[float]) -> None:
    """Center every slice view on a point, RAS mm."""
    raise NotImplementedError
