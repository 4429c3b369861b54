"""Choosing a method: the list needs no torch; a method's file is read when its options are asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import slicer
from slicer.i18n import tr as _

from valorlib import catalog
from valorlib.core.errors import InputError
from VALORPanels.forms import OptionsForm

DEVICES = ("auto", "cpu", "cuda")


def entriesOf(kind: str) -> list[catalog.Entry]:
    """Methods of the catalog that take this kind of input."""
    return [entry for entry in catalog.ENTRIES if entry.kind == kind]


def loadMethod(name: str) -> Any:
    """A method by name: from the catalog, or a file that the catalog does not list for users to choose."""
    if name in catalog.NAMES:
        return catalog.load(name)
    return importlib.import_module(f"valorlib.methods.{name}").METHOD


class MethodSection:
    """Method, preset, device and the options form; what is chosen is kept in the parameter node."""

    def __init__(self, ui: Any, entries: Sequence[catalog.Entry], parameters: Callable[[], Any]) -> None:
        self._ui, self._parameters = ui, parameters
        self._entries = list(entries)
        self._loaded: Any = None
        self._quiet = False
        self.form = OptionsForm(ui.optionsWidget, self._store)
        for entry in self._entries:
            ui.methodSelector.addItem(entry.title, entry.name)
        ui.deviceSelector.addItems(list(DEVICES))
        ui.methodSelector.connect("currentIndexChanged(int)", self._methodChosen)
        ui.presetSelector.connect("currentIndexChanged(int)", self._presetChosen)
        ui.deviceSelector.connect("currentIndexChanged(int)", self._deviceChosen)
        ui.methodCollapsible.connect("contentsCollapsed(bool)", self._opened)

    def read(self) -> None:
        """Show what the parameter node holds."""
        held = self._parameters()
        if held is None:
            return
        self._quiet = True
        names = [entry.name for entry in self._entries]
        self._ui.methodSelector.currentIndex = names.index(held.method) if held.method in names else 0
        self._ui.deviceSelector.setCurrentText(held.device if held.device in DEVICES else "auto")
        self._quiet = False
        self._describe()
        if self._loaded is not None or not self._ui.methodCollapsible.collapsed:
            self.load()

    @property
    def name(self) -> str:
        """Name of the chosen method."""
        return self._entries[max(0, self._ui.methodSelector.currentIndex)].name

    def load(self) -> Any:
        """The chosen method, its presets and form shown; imports it (and torch) when it was not."""
        method = loadMethod(self.name)
        if self._loaded is not method:
            self._loaded = method
            self._quiet = True
            self._ui.presetSelector.clear()
            for preset in method.presets:
                self._ui.presetSelector.addItem(preset.replace("_", " "), preset)
            held = self._parameters()
            names = list(method.presets)
            preset = held.preset if held is not None and held.preset in names else "default"
            self._ui.presetSelector.currentIndex = names.index(preset)
            self._quiet = False
            self.form.build(method.options)
            self.form.show(method.presets[preset])
            if held is not None and held.options:
                self.form.fromText(held.options)
            self._describe()
        return method

    def shown(self) -> Any:
        """The options that the form shows, or None while it is not loaded or cannot be read."""
        if self._loaded is None:
            return None
        try:
            return self.form.options()
        except InputError:
            return None

    def options(self) -> Any:
        """The options to run with.

        Raises:
            InputError: a field of the form that cannot be read.
        """
        self.load()
        return self.form.options()

    def _opened(self, collapsed: bool) -> None:
        if collapsed:
            return
        try:
            with slicer.util.WaitCursor():
                self.load()
        except ImportError as error:
            self._ui.methodLabel.text = _("The options appear once {name} is installed.").format(name=error.name)

    def _methodChosen(self) -> None:
        held = self._parameters()
        if self._quiet or held is None:
            return
        held.method, held.preset, held.options = self.name, "default", ""
        self._loaded = None
        self._describe()
        if not self._ui.methodCollapsible.collapsed:
            self._opened(False)

    def _presetChosen(self) -> None:
        held = self._parameters()
        if self._quiet or held is None or self._loaded is None:
            return
        preset = self._ui.presetSelector.itemData(self._ui.presetSelector.currentIndex)
        held.preset = preset
        self.form.show(self._loaded.presets[preset])
        self._store()
        self._describe()

    def _deviceChosen(self) -> None:
        held = self._parameters()
        if not self._quiet and held is not None:
            held.device = str(self._ui.deviceSelector.currentText)

    def _store(self) -> None:
        held = self._parameters()
        if held is None:
            return
        try:
            held.options = self.form.toText()
            self._describe()
        except InputError as error:
            self._ui.methodLabel.text = str(error)

    def _describe(self) -> None:
        entry = next(e for e in self._entries if e.name == self.name)
        held = self._parameters()
        reason = self._loaded.reasons.get(held.preset, "") if self._loaded is not None and held is not None else ""
        self._ui.methodLabel.text = f"{entry.sentence} {reason}".strip()
