"""The one file that knows trame-slicer: views, layouts, layers, place mode, cursor. Its interfaces move; pin it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, ClassVar

import numpy as np
import slicer
from numpy.typing import NDArray
from trame_client.widgets.client import ServerTemplate  # noqa: F401  (registers the widget that layouts use)
from trame_slicer import module as trame_slicer_module
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import rca_view_factory, register_rca_factories
from trame_slicer.segmentation import SegmentationEffectErase, SegmentationEffectNoTool, SegmentationEffectPaint
from trame_slicer.segmentation.paint_effect_parameters import BrushDiameterMode
from trame_slicer.views import (
    IViewFactory,
    Layout,
    LayoutDirection,
    ViewLayout,
    ViewLayoutDefinition,
    ViewProps,
    abstract_view,
)
from trame_slicer.views.render_scheduler import NoScheduleRendering
from undo_stack import UndoStack  # type: ignore[import-untyped]
from vtkmodules.vtkCommonCore import vtkCommand, vtkFileOutputWindow, vtkLogger

from valor_workbench.sizes import fit_around_middle, once_sized
from valor_workbench.turns import InTurn

PLACE = slicer.vtkMRMLInteractionNode.Place
Color = tuple[float, float, float]
SLICES = ("Red", "Green", "Yellow")
AXES = {"Red": 2, "Green": 1, "Yellow": 0}
NAMES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}
EFFECTS = {"paint": SegmentationEffectPaint, "erase": SegmentationEffectErase, "": SegmentationEffectNoTool}


class ChartType(Enum):
    """Views of ours that VTK does not draw."""

    CHART = "valorChart"


@dataclass(frozen=True)
class ViewPainters:
    """What the page puts over each kind of view; called as f(server, view id, view)."""

    over_slice: Callable[[Any, str, Any], None]
    over_3d: Callable[[Any, str, Any], None]
    chart: Callable[[Any], None]


class _ChartFactory(IViewFactory):  # type: ignore[misc]
    def __init__(self, server: Any, paint: Callable[[Any], None]) -> None:
        super().__init__()
        self._server, self._paint = server, paint

    def can_create_view(self, view: ViewLayoutDefinition) -> bool:
        return bool(view.view_type == ChartType.CHART)

    def _create_view(self, view: ViewLayoutDefinition, scene: Any, app_logic: Any) -> Any:
        with ViewLayout(self._server, template_name=view.singleton_tag) as layout:
            self._paint(self._server)
        return layout

    def _get_slicer_view(self, view: Any) -> None:
        return None


def layouts() -> dict[str, Layout]:
    """The arrangements of views the page offers, by name."""
    axial, coronal = ViewLayoutDefinition.axial_view(), ViewLayoutDefinition.coronal_view()
    sagittal, solid = ViewLayoutDefinition.sagittal_view(), ViewLayoutDefinition.threed_view()
    chart = ViewLayoutDefinition("Chart", ChartType.CHART, ViewProps())
    row, column = LayoutDirection.Horizontal, LayoutDirection.Vertical
    return {
        "Four views": Layout(column, [Layout(row, [axial, solid]), Layout(row, [coronal, sagittal])]),
        "3D and slices": Layout(row, [solid, Layout(column, [axial, coronal])], ["2", "1"]),
        "Axial": Layout(column, [axial]),
        "3D": Layout(column, [solid]),
        "Chart": Layout(column, [Layout(row, [axial, coronal]), Layout(row, [chart, solid], ["3", "2"])]),
    }


@contextmanager
def _undrawn() -> Iterator[None]:
    """Views made in here are not drawn while they are set up, which would take two seconds for nobody."""
    drawing = abstract_view.DirectRendering
    abstract_view.DirectRendering = NoScheduleRendering
    try:
        yield
    finally:
        abstract_view.DirectRendering = drawing


def quiet_vtk(path: str) -> None:
    """Send VTK's remarks, of which there are many at each start, to a file."""
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    window = vtkFileOutputWindow()
    window.SetFileName(path)
    window.SetFlush(True)
    vtkFileOutputWindow.SetInstance(window)


