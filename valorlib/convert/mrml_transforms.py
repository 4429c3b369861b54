"""Transform nodes to transforms and back.

A transform node that is put over the moving image holds fixed to moving as its transform *from parent*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import vtk

from valorlib.convert.mrml_space import (
    RAS_TO_LPS,
    array_of_image,
    image_of_array,
    matrix_of,
    name_of,
    require,
    sampled,
    vtk_matrix_of,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform


def transform_from_node(node: Any, grid: Grid | None = None) -> Transform:
    """World (fixed) to the coordinates of what lies under the node (moving), LPS; its own parents included.

    Args:
        node: transform node: linear, grid, B-spline, thin plate or a composite of them.
        grid: where a part is sampled that has no core type (B-spline, thin plate, inverse of a grid).

    Raises:
        InputError: no transform node, or such a part without `grid`.
    """
    require(node, "vtkMRMLTransformNode", "a transform")
    general = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(general)
    if node.IsTransformToWorldLinear():
        m = vtk.vtkMatrix4x4()
        node.GetMatrixTransformToWorld(m)
        m.Invert()
        return _affine(m, node)
    parts = []
    for part in _flat(node, general):
        known = _part(part, node)
        if known is not None:
            parts.append(known)
        elif grid is not None:
            return sampled(general, grid)
        else:
            raise InputError(f"{name_of(node)}: expected a grid transform; convert it in the Transforms module first")
    return parts[0] if len(parts) == 1 else Chain(tuple(parts))


def _flat(node: Any, general: Any) -> list[Any]:
    """The simple VTK transforms that `general` joins, in the order in which a point meets them."""
    found = vtk.vtkCollection()
    node.FlattenGeneralTransform(found, general)
    return [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]


def _part(part: Any, node: Any) -> AffineTransform | DisplacementField | None:
    if part.IsA("vtkLinearTransform"):
        part.Update()
        return _affine(part.GetMatrix(), node)
    if part.IsA("vtkGridTransform") and not part.GetInverseFlag() and part.GetDisplacementGrid() is not None:
        return _field(part)
    return None


def _affine(m: Any, node: Any) -> AffineTransform:
    try:
        return AffineTransform(np.asarray(RAS_TO_LPS @ matrix_of(m) @ RAS_TO_LPS))
    except InputError as error:
        raise InputError(f"{name_of(node)}: {error}") from None


def _field(part: Any) -> DisplacementField:
    image = part.GetDisplacementGrid()
    matrix = np.eye(4)
    if part.IsA("vtkOrientedGridTransform") and part.GetGridDirectionMatrix() is not None:
        matrix = matrix_of(part.GetGridDirectionMatrix())
    matrix[:3, :3] = matrix[:3, :3] * np.asarray(image.GetSpacing())
    matrix[:3, 3] = image.GetOrigin()
    grid = Grid.from_matrix(image.GetDimensions(), RAS_TO_LPS @ matrix)
    array = array_of_image(image) * part.GetDisplacementScale() + part.GetDisplacementShift()
    return DisplacementField((array * (-1.0, -1.0, 1.0)).astype(np.float32), grid)


def set_transform(node: Any, transform: Transform, grid: Grid | None = None) -> None:
    """Store fixed to moving as the node's transform from parent.

    An affine stays linear; anything else becomes one oriented grid transform (float).

    Args:
        node: transform node.
        transform: fixed to moving.
        grid: where a chain or a velocity is sampled; the grid of its first field when None.
    """
    require(node, "vtkMRMLTransformNode", "a transform")
    parts = _parts(transform)
    if all(isinstance(p, AffineTransform) for p in parts):
        matrix = parts[0].matrix if parts and isinstance(parts[0], AffineTransform) else np.eye(4)
        node.SetMatrixTransformFromParent(vtk_matrix_of(RAS_TO_LPS @ matrix @ RAS_TO_LPS))
        return
    whole = next(p for p in parts if isinstance(p, DisplacementField))
    if len(parts) > 1 or grid is not None:
        from valorlib.ops.transforms import to_displacement  # needs torch

        whole = to_displacement(transform, grid or whole.grid)
    node.SetAndObserveTransformFromParent(grid_transform(whole))


def _parts(transform: Transform) -> tuple[AffineTransform | DisplacementField, ...]:
    if isinstance(transform, AffineTransform | DisplacementField):
        return (transform,)
    from valorlib.ops.mapping import flatten  # needs torch

    return flatten(transform)


INVERSE_TOLERANCE_MM = 1e-4
"""How far Slicer's own inversion of a field may be off; its default is ten times as much."""


def grid_transform(field: DisplacementField) -> Any:
    """A vtkOrientedGridTransform of a displacement field (RAS, float)."""
    from slicer import vtkOrientedGridTransform

    ras = RAS_TO_LPS @ field.grid.matrix
    array = field.array.copy()
    np.negative(array[..., :2], out=array[..., :2])
    image = image_of_array(array)
    image.SetSpacing(field.grid.spacing)
    image.SetOrigin([float(v) for v in ras[:3, 3]])
    direction = np.eye(4)
    direction[:3, :3] = ras[:3, :3] / np.asarray(field.grid.spacing)
    out = vtkOrientedGridTransform()
    out.SetDisplacementGridData(image)
    out.SetGridDirectionMatrix(vtk_matrix_of(direction))
    out.SetInterpolationModeToLinear()
    out.SetInverseTolerance(INVERSE_TOLERANCE_MM)
    return out
