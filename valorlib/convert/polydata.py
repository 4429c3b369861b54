"""Triangles to VTK."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkPoints
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData


def polydata_of_triangles(
    points: NDArray[np.floating[Any]],
    faces: NDArray[np.int64],
    scalars: Mapping[str, NDArray[Any]] | None = None,
) -> vtkPolyData:
    """A mesh of points (N, 3), in their own precision and space, and faces (M, 3).

    Without faces each point is a cell of its own, since points without cells show nothing in 3D.

    Args:
        points: (N, 3).
        faces: (M, 3) rows of points.
        scalars: values a point (N,), by name.
    """
    mesh, places, cells = vtkPolyData(), vtkPoints(), vtkCellArray()
    places.SetData(numpy_to_vtk(np.ascontiguousarray(points), deep=True))
    mesh.SetPoints(places)
    corners = np.asarray(faces if len(faces) else np.arange(len(points))[:, None])
    offsets = np.arange(0, corners.size + 1, corners.shape[1], dtype=np.int64)
    ids = np.ascontiguousarray(corners.ravel(), dtype=np.int64)
    cells.SetData(numpy_to_vtkIdTypeArray(offsets, deep=True), numpy_to_vtkIdTypeArray(ids, deep=True))
    (mesh.SetPolys if len(faces) else mesh.SetVerts)(cells)
    for name, values in (scalars or {}).items():
        array = numpy_to_vtk(np.ascontiguousarray(values, dtype=np.float32), deep=True)
        array.SetName(name)
        mesh.GetPointData().AddArray(array)
    return mesh