class Workspace:
    """Slicer's scene and its views inside a trame server.

    reach: tag of a slice view to the first and last place of its slider, mm, where no volume tells them.
    """

    reach: ClassVar[dict[str, tuple[float, float]]] = {}

    def __init__(self, server: Any, painters: ViewPainters, *, software_gl: bool, log: str) -> None:
        server.enable_module(trame_slicer_module)
        self.server = server
        self.app = SlicerApp()
        quiet_vtk(log)
        self.scene = self.app.scene
        self.app.register_module_logic(slicer.vtkSlicerTransformLogic(), logic_name="Transforms")
        self._add_color_logic()
        manager = self.app.view_manager
        rca_view_factory.RcaImageRenderScheduler = InTurn
        register_rca_factories(
            manager,
            server,
            slice_view_ui_f=painters.over_slice,
            three_d_view_ui_f=painters.over_3d,
            rca_encoder="jpeg",
            interactive_quality=60,
        )
        manager.register_factory(_ChartFactory(server, painters.chart))
        self.layout_manager = LayoutManager(self.scene, manager, server)
        with _undrawn():
            self.layout_manager.register_layout_dict(layouts())
        self.layout_manager.set_layout("Four views")
        self._software_gl = software_gl
        self.undo_stack = UndoStack()
        self.app.segmentation_editor.set_undo_stack(self.undo_stack)
        self._observed: list[Any] = []

    def _add_color_logic(self) -> None:
        self.color_logic = slicer.vtkSlicerColorLogic()
        self.color_logic.SetMRMLApplicationLogic(self.app.app_logic)
        self.color_logic.SetMRMLScene(self.scene)
        self.app.app_logic.SetModuleLogic("Colors", self.color_logic)

    # views

    def build_grid(self, layout: Any) -> None:
        """Put the views into the page, at the place of the call."""
        self.layout_manager.initialize_layout_grid(layout)
        self._tune_views()
        self._fit_at_first_size()

    def _tune_views(self) -> None:
        """Multi-sampling costs 50 ms a frame on a processor and nobody sees it."""
        if self._software_gl:
            for view in self.app.view_manager.get_views():
                view.render_window().SetMultiSamples(0)

    def _fit_at_first_size(self) -> None:
        """A scan may come before the page tells the size of a view; then it was fitted into a size of no meaning."""
        for view in self.slice_views:
            once_sized(view, partial(fit_around_middle, view))

    def set_layout(self, name: str) -> None:
        """Arrange the views; unknown names are ignored."""
        if self.layout_manager.has_layout(name):
            self.layout_manager.set_layout(name)
            self._tune_views()
            for view in self.app.view_manager.get_threed_views():
                once_sized(view, view.reset_camera)

    @property
    def slice_views(self) -> list[Any]:
        """The slice views that exist."""
        return list(self.app.view_manager.get_slice_views())

    def set_background(self, colors: tuple[str, str]) -> None:
        """Colors of the 3D view, bottom and top, as #rrggbb."""
        for view in self.app.view_manager.get_threed_views():
            view.set_background_color_from_string(colors)
            view.schedule_render()

    def show_layers(self, background: Any | None, foreground: Any | None, opacity: float) -> None:
        """Put two volume nodes into the slice views."""
        for view in self.slice_views:
            view.set_background_volume_id(background.GetID() if background else None)
            view.set_foreground_volume_id(foreground.GetID() if foreground else None)
            view.set_foreground_opacity(opacity)

    def set_opacity(self, opacity: float) -> None:
        """Opacity of the front layer, 0 to 1."""
        for view in self.slice_views:
            view.set_foreground_opacity(opacity)

    def shown_volumes(self) -> set[str]:
        """IDs of the volumes in any layer."""
        views = self.slice_views
        return {i for v in views for i in (v.get_background_volume_id(), v.get_foreground_volume_id()) if i}

    def set_legend(self, node: Any, title: str, *, visible: bool, in_3d: bool = False) -> None:
        """Show or hide the color legend of a node; call after the layers were set."""
        legend = self.color_logic.GetColorLegendDisplayNode(node)
        if legend is None and visible:
            legend = self.color_logic.AddDefaultColorLegendDisplayNode(node)
        if legend is not None:
            legend.SetTitleText(title)
            for style in (legend.GetTitleTextProperty(), legend.GetLabelTextProperty()):
                style.SetFontFamilyToArial()
                style.SetFontSize(5)
                style.BoldOff()
            legend.SetSize(*((0.05, 0.2) if in_3d else (0.075, 0.27)))
            legend.SetPosition(0.97, 0.6)
            legend.SetLabelFormat("%.1f")
            legend.SetNumberOfLabels(3)
            legend.SetVisibility(visible)
            legend.SetVisibility2D(visible and not in_3d)
            legend.SetVisibility3D(visible and in_3d)
            legend.Modified()

    def fit(self) -> None:
        """Center every view on what it shows."""
        for view in self.app.view_manager.get_views():
            view.reset_view()

    def fit_slices(self) -> None:
        """Show all of the back layer in the slice views, without turning them to its axes."""
        for view in self.slice_views:
            view.fit_view_to_content()

    def fit_3d(self) -> None:
        """Center the 3D view on what it shows."""
        for view in self.app.view_manager.get_threed_views():
            view.reset_view()

    def jump(self, ras: Iterable[float]) -> None:
        """Center the slices on a point, RAS mm."""
        at = [float(v) for v in ras]
        for view in self.slice_views:
            node = view.get_view_node()
            node.JumpSliceByCentering(*at)
            view.schedule_render()

    def hide_shapes(self) -> None:
        """Hide every segmentation, surface, deformation and legend, before another case is shown."""
        for kind in ("vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLTransformNode"):
            for n in range(self.scene.GetNumberOfNodesByClass(kind)):
                node = self.scene.GetNthNodeByClass(n, kind)
                if kind == "vtkMRMLModelNode" and node.GetHideFromEditors():
                    continue
                for d in range(node.GetNumberOfDisplayNodes()):
                    if node.GetNthDisplayNode(d) is not None:
                        node.GetNthDisplayNode(d).SetVisibility(False)

    def set_slices_at(self, node: Any) -> None:
        """Center the slices on a node that is no volume, and show all of it."""
        bounds = [0.0] * 6
        node.GetRASBounds(bounds)
        middle = [(bounds[2 * n] + bounds[2 * n + 1]) / 2 for n in range(3)]
        size = 1.1 * max(bounds[2 * n + 1] - bounds[2 * n] for n in range(3))
        self.show_layers(None, None, 0.0)
        for view in self.slice_views:
            tag = view.get_singleton_tag()
            axis = AXES.get(tag, 2)
            sign = np.sign(view.get_view_node().GetSliceToRAS().GetElement(axis, 2))
            low, high = sorted(float(sign * bounds[2 * axis + n]) for n in (0, 1))
            self.reach[tag] = (low, high)
            width, height = (max(1, v) for v in view.render_window().GetSize())
            scale = size / min(width, height)
            view.get_view_node().SetFieldOfView(scale * width, scale * height, 1.0)
        self.jump(middle)

    def slice_center(self) -> NDArray[np.float64]:
        """(3,) where the three slices cross, RAS mm."""
        planes, offsets = [], []
        for view in self.slice_views[:3]:
            matrix = view.get_view_node().GetSliceToRAS()
            normal = np.array([matrix.GetElement(row, 2) for row in range(3)])
            point = np.array([matrix.GetElement(row, 3) for row in range(3)])
            planes.append(normal)
            offsets.append(float(normal @ point))
        return np.asarray(np.linalg.lstsq(np.array(planes), np.array(offsets), rcond=None)[0])

    # pointer

    def start_placing(self, markups: Any) -> None:
        """Each click in a view adds a point to the markups node."""
        self.set_effect("")
        self.app.markups_logic.place_node(markups, persistent=True)

    def stop_placing(self) -> None:
        """Clicks move the view again."""
        self.app.markups_logic.disable_place_mode()

    @property
    def is_placing(self) -> bool:
        """True while clicks add points."""
        node = self.app.markups_logic.interaction_node
        return bool(node is not None and node.GetCurrentInteractionMode() == PLACE)

    def on_place_mode(self, call: Callable[[], None]) -> None:
        """Call when place mode starts or ends, also by a right click in a view."""
        self.observe(self.app.markups_logic.interaction_node, vtkCommand.ModifiedEvent, call)

    def on_cursor(self, call: Callable[[NDArray[np.float64] | None], None]) -> None:
        """Call with the pointer's position, RAS mm, or None outside the slices."""
        node = self.scene.GetFirstNodeByClass("vtkMRMLCrosshairNode")

        def moved() -> None:
            ras = [0.0, 0.0, 0.0]
            inside = node.GetCursorPositionRAS(ras)
            call(np.asarray(ras) if inside else None)

        self.observe(node, slicer.vtkMRMLCrosshairNode.CursorPositionModifiedEvent, moved)

    def observe(self, node: Any, event: Any, call: Callable[[], None]) -> tuple[Any, int]:
        """Call f() at each event of a node; keeps the node."""
        tag = (node, node.AddObserver(event, lambda *_: call()))
        self._observed.append(tag)
        return tag

    def forget(self, tag: tuple[Any, int]) -> None:
        """End an observation."""
        tag[0].RemoveObserver(tag[1])
        if tag in self._observed:
            self._observed.remove(tag)

    # painting

    @property
    def edited(self) -> Any | None:
        """The segmentation that is painted."""
        return self.app.segmentation_editor.active_segmentation_node

    def edit(self, segmentation: Any, volume: Any) -> None:
        """Make a segmentation the one that is painted."""
        self.app.segmentation_editor.set_active_segmentation(segmentation, volume)

    def set_effect(self, name: str, *, brush_mm: float = 6.0, sphere: bool = True) -> None:
        """Start "paint" or "erase", or end both with ""."""
        effect = self.app.segmentation_editor.set_active_effect_type(EFFECTS[name])
        if name and effect is not None:
            effect.set_brush_diameter(brush_mm, BrushDiameterMode.Absolute)
            effect.set_use_sphere_brush(sphere)

    def set_segment(self, segment_id: str) -> None:
        """The segment that is painted."""
        self.app.segmentation_editor.set_active_segment_id(segment_id)

    def on_painted(self, call: Callable[[], None]) -> None:
        """Call after each stroke."""
        self.app.segmentation_editor.segmentation_modified.connect(call)

    # files

    def save_scene(self, path: str) -> bool:
        """Write the whole scene as .mrb."""
        return bool(self.app.io_manager.save_scene(path))

    def load_scene(self, path: str) -> bool:
        """Add a saved scene to this one."""
        return bool(self.app.io_manager.load_scene(path))


def slice_slider(server: Any, view: Any) -> Any:
    """State of a slice view's slider; the page hears of each change, also of one that no page asked for."""
    state = connect_slice_view_slider_to_state(server, view)
    waiting: list[asyncio.Handle] = []

    def tell() -> None:
        waiting.clear()
        server.state.flush()

    def moved(_: Any) -> None:
        reach = Workspace.reach.get(view.get_singleton_tag())
        if reach is not None and not view.get_background_volume_id():
            with state.suppress_change_listeners():
                state.data.min_value, state.data.max_value, state.data.step = *reach, 1.0
        if not waiting and asyncio._get_running_loop() is not None:
            waiting.append(asyncio.get_running_loop().call_soon(tell))

    view.modified.connect(moved)
    return state
