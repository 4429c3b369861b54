"""The panel of PointCloudRegistration, in the order of the job."""

from __future__ import annotations

from typing import Any, Protocol

from trame.widgets import html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.form import options_form
from valor_workbench.ui.parts import (
    Action,
    aria,
    button,
    choices,
    reason_line,
    run_box,
    section,
    select,
    switch,
    warnings_list,
)


class PointsActions(Protocol):
    """What the panel asks for."""

    def apply(self) -> None:
        """Start the run."""

    def cancel(self) -> None:
        """End the run."""

    def toggle(self, name: str) -> None:
        """Take an organ along or leave it out."""

    def set_coupling(self, first: str, second: str, value: Any) -> None:
        """How far two organs move together."""

    def reset_coupling(self) -> None:
        """Take the table from the preset again."""

    def report(self) -> None:
        """Make the report ready for download."""

    def set_option(self, name: str, value: Any) -> None:
        """Change one option."""

    def export(self) -> None:
        """Make the result folder ready for download."""

    def load_demo(self) -> None:
        """Open the generated organs."""


def organs_section(names: Any, segmentations: str, actions: PointsActions, open_dialog: Action) -> None:
    """Step 1: two sets of structures, and which organs take part."""
    with section("1  Structures"):
        select("Fixed structures (stay)", names.fixed, segmentations, classes="mb-2", raw_attrs=['data-test="p-fixed"'])
        select("Moving structures (are carried)", names.moving, segmentations, raw_attrs=['data-test="p-moving"'])
        with html.Div(classes="d-flex ga-2 mt-2"):
            button("Open ...", open_dialog, icon="mdi-folder-open-outline")
            button("Generated organs", actions.load_demo, icon="mdi-flask-outline", variant="text",
                   raw_attrs=['data-test="organs-demo"'])  # fmt: skip
        with html.Table(v_if=f"{names.organs}.length", classes="valor-table mt-2", **aria("Organs")), html.Tbody():  # noqa: SIM117
            with html.Tr(v_for=f"row in {names.organs}", key="row.name"):
                with html.Td():
                    v.VCheckbox(
                        label=("row.name",), model_value=("row.use && row.matched",), disabled=("!row.matched",),
                        density="compact", hide_details=True, update_modelValue=(actions.toggle, "[row.name]"),
                    )  # fmt: skip
                html.Td("{{ row.matched ? '' : 'only in the fixed set' }}", classes="valor-hint")


def points_run_section(method: Any, names: Any, run: Any, actions: PointsActions) -> None:
    """Step 2: how the organs move together, Apply."""
    with section("2  Carry over"):
        select("How organs move", method.preset, method.presets, raw_attrs=['data-test="preset"'])
        html.P(f"{{{{ {method.reason} || {method.about} }}}}", classes="valor-hint mt-1")
        _coupling_table(names, actions)
        options_form(method.fields, actions.set_option)
        reason_line(names.why_not, run.running)
        run_box(run, names.why_not, actions.apply, actions.cancel, "Apply")


def _coupling_table(names: Any, actions: PointsActions) -> None:
    """S: how far each two organs move together; symmetric, so that the lower half follows the upper."""
    with html.Details(classes="mb-2", v_show=(f"{names.coupling}.length > 1",)):
        html.Summary("Which organs move together (S)", classes="valor-hint", raw_attrs=['data-test="coupling"'])
        with html.Table(classes="valor-table valor-matrix", **aria("S: 0 each by itself, 1 as one")):
            with html.Thead(), html.Tr():
                html.Th("")
                html.Th(
                    "{{ row.name.replaceAll('_', ' ') }}",
                    v_for=f"row in {names.coupling}",
                    key="row.name",
                    raw_attrs=['scope="col"'],
                )
            with html.Tbody(), html.Tr(v_for=f"(row, i) in {names.coupling}", key="row.name"):
                html.Th("{{ row.name.replaceAll('_', ' ') }}", raw_attrs=['scope="row"'])
                with html.Td(v_for="(value, j) in row.values", key="j"):
                    html.Span("1", v_if="i === j", classes="valor-hint")
                    html.Input(
                        v_else=True, type="number", value=("value",),
                        change=(actions.set_coupling, f"[row.name, {names.coupling}[j].name, $event.target.value]"),
                        raw_attrs=[
                            'min="0"', 'max="1"', 'step="0.1"',
                            f":aria-label=\"row.name + ' with ' + {names.coupling}[j].name\"",
                        ],
                    )  # fmt: skip
        with html.Div(classes="d-flex align-center ga-2"):
            html.P("0: each by itself. 1: as one.", classes="valor-hint mt-1")
            button("As in the preset", actions.reset_coupling, variant="text", v_if=names.coupling_edited)


def points_result_section(names: Any, actions: PointsActions) -> None:
    """Step 3: colored surfaces and the organ table."""
    with section("3  Result", v_if=names.ready):
        html.P(f"{{{{ {names.summary} }}}}", classes="valor-summary", raw_attrs=['data-test="summary"'])
        warnings_list(names.warnings)
        with html.Div(classes="d-flex ga-2 mb-2 flex-wrap"):
            button("Export all", actions.export, icon="mdi-download", raw_attrs=['data-test="export"'])
            button("Report", actions.report, raw_attrs=['data-test="report"'])
        html.H3("Color", classes="valor-subheading")
        choices(
            "What the surfaces are colored by", names.color_by,
            {"sigma_mm": "Uncertainty", "displacement_mm": "Motion", "organ": "Organ"},
        )  # fmt: skip
        switch("Fixed structures, pale", names.show_inputs)
        with html.Table(classes="valor-table mt-2", **aria("Distances of the organs, mm")):
            with html.Thead(), html.Tr():
                for title in ("Organ", "Before", "After", "HD95", "1 sigma"):
                    html.Th(title, classes="" if title == "Organ" else "valor-number", raw_attrs=['scope="col"'])
            with html.Tbody(), html.Tr(v_for=f"row in {names.metrics}", key="row.name"):
                html.Td("{{ row.name }}")
                for key in ("before", "after", "hd95", "sigma"):
                    html.Td("{{ row." + key + " }}", classes="valor-number")
        html.P("Distances between surfaces and expected error, mm.", classes="valor-hint mt-1")
