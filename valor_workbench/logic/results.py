"""Looking at a registration: layers, deformation, volume change, surfaces, measures, files to take home."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import numpy as np

from valor_workbench import nodes as scene_nodes
from valor_workbench import tasks_registration
from valor_workbench.logic.files import offer_dicom, offer_folder, offer_report
from valor_workbench.logic.measures import registration_rows, registration_summary
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.nodes import DICOM
from valor_workbench.states import ResultState
from valor_workbench.tasks_export import DicomExport
from valor_workbench.tasks_registration import Registered
from valorlib.convert.mrml import image_from_node
from valorlib.core.errors import InputError
from valorlib.scene.display import SEQUENTIAL, add_map, add_volume
from valorlib.scene.nodes import ResultNodes, find_results, joined, recording, remove

FLICKER_S = 0.7
MAPS = {
    "jacobian": ("Volume change", "det J"),
    "sigma": ("Expected error", "mm"),
    "error": ("Error to truth", "mm"),
}
CARRIED_COLORS = ((0.1, 0.85, 0.95), (0.95, 0.85, 0.1), (0.5, 0.95, 0.4))
DIFFERENCE_COLORS = ((-1.0, 0.1, 0.2, 0.65), (0.0, 0.0, 0.0, 0.0), (1.0, 0.75, 0.1, 0.1))


class ResultLogic:
    """The newest registration; older ones stay in the scene."""

    def __init__(self, session: Session, scans: ScansLogic) -> None:
        self._session, self._scans = session, scans
        self.state = session.typed(ResultState)
        self.nodes: ResultNodes | None = None
        self._done: Registered | None = None
        self._error_nodes: ResultNodes | None = None
        self._flicker: asyncio.Task[None] | None = None
        self._region: Any | None = None
        self.truth_node: Any | None = None
        names = self.state.name
        self.state.bind_changes(
            {
                names.mode: lambda mode: self._layers(),
                (names.map, names.folds_only, names.threshold): lambda *_: self._layers(),
                names.truth: lambda on: self._show_truth(),
                names.opacity: self._opacity_changed,
                names.warp: lambda warp: self._warp(),
                names.surfaces: lambda on: self._surfaces(),
            }
        )

    def show(self, nodes: ResultNodes, done: Registered | None) -> None:
        """Take over a new result."""
        more, self._error_nodes = self._error_nodes, None
        self.nodes, self._done = nodes if more is None else joined(nodes, more), done
        record: Mapping[str, Any] = done.record if done is not None else {}
        with self._session.server.state:
            data = self.state.data
            data.ready = True
            data.mode, data.opacity, data.warp, data.map, data.folds_only = "blend", 0.5, "off", "none", False
            data.map_items = [{"title": "None", "value": "none"}] + [
                {"title": title, "value": role} for role, (title, _) in MAPS.items() if self._node(role) is not None
            ]
            data.has_truth = self.truth_node is not None and "truth" in record
            data.summary = registration_summary(record)
            data.metrics = registration_rows(record)
            data.warnings = list(done.result.warnings) if done is not None else []
            self._scans.state.data.show = "fixed"
        self._layers()
        self._surfaces()
        # Without a tumor the views stay where they are: the other places are the worst ones, often at the border.
        places = [row["at"] for row in self.state.data.metrics if row.get("at")]
        if places and record.get("numbers", {}).get("tumors"):
            self._session.workspace.jump(places[0])

    def add_error(self, nodes: ResultNodes, done: Registered) -> None:
        """Add the map of the error to the truth, where it is known; before `show`, to keep that short."""
        error = done.error
        if error is None:
            return
        high = max(1.0, round(float(np.percentile(error.array, 99.5)), 1))
        with recording(self._session.scene, nodes.run, nodes) as recorder:
            name = f"{nodes.run} error to the truth"
            add_map(recorder, error, name, "error", points=SEQUENTIAL, low=0.0, high=high, unit="mm")
        self._error_nodes = recorder.results

    def adopt_from_scene(self) -> None:
        """Take over the newest result of a scene that was loaded."""
        found = [nodes for nodes in find_results(self._session.scene) if "warped" in nodes.roles]
        if found:
            self.show(found[-1], None)

    def _node(self, role: str) -> Any:
        return None if self.nodes is None else self.nodes.node(self._session.scene, role)

    # layers

    def _fixed(self) -> Any:
        transform = self._node("transform")
        node = transform.GetNodeReference("spatialRegistrationFixed") if transform is not None else None
        return node or self._scans.node("fixed")

    def _layers(self) -> None:
        if self._node("warped") is None:
            return
        data, workspace = self.state.data, self._session.workspace
        self._stop_flicker()
        if data.mode in ("checker", "difference") and self._node(_role(data.mode)) is None:
            self._session.start(self._add_comparison(data.mode))
            return
        back, front, opacity = self._fixed(), self._node("warped"), float(data.opacity)
        if data.mode in ("checker", "difference"):
            back, front = self._node(_role(data.mode)), None
        if data.mode == "flicker":
            opacity = 0.0
            self._flicker = asyncio.get_running_loop().create_task(self._flickering())
        overlay = self._node(data.map) if data.map in MAPS else None
        if overlay is not None:
            self._stop_flicker()
            front, opacity = overlay, 1.0 if data.folds_only and data.map == "jacobian" else 0.55
            self._threshold(overlay)
        workspace.show_layers(back, front, opacity)
        self._legends()

    def _threshold(self, node: Any) -> None:
        """Of the volume change, folds alone on request; of maps in mm, what is above the slider."""
        data, display = self.state.data, node.GetDisplayNode()
        folds, above = data.map == "jacobian", max(float(data.threshold), 0.01)
        with self._session.server.state:
            data.threshold_max = round(float(display.GetWindowLevelMax()), 1)
        display.SetAutoThreshold(0)
        display.SetThreshold(-1e6, 0.0) if folds else display.SetThreshold(above, 1e9)
        display.SetApplyThreshold(bool(data.folds_only) if folds else True)

    def _legends(self) -> None:
        """A legend shows only when it changes after its volume came into a layer."""
        shown = self._session.workspace.shown_volumes()
        for role, (_, unit) in (MAPS | {"difference": ("", "")}).items():
            node = self._node(role)
            if node is not None:
                self._session.workspace.set_legend(node, unit, visible=node.GetID() in shown)

    async def _add_comparison(self, mode: str) -> None:
        nodes = self.nodes
        if nodes is None:
            return
        fixed, warped = image_from_node(self._fixed()), image_from_node(self._node("warped"))
        image = await self._session.quick.run(tasks_registration.compare, mode, fixed, warped)
        with recording(self._session.scene, nodes.run, nodes) as recorder:
            if mode == "difference":
                name = f"{nodes.run} difference"
                add_map(recorder, image, name, "difference", points=DIFFERENCE_COLORS, low=-1.0, high=1.0)
            else:
                add_volume(recorder, image, f"{nodes.run} checkerboard", "checkerboard", like=self._fixed())
        if self.nodes is nodes:
            self.nodes = joined(nodes, recorder.results)
            self._layers()

    def _opacity_changed(self, opacity: Any) -> None:
        if self.state.data.mode == "blend" and self.state.data.map == "none":
            self._session.workspace.set_opacity(min(max(float(opacity), 0.0), 1.0))

    async def _flickering(self) -> None:
        front = True
        while True:
            self._session.workspace.set_opacity(1.0 if front else 0.0)
            front = not front
            await asyncio.sleep(FLICKER_S)

    def _stop_flicker(self) -> None:
        if self._flicker is not None:
            self._flicker.cancel()
            self._flicker = None

    # deformation and surfaces

    def _warp(self) -> None:
        node = self._node("transform")
        display = node.GetDisplayNode() if node is not None else None
        if display is None:
            return
        mode = self.state.data.warp
        modes = {"grid": display.VIS_MODE_GRID, "glyph": display.VIS_MODE_GLYPH, "contour": display.VIS_MODE_CONTOUR}
        if mode not in modes:
            display.SetVisibility(False)
            return
        if self._region is None or not self._session.scene.IsNodePresent(self._region):
            self._region = scene_nodes.add_region(self._session.scene, self._focus(), 50.0)
        display.SetVisualizationMode(modes[mode])
        display.SetAndObserveRegionNode(self._region)
        display.SetGridSpacingMm(8.0)
        display.SetGridResolutionMm(4.0)
        display.SetGridLineDiameterMm(0.6)
        display.SetGlyphSpacingMm(7.0)
        display.SetContourResolutionMm(3.0)
        display.SetContourLevelsMmFromString("1 2 4 6 8 10")
        display.SetVisibility(True)
        display.SetVisibility2D(True)
        display.SetVisibility3D(True)
        self._session.workspace.fit_3d()

    def _focus(self) -> list[float]:
        """RAS mm: the first place of the measures, or the middle of the slices."""
        for row in self.state.data.metrics:
            if row.get("at"):
                return [float(v) for v in row["at"]]
        return [float(v) for v in self._session.workspace.slice_center()]

    def _surfaces(self) -> None:
        for role in ("fixed_seg", "warped_seg"):
            node = self._node(role)
            if node is None:
                continue
            if self.state.data.surfaces:
                node.CreateClosedSurfaceRepresentation()
            if role == "warped_seg":
                _recolor(node)
            display = node.GetDisplayNode()
            display.SetVisibility(bool(self.state.data.surfaces))
            display.SetVisibility3D(True)
            display.SetOpacity3D(0.5 if role == "warped_seg" else 0.9)
        self._session.workspace.fit_3d()

    def _show_truth(self) -> None:
        node = self.truth_node
        if node is None or not self._session.scene.IsNodePresent(node):
            return
        if self.state.data.truth:
            node.CreateClosedSurfaceRepresentation()
        node.GetDisplayNode().SetVisibility(bool(self.state.data.truth))
        node.GetDisplayNode().SetVisibility3D(bool(self.state.data.truth))

    # what the page asks for

    def jump(self, at: Any) -> None:
        """Center the slices on a place."""
        self._session.workspace.jump([float(v) for v in at][:3])

    def export(self) -> None:
        """Make the result folder ready for download."""
        if self._done is None:
            raise InputError("export: expected a result of this session; press Apply to compute it again")
        self._session.start(offer_folder(self._session, self._done.folder, "valor-registration"))

    def export_dicom(self) -> None:
        """Make the result ready for download as DICOM: registration, tumors, carried scan."""
        if self._done is None:
            raise InputError("export: expected a result of this session; press Apply to compute it again")
        result = self._done.result
        labels = {"tumors_fixed": result.fixed_seg, "tumors_carried": result.warped_seg}
        fixed, moving = self._fixed(), self._scans.node("moving")
        wanted = DicomExport(
            "valor-registration",
            image_from_node(fixed),
            result.displacement,
            labels={name: found for name, found in labels.items() if found is not None},
            images={"moving_carried": self._done.warped},
            fixed_folder=fixed.GetAttribute(DICOM) or "",
            moving_folder=(moving.GetAttribute(DICOM) or "") if moving is not None else "",
        )
        self._session.start(offer_dicom(self._session, wanted))

    def report(self) -> None:
        """Make the report ready for download."""
        if self._done is None:
            raise InputError("report: expected a result of this session; press Apply to compute it again")
        offer_report(self._session, self._done.folder)

    def remove(self) -> None:
        """Take the result out of the scene."""
        self._stop_flicker()
        if self.nodes is not None:
            remove(self._session.scene, self.nodes)
        if self._region is not None and self._session.scene.IsNodePresent(self._region):
            self._session.scene.RemoveNode(self._region)
        self.nodes, self._done, self._region = None, None, None
        with self._session.server.state:
            self.state.data.ready = False
        self._scans.refresh()
        self._scans.show()


def _role(mode: str) -> str:
    return "checkerboard" if mode == "checker" else mode


def _recolor(segmentation: Any) -> None:
    """Give the carried tumors colors of their own, so that they are told from those found in the fixed scan."""
    segments = segmentation.GetSegmentation()
    for n in range(segments.GetNumberOfSegments()):
        segments.GetNthSegment(n).SetColor(*CARRIED_COLORS[n % len(CARRIED_COLORS)])
