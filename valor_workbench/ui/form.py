"""One form for the options of every method; its rows come from `valor_workbench.forms`."""

from __future__ import annotations

from typing import Any

from trame.widgets import html
from trame.widgets import vuetify3 as v

from valor_workbench.ui.parts import Action

_LOOK: dict[str, Any] = {"density": "compact", "variant": "outlined", "hide_details": "auto"}


def options_form(fields: str, change: Action, *, title: str = "Options") -> None:
    """Fields folded away behind one line; what differs from the default is marked."""
    with html.Details(classes="mb-2", v_show=(f"{fields}.length",)):
        html.Summary(title, classes="valor-hint")
        with html.Div(v_for=f"field in {fields}", key="field.name", classes="valor-field"):
            v.VSwitch(
                v_if="field.kind === 'switch'",
                label=("field.label",),
                model_value=("field.value",),
                update_modelValue=(change, "[field.name, $event]"),
                density="compact",
                hide_details=True,
                color="primary",
                raw_attrs=[':title="field.help"'],
            )
            v.VSelect(
                v_else_if="field.kind === 'choice'",
                label=("field.label",),
                items=("field.choices",),
                model_value=("String(field.value)",),
                update_modelValue=(change, "[field.name, $event]"),
                error_messages=("field.error",),
                raw_attrs=[':title="field.help"'],
                **_LOOK,
            )
            v.VTextField(
                v_else=True,
                label=("field.label + (field.changed ? ' *' : '')",),
                model_value=("field.value",),
                change=(change, "[field.name, $event.target.value]"),
                error_messages=("field.error",),
                raw_attrs=[
                    ":type=\"field.kind === 'number' ? 'number' : 'text'\"",
                    ':min="field.low"',
                    ':max="field.high"',
                    ':step="field.step"',
                    ':title="field.help"',
                ],
                **_LOOK,
            )
