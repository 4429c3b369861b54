"""Colors and looks of result nodes: maps of volume change and uncertainty, displacement, segments, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from valorlib.convert.mrml import set_image, set_labels, set_transform
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import AffineTransform, Transform
from valorlib.scene.nodes import Recorder, ResultNodes, set_reference

Colors = Sequence[tuple[float, float, float, float]]

DIVERGING: Colors = (
    (0.0, 0.55, 0.0, 0.55),
    (0.001, 0.10, 0.20, 0.65),
    (0.5, 0.35, 0.60, 0.90),
    (1.0, 0.96, 0.96, 0.96),
    (1.5, 0.95, 0.55, 0.35),
    (2.0, 0.70, 0.05, 0.10),
)
"""Volume change: purple folds, blue shrinks, white keeps, red grows."""
DIVERGING_LOG: Colors = ((-1.0, 0.10, 0.20, 0.65), (0.0, 0.96, 0.96, 0.96), (1.0, 0.70, 0.05, 0.10))
SEQUENTIAL: Colors = (
    (0.0, 0.05, 0.03, 0.20),
    (0.25, 0.35, 0.10, 0.45),
    (0.5, 0.75, 0.22, 0.35),
    (0.75, 0.97, 0.55, 0.20),
    (1.0, 0.99, 0.98, 0.65),
)
"""Share of the largest value: dark is sure, bright is not."""
DISPLACEMENT: Colors = ((1.0, 0.2, 0.2, 0.2), (2.0, 0.0, 1.0, 0.0), (5.0, 1.0, 1.0, 0.0), (10.0, 1.0, 0.0, 0.0))
"""Millimeters: 1 gray, 2 green, 5 yellow, 10 red."""

LEGEND = "vtkMRMLColorLegendDisplayNode"

FIXED, MOVING = "spatialRegistrationFixed", "spatialRegistrationMoving"
"""Roles of a transform that Slicer itself knows."""


def add_colors(recorder: Recorder, name: str, points: Colors, scale: float = 1.0) -> Any:
    """Procedural color node that runs through `points` (value, red, green, blue), values times `scale`."""
    node = recorder.add("vtkMRMLProceduralColorNode", name)
    ramp = node.GetColorTransferFunction()
    ramp.RemoveAllPoints()
    for value, *rgb in points:
        ramp.AddRGBPoint(value * scale, *rgb)
    return node


def add_volume(
    recorder: Recorder, image: Image | Dose, name: str, role: str, *, like: Any = None, voxels: Any = None
) -> Any:
    """Scalar volume node of an image; window and level as those of the volume node `like`.

    `voxels`: the image's array as a vtkImageData, where it was made before.
    """
    node = recorder.add("vtkMRMLScalarVolumeNode", name, role, display=False)
    set_image(node, image, voxels)
    model = like.GetDisplayNode() if like is not None else None
    if model is not None and model.IsA("vtkMRMLScalarVolumeDisplayNode"):
        _display_of(recorder, node).SetWindowLevel(model.GetWindow(), model.GetLevel())
    else:
        node.CreateDefaultDisplayNodes()
    return node


def _display_of(recorder: Recorder, node: Any) -> Any:
    """Display node with a fixed window: a default one would first look for a window in all voxels."""
    display = recorder.scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    display.SetDefaultColorMap()
    display.SetAutoWindowLevel(0)
    node.SetAndObserveDisplayNodeID(display.GetID())
    return display


def add_map(
    recorder: Recorder,
    image: Image,
    name: str,
    role: str,
    *,
    points: Colors,
    low: float,
    high: float,
    unit: str = "",
    voxels: Any = None,
) -> Any:
    """Scalar volume node shown in colors between `low` and `high`; its legend bears the name and unit."""
    node = recorder.add("vtkMRMLScalarVolumeNode", name, role, display=False)
    set_image(node, image, voxels)
    scale = high if points is SEQUENTIAL else 1.0
    colors = add_colors(recorder, f"{name} colors", points, scale)
    display = _display_of(recorder, node)
    display.SetAndObserveColorNodeID(colors.GetID())
    display.SetWindowLevelMinMax(low, high)
    add_legend(recorder, node, f"{name} ({unit})" if unit else name)
    return node


def draw_above(volume: Any, lowest: float) -> None:
    """Draw only voxels of at least this value; the others let the image below through."""
    display = volume.GetDisplayNode()
    display.SetLowerThreshold(lowest)
    display.SetUpperThreshold(1e9)
    display.SetApplyThreshold(1)


def add_legend(recorder: Recorder, node: Any, title: str) -> None:
    """Color legend of a volume or model, hidden until asked for; nothing where the scene knows no legends."""
    made = recorder.scene.CreateNodeByClass(LEGEND)
    if made is None:
        return
    made.UnRegister(None)
    legend = recorder.add(LEGEND, f"{title} legend", display=False)
    legend.SetTitleText(title)
    legend.SetLabelFormat("%.1f")
    legend.SetSize(0.08, 0.4)
    legend.SetPosition(0.97, 0.5)
    legend.SetVisibility(0)
    flat = node.IsA("vtkMRMLVolumeNode")
    legend.SetVisibility2D(flat)
    legend.SetVisibility3D(not flat)
    node.AddAndObserveDisplayNodeID(legend.GetID())
    legend.SetAndObservePrimaryDisplayNode(node.GetDisplayNode())


def show_legend(scene: Any, results: ResultNodes, shown: Any, title: str = "") -> None:
    """Show the color legend of one node of a run, and no other of this run.

    Call it after the node came into the views: a view draws a legend when it changes.

    Args:
        scene: the MRML scene.
        results: the run.
        shown: its node that is looked at; None hides every legend.
        title: another title; "" keeps the one it has.
    """
    for node_id in results.ids:
        node = scene.GetNodeByID(node_id)
        legend = _legend_of(node) if node is not None else None
        if legend is None:
            continue
        on = node is shown
        if on:
            legend.SetTitleText(title or legend.GetTitleText())
        legend.SetVisibility(on)
        legend.Modified()


def _legend_of(node: Any) -> Any:
    if not node.IsA("vtkMRMLDisplayableNode"):
        return None
    shown = (node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes()))
    return next((d for d in shown if d is not None and d.IsA(LEGEND)), None)


def add_label_volume(recorder: Recorder, labels: LabelMap, name: str, role: str) -> Any:
    """Label map volume node."""
    node = recorder.add("vtkMRMLLabelMapVolumeNode", name, role, display=False)
    set_labels(node, labels)
    node.CreateDefaultDisplayNodes()
    return node


def add_transform(
    recorder: Recorder,
    transform: Transform | Any,
    name: str,
    role: str,
    *,
    grid: Grid | None = None,
    fixed: Any = None,
    moving: Any = None,
) -> Any:
    """Transform node, from parent, that knows which volumes it joins; displacement in Slicer's usual colors.

    `transform`: of the library, or what `grid_transform` made of one before.
    """
    linear = isinstance(transform, AffineTransform)
    kind = "vtkMRMLLinearTransformNode" if linear else "vtkMRMLGridTransformNode"
    node = recorder.add(kind, name, role, display=False)
    if hasattr(transform, "GetDisplacementGrid"):
        node.SetAndObserveTransformFromParent(transform)
    else:
        set_transform(node, transform, grid)
    set_reference(node, FIXED, fixed)
    set_reference(node, MOVING, moving)
    node.CreateDefaultDisplayNodes()
    if not linear:
        _preset(node, fixed)
    return node


def _preset(node: Any, region: Any) -> None:
    display = node.GetDisplayNode()
    if display is None:
        return
    ramp = display.GetColorMap()
    if ramp is not None:
        ramp.RemoveAllPoints()
        for value, *rgb in DISPLACEMENT:
            ramp.AddRGBPoint(value, *rgb)
    display.SetVisualizationMode(display.VIS_MODE_GRID)
    display.SetVisibility(0)
    display.SetVisibility2D(1)
    display.SetVisibility3D(0)
    # Without a region nothing is shown in 3D.
    if region is not None:
        display.SetAndObserveRegionNode(region)


def look_at(segmentation: Any, *, filled: bool, shown: bool = True) -> None:
    """Show segments as outlines, filled lightly or not at all inside."""
    display = segmentation.GetDisplayNode()
    if display is not None:
        display.SetVisibility2DOutline(True)
        display.SetVisibility2DFill(filled)
        display.SetOpacity2DFill(0.25)
        display.SetVisibility(shown)
