"""The panel that corrects a segmentation by painting."""

from __future__ import annotations

from typing import Any, Protocol

from trame.widgets import html

from valor_workbench.ui.parts import aria, button, choices, icon_button, section, select, slider, switch


class EditorActions(Protocol):
    """What the panel asks for."""

    def undo(self) -> None:
        """Take the last stroke back."""

    def redo(self) -> None:
        """Do the last stroke again."""

    def add_segment(self) -> None:
        """Start another segment."""

    def export(self) -> None:
        """Make the segmentation ready for download."""


def editor_panel(names: Any, segmentations: str, actions: EditorActions) -> None:
    """Choose, paint, take home."""
    with section("1  What is corrected"):
        select("Segmentation", names.segmentation, segmentations, raw_attrs=['data-test="segmentation"'])
        table = html.Table(v_if=f"{names.segments}.length", classes="valor-table mt-2", **aria("Segments"))
        with table, html.Tbody():  # noqa: SIM117
            with html.Tr(v_for=f"row in {names.segments}", key="row.value"):
                with html.Td(), html.Label(classes="d-flex align-center"):
                    html.Input(
                        type="radio", name="segment", v_model=(names.segment,), classes="mr-2",
                        raw_attrs=[':value="row.value"'],
                    )  # fmt: skip
                    html.Span(classes="valor-dot", style=("{background: row.color}",))
                    html.Span("{{ row.title }}")
                html.Td("{{ row.volume.toFixed(2) }} ml", classes="valor-number", raw_attrs=['data-test="segment-ml"'])
        button("New segment", actions.add_segment, icon="mdi-plus", variant="text", classes="mt-1")
    with section("2  Paint", hint="Drag in a slice. Choose Move to scroll and zoom again."):
        with html.Div(classes="d-flex align-center ga-2"):
            choices("Tool", names.effect, {"": "Move", "paint": "Paint", "erase": "Erase"})
            icon_button("mdi-undo", "Undo the last stroke", actions.undo)
            icon_button("mdi-redo", "Redo the last stroke", actions.redo)
        slider("Brush, mm", names.brush_mm, low=1, high=30, step=1)
        switch("Ball (several slices at once)", names.sphere)
    with section("3  Take home"):
        button("Export (.seg.nrrd)", actions.export, icon="mdi-download")
