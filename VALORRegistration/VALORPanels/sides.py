"""The two sides of PointCloudRegistration: a segmentation or model each, and any number of models beside it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import qt

SIDES = ("fixed", "moving")


class SideModels:
    """Ticked models of both sides, kept as node references, so that they come back with the scene."""

    def __init__(self, ui: Any, parameters: Callable[[], Any], onChanged: Callable[[], None]) -> None:
        self._parameters, self._onChanged = parameters, onChanged
        self._boxes = {"fixed": ui.fixedModelsSelector, "moving": ui.movingModelsSelector}
        self._quiet = False
        for side, box in self._boxes.items():
            box.connect("checkedNodesChanged()", lambda side=side: self._ticked(side))

    def show(self) -> None:
        """Tick what the parameter node refers to."""
        held = self._parameters()
        if held is None:
            return
        self._quiet = True
        for side, box in self._boxes.items():
            wanted = _referred(held.parameterNode, side)
            for node in box.checkedNodes():
                if node not in wanted:
                    box.setCheckState(node, qt.Qt.Unchecked)
            for node in wanted:
                box.setCheckState(node, qt.Qt.Checked)
        self._quiet = False

    def _ticked(self, side: str) -> None:
        held = self._parameters()
        if self._quiet or held is None:
            return
        held.parameterNode.RemoveNodeReferenceIDs(_role(side))
        for node in self._boxes[side].checkedNodes():
            held.parameterNode.AddNodeReferenceID(_role(side), node.GetID())
        self._onChanged()


def nodesOf(held: Any, side: str) -> list[Any]:
    """The chosen node of a side and the models ticked beside it, each once."""
    chosen = held.fixedOrgans if side == "fixed" else held.movingOrgans
    nodes = [chosen] if chosen is not None else []
    return nodes + [node for node in _referred(held.parameterNode, side) if node not in nodes]


def _referred(parameterNode: Any, side: str) -> list[Any]:
    count = parameterNode.GetNumberOfNodeReferences(_role(side))
    found = (parameterNode.GetNthNodeReference(_role(side), n) for n in range(count))
    return [node for node in found if node is not None]


def _role(side: str) -> str:
    return f"{side}Models"
