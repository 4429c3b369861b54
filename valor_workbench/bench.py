"""Joins logic and page of every panel; imported after the check that this computer can draw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aiohttp import web
from trame.app import get_server

from valor_workbench.logic.page import PageLogic
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session, new_folder
from valor_workbench.security import Guard
from valor_workbench.slicer_app import ViewPainters, Workspace, slice_slider
from valor_workbench.transfers import Uploads
from valor_workbench.ui.page import STATIC, Panels, build_page
from valor_workbench.ui.scans import scans_section
from valor_workbench.ui.views import chart_painter, paint_over_3d, slice_painter


class Workbench:
    """The whole application around one trame server."""

    def __init__(self, guard: Guard, roots: tuple[Path, ...], *, software_gl: bool) -> None:
        self.server = get_server("valor", client_type="vue3")
        self.server.enable_module({"serve": {"valor": str(STATIC)}, "scripts": ["valor/valor.js"]})
        painters = ViewPainters(slice_painter(slice_slider), paint_over_3d, chart_painter("chart", "''"))
        workspace = Workspace(self.server, painters, software_gl=software_gl)
        self.session = Session(self.server, workspace, new_folder(), roots)
        self.scans = ScansLogic(self.session)
        self.page = PageLogic(self.session, self.scans)
        self._guard = guard
        self.server.controller.on_server_bind.add(self._bind)
        self.layout = self._build()

    def _build(self) -> Any:
        s = self.scans.state.name

        def registration() -> None:
            scans_section(s, self.scans, self.page.open_dialog)

        panels = Panels({"registration": registration}, self.session.workspace.build_grid)
        return build_page(self.server, self.session.page.name, panels, self.page)

    def _bind(self, web_server: Any) -> None:
        app: web.Application = web_server.app
        self._guard.install(app)
        self.session.downloads.install(app)
        Uploads(self.session.folder, self._take_uploads).install(app)

    async def _take_uploads(self, files: list[Path]) -> None:
        self.session.start(self.scans.open_files(files))

    def begin(self, paths: list[Path], *, demo: bool) -> None:
        """Open what the command line asked for, and start the workers."""
        if demo:
            self.session.start(self.scans.demo())
        if paths:
            self.session.start(self.scans.open_files(paths))

    def close(self) -> None:
        """Leave nothing behind."""
        self.session.close()
