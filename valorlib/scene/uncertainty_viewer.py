"""UncertaintyViewer on nodes: read the inputs, run, write the result.

    inputs = read_inputs(scene, fixed=..., moving=..., transform=..., dose=..., structures=...)   # main thread
    outcome = run(inputs, options, run)                                                            # worker
    nodes = write_result(scene, inputs, outcome)                                                   # main thread

Roles of the result: "sigma", "jacobian", "log_jacobian", "folds" (markups), "dose_warped", "dose_mean", "dose_p05",
"dose_p95", "dvh" (table), "dvh_metrics" (table), "dvh_chart" (plot chart), "series:<structure>:p05|p50|p95|
nominal" (its series), "qa" (table), "landmarks" (table).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.points import PointPair
from valorlib.core.transforms import Transform
from valorlib.scene.nodes import ResultNodes


@dataclass(frozen=True, eq=False)
class ViewerInputs:
    """What the viewer works on, core types in world coordinates.

    transform: fixed to moving. dose: in the space of the moving image (the plan's), Gy. structures: name to a label map
    of 0 and 1, in the space of the fixed image. landmarks: fixed and moving points, in order.
    """

    transform: Transform
    fixed: Image | None = None
    moving: Image | None = None
    dose: Dose | None = None
    structures: dict[str, LabelMap] | None = None
    landmarks: PointPair | None = None


def read_inputs(
    scene: Any,
    *,
    transform: Any,
    fixed: Any = None,
    moving: Any = None,
    dose: Any = None,
    structures: Any = None,
    fixed_landmarks: Any = None,
    moving_landmarks: Any = None,
) -> ViewerInputs:
    """Core types of the chosen nodes; a transform that is no field is sampled on the fixed grid.

    Raises:
        InputError: one sentence on the node that cannot be used.
    """
    raise NotImplementedError


def run(inputs: ViewerInputs, options: Any, run: Any) -> Any:
    """Run the method `dir_uncertainty` on the inputs; core types alone, so that a worker can do it."""
    raise NotImplementedError


def write_result(scene: Any, inputs: ViewerInputs, outcome: Any, *, name: str = "Uncertainty") -> ResultNodes:
    """Write maps, doses, the DVH chart and the tables; show sigma over the fixed image."""
    raise NotImplementedError
