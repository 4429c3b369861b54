"""Small pieces that every panel uses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v

Action = Callable[..., Any]


def aria(label: str, *, live: bool = False) -> dict[str, list[str]]:
    """Arguments that give an element a fixed name for screen readers."""
    parts = [f'aria-label="{escape(label)}"']
    return {"raw_attrs": [*parts, 'aria-live="polite"'] if live else parts}


@contextmanager
def section(title: str, *, hint: str = "", **kwargs: Any) -> Iterator[None]:
    """One step of a panel, with its heading."""
    with html.Section(classes="valor-section", raw_attrs=[f'aria-label="{escape(title)}"'], **kwargs):
        html.H2(title, classes="valor-heading")
        if hint:
            html.P(hint, classes="valor-hint")
        yield


def select(label: str, model: str, items: str, **kwargs: Any) -> Any:
    """A drop-down list of {title, value} rows."""
    return v.VSelect(label=label, v_model=(model,), items=(items,), **_COMPACT, **kwargs)


def number(label: str, model: str, *, low: float, high: float, step: float = 1.0, **kwargs: Any) -> Any:
    """A number field."""
    raw = [f'min="{low:g}"', f'max="{high:g}"', f'step="{step:g}"']
    return v.VTextField(
        label=label, v_model=(f"{model}",), type="number", raw_attrs=raw, v_model_number=True, **_COMPACT, **kwargs
    )


def slider(label: str, model: str, *, low: float, high: Any, step: float, **kwargs: Any) -> None:
    """A slider with its name above it and its value beside it."""
    with html.Div(classes="d-flex align-center ga-2 mt-1", **kwargs):
        html.Span(label, classes="valor-slider-label")
        v.VSlider(
            v_model=(model,),
            min=low,
            max=high,
            step=step,
            hide_details=True,
            density="compact",
            thumb_size=14,
            track_size=3,
            raw_attrs=[f'aria-label="{escape(label)}"'],
        )
        html.Span("{{ Number(" + model + ").toFixed(" + ("0" if step >= 1 else "2") + ") }}", classes="valor-value")


def switch(label: str, model: str, **kwargs: Any) -> None:
    """An on-off switch."""
    v.VSwitch(label=label, v_model=(model,), color="primary", inset=False, **_COMPACT, **kwargs)


def button(text: str, action: Any, *, icon: str = "", **kwargs: Any) -> Any:
    """A text button."""
    kwargs.setdefault("variant", "tonal")
    kwargs.setdefault("size", "small")
    more = {"prepend_icon": icon} if icon else {}
    return v.VBtn(text, click=action, **more, **kwargs)


def icon_button(icon: str, label: str, action: Any, **kwargs: Any) -> None:
    """A button with an icon, a name for screen readers and a tooltip."""
    kwargs.setdefault("variant", "text")
    kwargs.setdefault("size", "small")
    raw = [*kwargs.pop("raw_attrs", []), f'aria-label="{escape(label)}"', f'title="{escape(label)}"']
    v.VBtn(icon=icon, click=action, raw_attrs=raw, **kwargs)


def choices(label: str, model: str, options: dict[str, str], *, classes_more: str = "", **kwargs: Any) -> None:
    """A row of buttons of which one is on: value to title."""
    with v.VBtnToggle(
        v_model=(model,),
        mandatory=True,
        density="compact",
        divided=True,
        variant="outlined",
        classes=f"valor-choices {classes_more}",
        raw_attrs=['role="group"', f'aria-label="{escape(label)}"'],
        **kwargs,
    ):
        for value, title in options.items():
            v.VBtn(title, value=value, size="small", raw_attrs=[f":aria-pressed=\"{model} === '{value}'\""])


def metrics_table(rows: str, jump: Action, caption: str) -> None:
    """Rows {name, value, note, at}: a row with a place can be clicked, or entered by keyboard, to see it."""
    with html.Table(v_if=f"{rows}.length", classes="valor-table", **aria(caption)):  # noqa: SIM117
        with html.Tbody(), html.Tr(v_for=f"(row, n) in {rows}", key="n"):
            html.Td("{{ row.name }}")
            html.Td("{{ row.value }}", classes="valor-number")
            with html.Td(classes="valor-jump"):
                v.VBtn(
                    v_if="row.at",
                    icon="mdi-crosshairs-gps",
                    size="x-small",
                    variant="text",
                    click=(jump, "[row.at]"),
                    raw_attrs=[":aria-label=\"'Show where: ' + row.name\"", ':title="row.note"'],
                )


def checks_table(rows: str, caption: str) -> None:
    """Rows {name, value, chance, light}: pass, check and fail are told by a word for those who see no colors."""
    with html.Table(v_if=f"{rows}.length", classes="valor-table", **aria(caption)), html.Tbody():  # noqa: SIM117
        with html.Tr(v_for=f"(row, n) in {rows}", key="n", raw_attrs=[':title="row.note"']):
            with html.Td():
                html.Span(
                    "{{ {pass: '\u2713', check: '!', fail: '\u2717'}[row.light] }}",
                    classes="valor-light",
                    raw_attrs=[":class=\"'valor-' + row.light\"", ':aria-label="row.light"', 'role="img"'],
                    v_if="row.light && row.light !== 'none'",
                )
                html.Span("{{ row.name }}")
            html.Td("{{ row.value }}", classes="valor-number")
            html.Td("{{ row.chance }}", classes="valor-number", v_if="row.chance")


def warnings_list(warnings: str) -> None:
    """One line a warning."""
    v.VAlert(
        text=("w",), v_for=f"(w, n) in {warnings}", key="n", type="warning", density="compact", variant="tonal",
        classes="mb-1 valor-warning",
    )  # fmt: skip


def reason_line(why_not: str, running: str) -> None:
    """Why Apply cannot start."""
    html.P(
        f"{{{{ {why_not} }}}}",
        v_if=f"{why_not} && !{running}",
        classes="valor-why",
        raw_attrs=['role="status"', 'data-test="why-not"'],
    )


def run_box(names: Any, why_not: str, apply: Action, cancel: Action, what: str) -> None:
    """Apply with the reason why it cannot; while running: stage, progress, time left and Cancel."""
    with html.Div(v_if=(f"!{names.running}",)):
        v.VBtn(
            what,
            click=apply,
            disabled=(f"{why_not} !== ''",),
            color="primary",
            variant="flat",
            block=True,
            prepend_icon="mdi-play",
            raw_attrs=['data-test="apply"'],
        )
    with html.Div(v_if=(names.running,), raw_attrs=['role="status"']):
        v.VProgressLinear(model_value=(names.percent,), color="primary", height=8, rounded=True, **aria("Progress"))
        with html.Div(classes="d-flex align-center mt-1"):
            with html.Div(classes="flex-grow-1 valor-hint", raw_attrs=['data-test="stage"']):
                html.Span(f"{{{{ {names.message} }}}}")
                html.Span(f"{{{{ {names.left} }}}}", classes="ml-2 font-weight-medium")
            button("Cancel", cancel, icon="mdi-stop", color="error", raw_attrs=['data-test="cancel"'])
        button("Run again after this", apply, v_if=f"!{names.queued} && {why_not} === ''", variant="text")
        html.P("One more run is waiting.", v_if=names.queued, classes="valor-hint")
    html.P(f"{{{{ {names.note} }}}}", v_if=names.note, classes="valor-hint", raw_attrs=['role="status"'])


_COMPACT: dict[str, Any] = {"density": "compact", "hide_details": True, "variant": "outlined"}
