"""What lies over the views: their names, sliders, reset buttons; and the chart."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.parts import icon_button

LABELS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal", "ThreeD": "3D"}


def slice_painter(slider_state: Callable[[Any, Any], Any]) -> Callable[[Any, str, Any], None]:
    """Paints over a slice view; slider_state: gives the state of the view's position."""

    def paint(server: Any, view_id: str, view: Any) -> None:
        name = LABELS.get(view.get_singleton_tag(), view_id)
        names = slider_state(server, view).name
        _corner(name, view)
        with html.Div(classes="valor-slice-slider"):
            v.VSlider(
                v_model=(names.value,),
                min=(names.min_value,),
                max=(names.max_value,),
                step=(names.step,),
                hide_details=True,
                density="compact",
                thumb_size=12,
                track_size=2,
                color="white",
                raw_attrs=[f'aria-label="{escape(name)} slice position, mm"'],
            )

    return paint


def paint_over_3d(server: Any, view_id: str, view: Any) -> None:
    """Name and reset button of the 3D view."""
    _corner("3D", view)


def _corner(name: str, view: Any) -> None:
    with html.Div(classes="valor-view-corner"):
        html.Span(name, classes=f"valor-view-name valor-view-{name.lower()}")
        icon_button("mdi-fit-to-page-outline", f"Fit the {name} view", view.reset_view, size="x-small", color="white")


def chart_painter(chart: str, hover: str) -> Callable[[Any], None]:
    """Paints the chart view; chart: the variable that holds an SVG made by the server, every label escaped."""

    def paint(server: Any) -> None:
        with html.Div(classes="valor-chart", raw_attrs=['role="img"', ':aria-label="' + hover + '"']):
            html.Div(v_html=(chart,), v_if=f"{chart}", classes="valor-chart-svg")
            html.P("The dose-volume histogram appears here after a run with a dose.", v_if=f"!{chart}")

    return paint
