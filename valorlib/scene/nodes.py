"""What the three modules share: making nodes, remembering what a run made, and taking it back.

All functions get the scene (or nodes of it) passed in, run on the main thread, and touch MRML alone.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

RUN = "VALOR.run"
"""Attribute of a node: the run that made it."""
ROLE = "VALOR.role"
"""Attribute of a node: what it is in that run, e.g. "warped", "transform", "jacobian", "folds"."""
BATCH = 1
"""vtkMRMLScene::BatchProcessState."""


@dataclass(frozen=True)
class ResultNodes:
    """The nodes that one run made.

    run: name of the run, its own in the scene. roles: role to node ID, the nodes a face shows. ids: every node ID that
    the run made. before: slice composite node ID to the (background, foreground, label, opacity) it had.
    """

    run: str
    roles: Mapping[str, str]
    ids: tuple[str, ...] = ()
    before: Mapping[str, tuple[str, str, str, float]] = field(default_factory=dict)

    def node(self, scene: Any, role: str) -> Any:
        """Node of a role, or None when the run made none or it was deleted."""
        return scene.GetNodeByID(self.roles[role]) if role in self.roles else None


class Recorder:
    """Makes the nodes of one run and marks each as its own."""

    def __init__(self, scene: Any, run: str, before: Mapping[str, tuple[str, str, str, float]]) -> None:
        self.scene = scene
        self._results = ResultNodes(run, {}, (), before)

    @property
    def results(self) -> ResultNodes:
        """What was made so far, display and storage nodes included."""
        return self._results

    def add(self, kind: str, name: str, role: str = "", *, display: bool = True) -> Any:
        """New node of class `kind`, with a name that is free, and (where the class has one) its display node.

        Args:
            kind: MRML class.
            name: wished name; numbered when taken.
            role: see ROLE; "" for a helper that no face asks for.
            display: make default display nodes.
        """
        node = self.scene.AddNewNodeByClass(kind, self.scene.GetUniqueNameByString(name))
        node.SetAttribute(RUN, self._results.run)
        roles = dict(self._results.roles)
        if role:
            node.SetAttribute(ROLE, role)
            roles[role] = node.GetID()
        self._results = replace(self._results, roles=roles, ids=(*self._results.ids, node.GetID()))
        if display and hasattr(node, "CreateDefaultDisplayNodes"):
            node.CreateDefaultDisplayNodes()
        return node


Steps = Generator[None, None, ResultNodes]
"""Writes nodes a few at a time: events may happen after each step, and closing it takes back what was made."""


def finish(steps: Steps) -> ResultNodes:
    """Take all steps at once."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


@contextmanager
def recording(scene: Any, name: str, more: ResultNodes | None = None, *, batch: bool = True) -> Iterator[Recorder]:
    """Make the nodes of a run; when something is raised, all of them go again.

    Args:
        scene: the MRML scene.
        name: name of the run; numbered when the scene has a run of that name.
        more: results that the new nodes are added to.
        batch: faces hear of the new nodes at the end; off for nodes that are written in steps.
    """
    if more is None:
        recorder = Recorder(scene, _free_run(scene, name), layers_of(scene))
    else:
        recorder = Recorder(scene, more.run, more.before)
    if batch:
        scene.StartState(BATCH)
    try:
        yield recorder
    except BaseException:
        remove(scene, recorder.results)
        raise
    finally:
        if batch:
            scene.EndState(BATCH)


def joined(first: ResultNodes, second: ResultNodes) -> ResultNodes:
    """The results with what was added to them later."""
    return replace(first, roles={**first.roles, **second.roles}, ids=(*first.ids, *second.ids))


def _free_run(scene: Any, name: str) -> str:
    taken = {node.GetAttribute(RUN) for node in nodes_of(scene)}
    number, free = 2, name
    while free in taken:
        free, number = f"{name} {number}", number + 1
    return free


def nodes_of(scene: Any, kind: str = "vtkMRMLNode") -> list[Any]:
    """All nodes of a class, in the scene's order."""
    found = scene.GetNodesByClass(kind)
    found.UnRegister(None)
    return [found.GetItemAsObject(n) for n in range(found.GetNumberOfItems())]


def remove(scene: Any, results: ResultNodes) -> None:
    """Take a run back: its nodes go, the slice views show what they showed before."""
    gone = set(results.ids)
    scene.StartState(BATCH)
    try:
        for view, (background, foreground, label, opacity) in results.before.items():
            composite = scene.GetNodeByID(view)
            if composite is not None and _shows(composite, gone):
                composite.SetBackgroundVolumeID(background or None)
                composite.SetForegroundVolumeID(foreground or None)
                composite.SetLabelVolumeID(label or None)
                composite.SetForegroundOpacity(opacity)
        for node_id in reversed(results.ids):
            node = scene.GetNodeByID(node_id)
            # The scene may have been closed and another one loaded since.
            if node is not None and node.GetAttribute(RUN) == results.run:
                _remove_node(scene, node_id)
    finally:
        scene.EndState(BATCH)


