"""Stand-ins for the widget that places points and for the table view, on the real MRML scene."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from host.ctk_widgets import held

Property, Signal = QtCore.Property, QtCore.Signal


class qMRMLWidget(QtWidgets.QWidget):
    """A widget that holds the scene and passes it on."""

    mrmlSceneChanged = Signal(object)
    _scene: Any = None

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene


class qSlicerWidget(qMRMLWidget):
    """As qMRMLWidget; Slicer's own does not show its scene as a property."""


class qSlicerMarkupsPlaceWidget(qSlicerWidget):
    """Button that switches point placing on and off for a markups node."""

    activeMarkupsPlaceModeChanged = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._node: Any = None
        self._place = QtWidgets.QToolButton()
        self._place.text = "✛"
        self._place.checkable = True
        self._place.toolTip = "Place a control point"
        self._delete = QtWidgets.QToolButton()
        self._delete.text = "✕"
        self._delete.toolTip = "Delete last point"
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._place)
        layout.addWidget(self._delete)
        self._place.toggled.connect(self.setPlaceModeEnabled)
        self._delete.clicked.connect(self.deleteLastPoint)
        self._place.enabled = self._delete.enabled = False

    buttonsVisible = held(bool, "buttonsVisible", True)
    placeModePersistency = held(bool, "placeModePersistency", False)
    deleteAllControlPointsOptionVisible = held(bool, "deleteAllControlPointsOptionVisible", True)
    placeMultipleMarkups = held(int, "placeMultipleMarkups", 0)

    def _active(self) -> bool:
        interaction = self._interaction()
        return bool(interaction is not None and interaction.GetCurrentInteractionMode() == interaction.Place)

    def setPlaceModeEnabled(self, on: bool) -> None:
        interaction, selection = self._interaction(), slicer.app.applicationLogic().GetSelectionNode()
        if interaction is None or self._node is None:
            return
        was = self._active()
        if on:
            selection.SetReferenceActivePlaceNodeClassName(self._node.GetClassName())
            selection.SetActivePlaceNodeID(self._node.GetID())
            interaction.SetPlaceModePersistence(self.placeModePersistency)
            interaction.SetCurrentInteractionMode(interaction.Place)
        else:
            interaction.SetCurrentInteractionMode(interaction.ViewTransform)
        self._place.checked = bool(on)
        if was != bool(on):
            self.activeMarkupsPlaceModeChanged.emit(bool(on))

    placeModeEnabled = Property(bool, _active, setPlaceModeEnabled)

    def _interaction(self) -> Any:
        return slicer.app.applicationLogic().GetInteractionNode()

    def interactionNode(self) -> Any:
        return self._interaction()

    def currentNode(self) -> Any:
        return self._node

    def setCurrentNode(self, node: Any) -> None:
        if node is None and self._node is not None and self._active():
            self.setPlaceModeEnabled(False)
        self._node = node
        self._place.enabled = self._delete.enabled = node is not None

    def placeButton(self) -> Any:
        return self._place

    def deleteButton(self) -> Any:
        return self._delete

    def deleteLastPoint(self) -> None:
        if self._node is not None and self._node.GetNumberOfControlPoints():
            self._node.RemoveNthControlPoint(self._node.GetNumberOfControlPoints() - 1)

    def deleteAllPoints(self) -> None:
        self._node.RemoveAllControlPoints()


class qMRMLTableView(QtWidgets.QTableView):
    """Shows a table node."""

    mrmlSceneChanged = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene = self._table = self._tag = None
        self._items = QtGui.QStandardItemModel(self)
        self.setModel(self._items)
        self.setEditTriggers(QtWidgets.QAbstractItemView.NoEditTriggers)

    firstRowLocked = held(bool, "firstRowLocked", False)
    firstColumnLocked = held(bool, "firstColumnLocked", False)
    transposed = held(bool, "transposed", False)

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene
        self.mrmlSceneChanged.emit(scene)

    def mrmlScene(self) -> Any:
        return self._scene

    def mrmlTableNode(self) -> Any:
        return self._table

    def setMRMLTableNode(self, node: Any) -> None:
        if self._table is not None and self._tag is not None:
            self._table.RemoveObserver(self._tag)
        self._table = node
        self._tag = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._show()) if node else None
        self._show()

    def _show(self) -> None:
        self._items.clear()
        if self._table is None:
            return
        table = self._table.GetTable()
        columns = table.GetNumberOfColumns()
        self._items.setHorizontalHeaderLabels([table.GetColumnName(c) or "" for c in range(columns)])
        for row in range(table.GetNumberOfRows()):
            values = (table.GetValue(row, c) for c in range(columns))
            self._items.appendRow([QtGui.QStandardItem(v.ToString()) for v in values])
