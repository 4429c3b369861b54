"""SimpleITK images and transforms to core types and back. Both are LPS mm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import SimpleITK as sitk

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform, VelocityField


def _set_grid(image: sitk.Image, grid: Grid) -> sitk.Image:
    image.SetSpacing(grid.spacing)
    image.SetOrigin(grid.origin)
    image.SetDirection([v for row in grid.direction for v in row])
    return image


def grid_from_sitk(image: sitk.Image) -> Grid:
    """Grid of a 2D or 3D SimpleITK image; a 2D one becomes a slice of 1 mm."""
    dimension = image.GetDimension()
    if dimension == 3:
        d = np.asarray(image.GetDirection()).reshape(3, 3)
        return Grid(image.GetSize(), image.GetSpacing(), image.GetOrigin(), tuple(map(tuple, d)))
    if dimension != 2:
        raise InputError(f"image: expected 2 or 3 dimensions, got {dimension}; extract one volume first")
    d = np.eye(3)
    d[:2, :2] = np.asarray(image.GetDirection()).reshape(2, 2)
    # A mirrored slice in the plane keeps its right-handed axes: the third one is free in 2D.
    d[2, 2] = np.sign(np.linalg.det(d[:2, :2])) or 1.0
    return Grid((*image.GetSize(), 1), (*image.GetSpacing(), 1.0), (*image.GetOrigin(), 0.0), tuple(map(tuple, d)))


def image_to_sitk(image: Image) -> sitk.Image:
    """3D float32 image, a copy."""
    return _set_grid(sitk.GetImageFromArray(image.array), image.grid)


def labels_to_sitk(labels: LabelMap) -> sitk.Image:
    """3D image of the smallest unsigned type that fits, int32 where labels are negative or above 65535."""
    top, low = int(labels.array.max(initial=0)), int(labels.array.min(initial=0))
    kind = np.int32 if low < 0 or top > 65535 else np.uint16 if top > 255 else np.uint8
    return _set_grid(sitk.GetImageFromArray(labels.array.astype(kind)), labels.grid)


def field_to_sitk(field: DisplacementField | VelocityField) -> sitk.Image:
    """3D vector image, float64 (as ITK's displacement field transforms want it), a copy."""
    return _set_grid(sitk.GetImageFromArray(field.array.astype(np.float64), isVector=True), field.grid)


def transform_to_sitk(transform: Transform) -> sitk.Transform:
    """ITK transform; a chain becomes a composite. ITK displaces nothing outside a field's grid.

    Raises:
        InputError: a velocity field, which ITK has no transform for.
    """
    if isinstance(transform, AffineTransform):
        out = sitk.AffineTransform(3)
        out.SetMatrix(transform.matrix[:3, :3].ravel().tolist())
        out.SetTranslation(transform.matrix[:3, 3].tolist())
        return out
    if isinstance(transform, DisplacementField):
        return sitk.DisplacementFieldTransform(field_to_sitk(transform))
    if isinstance(transform, Chain):
        # A composite applies the transform added last first.
        return sitk.CompositeTransform(
            [transform_to_sitk(part) for part in reversed(transform.parts)] or [sitk.AffineTransform(3)]
        )
    raise InputError("transform: expected an affine, a displacement field or a chain; exponentiate the velocity first")


def image_from_sitk(image: sitk.Image, name: str = "") -> Image:
    """Scalar image of a 2D or 3D SimpleITK image, a copy."""
    grid = grid_from_sitk(image)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"{name or 'image'}: expected one value a voxel, got {image.GetNumberOfComponentsPerPixel()}")
    return Image(sitk.GetArrayFromImage(image).reshape(grid.shape).astype(np.float32), grid, name)


def labels_from_sitk(image: sitk.Image, names: Mapping[int, str] | None = None) -> LabelMap:
    """Label map of a 2D or 3D SimpleITK image, a copy."""
    grid = grid_from_sitk(image)
    if image.GetNumberOfComponentsPerPixel() != 1:
        raise InputError(f"labels: expected one value a voxel, got {image.GetNumberOfComponentsPerPixel()}")
    return LabelMap(sitk.GetArrayFromImage(image).reshape(grid.shape), grid, dict(names or {}))


def field_from_sitk(image: sitk.Image) -> DisplacementField:
    """Displacement field of a 3D vector image with three components, a copy."""
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 3:
        raise InputError(
            f"displacement: expected a 3D image of 3 components, got {image.GetDimension()}D of "
            f"{image.GetNumberOfComponentsPerPixel()}; give a displacement field"
        )
    return DisplacementField(sitk.GetArrayFromImage(image).astype(np.float32), grid_from_sitk(image))


def transform_from_sitk(transform: sitk.Transform) -> Transform:
    """Affine, displacement field or chain of an ITK transform.

    Raises:
        InputError: a kind of transform that has no core type; sample it to a displacement field first.
    """
    if transform.GetDimension() != 3:
        raise InputError(f"transform: expected 3 dimensions, got {transform.GetDimension()}")
    if transform.GetTransformEnum() == sitk.sitkComposite:
        composite = sitk.CompositeTransform(transform)
        parts = [composite.GetNthTransform(n) for n in reversed(range(composite.GetNumberOfTransforms()))]
        found = tuple(transform_from_sitk(part) for part in parts)
        return found[0] if len(found) == 1 else Chain(found)
    if transform.GetTransformEnum() == sitk.sitkDisplacementField:
        return field_from_sitk(sitk.DisplacementFieldTransform(transform).GetDisplacementField())
    if transform.GetTransformEnum() == sitk.sitkBSplineTransform:
        return _sampled_spline(sitk.BSplineTransform(transform))
    if not transform.IsLinear():
        raise InputError(f"transform: expected linear, B-spline or displacement field, got {transform.GetName()}")
    return AffineTransform(_matrix_of(transform))


def _matrix_of(transform: sitk.Transform) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(4, 4) matrix of any linear transform, from where it puts the origin and the unit points."""
    origin = np.asarray(transform.TransformPoint((0.0, 0.0, 0.0)))
    matrix = np.eye(4)
    matrix[:3, 3] = origin
    for axis in range(3):
        point = [0.0, 0.0, 0.0]
        point[axis] = 1.0
        matrix[:3, axis] = np.asarray(transform.TransformPoint(point)) - origin
    return matrix


def _sampled_spline(spline: sitk.BSplineTransform) -> DisplacementField:
    """A B-spline at a quarter of its control point distance, over its domain."""
    mesh = np.asarray(spline.GetTransformDomainMeshSize())
    size = [int(n) for n in 4 * mesh + 1]
    spacing = [float(v) for v in np.asarray(spline.GetTransformDomainPhysicalDimensions()) / (4 * mesh)]
    image = sitk.TransformToDisplacementField(
        spline,
        sitk.sitkVectorFloat64,
        size,
        spline.GetTransformDomainOrigin(),
        spacing,
        spline.GetTransformDomainDirection(),
    )
    return field_from_sitk(image)
