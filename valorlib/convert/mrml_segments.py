"""Segmentation nodes to label maps and surfaces, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import vtk

from valorlib.convert.mrml_shapes import Triangles, triangles_of
from valorlib.convert.mrml_space import (
    RAS_TO_LPS,
    array_of_image,
    image_of_array,
    matrix_of,
    moved_grid,
    mover_to_world,
    name_of,
    parent_transform,
    require,
    sampled,
    to_world,
    vtk_matrix_of,
    warped_box,
)
from valorlib.convert.segment_files import color_of
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import AffineTransform

BINARY = "Binary labelmap"
SURFACE = "Closed surface"
GEOMETRY = "Reference image geometry"
SURFACE_MM = 1.0
"""Voxels for surfaces that bring no geometry of their own."""


def segment_names(node: Any) -> dict[str, str]:
    """Segment ID to name, in the order of the segmentation."""
    require(node, "vtkMRMLSegmentationNode", "a segmentation")
    segmentation = node.GetSegmentation()
    ids = [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]
    return {i: str(segmentation.GetSegment(i).GetName() or i) for i in ids}


def _converted(node: Any, representation: str, grid: Grid | None = None) -> Any:
    """A vtkSegmentation that has the representation: the node's own, or a converted copy."""
    segmentation = node.GetSegmentation()
    if segmentation.ContainsRepresentation(representation):
        return segmentation
    from slicer import vtkSegmentation

    _know_conversions()
    copy = vtkSegmentation()
    copy.DeepCopy(segmentation)
    if representation == BINARY and (grid is not None or not segmentation.GetConversionParameter(GEOMETRY)):
        copy.SetConversionParameter(GEOMETRY, _geometry(node, grid))
    if not copy.CreateRepresentation(representation):
        raise InputError(f"{name_of(node)}: cannot be converted to {representation.lower()}; do it in Segmentations")
    return copy


def _know_conversions() -> None:
    """Register Slicer's conversions, which the application does by itself and the wheel does with its logic."""
    from slicer import vtkMRMLScene, vtkSegmentationConverterFactory, vtkSlicerSegmentationsModuleLogic

    factory = vtkSegmentationConverterFactory.GetInstance()
    if factory.ConstructRepresentationObjectByClass("vtkOrientedImageData") is None:
        vtkSlicerSegmentationsModuleLogic().SetMRMLScene(vtkMRMLScene())


def _geometry(node: Any, grid: Grid | None) -> str:
    """Reference geometry as Slicer writes it: of `grid`, or voxels of SURFACE_MM around the segments."""
    from slicer import vtkSegmentationConverter

    if grid is None or node.GetParentTransformNode() is not None:
        bounds = [0.0] * 6
        node.GetSegmentation().GetBounds(bounds)
        low, high = np.asarray(bounds[::2]) - 2 * SURFACE_MM, np.asarray(bounds[1::2]) + 2 * SURFACE_MM
        size = np.ceil((high - low) / SURFACE_MM).astype(int) + 1
        matrix = np.diag([SURFACE_MM, SURFACE_MM, SURFACE_MM, 1.0])
        matrix[:3, 3] = low
    else:
        size, matrix = np.asarray(grid.size), RAS_TO_LPS @ grid.matrix
    extent = [v for n in size for v in (0, int(n) - 1)]
    return str(vtkSegmentationConverter.SerializeImageGeometry(vtk_matrix_of(matrix), extent))


def segments_from_node(node: Any, grid: Grid | None = None) -> dict[str, LabelMap]:
    """Each segment by itself, name to a label map of 0 and 1, world coordinates; overlaps are kept.

    Args:
        node: segmentation node.
        grid: put every segment on this grid; None leaves each on its own (cropped) one.

    Raises:
        InputError: no segmentation, no segments, or one that cannot be converted.
    """
    names = segment_names(node)
    if not names:
        raise InputError(f"{name_of(node)}: expected segments, found none; add one")
    segmentation = _converted(node, BINARY, grid)
    out: dict[str, LabelMap] = {}
    for segment_id, name in names.items():
        segment = segmentation.GetSegment(segment_id)
        found = _local_mask(segment.GetRepresentation(BINARY), segment.GetLabelValue(), name)
        label = _free(name, out)
        if found is None:
            if grid is not None:
                out[label] = LabelMap(np.zeros(grid.shape, dtype=np.int32), grid, {1: name})
            continue
        out[label] = _mask_in_world(node, found, grid)
    return out


