"""slicer.app, slicer.modules and the logics that the real application brings."""

from __future__ import annotations

import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host import pythonqt

LOGICS = {
    "Colors": "vtkSlicerColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Terminologies": "vtkSlicerTerminologiesModuleLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
}
ROOT = Path(__file__).resolve().parents[2]


class qSlicerApplication:
    """The application object."""

    applicationName = "Slicer"
    majorVersion, minorVersion = 5, 12
    revision = "host"

    def __init__(self, qt_app: Any) -> None:
        self._qt, self._testing = qt_app, True
        self.temporaryPath = tempfile.mkdtemp(prefix="host")
        self.defaultScenePath = "Documents"
        self._layout: Any = None
        self._modules = qSlicerModuleManager()
        self._scene = slicer.vtkMRMLScene()
        self._logic = slicer.vtkSlicerApplicationLogic()
        self._settings = QtCore.QSettings(f"{self.temporaryPath}/settings.ini", QtCore.QSettings.IniFormat)
        self._startup: list[Callable[[], None]] = []
        self._cursors = 0
        self._build()

    def _build(self) -> None:
        crosshair = slicer.vtkMRMLCrosshairNode()
        crosshair.SetCrosshairName("default")
        self._scene.AddNode(crosshair)
        self._logic.SetMRMLScene(self._scene)
        self._logic.GetColorLogic().SetMRMLScene(self._scene)
        self._logic.GetColorLogic().AddDefaultColorNodes()
        self._logic.SetSliceLogics(vtk.vtkCollection())
        self._logic.SetViewLogics(vtk.vtkCollection())
        from trame_slicer.resources import resources_path

        self._held = {}
        for name in LOGICS:
            logic = getattr(slicer, LOGICS[name])()
            with suppress(AttributeError):
                logic.SetModuleShareDirectory(str(Path(resources_path()) / name.lower()))
            logic.SetMRMLScene(self._scene)
            logic.SetMRMLApplicationLogic(self._logic)
            self._logic.SetModuleLogic(name, logic)
            self._held[name] = logic
        for factory in (
            slicer.vtkMRMLThreeDViewDisplayableManagerFactory,
            slicer.vtkMRMLSliceViewDisplayableManagerFactory,
        ):
            factory.GetInstance().SetMRMLApplicationLogic(self._logic)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene, True)

    # Names below are Slicer's.
    def processEvents(self, *args: Any) -> None:
        self._qt.processEvents(*args)

    def testingEnabled(self) -> bool:
        return self._testing

    def mrmlScene(self) -> Any:
        return self._scene

    def applicationLogic(self) -> Any:
        return self._logic

    def layoutManager(self) -> Any:
        return self._layout

    def moduleManager(self) -> Any:
        return self._modules

    def settings(self) -> Any:
        return self._settings

    userSettings = settings

    def setOverrideCursor(self, cursor: Any) -> None:
        self._cursors += 1

    def restoreOverrideCursor(self) -> None:
        self._cursors -= 1

    def pauseRender(self) -> None:
        """Views draw when the tests ask for a picture."""

    def resumeRender(self) -> None:
        """See pauseRender."""

    def connect(self, signal: str, function: Callable[[], None]) -> bool:
        if signal != "startupCompleted()":
            raise ValueError(f"qSlicerApplication: the host has no signal {signal}")
        self._startup.append(function)
        return True


class qSlicerModuleManager:
    """Lists the loaded modules."""

    def connect(self, signal: str, function: Any) -> bool:
        return True

    def disconnect(self, signal: str, function: Any) -> bool:
        return True

    def modulesNames(self) -> list[str]:
        return sorted(name for name, m in vars(slicer.modules).items() if isinstance(m, qSlicerScriptedLoadableModule))

    def module(self, name: str) -> Any:
        return getattr(slicer.modules, name.lower(), None)


class qSlicerScriptedLoadableModule:
    """A module as Slicer lists it; the scripted class fills in title, categories and the rest."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self.path, self._widget = name, str(path), None

    def widgetRepresentation(self) -> Any:
        if self._widget is None:
            self._widget = qSlicerScriptedLoadableModuleWidget(self)
            self._widget.start()
        return self._widget

    def logic(self) -> Any:
        return slicer.vtkSlicerModuleLogic()


class qSlicerScriptedLoadableModuleWidget(QtWidgets.QWidget):
    """The panel's frame: holds the scripted widget, tells it of entering and leaving."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module, self._self, self._entered = module, None, False
        layout = QtWidgets.QVBoxLayout(self)
        layout.setContentsMargins(2, 2, 2, 2)

    def start(self) -> None:
        name = self._module.name
        self._self = getattr(sys.modules[name], f"{name}Widget")(self)
        setattr(slicer.modules, f"{name}Widget", self._self)
        self._self.setup()

    def self(self) -> Any:
        return self._self

    def isEntered(self) -> bool:
        return self._entered

    def enter(self) -> None:
        self._entered = True
        self._self.enter()

    def exit(self) -> None:
        self._entered = False
        self._self.exit()

    def reload(self) -> None:
        self.start()
        if self._entered:
            self._self.enter()


class _LogicHolder:
    def __init__(self, logic: Any) -> None:
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


def make_modules(app: Any) -> Any:
    """slicer.modules with the C++ modules whose logic slicer.util needs."""
    modules = types.SimpleNamespace()
    for name, logic in app._held.items():
        setattr(modules, name.lower(), _LogicHolder(logic))
    return modules


def load_module(name: str) -> Any:
    """Register a scripted module of the extension, as Slicer does at start."""
    import importlib.util

    path = ROOT / name / f"{name}.py"
    for folder in ("VALORRegistration", "PointCloudRegistration", "UncertaintyViewer"):
        if str(ROOT / folder) not in sys.path:
            sys.path.append(str(ROOT / folder))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)
    module = qSlicerScriptedLoadableModule(name, path)
    setattr(slicer.modules, name.lower(), module)
    setattr(slicer.modules, f"{name}Instance", getattr(python_module, name)(module))
    return module


def finish_startup() -> None:
    """Call what waits for startupCompleted()."""
    waiting, slicer.app._startup = slicer.app._startup, []
    for function in waiting:
        pythonqt._trimmed(function)()
