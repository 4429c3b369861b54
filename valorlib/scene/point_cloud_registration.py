"""PointCloudRegistration on nodes: read the inputs, write the result. In between, core types alone, in any worker.

    read = read_later(fixed_nodes, moving_nodes, spacing_mm=4)             # main thread
    organs = read()                                                        # worker
    result = load("mo_bcpd").run(organs.pair, options, run)                # worker
    outcome = measure(organs, result)                                      # worker
    nodes = write_result(scene, outcome)                                   # main thread

Roles of the result: "transform" (grid transform, from parent, fixed to moving: put over any node of the moving set it
carries it along), "organs" (table), "model:<organ>" (moved surface with point arrays sigma_mm and displacement_mm).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from valorlib.convert import mrml
from valorlib.convert.mrml import Triangles
from valorlib.convert.segment_files import color_of
from valorlib.core.errors import InputError
from valorlib.scene.display import SEQUENTIAL, add_colors, add_legend, add_transform, show_legend
from valorlib.scene.nodes import Recorder, ResultNodes, Steps, finish, recording
from valorlib.scene.organ_names import matched
from valorlib.scene.point_cloud_run import Organs, PointOutcome, clouds_of, measure

__all__ = [
    "Organs",
    "PointOutcome",
    "color_models",
    "measure",
    "organs_of",
    "organs_of_both",
    "read_inputs",
    "read_later",
    "surfaces_of",
    "write_result",
]

COLORINGS = ("sigma_mm", "displacement_mm", "organ")
LEGENDS = {"sigma_mm": "1 sigma (mm)", "displacement_mm": "Motion (mm)"}


def organs_of(nodes: Sequence[Any]) -> list[str]:
    """Names of the organs in segmentations and models, for the organ table."""
    names: list[str] = []
    for node in nodes:
        found = mrml.segment_names(node).values() if node.IsA("vtkMRMLSegmentationNode") else [mrml.name_of(node)]
        names += [name for name in found if name not in names]
    return names


def organs_of_both(fixed: Sequence[Any], moving: Sequence[Any]) -> list[str]:
    """Names of the organs that both sides have; see `organ_names.matched`."""
    return list(matched(organs_of(fixed), organs_of(moving)))


def surfaces_of(nodes: Sequence[Any]) -> dict[str, Triangles]:
    """Organ to surface of segmentation and model nodes, world coordinates; empty segments are left out.

    Raises:
        InputError: no node, a node of another kind, or two organs of one name.
    """
    return _surfaces_later(nodes)()


def _surfaces_later(nodes: Sequence[Any]) -> Callable[[], dict[str, Triangles]]:
    """Reads the nodes now; the surfaces are made in the call, in any thread."""
    if not nodes:
        raise InputError("organs: expected a segmentation or models, got none; choose one")
    makers: list[Callable[[], dict[str, Triangles]]] = []
    for node in nodes:
        if node is not None and node.IsA("vtkMRMLSegmentationNode"):
            makers.append(mrml.surfaces_later(node))
        else:
            mrml.require(node, "vtkMRMLModelNode", "a segmentation or a model")
            found = {mrml.name_of(node): mrml.triangles_from_node(node)}
            makers.append(lambda found=found: found)  # type: ignore[misc]

    def make() -> dict[str, Triangles]:
        out: dict[str, Triangles] = {}
        for maker in makers:
            for name, surface in maker().items():
                if name in out:
                    raise InputError(f"{name}: expected each organ once, got it twice; rename one of them")
                out[name] = surface
        return out

    return make


def read_inputs(
    scene: Any,
    fixed: Sequence[Any],
    moving: Sequence[Any],
    *,
    organs: Sequence[str] | None = None,
    spacing_mm: float = 4.0,
    seed: int = 0,
) -> Organs:
    """Surfaces and point clouds of segmentation and model nodes, world coordinates; organs are matched by name.

    Names need not be equal to the letter: see `organ_names.matched`.

    Args:
        scene: the MRML scene.
        fixed: segmentation and model nodes.
        moving: segmentation and model nodes.
        organs: names of those wanted; None takes all that both sides have.
        spacing_mm: distance of the points.
        seed: of the sampling.

    Raises:
        InputError: an organ that only one side has (when asked for), an empty organ, a node of another kind.
    """
    return read_later(fixed, moving, organs=organs, spacing_mm=spacing_mm, seed=seed)()


def read_later(
    fixed: Sequence[Any],
    moving: Sequence[Any],
    *,
    organs: Sequence[str] | None = None,
    spacing_mm: float = 4.0,
    seed: int = 0,
) -> Callable[[], Organs]:
    """As `read_inputs`: the nodes are read now, surfaces and clouds are made in the call, in any thread."""
    makers = _surfaces_later(fixed), _surfaces_later(moving)
    wanted = tuple(organs) if organs is not None else None

    def make() -> Organs:
        sides = [maker() for maker in makers]
        names = matched(*(list(side) for side in sides))
        for number, side in enumerate(sides):
            # Under the common name; what the other side lacks stays, to be told of when it is asked for.
            known = {own[number]: name for name, own in names.items()}
            found = {known.get(name, name): surface for name, surface in side.items()}
            sides[number] = {**{name: found[name] for name in names}, **found}
        return clouds_of(*sides, organs=wanted, spacing_mm=spacing_mm, seed=seed)

    return make


def write_result(
    scene: Any,
    outcome: PointOutcome,
    *,
    fixed: Any = None,
    moving: Any = None,
    color_by: str = "sigma_mm",
    name: str = "Points",
) -> ResultNodes:
    """Write moved surfaces, the organ table and the transform.

    Args:
        scene: the MRML scene.
        outcome: what `measure` gave.
        fixed: a node of the fixed set, for the transform's references.
        moving: a node of the moving set.
        color_by: see `color_models`.
        name: of the run.
    """
    steps = write_steps(scene, outcome, fixed=fixed, moving=moving, color_by=color_by, name=name, batch=True)
    return finish(steps)


def write_steps(
    scene: Any,
    outcome: PointOutcome,
    *,
    fixed: Any = None,
    moving: Any = None,
    color_by: str = "sigma_mm",
    name: str = "Points",
    batch: bool = False,
) -> Steps:
    """As `write_result`, a few nodes at a time."""
    with recording(scene, name, batch=batch) as recorder:
        add_transform(recorder, outcome.transform, f"{name} transform", "transform", fixed=fixed, moving=moving)
        yield
        for number, surface in outcome.surfaces.items():
            organ = outcome.names[number]
            model = recorder.add("vtkMRMLModelNode", f"{organ} moved", f"model:{organ}", display=False)
            values = {
                "sigma_mm": outcome.sigma_mm[number].astype(np.float32),
                "displacement_mm": outcome.displacement_mm[number].astype(np.float32),
            }
            mrml.set_model(model, surface, values)
            model.CreateDefaultDisplayNodes()
            model.SetAttribute("VALOR.organ", str(number))
            model.GetDisplayNode().SetColor(*color_of(number - 1))
            model.GetDisplayNode().SetVisibility2D(True)
            yield
        for kind in COLORINGS[:2]:
            _colors(recorder, outcome, kind, name)
        _write_table(recorder, outcome, name)
        yield
        color_models(scene, recorder.results, color_by)
    return recorder.results


def _colors(recorder: Recorder, outcome: PointOutcome, kind: str, name: str) -> None:
    """Color node and legend that all organs of one coloring share, so that colors compare."""
    values = outcome.sigma_mm if kind == "sigma_mm" else outcome.displacement_mm
    high = max([float(np.percentile(v, 99)) for v in values.values()], default=1.0)
    colors = add_colors(recorder, f"{name} {kind} colors", SEQUENTIAL, max(high, 1e-3))
    colors.SetAttribute("VALOR.role", f"colors:{kind}")
    colors.SetAttribute("VALOR.high", f"{max(high, 1e-3):.6g}")
    first = recorder.results.node(recorder.scene, f"model:{outcome.names[next(iter(outcome.surfaces))]}")
    if kind == "sigma_mm":
        first.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
        add_legend(recorder, first, LEGENDS[kind])


def _write_table(recorder: Recorder, outcome: PointOutcome, name: str) -> None:
    table = recorder.add("vtkMRMLTableNode", f"{name} organs", "organs")
    rows = outcome.rows
    mrml.set_table(
        table,
        {
            "Organ": [r.name for r in rows],
            "Points": [r.points for r in rows],
            "Distance before (mm)": [round(r.mean_before_mm, 2) for r in rows],
            "Distance after (mm)": [round(r.mean_after_mm, 2) for r in rows],
            "HD95 before (mm)": [round(r.hd95_before_mm, 2) for r in rows],
            "HD95 after (mm)": [round(r.hd95_after_mm, 2) for r in rows],
            "Mean displacement (mm)": [round(r.displacement_mm, 2) for r in rows],
            "Mean sigma (mm)": [round(r.sigma_mm, 2) for r in rows],
        },
    )


def color_models(scene: Any, nodes: ResultNodes, by: str) -> None:
    """Color the moved surfaces by "sigma_mm", "displacement_mm" or "organ".

    Raises:
        InputError: another word.
    """
    if by not in COLORINGS:
        raise InputError(f"color_by: expected one of {', '.join(COLORINGS)}, got {by!r}")
    colors = [scene.GetNodeByID(i) for i in nodes.ids]
    colors = [c for c in colors if c is not None and c.GetAttribute("VALOR.role") == f"colors:{by}"]
    roles = [role for role in nodes.roles if role.startswith("model:")]
    models = [model for model in (nodes.node(scene, role) for role in roles) if model is not None]
    for display in (model.GetDisplayNode() for model in models):
        if display is None:
            continue
        display.SetScalarVisibility(by != "organ")
        if by != "organ" and colors:
            display.SetActiveScalarName(by)
            display.SetAndObserveColorNodeID(colors[0].GetID())
            display.SetScalarRangeFlag(display.UseManualScalarRange)
            display.SetScalarRange(0.0, float(colors[0].GetAttribute("VALOR.high")))
    # The first surface bears the legend of all: they share colors and range.
    show_legend(scene, nodes, models[0] if models and by in LEGENDS else None, LEGENDS.get(by, ""))
