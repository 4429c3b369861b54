"""A form built from a method's options: one row an option, with its range, unit and help."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import ctk
import qt
from slicer.i18n import tr as _

from valorlib.core.errors import InputError
from valorlib.core.options import OptionInfo, Options, as_dict, describe, with_settings

WIDEST = 1_000_000_000


class OptionsForm:
    """Rows for every option in `parent`; the advanced ones in a folded section."""

    def __init__(self, parent: Any, onChanged: Callable[[], None]) -> None:
        self._parent, self._onChanged = parent, onChanged
        self._layout = qt.QVBoxLayout(parent)
        self._layout.setContentsMargins(0, 0, 0, 0)
        self._body: Any = None
        self._kind: type[Options] | None = None
        self._widgets: dict[str, tuple[OptionInfo, Any]] = {}
        self._quiet = False

    @property
    def kind(self) -> type[Options] | None:
        """The options class that is shown."""
        return self._kind

    def build(self, kind: type[Options]) -> None:
        """Show the options of another class, at their defaults."""
        if self._body is not None:
            self._layout.removeWidget(self._body)
            self._body.setParent(None)
        self._kind, self._widgets = kind, {}
        self._body = qt.QWidget()
        rows = qt.QFormLayout(self._body)
        rows.setContentsMargins(0, 0, 0, 0)
        advanced = ctk.ctkCollapsibleButton()
        advanced.text = _("Advanced")
        more = qt.QFormLayout(advanced)
        for info in describe(kind):
            widget = self._widget(info)
            widget.toolTip = info.help
            widget.objectName = f"option_{info.name}"
            self._widgets[info.name] = (info, widget)
            label = qt.QLabel(info.label + ":")
            label.toolTip = info.help
            (more if info.advanced else rows).addRow(label, widget)
        if any(info.advanced for info, _widget in self._widgets.values()):
            rows.addRow(advanced)
            advanced.collapsed = True
        self._layout.addWidget(self._body)

    def _changed(self) -> None:
        if not self._quiet:
            self._onChanged()

    def _widget(self, info: OptionInfo) -> Any:
        if info.kind is bool:
            widget = qt.QCheckBox()
            widget.connect("toggled(bool)", self._changed)
        elif info.choices and info.kind is not tuple:
            widget = qt.QComboBox()
            widget.addItems([str(choice) for choice in info.choices])
            widget.connect("currentIndexChanged(int)", self._changed)
        elif info.kind is int:
            widget = qt.QSpinBox()
            widget.minimum = int(info.low if info.low is not None else -WIDEST)
            widget.maximum = int(info.high if info.high is not None else WIDEST)
            widget.connect("valueChanged(int)", self._changed)
        elif info.kind is float:
            widget = qt.QDoubleSpinBox()
            low, high = (-1e9 if info.low is None else info.low), (1e9 if info.high is None else info.high)
            widget.decimals = 3 if 0 < abs(info.default) < 0.1 or high <= 1 else 2
            widget.minimum, widget.maximum = float(low), float(high)
            widget.singleStep = 0.1 if high <= 10 else 1.0
            widget.connect("valueChanged(double)", self._changed)
        else:
            widget = qt.QLineEdit()
            widget.connect("editingFinished()", self._changed)
        self._show(info, widget, info.default)
        return widget

    def _show(self, info: OptionInfo, widget: Any, value: Any) -> None:
        if info.kind is bool:
            widget.checked = bool(value)
        elif info.choices and info.kind is not tuple:
            widget.setCurrentText(str(value))
        elif info.kind in (int, float):
            widget.value = info.kind(value)
        elif info.kind is tuple:
            widget.text = ", ".join(str(v) for v in value)
        else:
            widget.text = str(value)

    def _text(self, info: OptionInfo, widget: Any) -> str:
        if info.kind is bool:
            return "true" if widget.checked else "false"
        if info.choices and info.kind is not tuple:
            return str(widget.currentText)
        if info.kind in (int, float):
            return repr(widget.value)
        return str(widget.text)

    def options(self) -> Options:
        """The options as the form shows them.

        Raises:
            InputError: a field that cannot be read, or options that do not fit together.
        """
        if self._kind is None:
            raise InputError("options: the method is not loaded yet")
        untouched, settings = self._kind(), {}
        for info, widget in self._widgets.values():
            text = self._text(info, widget)
            if info.kind is float and abs(float(text) - info.default) < 10.0 ** -(widget.decimals + 0.0) / 2:
                continue  # the spin box rounds; the default must come back exactly
            settings[info.name] = text
        return with_settings(untouched, settings)

    def show(self, options: Options) -> None:
        """Fill the form with these options."""
        if self._kind is not type(options):
            self.build(type(options))
        self._quiet = True
        for info, widget in self._widgets.values():
            self._show(info, widget, getattr(options, info.name))
        self._quiet = False

    def toText(self) -> str:
        """The options that differ from their defaults, as JSON for the parameter node."""
        options = self.options()
        default = as_dict(type(options)())
        return json.dumps({k: v for k, v in as_dict(options).items() if v != default[k]})

    def fromText(self, text: str) -> None:
        """Fill the form from `toText`; what no longer fits is left at its default."""
        if self._kind is None:
            return
        names = {field.name for field in dataclasses.fields(self._kind)}
        try:
            held = {
                k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text or "{}").items() if k in names
            }
            self.show(self._kind(**held))
        except (ValueError, TypeError):
            self.show(self._kind())
