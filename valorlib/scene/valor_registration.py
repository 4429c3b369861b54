"""VALORRegistration on nodes: read the inputs, write the result. In between, `Method.run` takes core types anywhere.

    pair = read_inputs(scene, fixed, moving, seeds=[markups, ...])      # main thread
    result = load("valor").run(pair, options, run)                       # worker
    nodes = write_result(scene, pair, result, fixed, moving)             # main thread
    remove(scene, nodes)                                                 # valorlib.scene.nodes

Roles of the result: "transform" (grid transform, from parent, fixed to moving), "warped" (moving on the fixed grid),
"jacobian", "sigma" (when known), "fixed_seg", "moving_seg", "warped_seg" (when seeds were given), "metrics" (table),
"tumors" (table), "folds" (markups), later "difference" and "checkerboard".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from valorlib.core.inputs import ImagePair
from valorlib.core.images import LabelMap
from valorlib.core.points import Seeds
from valorlib.core.results import Result
from valorlib.scene.nodes import ResultNodes

TUMOR = "VALOR.tumor"
"""Attribute of a markups list: number of the tumor its points mark; 0 for background."""


def read_inputs(
    scene: Any,
    fixed: Any,
    moving: Any,
    *,
    seeds: Sequence[Any] = (),
    seeds_on: Literal["fixed", "moving"] = "moving",
    roi: Any = None,
    fixed_segmentation: Any = None,
    moving_segmentation: Any = None,
    fixed_landmarks: Any = None,
    moving_landmarks: Any = None,
    start: Any = None,
) -> ImagePair:
    """Core types of the chosen nodes, in world coordinates: parent transforms are applied to copies.

    Args:
        scene: the MRML scene.
        fixed: scalar volume node.
        moving: scalar volume node.
        seeds: point lists with clicks; see `read_seeds`.
        seeds_on: the image that was clicked.
        roi: markups ROI; both images are cropped to it (the moving one with a margin).
        fixed_segmentation: structures of the fixed image.
        moving_segmentation: structures of the moving image.
        fixed_landmarks: point list; point n corresponds to point n of `moving_landmarks`.
        moving_landmarks: point list.
        start: transform node to start from (as applied to the moving volume).

    Raises:
        InputError: one sentence on the node that cannot be used.
    """
    raise NotImplementedError


def read_seeds(nodes: Sequence[Any], on: Literal["fixed", "moving"] = "moving") -> Seeds | None:
    """Clicks of point lists; None when there is none.

    A list's attribute VALOR.tumor is the number of its tumor (0: background); without it, a list whose name holds
    "background" marks background and any other one tumor 1. A single point labeled or described "-" is background.
    """
    raise NotImplementedError


def write_preview(scene: Any, volume: Any, labels: LabelMap, segmentation: Any = None) -> Any:
    """Show tumors found so far as a segmentation over `volume`; returns the segmentation node, made when None."""
    raise NotImplementedError


def write_result(
    scene: Any, pair: ImagePair, result: Result, fixed: Any, moving: Any, *, name: str = "VALOR"
) -> ResultNodes:
    """Write all nodes of a registration and show it: warped volume over the fixed one at half opacity."""
    raise NotImplementedError


def add_difference(scene: Any, nodes: ResultNodes, fixed: Any) -> ResultNodes:
    """The results with a volume of warped minus fixed (after matching their range), role "difference"."""
    raise NotImplementedError


def add_checkerboard(scene: Any, nodes: ResultNodes, fixed: Any, *, square_mm: float = 20.0) -> ResultNodes:
    """The results with a volume of alternating squares of fixed and warped, role "checkerboard"."""
    raise NotImplementedError
