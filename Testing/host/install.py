"""Put the host in Slicer's place: `qt`, `ctk`, `slicer.app`, `slicer.ScriptedLoadableModule` and the rest."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import slicer
import slicer.util
from PySide6 import QtCore, QtGui, QtWidgets

from host import pythonqt


def _fill(module: types.ModuleType, names: dict[str, Any]) -> None:
    for name, value in names.items():
        setattr(module, name, value)
    sys.modules[module.__name__] = module


def _qt_module() -> types.ModuleType:
    from host.ui_loader import QUiLoader

    module = types.ModuleType("qt")
    names: dict[str, Any] = {}
    for source in (QtCore, QtGui, QtWidgets):
        names.update({n: getattr(source, n) for n in dir(source) if n.startswith("Q")})
    names.update(QUiLoader=QUiLoader, Signal=None, Slot=None, QFile=QtCore.QFile)
    _fill(module, names)
    return module


def install() -> Any:
    """Start the host once; returns slicer.app."""
    if getattr(slicer, "app", None) is not None:
        return slicer.app
    qt_app = QtWidgets.QApplication.instance() or QtWidgets.QApplication(["host"])
    pythonqt.enforce()
    qt_app.setDoubleClickInterval(1)
    from host import application, ctk_widgets, mrml_widgets, parameter_node, sample_data, scripted

    _qt_module()
    _fill(types.ModuleType("ctk"), {c.__name__: c for c in ctk_widgets.CLASSES})
    for cls in mrml_widgets.CLASSES:
        setattr(slicer, cls.__name__, cls)
    slicer.app = application.qSlicerApplication(qt_app)
    slicer.mrmlScene = slicer.app.mrmlScene()
    slicer.modules = application.make_modules(slicer.app)
    slicer.qSlicerScriptedLoadableModule = application.qSlicerScriptedLoadableModule
    slicer.qSlicerScriptedLoadableModuleWidget = application.qSlicerScriptedLoadableModuleWidget
    public = {n: getattr(scripted, n) for n in vars(scripted) if n.startswith("ScriptedLoadable")}
    module = types.ModuleType("slicer.ScriptedLoadableModule")
    module.__all__ = list(public)
    _fill(module, public)
    _fill(types.ModuleType("slicer.i18n"), {n: getattr(scripted, n) for n in ("tr", "translate", "getContext")})
    wrapper = types.ModuleType("slicer.parameterNodeWrapper")
    names = ("parameterNodeWrapper", "Default", "WithinRange", "Choice", "isParameterNodeWrapper")
    _fill(wrapper, {n: getattr(parameter_node, n) for n in names})
    for name in ("ScriptedLoadableModule", "i18n"):
        setattr(slicer, name, sys.modules[f"slicer.{name}"])
    slicer.parameterNodeWrapper = wrapper
    sys.modules["SampleData"] = sample_data
    return slicer.app
