"""The clinician's clicks: one point list a tumor, one for background, placed by the place button; undo and preview."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from valorlib.core.errors import Cancelled, InputError
from VALORPanels import tumors

TUMOR = "VALOR.tumor"
COLORS = ((0.2, 0.5, 1.0), (1.0, 0.25, 0.2), (1.0, 0.75, 0.1), (0.3, 0.85, 0.4), (0.9, 0.4, 0.9), (0.3, 0.85, 0.9))
PREVIEW_DELAY_MS = 60

logger = logging.getLogger(__name__)


def seedLists() -> list[Any]:
    """Point lists with clicks, background (tumor 0) first, then by tumor."""
    nodes = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")
    held = [n for n in nodes if (n.GetAttribute(TUMOR) or "").isdigit()]
    return sorted(held, key=lambda n: int(n.GetAttribute(TUMOR)))


def addSeedList(tumor: int) -> Any:
    """A new point list for a tumor; 0: background."""
    name = _("Background clicks") if tumor == 0 else _("Tumor {number} clicks").format(number=tumor)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    node.SetAttribute(TUMOR, str(tumor))
    node.SetControlPointLabelFormat("-" if tumor == 0 else f"{tumor}")
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetSelectedColor(*COLORS[tumor % len(COLORS)])
    display.SetColor(*COLORS[tumor % len(COLORS)])
    display.SetTextScale(2.0)
    return node


def clickedTumors() -> list[Any]:
    """Lists of the tumors that have a click, by number."""
    return [node for node in seedLists() if node.GetAttribute(TUMOR) != "0" and clicksIn(node)]


def clicksIn(node: Any) -> int:
    """Number of points that are placed, the one under the mouse left out."""
    return int(node.GetNumberOfDefinedControlPoints())


class SeedSection:
    """Table of the lists, place button, undo; calls back when the clicks change."""

    def __init__(self, panel: Any, ui: Any, onChanged: Callable[[], None]) -> None:
        self._panel, self._ui, self._onChanged = panel, ui, onChanged
        self._observed: list[Any] = []
        self._volumes_ml: dict[int, float] = {}
        self._order: list[tuple[str, str]] = []
        table = ui.seedTable
        table.setColumnCount(5)
        table.setHorizontalHeaderLabels([_("List"), _("Clicks"), _("Volume"), _("Motion"), _("Reach")])
        table.horizontalHeaderItem(4).setToolTip(_("How far the tumor reaches from its middle: mm, or a line's name"))
        table.horizontalHeader().setStretchLastSection(True)
        table.verticalHeader().setVisible(False)
        table.connect("itemChanged(QTableWidgetItem*)", self._extentTyped)
        table.connect("itemSelectionChanged()", self._selected)
        ui.addTumorButton.connect("clicked(bool)", self.addTumor)
        ui.backgroundButton.connect("clicked(bool)", self.addBackground)
        ui.undoClickButton.connect("clicked(bool)", self.undo)
        ui.removeTumorButton.connect("clicked(bool)", self.removeList)
        ui.seedPlaceWidget.placeModePersistency = True

    def refresh(self, choose: Any = None) -> None:
        """Show the lists of the scene; observe their points."""
        lists = seedLists()
        keep = choose if choose is not None else self.current()
        self._observe(lists)
        table = self._ui.seedTable
        table.blockSignals(True)
        table.setRowCount(len(lists))
        for row, node in enumerate(lists):
            tumor = int(node.GetAttribute(TUMOR))
            volume = f"{self._volumes_ml[tumor]:.2f} ml" if tumor in self._volumes_ml and tumor else ""
            for column, text in enumerate((node.GetName(), str(clicksIn(node)), volume)):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
                table.setItem(row, column, item)
            if tumor:
                table.setCellWidget(row, 3, tumors.motionBox(node))
                reach = qt.QTableWidgetItem(node.GetAttribute(tumors.EXTENT) or "")
                reach.setToolTip(
                    _("In mm, or the name of a line from the tumor's middle to its farthest point; empty: not known")
                )
                table.setItem(row, 4, reach)
            else:
                table.removeCellWidget(row, 3)
                table.takeItem(row, 4)
        table.resizeColumnsToContents()
        ids = [node.GetID() for node in lists]
        if keep is not None and keep.GetID() in ids:
            table.selectRow(ids.index(keep.GetID()))
        elif lists:
            table.selectRow(len(lists) - 1)
        table.blockSignals(False)
        self._selected()
        self._ui.undoClickButton.enabled = bool(self._order)
        self._ui.removeTumorButton.enabled = bool(lists)

    def _extentTyped(self, item: Any) -> None:
        if item.column() == 4 and item.row() < len(self._observed):
            tumors.setExtent(self._observed[item.row()], item.text())
            self._onChanged()

    def current(self) -> Any:
        """The list of the chosen row, or None."""
        row = self._ui.seedTable.currentRow()
        return self._observed[row] if 0 <= row < len(self._observed) else None

    def addTumor(self) -> None:
        """A list for one more tumor; its place button is pressed."""
        numbers = [int(n.GetAttribute(TUMOR)) for n in seedLists()]
        self._place(addSeedList(max([0, *numbers]) + 1))

    def addBackground(self) -> None:
        """The list of background clicks, made when there is none."""
        held = [n for n in seedLists() if n.GetAttribute(TUMOR) == "0"]
        self._place(held[0] if held else addSeedList(0))

    def undo(self) -> None:
        """Take back the last click."""
        while self._order:
            nodeID, pointID = self._order.pop()
            node = slicer.mrmlScene.GetNodeByID(nodeID)
            index = node.GetNthControlPointIndexByID(pointID) if node is not None else -1
            if index >= 0:
                node.RemoveNthControlPoint(index)
                break
        self._changed()

    def removeList(self) -> None:
        """Remove the chosen list with its clicks."""
        node = self.current()
        if node is not None:
            self._ui.seedPlaceWidget.setCurrentNode(None)
            slicer.mrmlScene.RemoveNode(node)
            self._changed()

    def showVolumes(self, volumes_ml: dict[int, float]) -> None:
        """Show the volume of each tumor found."""
        self._volumes_ml = volumes_ml
        self.refresh()

    def stopPlacing(self) -> None:
        """Leave place mode."""
        self._ui.seedPlaceWidget.setPlaceModeEnabled(False)
        self._ui.seedPlaceWidget.setCurrentNode(None)

    def close(self) -> None:
        """Observe nothing more."""
        self._observe([])

    def _place(self, node: Any) -> None:
        self.refresh(node)
        self._ui.seedPlaceWidget.setPlaceModeEnabled(True)

    def _selected(self) -> None:
        node = self.current()
        if self._ui.seedPlaceWidget.currentNode() is not node:
            placing = self._ui.seedPlaceWidget.placeModeEnabled
            self._ui.seedPlaceWidget.setCurrentNode(node)
            if placing and node is not None:
                self._ui.seedPlaceWidget.setPlaceModeEnabled(True)

    def _events(self) -> tuple[int, ...]:
        markups = slicer.vtkMRMLMarkupsNode
        return (markups.PointPositionDefinedEvent, markups.PointRemovedEvent, markups.PointEndInteractionEvent)

    def _observe(self, lists: list[Any]) -> None:
        if [n.GetID() for n in self._observed] == [n.GetID() for n in lists]:
            return
        for node in self._observed:
            for event in self._events():
                self._panel.removeObserver(node, event, self._pointsChanged)
        self._observed = list(lists)
        for node in lists:
            for event in self._events():
                self._panel.addObserver(node, event, self._pointsChanged)

    def _pointsChanged(self, caller: Any, event: Any = None) -> None:
        known = set(self._order)
        for index in range(caller.GetNumberOfControlPoints()):
            key = (caller.GetID(), caller.GetNthControlPointID(index))
            if caller.GetNthControlPointPositionStatus(index) == caller.PositionDefined and key not in known:
                self._order.append(key)
        self._changed()

    def _changed(self) -> None:
        self.refresh()
        self._onChanged()


class LivePreview:
    """Segments the clicked tumors again after each click, in the worker, near the clicks alone."""

    def __init__(self, panel: Any, volume: Callable[[], Any], onVolumes: Callable[[dict[int, float]], None]) -> None:
        self._panel, self._volume, self._onVolumes = panel, volume, onVolumes
        self._preview: Any = None
        self._made_for: Any = None
        self._node_id = ""
        self._again = self._running = False
        self._then: Callable[[], None] | None = None
        self._timer = qt.QTimer()
        self._timer.singleShot = True
        self._timer.interval = PREVIEW_DELAY_MS
        self._timer.connect("timeout()", self._run)

    def ask(self) -> None:
        """A preview is wanted; clicks that come close together share one."""
        self._timer.start()

    def stop(self) -> None:
        """No preview that is still wanted is made."""
        self._timer.stop()
        self._again = False

    def endFirst(self, then: Callable[[], None]) -> bool:
        """True when a preview is being made: it is ended, and `then` is called afterwards."""
        self.stop()
        if self._running:
            self._then = then
            self._panel.runner.cancel()
        return self._running

    def clear(self) -> None:
        """Remove the preview from the scene."""
        node = slicer.mrmlScene.GetNodeByID(self._node_id) if self._node_id else None
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
        self._node_id = ""

    def _run(self) -> None:
        if self._panel.runner.busy:
            self._again = True
            return
        volume = self._volume()
        if volume is None or self._panel.ready():
            return
        from valorlib.convert import mrml
        from valorlib.ops.selective import Preview
        from valorlib.scene import valor_registration as scene_part

        try:
            seeds = scene_part.read_seeds(seedLists())
            if seeds is None or not seeds.tumor_numbers:
                self.clear()
                self._onVolumes({})
                return
            found = self._options()
            key = (volume.GetID(), volume.GetMTime(), volume.GetParentTransformNode(), found)
            if key != self._made_for:
                self._preview, self._made_for = Preview(mrml.image_from_node(volume), None, found), key
            self._show(volume, self._segment(seeds))
        except Cancelled:
            return
        except InputError as error:
            self._panel.fault(str(error))
        if self._again:
            self._again = False
            self.ask()

    def _options(self) -> Any:
        """Of the segmentation: as in the form where the method knows them, and each tumor's reach."""
        from valorlib.ops.selective import SelectiveOptions

        options = SelectiveOptions()
        form = self._panel.methods.shown()
        if form is not None:
            named = {"contrast": getattr(form, "contrast", "auto"), "form": getattr(form, "tumor_form", "mass")}
            options = dataclasses.replace(options, **named)
        return tumors.withTumors(options, clickedTumors())

    def _segment(self, seeds: Any) -> Any:
        from valorlib.core.run import Run

        preview = self._preview
        self._running = True
        try:
            return self._panel.runner.run(
                lambda progress: preview.click(seeds, Run(progress=progress)), lambda *_args: None
            )
        finally:
            self._running, then, self._then = False, self._then, None
            if then is not None:
                qt.QTimer.singleShot(0, then)

    def _show(self, volume: Any, result: Any) -> None:
        from valorlib.scene import valor_registration as scene_part

        if slicer.mrmlScene.GetNodeByID(volume.GetID() or "") is None:
            return
        held = slicer.mrmlScene.GetNodeByID(self._node_id) if self._node_id else None
        self._node_id = scene_part.write_preview(slicer.mrmlScene, volume, result.labels, held).GetID()
        per_voxel_ml = result.labels.grid.voxel_volume_mm3 / 1000.0
        labels = result.labels.array
        self._onVolumes({n: float((labels == n).sum()) * per_voxel_ml for n in result.labels.labels})
        self._panel.status("; ".join(result.warnings))
