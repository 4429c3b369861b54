"""The panel of VALORRegistration, in the order of the job."""

from __future__ import annotations

from typing import Any, Protocol

from trame.widgets import html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.form import options_form
from valor_workbench.ui.parts import (
    aria,
    button,
    choices,
    icon_button,
    metrics_table,
    reason_line,
    run_box,
    section,
    select,
    slider,
    switch,
    warnings_list,
)


class SeedActions(Protocol):
    """What the seeds section asks for."""

    def toggle_placing(self) -> None:
        """Start or end clicking."""

    def undo(self) -> None:
        """Take the last change back."""

    def clear(self) -> None:
        """Remove every click."""

    def add_tumor(self) -> None:
        """Start another tumor."""

    def add_at_center(self) -> None:
        """Click where the three slices cross."""

    def add_at(self, text: str) -> None:
        """Click at typed coordinates."""

    def delete(self, node: str, index: int) -> None:
        """Remove one click."""

    def jump(self, at: list[float]) -> None:
        """Center the slices on a place."""


class RunActions(Protocol):
    """What Apply and the method form ask for."""

    def apply(self) -> None:
        """Start the run."""

    def cancel(self) -> None:
        """End the run."""

    def set_option(self, name: str, value: Any) -> None:
        """Change one option."""


class ResultActions(Protocol):
    """What the result section asks for."""

    def export(self) -> None:
        """Make the result folder ready for download."""

    def export_dicom(self) -> None:
        """Make the result ready for download as DICOM."""

    def report(self) -> None:
        """Make the report ready for download."""

    def jump(self, at: list[float]) -> None:
        """Center the slices on a place."""

    def remove(self) -> None:
        """Take the result out of the scene."""


def seeds_section(names: Any, actions: SeedActions) -> None:
    """Step 2: click in the tumor."""
    with section("2  Click in the tumor", hint="Optional. One click in each tumor; background clicks push back."):
        with html.Div(classes="d-flex align-center ga-2 flex-wrap"):
            choices("Scan that is clicked", names.on, {"moving": "On moving", "fixed": "On fixed"})
            v.VBtn(
                f"{{{{ {names.placing} ? 'Stop clicking' : 'Click' }}}}",
                click=actions.toggle_placing,
                prepend_icon="mdi-target",
                size="small",
                color=(f"{names.placing} ? 'warning' : 'primary'",),
                variant="flat",
                raw_attrs=['data-test="place"', f':aria-pressed="{names.placing}"'],
            )
        with html.Div(classes="d-flex align-center ga-1 mt-2 flex-wrap"):
            with v.VBtnToggle(
                v_model=(names.tumor,), mandatory=True, density="compact", variant="outlined", divided=True,
                classes="valor-choices", raw_attrs=['role="group"', 'aria-label="What is clicked"'],
            ):  # fmt: skip
                v.VBtn("{{ 'Tumor ' + n }}", v_for=f"n in {names.tumors}", key="n", value=("n",), size="small")
                v.VBtn("Background", value=(0,), size="small")
            icon_button("mdi-plus", "Add another tumor", actions.add_tumor)
            icon_button("mdi-undo", "Undo the last click", actions.undo, disabled=(f"!{names.can_undo}",))
            icon_button("mdi-delete-sweep-outline", "Remove all clicks", actions.clear,
                        disabled=(f"!{names.rows}.length",))  # fmt: skip
        _seed_rows(names, actions)
        with html.Details(classes="mt-1"):
            html.Summary("Without a mouse", classes="valor-hint")
            with html.Div(classes="d-flex align-center ga-1 mt-1"):
                button("At the slices' crossing", actions.add_at_center, variant="text")
                v.VTextField(
                    label="R, A, S (mm)", v_model=(names.position,), density="compact", variant="outlined",
                    hide_details=True, raw_attrs=[f'@keydown.enter="trigger(\'seed_at\', [{names.position}])"'],
                )  # fmt: skip
                icon_button("mdi-plus", "Add a click at these coordinates", (actions.add_at, f"[{names.position}]"))
        switch("Preview while clicking", names.preview)
        html.P(f"{{{{ {names.preview_text} }}}}", classes="valor-hint", v_if=names.preview_text,
               raw_attrs=['aria-live="polite"', 'data-test="preview"'])  # fmt: skip


