"""VALORRegistration on nodes: read the inputs, write the result. In between, core types alone, in any worker.

    pair = read_inputs(scene, fixed, moving, seeds=[markups, ...])       # main thread
    result = load("valor").run(pair, options, run)                       # worker
    outcome = measure(pair, result)                                      # worker
    nodes = write_result(scene, pair, outcome, fixed, moving)            # main thread
    remove(scene, nodes)                                                 # valorlib.scene.nodes

Roles of the result: "transform" (grid transform, from parent, fixed to moving), "warped" (moving on the fixed grid),
"jacobian", "sigma" (when known), "fixed_seg", "moving_seg", "warped_seg" (when seeds were given), "metrics" (table),
"tumors" (table), "folds" (markups, when it folds), later "difference" and "checkerboard".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from valorlib.convert import mrml
from valorlib.convert.point_files import seed_tumor
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointPair, Seeds
from valorlib.core.results import Result
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.summary import summarize
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import to_displacement
from valorlib.scene.comparison import add_checkerboard as add_checkerboard
from valorlib.scene.comparison import add_difference as add_difference
from valorlib.scene.display import DIVERGING, SEQUENTIAL, add_map, add_transform, add_volume, look_at
from valorlib.scene.nodes import Recorder, ResultNodes, Steps, finish, recording, set_reference, show
from valorlib.scene.tables import metric_rows, tumor_rows

TUMOR = "VALOR.tumor"
"""Attribute of a markups list: number of the tumor its points mark; 0 for background."""
ROI_MARGIN_MM = 30.0
"""How far the moving image reaches beyond the region of interest."""


@dataclass(frozen=True, eq=False)
class Outcome:
    """A result with all that is shown of it, computed.

    displacement: on the fixed grid. warped: the moving image there. jacobian: its determinant. summary: all numbers, as
    `metrics.summary.summarize` gives them. ready: role to what goes into its node, made by `prepared`.
    """

    result: Result
    displacement: DisplacementField
    warped: Image
    jacobian: Image
    summary: Mapping[str, Any] = field(default_factory=dict)
    ready: Mapping[str, Any] = field(default_factory=dict)


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
    mrml.require(fixed, "vtkMRMLScalarVolumeNode", "a fixed volume")
    mrml.require(moving, "vtkMRMLScalarVolumeNode", "a moving volume")
    if fixed is moving:
        raise InputError(f"{mrml.name_of(fixed)}: expected two volumes, got the same one twice; choose another one")
    fixed_image, moving_image = mrml.image_from_node(fixed), mrml.image_from_node(moving)
    if roi is not None:
        box = mrml.box_from_roi(roi)
        fixed_image = cropped(fixed_image, box, 0.0)
        moving_image = cropped(moving_image, box, ROI_MARGIN_MM)
    return ImagePair(
        fixed_image,
        moving_image,
        seeds=read_seeds(seeds, seeds_on),
        fixed_labels=_labels(fixed_segmentation, fixed_image.grid),
        moving_labels=_labels(moving_segmentation, moving_image.grid),
        landmarks=read_landmarks(fixed_landmarks, moving_landmarks),
        start=mrml.transform_from_node(start, fixed_image.grid) if start is not None else None,
    )


def cropped(image: Image, box: np.ndarray[tuple[int, ...], np.dtype[np.float64]], margin_mm: float) -> Image:
    """The part of an image within a box, (8, 3) corners LPS, and a margin.

    Raises:
        InputError: the box lies outside the image.
    """
    index, margin = image.grid.to_index(box), margin_mm / np.asarray(image.grid.spacing)
    start = np.maximum(np.floor(index.min(axis=0) - margin + 0.5), 0).astype(int)
    stop = np.minimum(np.ceil(index.max(axis=0) + margin + 0.5), image.grid.size).astype(int)
    if np.any(stop - start < np.minimum(4, image.grid.size)):
        raise InputError(f"{image.name}: expected a region inside the volume, got one beside it; move the region")
    part = image.array[start[2] : stop[2], start[1] : stop[1], start[0] : stop[0]]
    return Image(part, image.grid.cropped(start.tolist(), stop.tolist()), image.name)


def _labels(node: Any, grid: Grid) -> LabelMap | None:
    if node is None:
        return None
    if node.IsA("vtkMRMLSegmentationNode"):
        return mrml.labels_from_segmentation(node, grid)
    from valorlib.ops.resample import resample_labels

    return resample_labels(mrml.labels_from_node(node), grid)


def read_landmarks(fixed: Any, moving: Any) -> PointPair | None:
    """Corresponding points of two lists, in order; None when neither is given.

    Raises:
        InputError: one list missing, or lists of different length.
    """
    if fixed is None and moving is None:
        return None
    if fixed is None or moving is None:
        raise InputError("landmarks: expected a list in both images, got one; choose the other one too")
    first, second = mrml.points_from_node(fixed), mrml.points_from_node(moving)
    if len(first.points) != len(second.points):
        raise InputError(
            f"landmarks: expected as many points in both lists, got {len(first.points)} and {len(second.points)}"
        )
    return PointPair(first, second)


def read_seeds(nodes: Sequence[Any], on: Literal["fixed", "moving"] = "moving") -> Seeds | None:
    """Clicks of point lists; None when there is none.

    A list's attribute VALOR.tumor is the number of its tumor (0: background); without it, a list whose name holds
    "background" marks background and any other one tumor 1. A single point labeled or described "-" is background.
    """
    points, tumors = [], []
    for node in nodes:
        if node is None:
            continue
        mrml.require(node, "vtkMRMLMarkupsNode", "a point list")
        default = _tumor_of(node)
        for n in mrml.defined_points(node):
            points.append(mrml.flip(node.GetNthControlPointPositionWorld(n)))
            words = node.GetNthControlPointLabel(n), node.GetNthControlPointDescription(n)
            background = 0 in [seed_tumor(word or "", tumor=1) for word in words]
            tumors.append(0 if background else default)
    return Seeds(np.asarray(points), np.asarray(tumors), on) if points else None


def _tumor_of(node: Any) -> int:
    word = (node.GetAttribute(TUMOR) or "").strip()
    if not word:
        return 0 if "background" in (node.GetName() or "").lower() else 1
    if word.lower() == "background":
        return 0
    if not word.isdigit():
        raise InputError(f"{mrml.name_of(node)}: expected a tumor's number or 0, got {word!r}; set it again")
    return int(word)


def measure(pair: ImagePair, result: Result) -> Outcome:
    """All that is shown of a registration, computed; core types alone, so that a worker can do it."""
    field_ = result.displacement or to_displacement(result.transform, pair.fixed.grid)
    warped = resample_image(pair.moving, pair.fixed.grid, field_)
    jacobian = jacobian_determinant(field_)
    return Outcome(result, field_, warped, jacobian, summarize(pair, result, warped=warped, jacobian=jacobian))


def prepared(outcome: Outcome) -> Outcome:
    """With the voxels of its nodes already copied for VTK, so that writing them takes no time on the main thread."""
    ready = {
        "warped": mrml.image_of_array(outcome.warped.array),
        "jacobian": mrml.image_of_array(outcome.jacobian.array),
        "transform": mrml.grid_transform(outcome.displacement),
    }
    return replace(outcome, ready=ready)


def write_preview(scene: Any, volume: Any, labels: LabelMap, segmentation: Any = None) -> Any:
    """Show tumors found so far as a segmentation over `volume`; returns the segmentation node, made when None."""
    node = segmentation
    if node is None:
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GetUniqueNameByString("Tumor preview"))
        node.CreateDefaultDisplayNodes()
        look_at(node, filled=True)
    mrml.set_segmentation(node, labels)
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    return node


def write_result(
    scene: Any, pair: ImagePair, outcome: Outcome | Result, fixed: Any, moving: Any, *, name: str = "VALOR"
) -> ResultNodes:
    """Write all nodes of a registration and show it: warped volume over the fixed one at half opacity."""
    if isinstance(outcome, Result):
        outcome = measure(pair, outcome)
    return finish(write_steps(scene, outcome, fixed, moving, name=name, batch=True))


def write_steps(
    scene: Any, outcome: Outcome, fixed: Any, moving: Any, *, name: str = "VALOR", batch: bool = False
) -> Steps:
    """As `write_result`, a few nodes at a time."""
    title = f"{name} {mrml.name_of(moving)} on {mrml.name_of(fixed)}"
    with recording(scene, name, batch=batch) as recorder:
        ready = outcome.ready
        warped = add_volume(
            recorder, outcome.warped, f"{title} warped", "warped", like=moving, voxels=ready.get("warped")
        )
        yield
        field_ = ready.get("transform", outcome.displacement)
        transform = add_transform(recorder, field_, f"{title} transform", "transform", fixed=fixed, moving=moving)
        set_reference(warped, "VALOR.transform", transform)
        yield
        yield from _map_steps(recorder, outcome, title)
        yield from _tumor_steps(recorder, outcome.result, title, {"fixed": fixed, "moving": moving})
        _write_tables(recorder, outcome, title)
        write_folds(recorder, outcome.summary.get("folds", {}), title)
        yield
        show(scene, fixed, warped, opacity=0.5)
    return recorder.results


def _map_steps(recorder: Recorder, outcome: Outcome, title: str) -> Iterator[None]:
    name, voxels = f"{title} volume change", outcome.ready.get("jacobian")
    add_map(recorder, outcome.jacobian, name, "jacobian", points=DIVERGING, low=0.0, high=2.0, voxels=voxels)
    yield
    sigma = outcome.result.uncertainty
    if sigma is not None:
        high = max(float(np.percentile(sigma.array, 99)), 1e-3)
        add_map(
            recorder, sigma, f"{title} uncertainty", "sigma", points=SEQUENTIAL, low=0.0, high=high, unit="1 sigma, mm"
        )
        yield


def _tumor_steps(recorder: Recorder, result: Result, title: str, volumes: Mapping[str, Any]) -> Iterator[None]:
    """One segmentation an image, one segment a tumor; the carried one as outlines."""
    for role, labels, volume in (
        ("fixed_seg", result.fixed_seg, volumes["fixed"]),
        ("moving_seg", result.moving_seg, volumes["moving"]),
        ("warped_seg", result.warped_seg, volumes["fixed"]),
    ):
        if labels is None:
            continue
        where = {"fixed_seg": "in fixed", "moving_seg": "in moving", "warped_seg": "carried to fixed"}[role]
        node = recorder.add("vtkMRMLSegmentationNode", f"{title} tumors {where}", role)
        mrml.set_segmentation(node, labels)
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        set_reference(node, "VALOR.image", volume)
        # The moving one lies in the space of the moving image and would mislead over the fixed one.
        look_at(node, filled=role == "fixed_seg", shown=role != "moving_seg")
        yield


def _write_tables(recorder: Recorder, outcome: Outcome, title: str) -> None:
    table = recorder.add("vtkMRMLTableNode", f"{title} metrics", "metrics")
    mrml.set_table(table, metric_rows(outcome.summary))
    tumors = tumor_rows(outcome.summary)
    if tumors:
        mrml.set_table(recorder.add("vtkMRMLTableNode", f"{title} tumor volumes", "tumors"), tumors)


def write_folds(recorder: Recorder, folds: Mapping[str, Any], title: str) -> Any:
    """Point list at the places where the transform folds, worst first; None when it does not."""
    places = folds.get("places", ())
    if not places:
        return None
    node = recorder.add("vtkMRMLMarkupsFiducialNode", f"{title} folds", "folds")
    mrml.set_points(
        node,
        np.asarray([p["position_mm"] for p in places]),
        [f"Fold {n + 1}" for n in range(len(places))],
        [f"det J {p['worst']:.2f}, {p['volume_ml']:.3g} ml" for p in places],
    )
    node.SetLocked(True)
    return node
