"""Choosing the two scans."""

from __future__ import annotations

from typing import Any, Protocol

from trame.widgets import html

from valor_workbench.ui.parts import Action, button, choices, icon_button, section, select


class ScansActions(Protocol):
    """What the scans section asks for."""

    def swap(self) -> None:
        """Exchange fixed and moving."""


def scans_section(names: Any, actions: ScansActions, open_dialog: Action) -> None:
    """Step 1 of every panel that takes two images."""
    with section("1  Scans"):
        with html.Div(classes="d-flex align-center ga-1"):
            with html.Div(classes="flex-grow-1"):
                select("Fixed scan (stays)", names.fixed, names.items, classes="mb-2", raw_attrs=['data-test="fixed"'])
                select("Moving scan (is carried)", names.moving, names.items, raw_attrs=['data-test="moving"'])
            icon_button("mdi-swap-vertical", "Exchange fixed and moving", actions.swap)
        with html.Details(v_if=f"{names.landmark_items}.length > 2", classes="mt-2"):
            html.Summary("Landmarks, to measure the error at", classes="valor-hint")
            select("Landmarks of the fixed scan", names.fixed_landmarks, names.landmark_items, classes="mt-2 mb-2")
            select("Landmarks of the moving scan, in the same order", names.moving_landmarks, names.landmark_items)
        with html.Div(classes="d-flex align-center ga-2 mt-2"):
            choices("Scan shown", names.show, {"fixed": "Fixed", "moving": "Moving", "both": "Both"})
            button("Open ...", open_dialog, icon="mdi-folder-open-outline")
