"""Small questions to the scene that only the workbench asks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkImageData
from vtkmodules.vtkCommonMath import vtkMatrix4x4

from valorlib.core.grid import Grid
from valorlib.core.images import Image

RESULT = "valor.role"
FLIP = np.diag([-1.0, -1.0, 1.0, 1.0])


def image_from_node(node: Any) -> Image:
    m = vtkMatrix4x4()
    node.GetIJKToRASMatrix(m)
    mat = np.array([[m.GetElement(r, c) for c in range(4)] for r in range(4)])
    grid = Grid.from_matrix(node.GetImageData().GetDimensions(), FLIP @ mat)
    voxels = vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    return Image(voxels.reshape(grid.shape).astype(np.float32), grid, node.GetName())


def add_image(scene: Any, image: Image, name: str) -> Any:
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    data = vtkImageData()
    data.SetDimensions(*image.grid.size)
    data.GetPointData().SetScalars(numpy_to_vtk(image.array.ravel(), deep=True))
    mat = FLIP @ image.grid.matrix
    m = vtkMatrix4x4()
    for r in range(4):
        for c in range(4):
            m.SetElement(r, c, mat[r, c])
    node.SetIJKToRASMatrix(m)
    node.SetAndObserveImageData(data)
    node.CreateDefaultDisplayNodes()
    return node


def rows(scene: Any, node_class: str, *, hide_results: bool = False) -> list[dict[str, str]]:
    """{title, value} of the nodes of a class, for a list of the page."""
    found = []
    for n in range(scene.GetNumberOfNodesByClass(node_class)):
        node = scene.GetNthNodeByClass(n, node_class)
        if node.GetHideFromEditors() or (hide_results and node.GetAttribute(RESULT)):
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
