"""Joins logic and page of every panel; imported after the check that this computer can draw."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from trame.app import get_server

from valor_workbench.front import front
from valor_workbench.logic.editor import EditorLogic
from valor_workbench.logic.guarded import Guarded
from valor_workbench.logic.method import MethodLogic
from valor_workbench.logic.page import PageLogic
from valor_workbench.logic.points import PointsLogic
from valor_workbench.logic.registration import RegistrationLogic
from valor_workbench.logic.results import ResultLogic
from valor_workbench.logic.runs import RunLogic
from valor_workbench.logic.saved import IMAGES, POINTS, SavedLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.seeds import SeedsLogic
from valor_workbench.logic.session import Session, new_folder
from valor_workbench.logic.uncertainty import DOSE, UncertaintyLogic
from valor_workbench.nodes import add_image, add_labels, add_landmarks, add_surfaces, add_transform, as_image
from valor_workbench.security import Guard
from valor_workbench.slicer_app import ViewPainters, Workspace, slice_slider
from valor_workbench.tasks import DemoData, Opened, warm_up
from valor_workbench.transfers import Uploads
from valor_workbench.ui.editor import editor_panel
from valor_workbench.ui.page import STATIC, Panels, build_page
from valor_workbench.ui.points import organs_section, points_result_section, points_run_section
from valor_workbench.ui.registration import result_section, run_section, seeds_section
from valor_workbench.ui.scans import scans_section
from valor_workbench.ui.uncertainty import inputs_section, judge_section, verdict_section
from valor_workbench.ui.views import chart_painter, paint_over_3d, slice_painter


class Workbench:
    """The whole application around one trame server."""

    def __init__(self, guard: Guard, roots: tuple[Path, ...], *, software_gl: bool) -> None:
        self.server = get_server("valor", client_type="vue3")
        self.server.enable_module({"serve": {"valor": str(STATIC)}})
        painters = ViewPainters(
            slice_painter(slice_slider),
            paint_over_3d,
            chart_painter("UncertaintyState__chart", "UncertaintyState__summary"),
        )
        folder = new_folder()
        workspace = Workspace(self.server, painters, software_gl=software_gl, log=str(folder / "vtk.log"))
        self.session = Session(self.server, workspace, folder, roots)
        self.scans = ScansLogic(self.session)
        self.page = PageLogic(self.session, self.scans)
        self.run = RunLogic(self.session)
        self.method = MethodLogic(self.session, "image")
        self.seeds = SeedsLogic(self.session, self.scans)
        self.registration = RegistrationLogic(self.session, self.scans, self.seeds, self.method, self.run)
        self.results = ResultLogic(self.session, self.scans)
        self.editor = EditorLogic(self.session, self.scans)
        self.uncertainty = UncertaintyLogic(self.session, self.scans, self.run)
        self.organ_method = MethodLogic(self.session, "points")
        self.points = PointsLogic(self.session, self.scans, self.organ_method, self.run)
        self.page.demos |= {"points": self.points.load_demo, "uncertainty": self.uncertainty.load_demo}
        self.saved = SavedLogic(self.session, self.scans, self.seeds, self.points, self.uncertainty)
        self.saved.methods = {IMAGES: self.method, POINTS: self.organ_method}
        self._join()
        self._guard = guard
        self.server.controller.on_server_bind.add(self._bind)
        self.layout = self._build()

    def _join(self) -> None:
        self.registration.finished += [self.results.add_error, self.results.show]
        self.scans.refreshed.append(self.editor.refresh)
        self.scans.refreshed.append(self.uncertainty.refresh)
        self.scans.refreshed.append(self.points.refresh)
        self.scans.demo_loaded.append(self._take_demo)
        self.scans.opened.append(self._take_opened)
        self.scans.scene_loaded.append(self.seeds.adopt_from_scene)
        self.scans.scene_loaded.append(self.results.adopt_from_scene)
        self.scans.scene_loaded.append(self.saved.read)
        self.scans.scene_loaded.append(self.points.adopt_from_scene)
        self.scans.scene_loaded.append(self.uncertainty.adopt_from_scene)
        self.page.saving.append(self.saved.write)

    def _take_demo(self, data: DemoData) -> None:
        self.registration.landmarks, self.registration.truth = data.landmarks, data.truth
        self.registration.truth_of = (self.scans.state.data.fixed, self.scans.state.data.moving)
        self.scans.state.data.show = "moving"
        if data.fixed_tumors is not None:
            node = add_labels(self.session.scene, data.fixed_tumors, "Tumors, truth", self.scans.node("fixed"))
            node.GetDisplayNode().SetVisibility(False)
            node.SetHideFromEditors(True)
            self.results.truth_node = node
        self.scans.show()
        self.session.workspace.fit_slices()
        if data.seeds is not None and len(data.seeds.points):
            x, y, z = data.seeds.points[0]
            self.session.workspace.jump((-x, -y, z))

    def _take_opened(self, opened: Opened) -> None:
        of_dicom = bool(opened.dicom_folder)
        if opened.labels is not None:
            name = f"{opened.name} structures" if of_dicom else opened.name
            node = add_labels(self.session.scene, opened.labels, name, self.scans.node("fixed"))
            if not self.session.workspace.shown_volumes():
                self.session.workspace.set_slices_at(node)
        if opened.surfaces:
            self.points.take(add_surfaces(self.session.scene, opened.surfaces, opened.name))
        if opened.seeds is not None:
            self.seeds.put(opened.seeds)
        if opened.points is not None:
            add_landmarks(self.session.scene, opened.points, opened.name)
        if opened.transform is not None:
            add_transform(self.session.scene, opened.transform, opened.name)
        if opened.dose is not None:
            name = f"{opened.name} dose" if of_dicom else opened.name
            add_image(self.session.scene, as_image(opened.dose), name).SetAttribute(DOSE, "1")

    def _build(self) -> Any:
        s = self.scans.state.name

        def registration() -> None:
            scans_section(s, Guarded(self.session, self.scans), Guarded(self.session, self.page).open_dialog)
            seeds_section(self.seeds.state.name, Guarded(self.session, self.seeds))
            run_section(self.method.state.name, self.run.state.name, Guarded(self.session, self.registration))
            result_section(self.results.state.name, Guarded(self.session, self.results))

        def editor() -> None:
            editor_panel(self.editor.state.name, s.label_items, Guarded(self.session, self.editor))

        def uncertainty() -> None:
            names, actions = self.uncertainty.state.name, Guarded(self.session, self.uncertainty)
            scans_section(s, Guarded(self.session, self.scans), Guarded(self.session, self.page).open_dialog)
            inputs_section(names, s.transform_items, actions)
            judge_section(names, self.run.state.name, actions)
            verdict_section(names, actions)

        def points() -> None:
            names, actions = self.points.state.name, Guarded(self.session, self.points)
            organs_section(names, s.organ_items, actions, Guarded(self.session, self.page).open_dialog)
            points_run_section(self.organ_method.state.name, names, self.run.state.name, actions)
            points_result_section(names, actions)

        modules = {"registration": registration, "points": points, "uncertainty": uncertainty, "editor": editor}
        panels = Panels(modules, self.session.workspace.build_grid)
        return build_page(self.server, self.session.page.name, panels, Guarded(self.session, self.page))

    def _bind(self, web_server: Any) -> None:
        self._guard.front = front(self.server)
        app: web.Application = web_server.app
        self._guard.install(app)
        self.session.downloads.install(app)
        Uploads(self.session.folder, self._take_uploads).install(app)

    async def _take_uploads(self, files: list[Path]) -> None:
        self.session.start(self.scans.open_files(files))

    def begin(self, paths: list[Path], *, demo: bool) -> None:
        """Open what the command line asked for, and start the workers."""
        self.session.start(self._warm_up())
        if demo:
            self.session.start(self.scans.demo())
        if paths:
            self.session.start(self.scans.open_files(paths))

    async def _warm_up(self) -> None:
        """What takes a second or two and nobody waits for: done once the page had its turn."""
        while not self._guard.has_live_page:
            await asyncio.sleep(0.2)
        await asyncio.sleep(2.0)
        await self.session.runs.run(warm_up)
        await asyncio.to_thread(_import_methods)
        self.method.load()
        self.uncertainty.load()
        self.organ_method.load()

    def close(self) -> None:
        """Leave nothing behind."""
        self.session.close()


def _import_methods() -> None:
    """What the forms and results need; in a thread, so that the views stay alive meanwhile."""
    from valorlib import catalog

    catalog.load("valor")
    import valorlib.methods.dir_uncertainty
    import valorlib.methods.mo_bcpd
    import valorlib.scene.point_cloud_registration
    import valorlib.scene.uncertainty_viewer
    import valorlib.scene.valor_registration  # noqa: F401
