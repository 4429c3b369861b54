"""Volume nodes to images, label maps and dose, and back."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import vtk

from valorlib.convert.image_files import check_numbers
from valorlib.convert.mrml_space import (
    RAS_TO_LPS,
    array_of_image,
    flip,
    image_of_array,
    matrix_of,
    moved_grid,
    name_of,
    parent_transform,
    require,
    sampled,
    to_world,
    vtk_matrix_of,
    warped_box,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import AffineTransform, Transform

T = TypeVar("T", Image, LabelMap)


def local_grid(node: Any) -> Grid:
    """Grid of a volume node in its own coordinates, LPS; parent transforms left out.

    Raises:
        InputError: no voxels, or axes that are not perpendicular.
    """
    image = node.GetImageData()
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        raise InputError(f"{name_of(node)}: expected a volume with voxels, got an empty one; load it again")
    m = vtk.vtkMatrix4x4()
    node.GetIJKToRASDirectionMatrix(m)
    # Spacing and origin are taken as the node holds them, so that a grid comes back to the last digit.
    axes = (RAS_TO_LPS @ matrix_of(m))[:3, :3] + 0.0
    origin = flip(node.GetOrigin()) + 0.0
    try:
        return Grid(image.GetDimensions(), node.GetSpacing(), tuple(origin), tuple(map(tuple, axes)))
    except InputError as error:
        raise InputError(f"{name_of(node)}: {error}") from None


def world_grid(node: Any) -> Grid:
    """Grid of a volume node in world coordinates; the grid `image_from_node` puts it on."""
    grid = local_grid(node)
    if node.GetParentTransformNode() is None:
        return grid
    matrix = to_world(node)
    moved = moved_grid(grid, matrix) if matrix is not None else None
    return moved or warped_box(node, grid)


def image_from_node(node: Any) -> Image:
    """Scalar volume in world coordinates, a copy.

    A linear parent transform moves the grid; one that is not (or that shears) resamples a copy, linearly.

    Raises:
        InputError: no volume, no voxels, color, NaN.
    """
    require(node, "vtkMRMLScalarVolumeNode", "a scalar volume")
    grid = local_grid(node)
    array = array_of_image(node.GetImageData())
    if array.ndim != 3:
        raise InputError(f"{name_of(node)}: expected one value a voxel, got {array.shape[3]}; choose a scalar volume")
    check_numbers(name_of(node), array)
    image = Image(array.astype(np.float32), grid, name_of(node))
    return _in_world(node, image)


def labels_from_node(node: Any) -> LabelMap:
    """Label map volume (or a scalar volume of whole numbers) in world coordinates, a copy; names from its color table.

    Raises:
        InputError: no volume, no voxels, or fractions.
    """
    require(node, "vtkMRMLScalarVolumeNode", "a label map")
    grid, array = local_grid(node), array_of_image(node.GetImageData())
    check_numbers(name_of(node), array)
    if not np.array_equal(array, np.round(array)):
        raise InputError(f"{name_of(node)}: expected whole-number labels, got fractions; choose a label map")
    labels = LabelMap(array.astype(np.int32), grid, _label_names(node, array))
    return _in_world(node, labels)


def _label_names(node: Any, array: Any) -> dict[int, str]:
    display = node.GetDisplayNode()
    colors = display.GetColorNode() if display is not None and node.IsA("vtkMRMLLabelMapVolumeNode") else None
    if colors is None:
        return {}
    labels = [int(v) for v in np.unique(array) if 0 < v < colors.GetNumberOfColors()]
    return {v: colors.GetColorName(v) for v in labels if colors.GetColorName(v)}


def dose_from_node(node: Any) -> Dose:
    """Dose volume, Gy, in world coordinates, a copy.

    Raises:
        InputError: as `image_from_node`, or negative values.
    """
    image = image_from_node(node)
    if float(image.array.min()) < -1e-3:
        raise InputError(f"{image.name}: expected a dose in Gy, got negative values; is this the CT?")
    return Dose(np.maximum(image.array, 0), image.grid)


def _in_world(node: Any, data: T) -> T:
    if node.GetParentTransformNode() is None:
        return data
    matrix = to_world(node)
    if matrix is not None:
        grid = moved_grid(data.grid, matrix)
        if grid is not None:
            return _on(data, grid)
        # A shearing parent transform: resample a copy.
        from valorlib.ops.transforms import inverse_of

        return _resampled(data, warped_box(node, data.grid), inverse_of(AffineTransform(matrix)))
    grid = warped_box(node, data.grid)
    return _resampled(data, grid, sampled(parent_transform(node, inverse=True), grid))


def _resampled(data: T, grid: Grid, transform: Transform) -> T:
    from valorlib.ops.resample import resample_image, resample_labels  # needs torch

    return resample_image(data, grid, transform) if isinstance(data, Image) else resample_labels(data, grid, transform)


def _on(data: T, grid: Grid) -> T:
    if isinstance(data, Image):
        return Image(data.array, grid, data.name)
    return LabelMap(data.array, grid, data.names)


def set_grid(node: Any, grid: Grid) -> None:
    """Give a volume node the geometry of `grid`."""
    axes = np.eye(4)
    axes[:3, :3] = np.asarray(grid.direction)
    node.SetIJKToRASDirectionMatrix(vtk_matrix_of(RAS_TO_LPS @ axes))
    node.SetSpacing(grid.spacing)
    node.SetOrigin(flip(grid.origin))


def set_image(node: Any, image: Image | Dose, voxels: Any = None) -> None:
    """Put an image or dose into a scalar volume node, a copy (float32); `voxels`: that copy, where it was made."""
    require(node, "vtkMRMLScalarVolumeNode", "a scalar volume")
    node.SetAndObserveImageData(voxels if voxels is not None else image_of_array(image.array))
    set_grid(node, image.grid)


def set_labels(node: Any, labels: LabelMap) -> None:
    """Put a label map into a label map volume node, a copy (int16 where it fits)."""
    require(node, "vtkMRMLLabelMapVolumeNode", "a label map volume")
    fits = int(np.abs(labels.array).max(initial=0)) <= np.iinfo(np.int16).max
    node.SetAndObserveImageData(image_of_array(labels.array.astype(np.int16 if fits else np.int32)))
    set_grid(node, labels.grid)
