"""PointCloudRegistration on nodes: read the inputs, write the result. In between, `Method.run` takes core types.

    pair = read_inputs(scene, fixed_nodes, moving_nodes, spacing_mm=4)   # main thread
    result = load("mo_bcpd").run(pair, options, run)                     # worker
    nodes = write_result(scene, pair, result, fixed_nodes, moving_nodes) # main thread

Roles of the result: "transform" (grid transform from the moving structures to the fixed ones, usable on any node),
"inverse_transform", "organs" (table), "model:<organ>" (moved surface, colored by "sigma_mm" or "displacement_mm").
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from valorlib.core.points import PointPair
from valorlib.core.results import Result
from valorlib.scene.nodes import ResultNodes


def organs_of(nodes: Sequence[Any]) -> list[str]:
    """Names of the organs in segmentations and models, for the organ table."""
    raise NotImplementedError


def read_inputs(
    scene: Any,
    fixed: Sequence[Any],
    moving: Sequence[Any],
    *,
    organs: Sequence[str] | None = None,
    spacing_mm: float = 4.0,
    seed: int = 0,
) -> PointPair:
    """Point clouds of segmentation and model nodes, world coordinates; organs are matched by name.

    Raises:
        InputError: an organ that only one side has (when asked for), an empty organ, a node of another kind.
    """
    raise NotImplementedError


def write_result(
    scene: Any,
    pair: PointPair,
    result: Result,
    fixed: Sequence[Any],
    moving: Sequence[Any],
    *,
    color_by: str = "sigma_mm",
    name: str = "Points",
) -> ResultNodes:
    """Write moved surfaces, the organ table and the transform."""
    raise NotImplementedError


def color_models(scene: Any, nodes: ResultNodes, by: str) -> None:
    """Color the moved surfaces by "sigma_mm", "displacement_mm" or "organ"."""
    raise NotImplementedError
