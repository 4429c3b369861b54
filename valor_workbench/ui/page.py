"""The frame: top bar, the panel of the chosen module on the left, the views on the right, the read-out below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from trame.ui.html import DivLayout
from trame.ui.vuetify3 import VAppLayout
from trame.widgets import client, html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.parts import aria, button, icon_button

STATIC = Path(__file__).parents[1] / "static"
MODULES = {
    "registration": "Registration",
    "points": "Point clouds",
    "uncertainty": "Uncertainty",
    "editor": "Correct",
}


class PageActions(Protocol):
    """What the frame asks for."""

    def open_dialog(self) -> None:
        """Show the dialog that opens files."""

    def open_path(self, path: str) -> None:
        """Open a file or folder of the server, or list a folder."""

    def browse(self, path: str) -> None:
        """List a folder of the server."""

    def save_scene(self) -> None:
        """Make the scene ready for download."""

    def toggle_theme(self) -> None:
        """Light or dark."""

    def fit(self) -> None:
        """Fit every view."""

    def load_demo(self, kind: str) -> None:
        """Open a generated case and go to its panel."""

    def dismiss(self) -> None:
        """Take the messages away."""


@dataclass(frozen=True)
class Panels:
    """What fills the frame; each is called inside its place."""

    modules: dict[str, Callable[[], None]]
    views: Callable[[Any], None]


def build_page(server: Any, names: Any, panels: Panels, actions: PageActions) -> Any:
    """Build the page; returns its layout."""
    server.state.trame__title = "VALOR workbench"
    server.state.trame__favicon = None
    for module, fill in panels.modules.items():
        with DivLayout(server, f"panel_{module}"):
            fill()
    with VAppLayout(server, theme=(f"{names.dark} ? 'dark' : 'light'",)) as layout:
        client.Style((STATIC / "valor.css").read_text(encoding="utf-8"))
        _top_bar(names, actions)
        with v.VNavigationDrawer(permanent=True, width=390, raw_attrs=['role="complementary"', 'aria-label="Panel"']):
            _messages(names, actions)
            for module in panels.modules:
                with html.Div(v_if=f"utils.valor.shown && {names.module} === '{module}'", classes="valor-panel"):
                    client.ServerTemplate(name=f"panel_{module}")
        with v.VMain(), html.Div(classes="valor-views"):
            panels.views(layout)
        _bottom_line(names)
        _open_dialog(names, actions)
    return layout


def _top_bar(names: Any, actions: PageActions) -> None:
    with v.VAppBar(density="compact", flat=True, border=True):
        html.Span("VALOR", classes="valor-brand")
        with v.VTabs(v_model=(names.module,), density="compact", color="primary", **aria("Modules")):
            for value, title in MODULES.items():
                v.VTab(title, value=value, size="small")
        v.VSpacer()
        v.VSelect(
            v_model=(names.layout,), items=("['Four views', '3D and slices', 'Axial', '3D', 'Chart']",),
            density="compact",
            variant="outlined", hide_details=True, style="max-width: 170px", **aria("Arrangement of the views"),
        )  # fmt: skip
        icon_button("mdi-fit-to-page-outline", "Fit all views", actions.fit)
        icon_button("mdi-folder-open-outline", "Open files", actions.open_dialog)
        icon_button("mdi-content-save-outline", "Save the scene (.mrb)", actions.save_scene)
        icon_button("mdi-theme-light-dark", "Light or dark", actions.toggle_theme)


def _messages(names: Any, actions: PageActions) -> None:
    with html.Div(classes="valor-messages", raw_attrs=['aria-live="assertive"']):
        with v.VAlert(
            v_if=names.error, type="error", density="compact", variant="tonal", closable=True,
            click_close=actions.dismiss, raw_attrs=['data-test="error"'],
        ):  # fmt: skip
            html.Span(f"{{{{ {names.error} }}}}")
        with v.VAlert(v_if=names.notice, type="success", density="compact", variant="tonal", closable=True,
                      click_close=actions.dismiss, raw_attrs=['data-test="notice"']):  # fmt: skip
            html.Span(f"{{{{ {names.notice} }}}} ")
            html.A(
                f"{{{{ {names.download_name} }}}}", v_if=names.download_url, href=(names.download_url,), classes="ml-1",
                raw_attrs=["download", 'data-test="download"'],
            )  # fmt: skip
        with html.Div(v_if=names.busy, classes="d-flex align-center ga-2 pa-2", raw_attrs=['data-test="busy"']):
            v.VProgressCircular(indeterminate=True, size=18, width=2)
            html.Span(f"{{{{ {names.busy} }}}}", classes="valor-hint")


def _bottom_line(names: Any) -> None:
    with v.VFooter(app=True, classes="valor-footer", border=True):
        html.Span(f"{{{{ {names.probe} }}}}", classes="valor-probe", raw_attrs=['data-test="probe"'])
        v.VSpacer()
        html.Span("For research; not for clinical decisions", classes="valor-hint")


def _open_dialog(names: Any, actions: PageActions) -> None:
    with (
        v.VDialog(v_model=(names.open_dialog,), max_width=640, **aria("Open files")),
        v.VCard(title="Open"),
        v.VCardText(),
    ):
        html.P(
            "Scans (NRRD, NIfTI, MHA, DICOM), structures, surfaces (VTK, STL, PLY), dose, transforms, seeds, "
            "or a saved scene (.mrb).",
            classes="valor-hint mb-2",
        )
        with html.Div(classes="d-flex ga-2 mb-3 flex-wrap"):
            for text, more in (("Upload files", "multiple"), ("Upload a DICOM folder", "webkitdirectory multiple")):
                with html.Label(classes="valor-upload v-btn v-btn--density-default v-btn--size-default bg-primary"):
                    html.Span(text)
                    html.Input(type="file", raw_attrs=[*more.split(), "data-valor-upload", f'aria-label="{text}"'])
        html.P("Or try it on generated cases, whose truth is known:", classes="valor-hint mb-1")
        with html.Div(classes="d-flex ga-2 mb-3 flex-wrap"):
            for text, kind in (("Breast scans", "registration"), ("Organs", "points"), ("Radiotherapy", "uncertainty")):
                button(text, (actions.load_demo, f"['{kind}']"), icon="mdi-flask-outline",
                       raw_attrs=[f'data-test="demo-{kind}"'])  # fmt: skip
        html.Div(id="valor-upload-status", classes="valor-hint mb-2", raw_attrs=['role="status"'])
        with html.Div(classes="d-flex ga-2 align-center"):
            v.VTextField(
                label="File or folder on the server", v_model=(names.open_path,), density="compact",
                variant="outlined", hide_details=True, raw_attrs=['data-test="open-path"'],
            )  # fmt: skip
            button("Open", (actions.open_path, f"[{names.open_path}]"), raw_attrs=['data-test="open-go"'])
        with html.Div(classes="valor-entries mt-2"):
            html.Div(f"{{{{ {names.open_folder} }}}}", classes="valor-hint")
            with v.VBtn(
                v_for=f"entry in {names.open_entries}", key="entry.path", variant="text", size="small", block=True,
                classes="justify-start text-none", click=(actions.browse, "[entry.path]"),
            ):  # fmt: skip
                v.VIcon(icon=("entry.icon",), size="small", classes="mr-2")
                html.Span("{{ entry.name }}")
