"""The panel of UncertaintyViewer, in the order of the job."""

from __future__ import annotations

from typing import Any, Protocol

from trame.widgets import html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.form import options_form
from valor_workbench.ui.parts import (
    button,
    checks_table,
    choices,
    metrics_table,
    reason_line,
    run_box,
    section,
    select,
    slider,
    warnings_list,
)


class UncertaintyActions(Protocol):
    """What the panel asks for."""

    def apply(self) -> None:
        """Start the run."""

    def cancel(self) -> None:
        """End the run."""

    def set_option(self, name: str, value: Any) -> None:
        """Change one option."""

    def set_tolerance(self, name: str, value: Any) -> None:
        """Change one limit."""

    def jump(self, at: list[float]) -> None:
        """Center the slices on a place."""

    def export(self) -> None:
        """Make the result folder ready for download."""

    def export_dicom(self) -> None:
        """Make the result ready for download as DICOM."""

    def report(self) -> None:
        """Make the report ready for download."""

    def load_demo(self) -> None:
        """Open the generated radiotherapy case."""


def inputs_section(names: Any, transforms: str, actions: UncertaintyActions) -> None:
    """Step 2: the registration to be judged, the dose, the structures, the goals."""
    with section("2  What is judged"):
        select("Registration", names.transform, transforms, classes="mb-2", raw_attrs=['data-test="transform"'])
        with html.Div(classes="d-flex ga-2 mb-2"):
            select("Dose (on the moving scan)", names.dose, names.doses, style="flex: 1; min-width: 0")
            select("Structures (on the fixed)", names.structures, names.structure_rows, style="flex: 1; min-width: 0",
                   raw_attrs=['data-test="structures"'])  # fmt: skip
        v.VTextarea(
            label="Goals, one a line", placeholder="target: D95% >= 57 Gy", persistent_placeholder=True,
            v_model=(names.goals,), rows=2, auto_grow=True, max_rows=6, density="compact", variant="outlined",
            hide_details=True, v_show=(f"{names.dose}",),
        )  # fmt: skip
        button("Generated radiotherapy case", actions.load_demo, icon="mdi-flask-outline", variant="text",
               v_if=f"!{names.dose}", raw_attrs=['data-test="rt-demo"'])  # fmt: skip


def judge_section(names: Any, run: Any, actions: UncertaintyActions) -> None:
    """Step 3: options, limits, Apply."""
    with section("3  Judge"):
        options_form(names.fields, actions.set_option)
        options_form(names.tolerance_fields, actions.set_tolerance, title="Limits of the checks")
        reason_line(names.why_not, run.running)
        run_box(run, names.why_not, actions.apply, actions.cancel, "Apply")


def verdict_section(names: Any, actions: UncertaintyActions) -> None:
    """Step 4: maps, checks, goals, landmarks."""
    with section("4  Result", v_if=names.ready):
        html.P(f"{{{{ {names.summary} }}}}", classes="valor-summary", raw_attrs=['data-test="summary"'])
        warnings_list(names.warnings)
        with html.Div(classes="d-flex ga-2 mb-2 flex-wrap"):
            button("Export all", actions.export, icon="mdi-download", raw_attrs=['data-test="export"'])
            button("DICOM", actions.export_dicom, raw_attrs=['data-test="dicom"', 'title="RTDOSE, REG, image series"'])
            button("Report", actions.report, raw_attrs=['data-test="report"'])
        html.H3("Map", classes="valor-subheading")
        choices("Map shown", names.map, {"sigma": "Expected error", "jacobian": "Volume change", "none": "None"})
        choices(
            "Dose shown", names.map, {"dose_mean": "Mean dose", "dose_p05": "5 %", "dose_p95": "95 %"},
            v_show=(f"{names.chart}",), classes_more="mt-1",
        )  # fmt: skip
        with html.Div(v_show=(f"{names.map} === 'sigma'",)):
            slider("From, mm", names.threshold, low=0, high=(names.threshold_max,), step=0.1)
        html.H3("Checks", classes="valor-subheading")
        checks_table(names.metrics, "Checks of the registration")
        html.H3("Goals", classes="valor-subheading", v_if=f"{names.goal_rows}.length")
        checks_table(names.goal_rows, "Goals of the plan, with their probability")
        with html.Details(v_if=f"{names.dose_rows}.length", classes="mt-2"):
            html.Summary("Dose figures with 95 % bands", classes="valor-hint")
            checks_table(names.dose_rows, "Dose figures")
        with html.Details(v_if=f"{names.landmarks}.length", classes="mt-2"):
            html.Summary("Landmarks, worst first", classes="valor-hint")
            metrics_table(names.landmarks, actions.jump, "Landmarks")