def _shows(composite: Any, gone: set[str]) -> bool:
    layers = (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID(), composite.GetLabelVolumeID())
    return any(layer in gone for layer in layers)


def _remove_node(scene: Any, node_id: str) -> None:
    """Remove a node with the display and storage nodes that serve it alone."""
    node = scene.GetNodeByID(node_id)
    if node is None:
        return
    helpers = []
    if node.IsA("vtkMRMLDisplayableNode"):
        helpers += [node.GetNthDisplayNode(n) for n in range(node.GetNumberOfDisplayNodes())]
    if node.IsA("vtkMRMLStorableNode"):
        helpers.append(node.GetStorageNode())
    if node.IsA("vtkMRMLTransformNode"):
        helpers += [d.GetColorNode() for d in helpers if d is not None and d.IsA("vtkMRMLTransformDisplayNode")]
    scene.RemoveNode(node)
    for helper in helpers:
        if helper is not None and scene.IsNodePresent(helper):
            scene.RemoveNode(helper)


def find_results(scene: Any) -> list[ResultNodes]:
    """Runs whose nodes are in the scene, oldest first; works after save and reload too."""
    runs: dict[str, ResultNodes] = {}
    for node in nodes_of(scene):
        run = node.GetAttribute(RUN)
        if run:
            found = runs.get(run, ResultNodes(run, {}))
            role = node.GetAttribute(ROLE)
            roles = {**found.roles, role: node.GetID()} if role else found.roles
            runs[run] = replace(found, roles=roles, ids=(*found.ids, node.GetID()))
    return list(runs.values())


def layers_of(scene: Any) -> dict[str, tuple[str, str, str, float]]:
    """What each slice view shows: composite node ID to (background, foreground, label, opacity)."""
    return {
        c.GetID(): (
            c.GetBackgroundVolumeID() or "",
            c.GetForegroundVolumeID() or "",
            c.GetLabelVolumeID() or "",
            float(c.GetForegroundOpacity()),
        )
        for c in nodes_of(scene, "vtkMRMLSliceCompositeNode")
    }


def show(
    scene: Any,
    background: Any = None,
    foreground: Any = None,
    *,
    label: Any = None,
    opacity: float | None = None,
) -> None:
    """Set the layers of every slice view (composite node); None leaves a layer as it is. Adds no views."""
    for composite in nodes_of(scene, "vtkMRMLSliceCompositeNode"):
        if background is not None:
            composite.SetBackgroundVolumeID(background.GetID())
        if foreground is not None:
            composite.SetForegroundVolumeID(foreground.GetID())
        if label is not None:
            composite.SetLabelVolumeID(label.GetID())
        if opacity is not None:
            composite.SetForegroundOpacity(float(opacity))


def set_blend(scene: Any, opacity: float) -> None:
    """Opacity of the foreground in every slice view, 0 to 1."""
    show(scene, opacity=min(max(float(opacity), 0.0), 1.0))


def jump_to(scene: Any, point_ras: Iterable[float]) -> None:
    """Center every slice view on a point, RAS mm."""
    r, a, s = (float(v) for v in point_ras)
    for node in nodes_of(scene, "vtkMRMLSliceNode"):
        node.JumpSliceByCentering(r, a, s)


def look_at(scene: Any, bounds_ras: Sequence[float]) -> None:
    """Center every slice view on a box, RAS mm; views that show no volume are zoomed so that they hold all of it."""
    low, high = bounds_ras[0::2], bounds_ras[1::2]
    size = 1.2 * max(b - a for a, b in zip(low, high, strict=True))
    jump_to(scene, [(a + b) / 2 for a, b in zip(low, high, strict=True)])
    empty = {c.GetLayoutName() for c in nodes_of(scene, "vtkMRMLSliceCompositeNode") if not c.GetBackgroundVolumeID()}
    for node in nodes_of(scene, "vtkMRMLSliceNode"):
        width, height, depth = node.GetFieldOfView()
        if node.GetLayoutName() in empty and size > 0 and min(width, height) > 0:
            node.SetFieldOfView(size * width / min(width, height), size * height / min(width, height), depth)


def set_reference(node: Any, role: str, target: Any) -> None:
    """Let `node` point at `target` under a role of its own; nothing where there is no target."""
    if target is not None:
        node.SetNodeReferenceID(role, target.GetID())
