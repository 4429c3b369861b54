"""The frame's logic: theme, layout, opening dialog, the read-out under the pointer, saving the scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valor_workbench import nodes
from valor_workbench.logic.scans import ScansLogic
from valor_workbench.logic.session import Session
from valor_workbench.transfers import SUFFIXES, inside
from valorlib.core.errors import InputError

DARK, LIGHT = ("#14161a", "#30343b"), ("#6f7b88", "#b4bec9")
PROBE_S = 0.06


class PageLogic:
    """What the top bar, the dialog and the bottom line do."""

    def __init__(self, session: Session, scans: ScansLogic) -> None:
        self._session, self._scans = session, scans
        self._last_probe = 0.0
        self.saving: list[Callable[[], None]] = []
        self.demos: dict[str, Callable[[], None]] = {"registration": scans.load_demo}
        names = session.page.name
        session.page.bind_changes({names.layout: session.workspace.set_layout, names.dark: self._paint_background})
        session.workspace.on_cursor(self._probe)

    def open_dialog(self) -> None:
        """Show the dialog that opens files."""
        self._list(self._session.roots[0])
        self._session.page.data.open_dialog = True

    def browse(self, path: Any) -> None:
        """List a folder of the server; a file is opened."""
        real = inside(str(path), self._session.roots)
        if real.is_dir():
            self._list(real)
            self._session.page.data.open_path = str(real)
        else:
            self._scans.open_path(str(real))

    def open_path(self, path: Any) -> None:
        """Open a file or a folder of DICOM files."""
        self._scans.open_path(path)

    def load_demo(self, kind: Any = "registration") -> None:
        """Open a generated case and go to its panel."""
        load = self.demos.get(str(kind))
        if load is None:
            raise InputError(f"example: expected one of {', '.join(self.demos)}")
        with self._session.server.state:
            self._session.page.data.open_dialog = False
            self._session.page.data.module = str(kind)
        load()

    def _list(self, folder: Path) -> None:
        try:
            children = sorted(folder.iterdir(), key=lambda p: (p.is_file(), p.name.lower()))
        except OSError as error:
            raise InputError(f"{folder.name}: the folder cannot be read; check its permissions") from error
        shown = [
            p for p in children if not p.name.startswith(".") and (p.is_dir() or p.name.lower().endswith(SUFFIXES))
        ]
        rows = [{"name": p.name, "path": str(p), "icon": _icon(p)} for p in shown[:300]]
        if any(folder != root.resolve() and root.resolve() in folder.parents for root in self._session.roots):
            rows.insert(0, {"name": "..", "path": str(folder.parent), "icon": "mdi-arrow-up"})
        self._session.page.data.open_folder, self._session.page.data.open_entries = str(folder), rows

    def toggle_theme(self) -> None:
        """Light or dark."""
        self._session.page.data.dark = not self._session.page.data.dark

    def _paint_background(self, dark: bool) -> None:
        self._session.workspace.set_background(DARK if dark else LIGHT)

    def fit(self) -> None:
        """Fit every view."""
        self._session.workspace.fit()

    def dismiss(self) -> None:
        """Take the messages away."""
        self._session.say("")

    def save_scene(self) -> None:
        """Make the scene ready for download."""
        self._session.busy("Saving the scene")
        for call in self.saving:
            call()
        path = self._session.folder / "scene.mrb"
        path.unlink(missing_ok=True)
        if not self._session.workspace.save_scene(str(path)):
            raise InputError("scene: it could not be written; the disk may be full")
        self._session.say(
            "The scene is ready; Slicer opens it:",
            url=self._session.downloads.offer(path, "valor.mrb"),
            name="valor.mrb",
        )

    def _probe(self, ras: NDArray[np.float64] | None) -> None:
        now = time.monotonic()
        if ras is None or now - self._last_probe < PROBE_S:
            return
        self._last_probe = now
        words = [f"{axis} {value:.1f}" for axis, value in zip("RAS", ras, strict=True)]
        layers = nodes.values_at(self._session.workspace.slice_views, ras)
        with self._session.server.state:
            self._session.page.data.probe = "  ".join(words) + " mm" + "".join(f"    {n}: {v}" for n, v in layers)


def _icon(path: Path) -> str:
    return "mdi-folder-outline" if path.is_dir() else "mdi-file-outline"
