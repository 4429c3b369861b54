"""Hands for the tests: clicks and keys on widgets, clicks in slice views, waiting, saving and loading the scene."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from PySide6 import QtCore, QtTest, QtWidgets

from host import application, pythonqt

MODULES = ("VALORRegistration", "PointCloudRegistration", "UncertaintyViewer")


def spin(seconds: float = 0.05) -> None:
    """Let events happen for a while."""
    end = time.monotonic() + seconds
    while True:
        slicer.app.processEvents()
        if time.monotonic() >= end:
            return
        time.sleep(0.005)


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Let events happen until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError("waited too long")
        spin(0.01)


def open_panel(name: str, width: int = 430, height: int = 900) -> Any:
    """Open a module as its user does; returns the scripted widget."""
    for module in MODULES:
        if not hasattr(slicer.modules, module.lower()):
            application.load_module(module)
    frame = getattr(slicer.modules, name.lower()).widgetRepresentation()
    frame.resize(width, height)
    frame.show()
    frame.enter()
    spin()
    return frame.self()


def close_panel(name: str) -> None:
    """End the panel, so that the next test starts with a new one."""
    module = getattr(slicer.modules, name.lower(), None)
    if module is None or module._widget is None:
        return
    frame, module._widget = module._widget, None
    frame.exit()
    frame.self().cleanup()
    frame.hide()
    frame.setParent(None)


def click(widget: Any, position: Any = None) -> None:
    """A click with the left mouse button; the widget must be visible and enabled."""
    assert widget.visible, f"{widget.objectName} is not visible"
    assert widget.enabled, f"{widget.objectName} is not enabled: {getattr(widget, 'text', '')}"
    at = position if position is not None else widget.rect.center()
    if isinstance(widget, QtWidgets.QCheckBox):
        at = QtCore.QPoint(8, widget.height // 2)
    QtTest.QTest.mouseClick(widget, QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    spin(0.02)


def unfold(section: Any, *, opened: bool = True) -> None:
    """Open or close a collapsible section by a click on its header."""
    if section.collapsed == opened:
        click(section, QtCore.QPoint(20, 10))


def choose(combo: Any, text: str) -> None:
    """Choose an entry of a combo box with the mouse: open the list, click on the entry."""
    inner = combo if isinstance(combo, QtWidgets.QComboBox) else combo._combo
    index = inner.findText(text)
    assert index >= 0, f"{combo.objectName} has no entry {text!r}"
    click(inner)
    QtTest.QTest.qWait(20)
    view = inner.view()
    view.scrollTo(inner.model().index(index, 0))
    at = view.visualRect(inner.model().index(index, 0)).center()
    QtTest.QTest.mouseMove(view.viewport(), at)
    QtTest.QTest.qWait(10)
    QtTest.QTest.mouseClick(view.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    QtTest.QTest.qWait(10)
    if view.visible:
        inner.hidePopup()
    spin(0.02)
    assert inner.currentText == text, f"{combo.objectName} shows {inner.currentText!r}"


def type_into(widget: Any, text: str) -> None:
    """Replace the text of a line edit by the keyboard."""
    edit = widget if isinstance(widget, QtWidgets.QLineEdit) else widget._edit
    edit.setFocus()
    QtTest.QTest.keyClick(edit, QtCore.Qt.Key_A, QtCore.Qt.ControlModifier)
    QtTest.QTest.keyClicks(edit, text)
    QtTest.QTest.keyClick(edit, QtCore.Qt.Key_Return)
    spin(0.02)


def press(widget: Any, key: Any) -> None:
    """A key press while the widget has the focus."""
    widget.setFocus()
    QtTest.QTest.keyClick(widget, key)
    spin(0.02)


def click_in_slice(point_ras: Any, name: str = "Red") -> None:
    """Click at a place in a slice view, moved to the slice of that place."""
    widget = slicer.app.layoutManager().sliceWidget(name)
    node = widget.mrmlSliceNode()
    widget.sliceLogic().FitSliceToBackground()
    node.JumpSliceByOffsetting(*(float(v) for v in point_ras))
    to_xy = slicer.vtkMRMLSliceNode.GetXYToRAS(node)
    inverse = __import__("vtk").vtkMatrix4x4()
    inverse.DeepCopy(to_xy)
    inverse.Invert()
    x, y, *_rest = inverse.MultiplyPoint([*(float(v) for v in point_ras), 1.0])
    interactor = widget._view.interactor()
    widget._view.render_window().Render()
    interactor.SetEventInformation(round(x), round(y), 0, 0, chr(0), 0, None)
    for event in ("EnterEvent", "MouseMoveEvent", "LeftButtonPressEvent", "LeftButtonReleaseEvent"):
        interactor.InvokeEvent(event)
    spin(0.02)


def save_scene(folder: Path) -> Path:
    """Save the scene with all its data."""
    Path(folder).mkdir(parents=True)
    assert slicer.app.applicationLogic().SaveSceneToSlicerDataBundleDirectory(str(folder), None)
    return next(Path(folder).rglob("*.mrml"))


def load_scene(path: Path) -> None:
    """Close the scene and load another one."""
    slicer.mrmlScene.SetURL(str(path))
    slicer.mrmlScene.SetRootDirectory(str(path.parent))
    slicer.mrmlScene.Connect()
    spin(0.1)


def clear_scene() -> None:
    """Close the scene, as File > Close Scene does."""
    slicer.mrmlScene.Clear(0)
    spin(0.02)


def legends() -> list[str]:
    """Titles of the color legends that are shown."""
    nodes = slicer.util.getNodesByClass("vtkMRMLColorLegendDisplayNode")
    return [node.GetTitleText() for node in nodes if node.GetVisibility()]


def at_progress(panel: Any, percent: int, action: Callable[[], None]) -> Any:
    """Do something once, when the progress bar of the panel shows this much."""
    timer = QtCore.QTimer()
    timer.interval = 3

    def look() -> None:
        if panel.runner.busy and panel.ui.progressBar.value >= percent:
            timer.stop()
            action()

    timer.timeout.connect(look)
    timer.start()
    return timer


def slot_errors() -> list[str]:
    """Take what was raised in slots since the last call."""
    found = list(pythonqt.errors)
    pythonqt.errors.clear()
    return found
