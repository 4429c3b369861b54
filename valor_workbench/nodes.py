"""Small questions to the scene that only the workbench asks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from valorlib.convert.mrml import Triangles, set_image, set_model, set_segmentation, set_transform
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.points import PointCloud
from valorlib.core.transforms import AffineTransform, Transform
from valorlib.scene.display import look_at
from valorlib.scene.nodes import RUN

DICOM = "VALOR.dicom"
"""Attribute of a volume: the folder of the DICOM files it was read from."""


def add_image(scene: Any, image: Image, name: str) -> Any:
    """New scalar volume node of an image."""
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", scene.GetUniqueNameByString(name))
    set_image(node, image)
    node.CreateDefaultDisplayNodes()
    return node


def add_segmentation(scene: Any, volume: Any, name: str = "Segmentation") -> Any:
    """New empty segmentation on a volume's grid."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GetUniqueNameByString(name))
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.SetNodeReferenceID("VALOR.image", volume.GetID())
    return node


def add_labels(scene: Any, labels: LabelMap, name: str, volume: Any = None) -> Any:
    """New segmentation node of a label map."""
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GetUniqueNameByString(name))
    node.CreateDefaultDisplayNodes()
    set_segmentation(node, labels)
    if volume is not None:
        node.SetNodeReferenceID("VALOR.image", volume.GetID())
    look_at(node, filled=False)
    return node


def as_image(dose: Dose) -> Image:
    """A dose as an image, for a volume node."""
    return Image(dose.array, dose.grid, "dose")


SET = "VALOR.set"
"""Attribute of a model: the set of organs that it was opened with."""


def add_surfaces(scene: Any, surfaces: Mapping[str, Any], name: str) -> str:
    """New model nodes, one an organ, as one set; returns the name of the set, its own in the scene."""
    from valorlib.convert.segment_files import color_of

    taken, free, number = set(sets_of(scene)), name, 2
    while free in taken:
        free, number = f"{name} ({number})", number + 1
    for index, (organ, surface) in enumerate(surfaces.items()):
        node = scene.AddNewNodeByClass("vtkMRMLModelNode", organ)
        set_model(node, Triangles(surface.points, surface.faces))
        node.SetAttribute(SET, free)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetColor(*color_of(index))
        node.GetDisplayNode().SetVisibility2D(True)
    return free


def sets_of(scene: Any) -> dict[str, list[Any]]:
    """The sets of models that were opened: name to model nodes."""
    found: dict[str, list[Any]] = {}
    for n in range(scene.GetNumberOfNodesByClass("vtkMRMLModelNode")):
        node = scene.GetNthNodeByClass(n, "vtkMRMLModelNode")
        if node.GetAttribute(SET):
            found.setdefault(node.GetAttribute(SET), []).append(node)
    return found


def add_transform(scene: Any, transform: Transform, name: str) -> Any:
    """New transform node, from parent, fixed to moving."""
    linear = isinstance(transform, AffineTransform)
    kind = "vtkMRMLLinearTransformNode" if linear else "vtkMRMLGridTransformNode"
    node = scene.AddNewNodeByClass(kind, scene.GetUniqueNameByString(name))
    set_transform(node, transform)
    return node


LANDMARKS = "VALOR.landmarks"
"""Attribute of a markups list whose points correspond, in their order, to those of another."""


def add_landmarks(scene: Any, cloud: PointCloud, name: str) -> Any:
    """New markups list of landmarks, which a hand does not move by chance."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", scene.GetUniqueNameByString(name))
    node.SetAttribute(LANDMARKS, "1")
    for n, (x, y, z) in enumerate(cloud.points.tolist()):
        node.AddControlPoint([-x, -y, z], f"L{n + 1}")
    node.SetLocked(True)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetGlyphScale(1.2)
    node.GetDisplayNode().SetTextScale(0.0)
    return node


def segment_ml(segment: Any) -> float:
    """Volume of a segment's label map."""
    data = segment.GetRepresentation("Binary labelmap")
    if data is None or data.GetNumberOfPoints() == 0:
        return 0.0
    scalars = data.GetPointData().GetScalars()
    if scalars is None:
        return 0.0
    count = int(np.count_nonzero(vtk_to_numpy(scalars) == segment.GetLabelValue()))
    return count * float(np.prod(data.GetSpacing())) / 1000


def add_region(scene: Any, center_ras: list[float], size_mm: float) -> Any:
    """Hidden box that bounds what is drawn in 3D."""
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "Region of the 3D view")
    node.SetXYZ(*center_ras)
    node.SetRadiusXYZ(size_mm / 2, size_mm / 2, size_mm / 2)
    node.CreateDefaultDisplayNodes()
    node.SetDisplayVisibility(False)
    node.SetHideFromEditors(True)
    return node


def rows(scene: Any, node_class: str, *, hide_results: bool = False, attribute: str = "") -> list[dict[str, str]]:
    """{title, value} of the nodes of a class, for a list of the page."""
    found = []
    for n in range(scene.GetNumberOfNodesByClass(node_class)):
        node = scene.GetNthNodeByClass(n, node_class)
        if attribute and not node.GetAttribute(attribute):
            continue
        if node.GetHideFromEditors() or (hide_results and node.GetAttribute(RUN)):
            continue
        found.append({"title": node.GetName() or node.GetID(), "value": node.GetID()})
    return found


def values_at(slice_views: list[Any], ras: NDArray[np.float64]) -> list[tuple[str, str]]:
    """(name, value) of the volumes in the first slice view's layers at a place."""
    if not slice_views:
        return []
    found = []
    view = slice_views[0]
    for volume_id in dict.fromkeys((view.get_background_volume_id(), view.get_foreground_volume_id())):
        node = view._scene.GetNodeByID(volume_id) if volume_id else None
        value = None if node is None else value_at(node, ras)
        if node is not None and value is not None:
            found.append((node.GetName(), f"{value:.4g}"))
    return found


def value_at(node: Any, ras: NDArray[np.float64]) -> float | None:
    """Value of the nearest voxel of a volume, or None outside it."""
    data = node.GetImageData()
    if data is None:
        return None
    matrix = vtkMatrix4x4()
    node.GetRASToIJKMatrix(matrix)
    index = [round(v) for v in matrix.MultiplyPoint((*ras, 1.0))[:3]]
    if any(not 0 <= i < n for i, n in zip(index, data.GetDimensions(), strict=True)):
        return None
    return float(data.GetScalarComponentAsDouble(*index, 0))
