"""RAS, parent transforms and arrays of MRML nodes: what the other parts of `convert.mrml` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray
from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.slabs import slab_points, slabs

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""Its own inverse."""

F64 = NDArray[np.float64]


def flip(points: Any) -> F64:
    """(..., 3) RAS to LPS, or LPS to RAS."""
    return np.asarray(points, dtype=np.float64) * (-1.0, -1.0, 1.0)


def name_of(node: Any) -> str:
    """Name of a node for a sentence."""
    return str(node.GetName() or node.GetID() or "node") if node is not None else "node"


def require(node: Any, kind: str, what: str) -> None:
    """Raise InputError unless `node` is a node of the VTK class `kind` ("a volume", in words: `what`)."""
    if node is None:
        raise InputError(f"{what}: expected a node, got none; choose one")
    if not (hasattr(node, "IsA") and node.IsA(kind)):
        raise InputError(f"{name_of(node)}: expected {what}, got another kind of node; choose {what}")


def matrix_of(vtk_matrix: Any) -> F64:
    """(4, 4) of a vtkMatrix4x4."""
    return np.array([[vtk_matrix.GetElement(r, c) for c in range(4)] for r in range(4)])


def vtk_matrix_of(matrix: F64) -> Any:
    """vtkMatrix4x4 of (4, 4)."""
    out = vtk.vtkMatrix4x4()
    out.DeepCopy([float(v) for v in np.asarray(matrix).ravel()])
    return out


def to_world(node: Any) -> F64 | None:
    """(4, 4) LPS, node's own coordinates to world; None when its parent transforms are not linear."""
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    if not parent.IsTransformToWorldLinear():
        return None
    m = vtk.vtkMatrix4x4()
    parent.GetMatrixTransformToWorld(m)
    return np.asarray(RAS_TO_LPS @ matrix_of(m) @ RAS_TO_LPS)


def apply_vtk(transform: Any, points: F64) -> F64:
    """(n, 3) LPS points through a VTK transform that works in RAS."""
    before, after = vtk.vtkPoints(), vtk.vtkPoints()
    before.SetDataTypeToDouble()
    after.SetDataTypeToDouble()
    before.SetData(numpy_to_vtk(np.ascontiguousarray(flip(points)), deep=True))
    transform.TransformPoints(before, after)
    return flip(vtk_to_numpy(after.GetData())) if len(points) else np.zeros((0, 3))


def parent_transform(node: Any, *, inverse: bool) -> Any:
    """A vtkGeneralTransform from the coordinates of a node that has a parent transform to world, or back."""
    general, parent = vtk.vtkGeneralTransform(), node.GetParentTransformNode()
    (parent.GetTransformFromWorld if inverse else parent.GetTransformToWorld)(general)
    return general


def points_to_world(node: Any, points: F64) -> F64:
    """(n, 3) points of a node, LPS, in world coordinates."""
    return mover_to_world(node)(points)


def mover_to_world(node: Any) -> Callable[[F64], F64]:
    """What takes (n, 3) points of a node, LPS, to world coordinates as its parent transforms are now."""
    matrix = to_world(node)
    if matrix is None:
        general = parent_transform(node, inverse=False)
        return lambda points: apply_vtk(general, points)
    linear = matrix
    return lambda points: np.asarray(points @ linear[:3, :3].T + linear[:3, 3])


def sampled(transform: Any, grid: Grid) -> DisplacementField:
    """A VTK transform (RAS) as a displacement field on `grid`."""
    out = np.empty((*grid.shape, 3), dtype=np.float32)
    for slab in slabs(grid):
        at = slab_points(grid, slab)
        out[slab] = (apply_vtk(transform, at) - at).reshape(-1, *grid.shape[1:], 3)
    return DisplacementField(out, grid)


def warped_box(node: Any, grid: Grid) -> Grid:
    """Grid in world coordinates that holds all of a node's grid after its (non-linear) parent transforms."""
    steps = [np.unique(np.linspace(-0.5, n - 0.5, min(n + 1, 12))) for n in grid.size]
    lattice = np.stack(np.meshgrid(*steps, indexing="ij"), axis=-1).reshape(-1, 3)
    moved = grid.to_index(points_to_world(node, grid.to_world(lattice)))
    low, high = np.floor(moved.min(axis=0) + 0.5), np.ceil(moved.max(axis=0) + 0.5)
    if float(np.prod(high - low)) > 2.0**31 or not np.all(np.isfinite(moved)):
        raise InputError(f"{name_of(node)}: its parent transform throws it too far; check the transform")
    size = np.asarray(grid.size)
    # One slice stays one slice: a picture has no extent to grow along.
    low, high = np.where(size == 1, 0, low), np.where(size == 1, 1, high)
    return grid.cropped([int(v) for v in low], [int(v) for v in high])


def moved_grid(grid: Grid, matrix: F64) -> Grid | None:
    """`grid` after a linear map (LPS); None when its axes are no longer perpendicular."""
    try:
        return Grid.from_matrix(grid.size, matrix @ grid.matrix)
    except InputError:
        return None


def array_of_image(image: Any) -> NDArray[Any]:
    """(K, J, I) or (K, J, I, C) view of a vtkImageData's scalars."""
    i, j, k = image.GetDimensions()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    return np.asarray(flat.reshape(k, j, i, *flat.shape[1:]))


def image_of_array(array: NDArray[Any], image: Any = None) -> Any:
    """A vtkImageData (or the given one, filled) with a copy of (K, J, I) or (K, J, I, C)."""
    image = vtk.vtkImageData() if image is None else image
    k, j, i = array.shape[:3]
    image.SetDimensions(i, j, k)
    flat = np.ascontiguousarray(array).reshape(i * j * k, *array.shape[3:])
    image.GetPointData().SetScalars(numpy_to_vtk(flat, deep=True))
    return image
