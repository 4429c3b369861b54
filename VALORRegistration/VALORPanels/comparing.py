"""Looking at a result: which run, blend, checkerboard, flicker, difference, folds, save, remove."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from valorlib.scene import nodes as scene_nodes

FLICKER_MS = 400


class Results:
    """The runs of one module in the scene, newest first; the panel shows one of them."""

    def __init__(self, combo: Any, isOurs: Callable[[Any], bool], onShown: Callable[[Any], None]) -> None:
        self._combo, self._isOurs, self._onShown = combo, isOurs, onShown
        self._found: list[Any] = []
        self._quiet = False
        combo.connect("currentIndexChanged(int)", self._chosen)

    def refresh(self, run: str = "") -> None:
        """Read the runs from the scene and show the named one, or the newest."""
        self._found = [r for r in reversed(scene_nodes.find_results(slicer.mrmlScene)) if self._isOurs(r)]
        self._quiet = True
        self._combo.clear()
        for found in self._found:
            self._combo.addItem(found.run)
        names = [found.run for found in self._found]
        self._combo.currentIndex = names.index(run) if run in names else (0 if names else -1)
        self._quiet = False
        self._chosen()

    def replace(self, changed: Any) -> None:
        """Take over results to which a node was added."""
        self._found = [changed if found.run == changed.run else found for found in self._found]

    @property
    def current(self) -> Any:
        """The results that are shown, or None."""
        index = self._combo.currentIndex
        return self._found[index] if 0 <= index < len(self._found) else None

    def node(self, role: str) -> Any:
        """Node of a role of the results that are shown, or None."""
        return self.current.node(slicer.mrmlScene, role) if self.current is not None else None

    def remove(self) -> None:
        """Take the results that are shown out of the scene."""
        if self.current is not None:
            scene_nodes.remove(slicer.mrmlScene, self.current)
            self.refresh()

    def _chosen(self) -> None:
        if not self._quiet:
            self._onShown(self.current)


class Flicker:
    """Shows one image, then the other, in the same place."""

    def __init__(self) -> None:
        self._timer = qt.QTimer()
        self._timer.interval = FLICKER_MS
        self._timer.connect("timeout()", self._next)
        self._on = False

    def start(self) -> None:
        """Begin with the moving image."""
        self._on = False
        self._timer.start()

    def stop(self) -> None:
        """Stay where it is."""
        self._timer.stop()

    @property
    def running(self) -> bool:
        """True while the images alternate."""
        return bool(self._timer.active)

    def _next(self) -> None:
        self._on = not self._on
        scene_nodes.set_blend(slicer.mrmlScene, 1.0 if self._on else 0.0)


class PlaceList:
    """Steps through the points of a markups node (folds, large errors) and centers the views on each."""

    def __init__(self, label: Any, nothing: str) -> None:
        self._label, self._nothing = label, nothing
        self._node: Any = None
        self._index = -1

    def show(self, node: Any) -> None:
        """Take the points of another node, or of none."""
        self._node, self._index = node, -1
        count = node.GetNumberOfControlPoints() if node is not None else 0
        self._label.text = _("{count} places").format(count=count) if count else self._nothing

    def _count(self) -> int:
        if self._node is None or slicer.mrmlScene.GetNodeByID(self._node.GetID() or "") is None:
            return 0
        return int(self._node.GetNumberOfControlPoints())

    def step(self, by: int) -> None:
        """Go to the next or the last place."""
        count = self._count()
        if count:
            self.goTo((self._index + by) % count if self._index >= 0 or by > 0 else count - 1)

    def goTo(self, index: int) -> None:
        """Center the views on a place."""
        count = self._count()
        if not 0 <= index < count:
            return
        self._index = index
        point = [0.0, 0.0, 0.0]
        self._node.GetNthControlPointPositionWorld(self._index, point)
        scene_nodes.jump_to(slicer.mrmlScene, point)
        name = self._node.GetNthControlPointLabel(self._index)
        self._label.text = f"{self._index + 1}/{count}: {name}"


def showLegend(results: Any, node: Any) -> None:
    """Show the color legend of the node that is looked at; None hides the legends of the run."""
    from valorlib.scene import display

    display.show_legend(slicer.mrmlScene, results, node)


def showTable(view: Any, node: Any) -> None:
    """Show a table node with columns as wide as what they hold."""
    view.setMRMLTableNode(node)
    view.verticalHeader().setVisible(False)
    view.resizeColumnsToContents()


def saveNodes(results: Any, folder: Path) -> list[Path]:
    """Write every node of a run into a folder, each in its node's own format; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in results.ids:
        node = slicer.mrmlScene.GetNodeByID(name)
        if node is None or not node.IsA("vtkMRMLStorableNode"):
            continue
        node.AddDefaultStorageNode()
        storage = node.GetStorageNode()
        if storage is None:
            continue
        stem = re.sub(r'[\\/:*?"<>|\s]+', "_", node.GetName())
        path = folder / f"{stem}.{storage.GetDefaultWriteFileExtension()}"
        storage.SetFileName(str(path))
        if not storage.WriteData(node):
            raise OSError(_("{path} could not be written; choose another folder").format(path=path))
        written.append(path)
    return written
