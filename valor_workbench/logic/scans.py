"""Scans in the scene: opening, choosing, showing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from valor_workbench import nodes, tasks
from valor_workbench.logic.session import Session
from valor_workbench.states import ScansState
from valor_workbench.transfers import check_scene_archive, inside, safe_name
from valorlib.convert.mrml import image_from_node, world_grid
from valorlib.core.images import Image
from valorlib.core.points import PointPair


class ScansLogic:
    """Keeps the lists of the page in step with the scene, and the views in step with the choice."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.state = session.typed(ScansState)
        self.changed: list[Callable[[], None]] = []
        self.opened: list[Callable[[tasks.Opened], None]] = []
        self.demo_loaded: list[Callable[[tasks.DemoData], None]] = []
        self.refreshed: list[Callable[[], None]] = []
        self.scene_loaded: list[Callable[[], None]] = []
        names = self.state.name
        self.state.bind_changes({(names.fixed, names.moving): self._chosen, names.show: lambda show: self.show()})

    def node(self, which: str) -> Any | None:
        """The node chosen as "fixed" or "moving"."""
        chosen = str(getattr(self.state.data, which))
        node = self._session.scene.GetNodeByID(chosen) if chosen else None
        return node if node is not None and node.IsA("vtkMRMLScalarVolumeNode") else None

    def image(self, which: str) -> Image | None:
        """The image chosen as "fixed" or "moving"."""
        node = self.node(which)
        return image_from_node(node) if node is not None else None

    def add(self, image: Image, name: str) -> Any:
        """Put an image into the scene and the lists; the first two become fixed and moving."""
        node = nodes.add_image(self._session.scene, image, name)
        self.refresh()
        data = self.state.data
        with self._session.server.state:
            if not data.fixed:
                data.fixed = node.GetID()
            elif not data.moving:
                data.moving = node.GetID()
        return node

    def refresh(self) -> None:
        """Read the lists from the scene."""
        with self._session.server.state:
            self.state.data.items = nodes.rows(self._session.scene, "vtkMRMLScalarVolumeNode", hide_results=True)
            self.state.data.label_items = nodes.rows(self._session.scene, "vtkMRMLSegmentationNode")
            sets = [{"title": f"{name} (surfaces)", "value": name} for name in nodes.sets_of(self._session.scene)]
            self.state.data.organ_items = [*self.state.data.label_items, *sets]
            self.state.data.transform_items = nodes.rows(self._session.scene, "vtkMRMLTransformNode")
            found = nodes.rows(self._session.scene, "vtkMRMLMarkupsFiducialNode", attribute=nodes.LANDMARKS)
            self.state.data.landmark_items = [{"title": "None", "value": ""}, *found]
        for call in self.refreshed:
            call()

    def landmarks(self) -> PointPair | None:
        """The chosen corresponding points, or None when a list is missing.

        Raises:
            InputError: lists of different lengths.
        """
        from valorlib.scene.valor_registration import read_landmarks

        data, scene = self.state.data, self._session.scene
        chosen = [str(data.fixed_landmarks or ""), str(data.moving_landmarks or "")]
        lists = [scene.GetNodeByID(one) if one else None for one in chosen]
        return None if None in lists else read_landmarks(*lists)

    def swap(self) -> None:
        """Exchange fixed and moving."""
        data = self.state.data
        data.fixed, data.moving = data.moving, data.fixed

    def show(self) -> None:
        """Put the chosen scans into the views."""
        fixed, moving, show = self.node("fixed"), self.node("moving"), self.state.data.show
        back = moving if show == "moving" else fixed
        front = moving if show == "both" else None
        self._session.workspace.show_layers(back or fixed or moving, front, 0.5)

    def _chosen(self, *_: Any) -> None:
        self.show()
        self._session.workspace.fit()
        for call in self.changed:
            call()

    def open_path(self, path: Any) -> None:
        """Open a file or folder of the server."""
        real = inside(str(path), self._session.roots)
        self._session.page.data.open_dialog = False
        self._session.start(self.open_files([real]))

    async def open_files(self, paths: list[Path]) -> None:
        """Open files, each for what it holds; several DICOM files are one series."""
        if len(paths) > 1 and all(path.parent == paths[0].parent for path in paths) and _look_like_dicom(paths):
            paths = [paths[0].parent]
        meshes = [path for path in paths if path.suffix.lower() in tasks.MESHES and path.is_file()]
        if len(meshes) > 1:
            self._session.busy(f"Opening {len(meshes)} surfaces")
            self._take(await self._session.quick.run(tasks.open_surfaces, meshes))
            paths = [path for path in paths if path not in meshes]
        for path in paths:
            if path.suffix.lower() in (".raw", ".zraw"):
                continue
            self._session.busy(f"Opening {path.name}")
            if path.suffix.lower() == ".mrb":
                check_scene_archive(path)
                self._load_scene(path)
            else:
                fixed = self.node("fixed")
                grid = world_grid(fixed) if fixed is not None else None
                self._take(await self._session.quick.run(tasks.open_path, path, grid))
        with self._session.server.state:
            self._session.page.data.open_dialog = False
        self._session.busy("")

    def _load_scene(self, path: Path) -> None:
        self._session.workspace.load_scene(str(path))
        self.refresh()
        for call in self.scene_loaded:
            call()
        self._session.workspace.fit()

    def _take(self, opened: tasks.Opened) -> None:
        for image in opened.images:
            node = self.add(image, image.name or safe_name(opened.name, any_suffix=True))
            if opened.dicom_folder:
                node.SetAttribute(nodes.DICOM, opened.dicom_folder)
        for call in self.opened:
            call(opened)
        self.refresh()

    def load_demo(self) -> None:
        """Open the generated pair."""
        self._session.page.data.open_dialog = False
        self._session.start(self.demo())

    async def demo(self, seed: int = 7, size: str = "small") -> None:
        """Make the generated pair and show it."""
        self._session.busy("Making the example")
        data = await self._session.quick.run(tasks.make_demo, seed, size)
        self._session.workspace.hide_shapes()
        with self._session.server.state:
            self.state.data.fixed = self.state.data.moving = ""
            self.add(data.fixed, "7T (fixed)")
            self.add(data.moving, "3T (moving)")
            for call in self.demo_loaded:
                call(data)
            self.refresh()
        self._session.busy("")


def _look_like_dicom(paths: list[Path]) -> bool:
    return all(path.suffix.lower() in ("", ".dcm", ".ima") or path.suffix[1:].isdigit() for path in paths)