def _free(name: str, taken: dict[str, LabelMap]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free


def _local_mask(image: Any, label: int, name: str) -> LabelMap | None:
    """Mask of one segment cropped to what it fills, its own coordinates; None when empty."""
    if image is None or image.GetNumberOfPoints() == 0 or image.GetPointData().GetScalars() is None:
        return None
    mask = array_of_image(image) == label
    filled = [np.flatnonzero(mask.any(axis=axes)) for axes in ((0, 1), (0, 2), (1, 2))]
    if not len(filled[0]):
        return None
    m = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(m)
    extent = image.GetExtent()
    whole = Grid.from_matrix(image.GetDimensions(), RAS_TO_LPS @ matrix_of(m))
    origin = whole.to_world(extent[::2])
    whole = Grid(whole.size, whole.spacing, tuple(origin), whole.direction)
    start, stop = [int(f[0]) for f in filled], [int(f[-1]) + 1 for f in filled]
    part = mask[start[2] : stop[2], start[1] : stop[1], start[0] : stop[0]]
    return LabelMap(part.astype(np.int32), whole.cropped(start, stop), {1: name})


def _mask_in_world(node: Any, mask: LabelMap, grid: Grid | None) -> LabelMap:
    matrix = to_world(node)
    moved = moved_grid(mask.grid, matrix) if matrix is not None else None
    if moved is not None:
        placed = LabelMap(mask.array, moved, mask.names)
        if grid is None:
            return placed
        from valorlib.ops.resample import resample_labels  # needs torch

        return resample_labels(placed, grid)
    from valorlib.ops.resample import resample_labels
    from valorlib.ops.transforms import inverse_of

    target = grid or warped_box(node, mask.grid)
    if matrix is not None:
        return resample_labels(mask, target, inverse_of(AffineTransform(matrix)))
    return resample_labels(mask, target, sampled(parent_transform(node, inverse=True), target))


def labels_from_segmentation(node: Any, grid: Grid) -> LabelMap:
    """All segments as one label map on `grid`, 1, 2, ... in order; where two overlap, the smaller stays on top."""
    masks = segments_from_node(node, grid)
    order = sorted(enumerate(masks.values()), key=lambda item: -int(item[1].array.sum()))
    out = np.zeros(grid.shape, dtype=np.int32)
    for n, mask in order:
        out[mask.array != 0] = n + 1
    return LabelMap(out, grid, {n + 1: name for n, name in enumerate(masks)})


def surfaces_from_segmentation(node: Any) -> dict[str, Triangles]:
    """Closed surface of each segment, world coordinates; empty segments are left out."""
    return surfaces_later(node)()


def surfaces_later(node: Any) -> Callable[[], dict[str, Triangles]]:
    """As `surfaces_from_segmentation`: the node is read now, the surfaces are made in the call, in any thread."""
    from slicer import vtkSegmentation

    names, title, move = segment_names(node), name_of(node), mover_to_world(node)
    _know_conversions()
    copy = vtkSegmentation()
    copy.DeepCopy(node.GetSegmentation())

    def make() -> dict[str, Triangles]:
        if not copy.ContainsRepresentation(SURFACE) and not copy.CreateRepresentation(SURFACE):
            raise InputError(f"{title}: cannot be converted to closed surfaces; do it in Segmentations")
        out = {}
        for segment_id, name in names.items():
            mesh = copy.GetSegment(segment_id).GetRepresentation(SURFACE)
            if mesh is not None and mesh.GetNumberOfPoints():
                surface = triangles_of(mesh)
                out[name] = Triangles(move(surface.points), surface.faces)
        return out

    return make


def set_segmentation(
    node: Any, labels: LabelMap, colors: dict[int, tuple[float, float, float]] | None = None, *, keep: bool = False
) -> None:
    """Put a label map into a segmentation node: one segment a label, in one shared layer.

    Args:
        node: segmentation node; its segments are replaced.
        labels: world coordinates.
        colors: label to RGB 0 to 1; labels without one get their own.
        keep: keep the other segments that the node has.
    """
    from slicer import vtkOrientedImageData, vtkSegment

    require(node, "vtkMRMLSegmentationNode", "a segmentation")
    segmentation = node.GetSegmentation()
    if not keep:
        segmentation.RemoveAllSegments()
    segmentation.SetSourceRepresentationName(BINARY)
    top = int(labels.array.max(initial=0))
    image = image_of_array(labels.array.astype(np.uint8 if top <= 255 else np.int16), vtkOrientedImageData())
    image.SetImageToWorldMatrix(vtk_matrix_of(RAS_TO_LPS @ labels.grid.matrix))
    for label in sorted({*labels.labels, *(v for v in labels.names if v > 0)}):
        segment = vtkSegment()
        segment.SetName(labels.names.get(label, f"Tumor {label}"))
        segment.SetColor(*(colors or {}).get(label, color_of(label - 1)))
        segment.SetLabelValue(label)
        segment.AddRepresentation(BINARY, image)
        segmentation.AddSegment(segment, f"Segment_{label}" if not keep else "")
