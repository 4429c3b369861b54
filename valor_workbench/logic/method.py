"""Choosing a method and its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from valor_workbench.forms import changed, form_fields
from valor_workbench.logic.session import Session
from valor_workbench.states import MethodState
from valorlib import catalog
from valorlib.core.errors import InputError
from valorlib.core.options import Options, as_dict, describe


def options_text(options: Options | None) -> str:
    """The options that differ from their defaults, as JSON; "" for none."""
    if options is None:
        return ""
    default = as_dict(type(options)())
    return json.dumps({name: value for name, value in as_dict(options).items() if value != default[name]})


def options_from(options: Options, text: str) -> Options:
    """Options of the same method with the values of `options_text`; `options` itself when they do not fit."""
    try:
        given = json.loads(text or "{}")
        known = {info.name for info in describe(type(options))}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if k in known}
        return type(options)(**values) if text else options
    except (ValueError, TypeError, AttributeError):
        return options


class MethodLogic:
    """The options object behind the form."""

    def __init__(self, session: Session, kind: str) -> None:
        self._session = session
        self.state = session.typed(MethodState, kind)
        self.options: Options | None = None
        self._kind = kind
        self.changed: list[Callable[[], None]] = []
        names = self.state.name
        self.state.bind_changes({names.name: self._name_changed, names.preset: self._preset_changed})
        self.state.data.names = [{"title": e.title, "value": e.name} for e in catalog.ENTRIES if e.kind == kind]
        self.state.data.name = self.state.data.names[0]["value"]

    def load(self) -> None:
        """Import the chosen method, which may take a second; called once the page is up."""
        if self.options is None:
            self._method_chosen(self.state.data.name, self.state.data.preset)

    def _name_changed(self, name: Any) -> None:
        """At the start the page reports its first values, too; to import the method then would delay everything."""
        if self.options is not None or name != self.state.data.names[0]["value"]:
            self._method_chosen(name)

    def _preset_changed(self, preset: Any) -> None:
        if self.options is not None:
            self._preset_chosen(preset)

    def _entry(self, name: str) -> catalog.Entry:
        for entry in catalog.ENTRIES:
            if entry.name == name and entry.kind == self._kind:
                return entry
        raise InputError("method: expected one of the list")

    def _method_chosen(self, name: Any, preset: str = "default") -> None:
        try:
            entry = self._entry(str(name))
            method = catalog.load(entry.name)
        except (InputError, ImportError, AttributeError) as error:
            self.options = None
            self._session.fail(f"The method cannot be used: {error}")
            return
        presets = method.presets or {"default": method.options()}
        with self._session.server.state:
            data = self.state.data
            data.about = entry.sentence
            data.presets = [{"title": key.replace("_", " ").capitalize(), "value": key} for key in presets]
            data.preset = preset if preset in presets else next(iter(presets))
        self._preset_chosen(self.state.data.preset)

    def _preset_chosen(self, preset: Any) -> None:
        method = catalog.load(self._entry(self.state.data.name).name)
        presets = method.presets or {"default": method.options()}
        if preset in presets:
            with self._session.server.state:
                self.state.data.reason = method.reasons.get(preset, "")
            self._use(presets[preset])

    def _use(self, options: Options, errors: dict[str, str] | None = None) -> None:
        self.options = options
        with self._session.server.state:
            self.state.data.fields = form_fields(options, errors)
        for call in self.changed:
            call()

    def settings(self) -> dict[str, str]:
        """Method, preset and the options that differ from their defaults, as the Slicer panel keeps them."""
        data = self.state.data
        return {"method": str(data.name), "preset": str(data.preset), "options": options_text(self.options)}

    def restore(self, name: str, preset: str, options: str) -> None:
        """Take over `settings`; what no longer fits stays as it is."""
        if name not in {row["value"] for row in self.state.data.names}:
            return
        with self._session.server.state:
            self.state.data.name = name
        self._method_chosen(name, preset)
        if self.options is not None:
            self._use(options_from(self.options, options))

    def set_option(self, name: Any, value: Any) -> None:
        """Change one option; a wrong value is marked in the form and not taken."""
        if self.options is None:
            return
        try:
            self._use(changed(self.options, name, value))
        except InputError as error:
            self._use(self.options, {str(name): str(error)})
