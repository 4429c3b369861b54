"""Markups, models and tables to points, surfaces and columns, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import vtk_to_numpy

from valorlib.convert.mrml_space import F64, flip, name_of, points_to_world, require
from valorlib.convert.polydata import polydata_of_triangles
from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud


@dataclass(frozen=True, eq=False)
class Triangles:
    """A surface. points: (N, 3) LPS mm. faces: (M, 3) int."""

    points: F64
    faces: NDArray[np.int64]


def points_from_node(node: Any) -> PointCloud:
    """Defined control points of a markups node, world coordinates.

    Raises:
        InputError: no markups node, or no point in it.
    """
    require(node, "vtkMRMLMarkupsNode", "a point list")
    defined = defined_points(node)
    if not defined:
        raise InputError(f"{name_of(node)}: expected points, found none; place at least one")
    at = np.asarray([node.GetNthControlPointPositionWorld(n) for n in defined])
    return PointCloud(flip(at))


def defined_points(node: Any) -> list[int]:
    """Numbers of the control points that have a place."""
    status = node.PositionDefined
    return [n for n in range(node.GetNumberOfControlPoints()) if node.GetNthControlPointPositionStatus(n) == status]


def set_points(
    node: Any, points: F64, labels: Sequence[str] | None = None, descriptions: Sequence[str] | None = None
) -> None:
    """Replace the control points of a markups node by (n, 3) LPS points, in world coordinates."""
    require(node, "vtkMRMLMarkupsNode", "a point list")
    node.RemoveAllControlPoints()
    for n, position in enumerate(flip(points)):
        node.AddControlPointWorld(vtk.vtkVector3d(*(float(v) for v in position)))
        if labels is not None:
            node.SetNthControlPointLabel(n, labels[n])
        if descriptions is not None:
            node.SetNthControlPointDescription(n, descriptions[n])


def box_from_roi(node: Any) -> F64:
    """(8, 3) corners of a markups ROI, LPS, world coordinates."""
    require(node, "vtkMRMLMarkupsROINode", "a region of interest")
    size = node.GetSize()
    if min(size) <= 0:
        raise InputError(f"{name_of(node)}: expected a box with a size, got {tuple(size)}; draw it again")
    m = vtk.vtkMatrix4x4()
    m.DeepCopy(node.GetObjectToWorldMatrix())
    half = np.asarray(size) / 2
    signs = np.array(np.meshgrid((-1, 1), (-1, 1), (-1, 1), indexing="ij")).reshape(3, -1).T
    return flip([m.MultiplyPoint((*(s * half), 1.0))[:3] for s in signs])


def triangles_from_node(node: Any) -> Triangles:
    """Triangulated surface of a model node, world coordinates.

    Raises:
        InputError: no model, no points, or a cloud without faces.
    """
    require(node, "vtkMRMLModelNode", "a model")
    mesh = node.GetPolyData()
    if mesh is None or mesh.GetNumberOfPoints() == 0:
        raise InputError(f"{name_of(node)}: expected a surface, got an empty model; load it again")
    surface = triangles_of(mesh)
    if not len(surface.faces):
        raise InputError(f"{name_of(node)}: expected a surface with faces, got points or lines alone")
    return Triangles(points_to_world(node, surface.points), surface.faces)


def triangles_of(mesh: Any) -> Triangles:
    """Points (RAS mesh to LPS) and triangles of a vtkPolyData."""
    cut = vtk.vtkTriangleFilter()
    cut.SetInputData(mesh)
    cut.PassVertsOff()
    cut.PassLinesOff()
    cut.Update()
    out = cut.GetOutput()
    points = flip(vtk_to_numpy(out.GetPoints().GetData())) if out.GetNumberOfPoints() else np.zeros((0, 3))
    faces = np.zeros((0, 3), dtype=np.int64)
    if out.GetNumberOfPolys():
        faces = vtk_to_numpy(out.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    # A mirrored space turns the outside in; two flipped axes do not.
    return Triangles(points, faces)


def polydata_of(surface: Triangles, scalars: Mapping[str, NDArray[Any]] | None = None) -> Any:
    """vtkPolyData, RAS, with point arrays by name."""
    return polydata_of_triangles(flip(surface.points).astype(np.float32), surface.faces, scalars)


def set_model(node: Any, surface: Triangles, scalars: Mapping[str, NDArray[Any]] | None = None) -> None:
    """Put a surface (or a cloud, without faces) into a model node, with point arrays by name."""
    require(node, "vtkMRMLModelNode", "a model")
    node.SetAndObservePolyData(polydata_of(surface, scalars))


def set_table(node: Any, columns: Mapping[str, Sequence[Any]]) -> None:
    """Replace a table node's columns: texts as text, all else as numbers."""
    require(node, "vtkMRMLTableNode", "a table")
    node.RemoveAllColumns()
    for name, values in columns.items():
        texts = any(isinstance(v, str) for v in values)
        array = vtk.vtkStringArray() if texts else vtk.vtkDoubleArray()
        array.SetName(name)
        for value in values:
            array.InsertNextValue(("" if value is None else str(value)) if texts else _number(value))
        node.AddColumn(array)


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def table_from_node(node: Any) -> dict[str, list[Any]]:
    """Columns of a table node: numbers where the column is numeric, else texts."""
    require(node, "vtkMRMLTableNode", "a table")
    table, out = node.GetTable(), {}
    for n in range(table.GetNumberOfColumns()):
        column = table.GetColumn(n)
        numeric = column.IsA("vtkDataArray")
        count = column.GetNumberOfTuples() if numeric else column.GetNumberOfValues()
        values = [column.GetTuple1(r) if numeric else column.GetValue(r) for r in range(count)]
        out[str(node.GetColumnName(n))] = values
    return out
