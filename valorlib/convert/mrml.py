"""MRML nodes to core types and back. RAS becomes LPS here (in the `mrml_*` files behind it) and nowhere else.

What is read comes in world coordinates: parent transforms are applied to a copy. What is written is in world
coordinates too; the node should have no parent transform.
"""

from __future__ import annotations

from valorlib.convert.mrml_segments import (
    labels_from_segmentation,
    segment_names,
    segments_from_node,
    set_segmentation,
    surfaces_from_segmentation,
    surfaces_later,
)
from valorlib.convert.mrml_shapes import (
    Triangles,
    box_from_roi,
    defined_points,
    points_from_node,
    set_model,
    set_points,
    set_table,
    table_from_node,
    triangles_from_node,
)
from valorlib.convert.mrml_space import flip, image_of_array, name_of, require
from valorlib.convert.mrml_transforms import grid_transform, set_transform, transform_from_node
from valorlib.convert.mrml_volumes import (
    dose_from_node,
    image_from_node,
    labels_from_node,
    set_image,
    set_labels,
    world_grid,
)

__all__ = [
    "Triangles",
    "box_from_roi",
    "defined_points",
    "dose_from_node",
    "flip",
    "grid_transform",
    "image_from_node",
    "image_of_array",
    "labels_from_node",
    "labels_from_segmentation",
    "name_of",
    "points_from_node",
    "require",
    "segment_names",
    "segments_from_node",
    "set_image",
    "set_labels",
    "set_model",
    "set_points",
    "set_segmentation",
    "set_table",
    "set_transform",
    "surfaces_from_segmentation",
    "surfaces_later",
    "table_from_node",
    "transform_from_node",
    "triangles_from_node",
    "world_grid",
]
