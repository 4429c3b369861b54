"""The clicks: one markups list a tumor, one for the background; undo; live preview."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import slicer

from valor_workbench import tasks_registration
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.states import SeedsState
from valorlib.convert.mrml import image_from_node
from valorlib.core.errors import InputError
from valorlib.core.points import Seeds

COLORS = ((0.98, 0.45, 0.09), (0.13, 0.65, 0.95), (0.66, 0.33, 0.97), (0.1, 0.75, 0.5), (0.95, 0.3, 0.6))
BACKGROUND_COLOR = (0.6, 0.62, 0.66)
MOST_TUMORS = 20
Snapshot = list[tuple[int, tuple[float, float, float]]]
_EVENTS = ("PointPositionDefinedEvent", "PointRemovedEvent", "PointEndInteractionEvent")


class SeedsLogic:
    """Keeps the markups lists, the rows of the page and the preview in step."""

    def __init__(self, session: Session, scans: ScansLogic) -> None:
        self._session, self._scans = session, scans
        self.state = session.typed(SeedsState)
        self._tags: list[tuple[Any, int]] = []
        self._lists: dict[int, Any] = {}
        self._past: list[Snapshot] = [[]]
        self._quiet = False
        self._side = self.state.data.on
        self._preview_node: Any | None = None
        self._sent_key = ""
        self._wanted = 0
        names = self.state.name
        self.state.bind_changes(
            {
                names.tumor: lambda tumor: self._tumor_chosen(),
                names.on: lambda on: self._side_chosen(),
                names.preview: lambda preview: self.request_preview(),
            }
        )
        session.workspace.on_place_mode(self._place_mode_changed)
        scans.changed.append(self._scans_changed)

    # lists

    def lists(self) -> list[Any]:
        """The markups lists that hold clicks."""
        return [node for node in self._lists.values() if node.GetNumberOfDefinedControlPoints() > 0]

    def seeds(self) -> Seeds | None:
        """The clicks, LPS mm, or None."""
        from valorlib.scene.valor_registration import read_seeds

        return read_seeds(self.lists(), self.state.data.on) if self.lists() else None

    def _list(self, tumor: int) -> Any:
        node = self._lists.get(tumor)
        if node is not None and self._session.scene.IsNodePresent(node):
            return node
        name = f"Tumor {tumor}" if tumor else "Background"
        node = self._session.scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        node.SetAttribute(_tumor_attribute(), str(tumor))
        node.SetControlPointLabelFormat("%d" if tumor else "-")
        node.CreateDefaultDisplayNodes()
        self._adopt(tumor, node)
        return node

    def _adopt(self, tumor: int, node: Any) -> None:
        display = node.GetDisplayNode()
        color = COLORS[(tumor - 1) % len(COLORS)] if tumor else BACKGROUND_COLOR
        display.SetSelectedColor(*color)
        display.SetColor(*color)
        display.SetGlyphScale(1.6)
        display.SetTextScale(0.0)
        display.SetActiveColor(*color)
        display.SetPropertiesLabelVisibility(False)
        self._lists[tumor] = node
        for name in _EVENTS:
            event = getattr(slicer.vtkMRMLMarkupsNode, name)
            self._tags.append(self._session.workspace.observe(node, event, self._edited))

    def adopt_from_scene(self) -> None:
        """Take over the lists of a scene that was loaded."""
        scene = self._session.scene
        for n in range(scene.GetNumberOfNodesByClass("vtkMRMLMarkupsFiducialNode")):
            node = scene.GetNthNodeByClass(n, "vtkMRMLMarkupsFiducialNode")
            tumor = node.GetAttribute(_tumor_attribute())
            if tumor is not None and node not in self._lists.values():
                self._adopt(int(tumor), node)
        with self._session.server.state:
            self.state.data.tumors = sorted({1, *(t for t in self._lists if t > 0)})
        self._edited()

    def put(self, seeds: Seeds) -> None:
        """Put clicks from elsewhere, LPS mm, into the lists."""
        rows = [(int(t), (-p[0], -p[1], p[2])) for t, p in zip(seeds.tumors, seeds.points.tolist(), strict=True)]
        with self._session.server.state:
            self.state.data.on = seeds.on
            self.state.data.tumors = sorted({1, *(t for t, _ in rows if t > 0)})
        self._restore([*self._snapshot(), *rows])
        self._edited()

    # what the page asks for

    def toggle_placing(self) -> None:
        """Start or end clicking."""
        if self._session.workspace.is_placing:
            self._session.workspace.stop_placing()
            return
        if self._scans.node(self.state.data.on) is None:
            raise InputError(f"clicks: expected a {self.state.data.on} scan; choose it above first")
        self._show_side()
        self._session.workspace.start_placing(self._list(int(self.state.data.tumor)))

    def add_tumor(self) -> None:
        """Start another tumor."""
        numbers = self.state.data.tumors
        if len(numbers) >= MOST_TUMORS:
            raise InputError(f"tumors: expected at most {MOST_TUMORS}; run the others in a second run")
        with self._session.server.state:
            self.state.data.tumors = [*numbers, max(numbers) + 1]
            self.state.data.tumor = max(numbers) + 1

    def add_at_center(self) -> None:
        """Click where the three slices cross."""
        self._add(self._session.workspace.slice_center())

    def add_at(self, text: Any) -> None:
        """Click at typed coordinates, RAS mm."""
        try:
            values = [float(word) for word in str(text).replace(";", ",").split(",")]
        except ValueError:
            values = []
        if len(values) != 3 or not np.all(np.isfinite(values)):
            raise InputError(f"position: expected three numbers such as -12.5, 30, 8, got {str(text)[:40]!r}")
        self._add(np.asarray(values))
        self._session.workspace.jump(values)

    def _add(self, ras: Any) -> None:
        self._list(int(self.state.data.tumor)).AddControlPoint([float(v) for v in ras])
        self._edited()

    def delete(self, node_id: Any, index: Any) -> None:
        """Remove one click."""
        for node in self._lists.values():
            if node.GetID() == node_id and 0 <= int(index) < node.GetNumberOfControlPoints():
                node.RemoveNthControlPoint(int(index))

    def undo(self) -> None:
        """Take the last change back."""
        if len(self._past) > 1:
            self._past.pop()
            self._restore(self._past[-1])
            self._refresh()

    def clear(self) -> None:
        """Remove every click."""
        self._restore([])
        self._edited()

    def jump(self, at: Any) -> None:
        """Center the slices on a click."""
        self._session.workspace.jump([float(v) for v in at][:3])

    # keeping in step

    def _snapshot(self) -> Snapshot:
        found: Snapshot = []
        for tumor, node in self._lists.items():
            for n in range(node.GetNumberOfControlPoints()):
                if node.GetNthControlPointPositionStatus(n) == slicer.vtkMRMLMarkupsNode.PositionDefined:
                    x, y, z = node.GetNthControlPointPositionWorld(n)
                    found.append((tumor, (round(x, 4), round(y, 4), round(z, 4))))
        return found

    def _restore(self, snapshot: Snapshot) -> None:
        self._quiet = True
        for node in self._lists.values():
            node.RemoveAllControlPoints()
        for tumor, position in snapshot:
            self._list(tumor).AddControlPoint(list(position))
        self._quiet = False

    def _edited(self) -> None:
        if self._quiet:
            return
        now = self._snapshot()
        if now != self._past[-1]:
            self._past.append(now)
            del self._past[:-50]
        self._refresh()

    def _refresh(self) -> None:
        rows = []
        for tumor, node in sorted(self._lists.items()):
            color = COLORS[(tumor - 1) % len(COLORS)] if tumor else BACKGROUND_COLOR
            for n in range(node.GetNumberOfControlPoints()):
                if node.GetNthControlPointPositionStatus(n) != slicer.vtkMRMLMarkupsNode.PositionDefined:
                    continue
                at = [float(v) for v in node.GetNthControlPointPositionWorld(n)]
                rows.append(
                    {
                        "key": f"{node.GetID()}-{n}",
                        "node": node.GetID(),
                        "index": n,
                        "label": f"Tumor {tumor}" if tumor else "Background",
                        "at": at,
                        "color": "rgb({:.0f}, {:.0f}, {:.0f})".format(*(255 * c for c in color)),
                    }
                )
        with self._session.server.state:
            self.state.data.rows = rows
            self.state.data.can_undo = len(self._past) > 1
        self.request_preview()

    def _tumor_chosen(self) -> None:
        if self._session.workspace.is_placing:
            self._session.workspace.start_placing(self._list(int(self.state.data.tumor)))

    def _side_chosen(self) -> None:
        if self._side == self.state.data.on:
            return
        self._side = self.state.data.on
        self._show_side()
        self.request_preview()

    def _show_side(self) -> None:
        with self._session.server.state:
            self._scans.state.data.show = self.state.data.on

    def _scans_changed(self) -> None:
        self._sent_key = ""
        self.request_preview()

    def _place_mode_changed(self) -> None:
        with self._session.server.state:
            self.state.data.placing = self._session.workspace.is_placing

    # preview

    def request_preview(self) -> None:
        """Segment at the clicks, soon; only the last request of a burst is answered."""
        self._wanted += 1
        if not self.state.data.preview or not any(row["label"] != "Background" for row in self.state.data.rows):
            self._drop_preview()
            return
        self._session.start(self._preview(self._wanted))

    async def _preview(self, number: int) -> None:
        await asyncio.sleep(0.12)
        volume = self._scans.node(self.state.data.on)
        if number != self._wanted or volume is None:
            return
        seeds = self.seeds()
        if seeds is None:
            return
        key = f"{volume.GetID()}-{volume.GetImageData().GetMTime()}"
        with self._session.server.state:
            self.state.data.preview_text = "Segmenting ..."
        try:
            found = None
            for image in (None, image_from_node(volume)) if key == self._sent_key else (image_from_node(volume),):
                found = await self._session.quick.run(tasks_registration.preview, image, key, seeds)
                if found is not None:
                    break
            self._sent_key = key
        except InputError as error:
            self._drop_preview(str(error))
            return
        if number != self._wanted or found is None:
            return
        from valorlib.scene.valor_registration import write_preview

        self._preview_node = write_preview(self._session.scene, volume, found.labels, self._preview_node)
        ml = found.labels.grid.voxel_volume_mm3 / 1000
        parts = [
            f"{found.labels.name_of(n)}: {np.count_nonzero(found.labels.array == n) * ml:.2f} ml"
            for n in found.labels.labels
        ]
        with self._session.server.state:
            self.state.data.preview_text = "Preview: " + (", ".join(parts) or "nothing found at this click")

    def _drop_preview(self, text: str = "") -> None:
        if self._preview_node is not None and self._session.scene.IsNodePresent(self._preview_node):
            self._session.scene.RemoveNode(self._preview_node)
        self._preview_node = None
        with self._session.server.state:
            self.state.data.preview_text = text

    def end_preview(self) -> None:
        """Take the preview away when the real result comes."""
        self._wanted += 1
        self._drop_preview()
        self._session.workspace.stop_placing()


def _tumor_attribute() -> str:
    from valorlib.scene.valor_registration import TUMOR

    return TUMOR