def _seed_rows(names: Any, actions: SeedActions) -> None:
    with html.Table(classes="valor-table mt-1", v_if=f"{names.rows}.length", **aria("Clicks")), html.Tbody():  # noqa: SIM117
        with html.Tr(v_for=f"row in {names.rows}", key="row.key"):
            with html.Td():
                html.Span(classes="valor-dot", style=("{background: row.color}",))
                html.Span("{{ row.label }}")
            html.Td("{{ row.at.map(x => x.toFixed(1)).join(', ') }}", classes="valor-number")
            with html.Td(classes="valor-jump"):
                v.VBtn(icon="mdi-crosshairs-gps", size="x-small", variant="text", click=(actions.jump, "[row.at]"),
                       raw_attrs=[":aria-label=\"'Show ' + row.label\""])  # fmt: skip
                v.VBtn(icon="mdi-close", size="x-small", variant="text",
                       click=(actions.delete, "[row.node, row.index]"),
                       raw_attrs=[":aria-label=\"'Remove ' + row.label\""])  # fmt: skip


def run_section(method: Any, run: Any, actions: RunActions) -> None:
    """Step 3: method, options, Apply."""
    with section("3  Register"):
        with html.Div(classes="d-flex ga-2"):
            select("Method", method.name, method.names, style="flex: 3", raw_attrs=['data-test="method"'])
            select("Preset", method.preset, method.presets, style="flex: 2", v_show=(f"{method.presets}.length > 1",),
                   raw_attrs=['data-test="preset"'])  # fmt: skip
        html.P(f"{{{{ {method.reason} || {method.about} }}}}", classes="valor-hint mt-1")
        options_form(method.fields, actions.set_option)
        reason_line(run.why_not, run.running)
        run_box(run, run.why_not, actions.apply, actions.cancel, "Apply")


def result_section(names: Any, actions: ResultActions) -> None:
    """Step 4: look, measure, take home."""
    with section("4  Result", v_if=names.ready):
        html.P(f"{{{{ {names.summary} }}}}", classes="valor-summary", raw_attrs=['data-test="summary"'])
        warnings_list(names.warnings)
        with html.Div(classes="d-flex ga-2 mb-2 flex-wrap"):
            button("Export all", actions.export, icon="mdi-download", raw_attrs=['data-test="export"'])
            button("DICOM", actions.export_dicom, raw_attrs=['data-test="dicom"', 'title="SEG, REG and image series"'])
            button("Report", actions.report, raw_attrs=['data-test="report"'])
            button("Remove", actions.remove, icon="mdi-delete-outline", variant="text")
        html.H3("Compare", classes="valor-subheading")
        choices(
            "How the scans are compared", names.mode,
            {"blend": "Blend", "flicker": "Flicker", "checker": "Checker", "difference": "Difference"},
        )  # fmt: skip
        slider("Moving", names.opacity, low=0, high=1, step=0.01, v_show=(f"{names.mode} === 'blend'",))
        html.H3("Deformation", classes="valor-subheading")
        choices(
            "How the deformation is shown", names.warp,
            {"off": "Off", "grid": "Grid", "glyph": "Arrows", "contour": "Contours"},
        )  # fmt: skip
        with html.Div(classes="d-flex ga-2 mt-4 align-center"):
            select("Map over the scan", names.map, names.map_items, style="flex: 1", raw_attrs=['data-test="map"'])
            with html.Div(style="flex: 1", v_if=f"{names.map} === 'jacobian'"):
                switch("Folds only", names.folds_only)
        with html.Div(v_show=(f"!['none', 'jacobian'].includes({names.map})",)):
            slider("Above, mm", names.threshold, low=0, high=(names.threshold_max,), step=0.1)
        with html.Div(classes="d-flex flex-wrap valor-switches"):
            switch("Tumors", names.surfaces)
            switch("True tumors", names.truth, v_if=names.has_truth)
        html.H3("Measures", classes="valor-subheading")
        metrics_table(names.metrics, actions.jump, "Measures of the registration")
