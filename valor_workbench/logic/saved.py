"""What the panels hold, saved with the scene in the parameter nodes of Slicer's panels, so that Slicer shows it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from valor_workbench import nodes as scene_nodes
from valor_workbench.logic.method import MethodLogic
from valor_workbench.logic.points import PointsLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.seeds import SeedsLogic
from valor_workbench.logic.session import Session
from valor_workbench.logic.uncertainty import SAVED_NODES, UncertaintyLogic

IMAGES, POINTS, TRUST = "VALORRegistration", "PointCloudRegistration", "UncertaintyViewer"
SCANS = ("fixed", "moving")
METHOD = ("method", "preset", "options")


class SavedLogic:
    """Writes the choices of the page into the scene before it is saved; reads them when a scene was loaded."""

    def __init__(
        self, session: Session, scans: ScansLogic, seeds: SeedsLogic, points: PointsLogic, trust: UncertaintyLogic
    ) -> None:
        self._session, self._scans, self._seeds = session, scans, seeds
        self._points, self._trust = points, trust
        self.methods: dict[str, MethodLogic] = {}

    def write(self) -> None:
        """Put what the page holds into the scene."""
        scans = {f"{side}Volume": self._scans.node(side) for side in SCANS}
        landmarks = {f"{side}Landmarks": self._by_id(f"{side}_landmarks") for side in SCANS}
        on_fixed = str(self._seeds.state.data.on == "fixed")
        self._put(IMAGES, self.methods[IMAGES].settings() | {"seedsOnFixed": on_fixed}, scans | landmarks)
        values, sides = self._points.settings()
        first = {f"{side}Organs": nodes[0] if nodes else None for side, nodes in zip(SCANS, sides, strict=True)}
        held = self._put(POINTS, self.methods[POINTS].settings() | values, first)
        for side, nodes in zip(SCANS, sides, strict=True):
            held.RemoveNodeReferenceIDs(f"{side}Models")
            for node in nodes[1:]:
                held.AddNodeReferenceID(f"{side}Models", node.GetID())
        values, chosen = self._trust.settings()
        self._put(TRUST, values, scans | landmarks | dict(zip(SAVED_NODES, chosen, strict=True)))

    def read(self) -> None:
        """Show what the scene holds."""
        held = {name: self._node(name) for name in (IMAGES, POINTS, TRUST)}
        images, points, trust = (held[name] for name in (IMAGES, POINTS, TRUST))
        if images is not None:
            self._read_scans(images)
        for name, node in held.items():
            if node is not None and name in self.methods:
                self.methods[name].restore(*(node.GetParameter(key) or "" for key in METHOD))
        if points is not None:
            self._points.restore(
                _values(points, ("organs", "matrix")),
                [_nodes(points, (f"{side}Organs", f"{side}Models")) for side in SCANS],
            )
        if trust is not None:
            names = [name for name in trust.GetParameterNames() if isinstance(name, str)]
            self._trust.restore(_values(trust, names), [trust.GetNodeReference(name) for name in SAVED_NODES])

    def _read_scans(self, held: Any) -> None:
        fixed, moving = (held.GetNodeReference(f"{side}Volume") for side in SCANS)
        data = self._scans.state.data
        with self._session.server.state:
            for name, node in (("fixed", fixed), ("moving", moving)):
                if node is not None:
                    setattr(data, name, node.GetID())
            for side in SCANS:
                node = held.GetNodeReference(f"{side}Landmarks")
                if node is not None and node.GetAttribute(scene_nodes.LANDMARKS):
                    setattr(data, f"{side}_landmarks", node.GetID())
            self._seeds.state.data.on = "fixed" if held.GetParameter("seedsOnFixed") == "True" else "moving"

    def _by_id(self, name: str) -> Any:
        chosen = str(getattr(self._scans.state.data, name) or "")
        return self._session.scene.GetNodeByID(chosen) if chosen else None

    def _node(self, module: str) -> Any:
        """The parameter node of a module, or None; of several the last, which came with the newest scene."""
        scene, kind, found = self._session.scene, "vtkMRMLScriptedModuleNode", None
        for n in range(scene.GetNumberOfNodesByClass(kind)):
            node = scene.GetNthNodeByClass(n, kind)
            if node.GetAttribute("ModuleName") == module:
                found = node
        return found

    def _put(self, module: str, values: dict[str, str], references: dict[str, Any]) -> Any:
        node = self._node(module)
        if node is None:
            node = self._session.scene.CreateNodeByClass("vtkMRMLScriptedModuleNode")
            node.UnRegister(None)
            node.SetSingletonTag(module)
            node.SetAttribute("ModuleName", module)
            node.SetModuleName(module)
            node.SetName(module)
            node = self._session.scene.AddNode(node)
        for name, value in values.items():
            node.SetParameter(name, value)
        for name, target in references.items():
            node.SetNodeReferenceID(name, target.GetID() if target is not None else None)
        return node


def _values(node: Any, names: Iterable[str]) -> dict[str, str]:
    return {name: node.GetParameter(name) or "" for name in names}


def _nodes(node: Any, roles: Iterable[str]) -> list[Any]:
    """Every node that is referred to in one of the roles, each once."""
    found: list[Any] = []
    for role in roles:
        referred = (node.GetNthNodeReference(role, n) for n in range(node.GetNumberOfNodeReferences(role)))
        found += [one for one in referred if one is not None and one not in found]
    return found
