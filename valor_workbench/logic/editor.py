"""Painting corrections on a segmentation."""

from __future__ import annotations

from typing import Any

import numpy as np

from valor_workbench import nodes as scene_nodes
from valor_workbench import tasks_files
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.states import EditorState
from valorlib.convert.mrml import labels_from_segmentation, world_grid
from valorlib.core.errors import InputError


class EditorLogic:
    """Paint, erase, undo; the volumes follow each stroke."""

    def __init__(self, session: Session, scans: ScansLogic) -> None:
        self._session, self._scans = session, scans
        self.state = session.typed(EditorState)
        names = self.state.name
        self.state.bind_changes(
            {
                names.segmentation: lambda chosen: self._chosen(),
                names.segment: self._segment_chosen,
                (names.effect, names.brush_mm, names.sphere): lambda *_: self._use_effect(),
            }
        )
        session.workspace.on_painted(self._painted)
        session.workspace.on_place_mode(self._place_mode_changed)

    def refresh(self) -> None:
        """Choose the newest segmentation when none is chosen or the chosen one is gone."""
        ids = [row["value"] for row in self._scans.state.data.label_items]
        if self.state.data.segmentation not in ids:
            with self._session.server.state:
                self.state.data.segmentation = ids[0] if ids else ""

    def _node(self) -> Any | None:
        chosen = str(self.state.data.segmentation)
        node = self._session.scene.GetNodeByID(chosen) if chosen else None
        return node if node is not None and node.IsA("vtkMRMLSegmentationNode") else None

    def _volume(self, node: Any) -> Any | None:
        return node.GetNodeReference("VALOR.image") or self._scans.node("fixed")

    def _chosen(self) -> None:
        self.stop()
        node = self._node()
        with self._session.server.state:
            self.state.data.segments = [] if node is None else self._rows(node)
            self.state.data.segment = self.state.data.segments[0]["value"] if self.state.data.segments else ""

    def _rows(self, node: Any) -> list[dict[str, Any]]:
        segments = node.GetSegmentation()
        return [
            {
                "title": segments.GetNthSegment(n).GetName(),
                "value": segments.GetNthSegmentID(n),
                "color": "rgb({:.0f}, {:.0f}, {:.0f})".format(*(255 * c for c in segments.GetNthSegment(n).GetColor())),
                "volume": scene_nodes.segment_ml(segments.GetNthSegment(n)),
            }
            for n in range(segments.GetNumberOfSegments())
        ]

    def _segment_chosen(self, segment: Any) -> None:
        if self.state.data.effect:
            self._session.workspace.set_segment(str(segment))

    def _use_effect(self) -> None:
        effect = str(self.state.data.effect or "")
        node: Any = self._node()
        if effect not in ("paint", "erase"):
            self._session.workspace.set_effect("")
            return
        if node is None:
            self._session.fail("There is no segmentation to correct; run a registration with clicks, or open one.")
            self.stop()
            return
        volume = self._volume(node)
        if volume is None:
            self._session.fail("Choose the scan that the segmentation lies on first.")
            return
        workspace = self._session.workspace
        workspace.stop_placing()
        if workspace.edited is not node:
            workspace.edit(node, volume)
            workspace.show_layers(volume, None, 0.0)
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility(True)
        workspace.set_segment(str(self.state.data.segment))
        brush = float(np.clip(float(self.state.data.brush_mm or 6.0), 0.5, 60.0))
        workspace.set_effect(effect, brush_mm=brush, sphere=bool(self.state.data.sphere))

    def stop(self) -> None:
        """Clicks move the view again."""
        with self._session.server.state:
            self.state.data.effect = ""
        self._session.workspace.set_effect("")

    def _place_mode_changed(self) -> None:
        if self._session.workspace.is_placing and self.state.data.effect:
            self.stop()

    def _painted(self) -> None:
        node = self._node()
        if node is not None:
            with self._session.server.state:
                self.state.data.segments = self._rows(node)

    def undo(self) -> None:
        """Take the last stroke back."""
        if self._session.workspace.undo_stack.can_undo():
            self._session.workspace.undo_stack.undo()

    def redo(self) -> None:
        """Do the last stroke again."""
        if self._session.workspace.undo_stack.can_redo():
            self._session.workspace.undo_stack.redo()

    def add_segment(self) -> None:
        """Start another segment; a segmentation is made when there is none."""
        node = self._node()
        if node is None:
            volume = self._scans.node("fixed")
            if volume is None:
                raise InputError("segment: expected a scan to paint on; open one first")
            node = scene_nodes.add_segmentation(self._session.scene, volume)
            self._scans.refresh()
        count = node.GetSegmentation().GetNumberOfSegments()
        new = node.GetSegmentation().AddEmptySegment("", f"Segment {count + 1}")
        with self._session.server.state:
            self.state.data.segmentation = node.GetID()
            self.state.data.segments = self._rows(node)
            self.state.data.segment = new

    def export(self) -> None:
        """Make the segmentation ready for download."""
        node = self._node()
        if node is None:
            raise InputError("export: expected a segmentation; choose one above")
        volume = self._volume(node)
        if volume is None:
            raise InputError("export: expected the scan that the segmentation lies on; open it first")
        labels = labels_from_segmentation(node, world_grid(volume))
        self._session.start(self._export(labels))

    async def _export(self, labels: Any) -> None:
        self._session.busy("Writing the segmentation")
        path = await self._session.quick.run(tasks_files.write_labels, labels)
        url = self._session.downloads.offer(path, "segmentation.seg.nrrd")
        self._session.say("The segmentation is ready:", url=url, name="segmentation.seg.nrrd")
