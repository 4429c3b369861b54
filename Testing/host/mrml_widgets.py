"""Stand-ins for the qMRML and qSlicer widgets that the panels use, on the real MRML scene."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host.ctk_widgets import held
from host.mrml_views import qMRMLTableView, qMRMLWidget, qSlicerMarkupsPlaceWidget, qSlicerWidget

Property, Signal = QtCore.Property, QtCore.Signal
SCENE_EVENTS = ("EndBatchProcessEvent", "EndCloseEvent", "EndImportEvent")
NODE_EVENTS = ("NodeAddedEvent", "NodeRemovedEvent")


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Choose a node of some classes. Follows the real rules: nothing is chosen by itself when the scene is set."""

    currentNodeChanged = Signal(object)
    currentNodeIDChanged = Signal(str)
    nodeAddedByUser = Signal(object)
    nodeActivated = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._combo = QtWidgets.QComboBox()
        self._combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setMinimumContentsLength(12)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._combo)
        self.setFocusProxy(self._combo)
        self._scene: Any = None
        self._tags: list[tuple[Any, int]] = []
        self._ids: list[str] = []
        self._current = self._requested = ""
        self._filters: list[tuple[str, str, Any]] = []
        self._refreshing = False
        self._combo.activated.connect(self._on_activated)
        self._fill()

    nodeTypes = held("QStringList", "nodeTypes", [], after="_fill")
    noneEnabled = held(bool, "noneEnabled", False, after="_fill")
    addEnabled = held(bool, "addEnabled", True, after="_fill")
    removeEnabled = held(bool, "removeEnabled", True, after="_fill")
    renameEnabled = held(bool, "renameEnabled", False, after="_fill")
    editEnabled = held(bool, "editEnabled", False)
    showHidden = held(bool, "showHidden", False, after="_fill")
    showChildNodeTypes = held(bool, "showChildNodeTypes", True, after="_fill")
    hideChildNodeTypes = held("QStringList", "hideChildNodeTypes", [], after="_fill")
    noneDisplay = held(str, "noneDisplay", "None", after="_fill")
    baseName = held(str, "baseName", "")
    selectNodeUponCreation = held(bool, "selectNodeUponCreation", True)

    def _get_id(self) -> str:
        return self._current

    def setCurrentNodeID(self, node_id: Any) -> None:
        self._choose(node_id or "")

    currentNodeID = Property(str, _get_id, setCurrentNodeID)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        for held_by, tag in self._tags:
            held_by.RemoveObserver(tag)
        self._tags = []
        self._scene = scene
        if scene is not None:
            events = [getattr(slicer.vtkMRMLScene, name) for name in SCENE_EVENTS]
            self._tags = [(scene, scene.AddObserver(event, lambda *_: self._fill())) for event in events]

            @vtk.calldata_type(vtk.VTK_OBJECT)
            def one(_scene: Any, _event: str, node: Any) -> None:
                # As in the real widget, a node that the list would not show costs next to nothing.
                if node is None or node.GetID() in self._ids or any(node.IsA(name) for name in self._types()):
                    self._fill()

            self._tags += [(scene, scene.AddObserver(getattr(slicer.vtkMRMLScene, name), one)) for name in NODE_EVENTS]
        self._fill()

    def _types(self) -> list[str]:
        return list(QtCore.QObject.property(self, "nodeTypes") or ())

    def _accepts(self, node: Any) -> bool:
        if node.GetHideFromEditors() and not self.showHidden:
            return False
        if any(node.IsA(name) for name in self.hideChildNodeTypes):
            return False
        fits = node.IsA if self.showChildNodeTypes else node.GetClassName().__eq__
        wanted = [name for name in self.nodeTypes if fits(name)]
        rules = [(key, value) for name, key, value in self._filters if name in wanted]
        return bool(wanted) and all(
            node.GetAttribute(key) is not None and value in (None, "", node.GetAttribute(key)) for key, value in rules
        )

    def _nodes(self) -> list[Any]:
        if self._scene is None or self._scene.IsBatchProcessing():
            return [] if self._scene is None else [self._scene.GetNodeByID(i) for i in self._ids if i]
        count = self._scene.GetNumberOfNodes()
        return [n for n in (self._scene.GetNthNode(k) for k in range(count)) if self._accepts(n)]

    def _fill(self) -> None:
        if self._refreshing:
            return
        self._refreshing = True
        nodes = [n for n in self._nodes() if n is not None]
        # The real widget keeps a choice by its id, and jumps to the last node when the chosen one goes away.
        self._combo.clear()
        self._ids = []
        if self.noneEnabled:
            self._combo.addItem(self.noneDisplay)
            self._ids.append("")
        for node in nodes:
            self._combo.addItem(node.GetName() or node.GetID())
            self._ids.append(node.GetID())
        extra = [("add", self.addEnabled and self.nodeTypes), ("remove", self.removeEnabled)]
        for action, wanted in extra:
            if wanted and self._scene is not None:
                label = self._label()
                self._combo.addItem(f"Create new {label}" if action == "add" else f"Delete current {label}", action)
        self._refreshing = False
        if self._requested in self._ids and self._requested:
            # A node that was asked for before the list knew it, as while a scene is loaded.
            self._choose(self._requested)
            return
        lost = self._current and self._current not in self._ids
        if lost:
            fallback = "" if self.noneEnabled or not nodes else nodes[-1].GetID()
            self._choose(fallback)
        else:
            self._mark()

    def _label(self) -> str:
        kind = self.nodeTypes[0] if self.nodeTypes else "node"
        return kind.removeprefix("vtkMRML").removesuffix("Node")

    def _mark(self) -> None:
        self._combo.setCurrentIndex(self._ids.index(self._current) if self._current in self._ids else -1)
        self._combo.setPlaceholderText(f"Select a {self._label()}")

    def _choose(self, node_id: str) -> None:
        self._requested = node_id if node_id not in self._ids else ""
        if node_id and node_id not in self._ids:
            node_id = ""
        changed = node_id != self._current
        self._current = node_id
        self._mark()
        if changed:
            self.currentNodeIDChanged.emit(node_id)
            self.currentNodeChanged.emit(self.currentNode())

    def _on_activated(self, index: int) -> None:
        action = self._combo.itemData(index)
        if action == "add":
            node = self.addNode()
            self.nodeAddedByUser.emit(node)
        elif action == "remove":
            self.removeCurrentNode()
        elif 0 <= index < len(self._ids):
            self._choose(self._ids[index])

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def currentNodeId(self) -> str:
        return self._current

    def setCurrentNode(self, node: Any) -> None:
        self._choose((node if isinstance(node, str) else node.GetID()) if node is not None else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        ids = [i for i in self._ids if i]
        self._choose(ids[index] if 0 <= index < len(ids) else "")

    def nodeCount(self) -> int:
        return len([i for i in self._ids if i])

    def nodeFromIndex(self, index: int) -> Any:
        return self._scene.GetNodeByID([i for i in self._ids if i][index])

    def addAttribute(self, node_type: str, key: str, value: Any = None) -> None:
        self._filters.append((node_type, key, value))
        self._fill()

    def addNode(self, node_type: str = "") -> Any:
        kind = node_type or self.nodeTypes[0]
        name = self._scene.GenerateUniqueName(self.baseName or self._label())
        node = self._scene.AddNewNodeByClass(kind, name)
        if self.selectNodeUponCreation:
            self._choose(node.GetID())
        return node

    def removeCurrentNode(self) -> None:
        if self.currentNode() is not None:
            self._scene.RemoveNode(self.currentNode())


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Choose several nodes: a click in the list ticks a node or clears its tick."""

    checkedNodesChanged = Signal()

    def __init__(self, parent: Any = None) -> None:
        self._checked: list[str] = []
        super().__init__(parent)

    def _fill(self) -> None:
        known = len(self._checked)
        super()._fill()
        self._checked = [i for i in self._checked if i in self._ids]
        self._show_ticks()
        if len(self._checked) != known:
            self.checkedNodesChanged.emit()

    def _show_ticks(self) -> None:
        for row, node_id in enumerate(self._ids):
            ticked = QtCore.Qt.Checked if node_id in self._checked else QtCore.Qt.Unchecked
            self._combo.setItemData(row, ticked, QtCore.Qt.CheckStateRole)
        names = ", ".join(node.GetName() for node in self.checkedNodes())
        self._combo.setCurrentIndex(-1)
        self._combo.setPlaceholderText(names or self.noneDisplay)

    def _mark(self) -> None:
        self._combo.setCurrentIndex(-1)

    def _on_activated(self, index: int) -> None:
        if 0 <= index < len(self._ids):
            node = self._scene.GetNodeByID(self._ids[index])
            (self.uncheck if self._ids[index] in self._checked else self.check)(node)

    def check(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.Checked)

    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.Unchecked)

    def setCheckState(self, node: Any, state: Any) -> None:
        node_id, wanted = node.GetID(), state == QtCore.Qt.Checked
        if node_id not in self._ids or wanted == (node_id in self._checked):
            return
        (self._checked.append if wanted else self._checked.remove)(node_id)
        self._show_ticks()
        self.checkedNodesChanged.emit()

    def checkState(self, node: Any) -> Any:
        return QtCore.Qt.Checked if node.GetID() in self._checked else QtCore.Qt.Unchecked

    def checkedNodes(self) -> list[Any]:
        return [self._scene.GetNodeByID(i) for i in self._ids if i in self._checked]

    def noneChecked(self) -> bool:
        return not self._checked


CLASSES = (
    qMRMLWidget,
    qSlicerWidget,
    qMRMLNodeComboBox,
    qMRMLCheckableNodeComboBox,
    qSlicerMarkupsPlaceWidget,
    qMRMLTableView,
)
