"""A small parameterNodeWrapper with the real one's public names: simple types, choices, nodes; by annotation."""

from __future__ import annotations

import enum
import pathlib
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from host import ctk_widgets, mrml_widgets

SlicerParameterNamePropertyName = "SlicerParameterName"


class Default:
    """Default value of a parameter."""

    def __init__(self, value: Any = None, *, generator: Any = None) -> None:
        self._value, self._generator = value, generator

    def value(self) -> Any:
        return self._generator() if self._generator else self._value


class WithinRange:
    """A number from minimum to maximum."""

    def __init__(self, minimum: float, maximum: float) -> None:
        self.minimum, self.maximum = minimum, maximum

    def validate(self, value: float) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value} must be within {self.minimum} and {self.maximum}")


class Choice:
    """One of some values."""

    def __init__(self, choices: Any) -> None:
        self.choices = choices

    def validate(self, value: Any) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is not one of {self.choices}")


class _Parameter:
    """One annotated member: how it is written to, and read from, the parameter node."""

    def __init__(self, name: str, hint: Any, class_default: Any) -> None:
        self.name = name
        extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
        self.kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
        self.checks = [x for x in extras if hasattr(x, "validate")]
        defaults = [x.value() for x in extras if isinstance(x, Default)]
        self.is_node = isinstance(self.kind, type) and issubclass(self.kind, slicer.vtkMRMLNode)
        zero = None if self.is_node else self.kind() if not issubclass(self.kind, enum.Enum) else next(iter(self.kind))
        choices = next((c.choices for c in self.checks if isinstance(c, Choice)), None)
        self.default = (
            defaults[0]
            if defaults
            else class_default
            if class_default is not None
            else (choices[0] if choices else zero)
        )

    def read(self, node: Any) -> Any:
        if self.is_node:
            return node.GetNodeReference(self.name)
        text = node.GetParameter(self.name)
        if not node.HasParameter(self.name):
            return self.default
        if self.kind is bool:
            return text == "True"
        if issubclass(self.kind, enum.Enum):
            return self.kind[text]
        return self.kind(text)

    def write(self, node: Any, value: Any) -> None:
        if self.is_node:
            if value is not None and not value.IsA(self.kind.__name__):
                raise ValueError(f"{self.name}: expected {self.kind.__name__}, got {value.GetClassName()}")
            node.SetNodeReferenceID(self.name, value.GetID() if value is not None else None)
            return
        plain = {bool: bool, int: int, float: (int, float), str: str}.get(self.kind, self.kind)
        if not isinstance(value, plain) or (self.kind is int and isinstance(value, bool)):
            raise ValueError(f"{self.name}: expected {self.kind.__name__}, got {value!r}")
        for check in self.checks:
            check.validate(value)
        node.SetParameter(self.name, value.name if isinstance(value, enum.Enum) else str(value))


def _accessors(widget: Any) -> tuple[Any, Any, str]:
    """Read, write and change signal of a widget; exact classes alone, as in Slicer."""
    kind = type(widget)
    if kind in (QtWidgets.QCheckBox,) or (kind is QtWidgets.QPushButton and widget.checkable):
        return (lambda: widget.checked), (lambda v: setattr(widget, "checked", v)), "toggled(bool)"
    if kind in (QtWidgets.QSlider, QtWidgets.QSpinBox):
        return (lambda: widget.value), (lambda v: setattr(widget, "value", v)), "valueChanged(int)"
    if kind in (QtWidgets.QDoubleSpinBox, ctk_widgets.ctkSliderWidget):
        return (lambda: widget.value), (lambda v: setattr(widget, "value", v)), "valueChanged(double)"
    if kind in (QtWidgets.QComboBox, ctk_widgets.ctkComboBox):
        return (lambda: widget.currentText), widget.setCurrentText, "currentIndexChanged(int)"
    if kind is QtWidgets.QLineEdit:
        return (lambda: widget.text), (lambda v: setattr(widget, "text", v)), "textChanged(QString)"
    if kind is ctk_widgets.ctkPathLineEdit:
        return (
            lambda: pathlib.Path(widget.currentPath),
            lambda v: setattr(widget, "currentPath", str(v)),
            "currentPathChanged(QString)",
        )
    if kind is mrml_widgets.qMRMLNodeComboBox:
        return widget.currentNode, widget.setCurrentNode, "currentNodeChanged(vtkMRMLNode*)"
    raise RuntimeError(f"no connector for {kind.__name__}")


class _Connection:
    def __init__(self, wrapper: Any, parameter: _Parameter, widget: Any) -> None:
        self.wrapper, self.parameter, self.widget = wrapper, parameter, widget
        self.quiet = False
        for check in parameter.checks:
            if isinstance(check, WithinRange):
                widget.minimum, widget.maximum = check.minimum, check.maximum
            elif isinstance(check, Choice):
                widget.clear()
                widget.addItems([str(c) for c in check.choices])
        self.get, self.set, self.signal = _accessors(widget)
        self.update()
        widget.connect(self.signal, self.changed)

    def changed(self) -> None:
        if not self.quiet:
            self.parameter.write(self.wrapper.parameterNode, self.get())

    def update(self) -> None:
        value = self.parameter.read(self.wrapper.parameterNode)
        if self.get() != value:
            self.quiet = True
            self.set(value)
            self.quiet = False

    def close(self) -> None:
        self.widget.disconnect(self.signal, self.changed)


def _connect_gui(self: Any, gui: Any) -> int:
    pairs = dict(gui) if isinstance(gui, dict) else {}
    if not pairs:
        for child in gui.findChildren(QtWidgets.QWidget):
            name = child.property(SlicerParameterNamePropertyName)
            if name:
                pairs[name] = child
    unknown = [name for name in pairs if name not in self.allParameters]
    if unknown:
        raise RuntimeError(f"no parameter named {unknown[0]}")
    connections = [_Connection(self, self.allParameters[name], widget) for name, widget in pairs.items()]
    node = self.parameterNode
    observer = node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: [c.update() for c in connections])
    tag = max(self._guis, default=0) + 1
    self._guis[tag] = (connections, observer)
    return tag


def _disconnect_gui(self: Any, tag: int) -> None:
    connections, observer = self._guis.pop(tag)
    self.parameterNode.RemoveObserver(observer)
    for connection in connections:
        connection.close()


def parameterNodeWrapper(classtype: type) -> type:
    """Class decorator: each annotation becomes a member that is stored in the wrapped node."""
    hints = get_type_hints(classtype, include_extras=True)
    table = {name: _Parameter(name, hint, vars(classtype).get(name)) for name, hint in hints.items()}

    def __init__(self: Any, parameterNode: Any, prefix: str | None = None) -> None:
        self.parameterNode = parameterNode
        self.allParameters = table
        self._guis = {}
        for parameter in table.values():
            held = parameter.is_node or parameterNode.HasParameter(parameter.name)
            if not held:
                parameter.write(parameterNode, parameter.default)

    members: dict[str, Any] = {
        name: property(
            lambda self, p=p: p.read(self.parameterNode), lambda self, v, p=p: p.write(self.parameterNode, v)
        )
        for name, p in table.items()
    }
    members.update(__init__=__init__, connectGui=_connect_gui, disconnectGui=_disconnect_gui)
    for name in ("AddObserver", "RemoveObserver", "HasObserver", "StartModify", "EndModify", "Modified"):
        members[name] = lambda self, *args, _name=name: getattr(self.parameterNode, _name)(*args)
    members["default"] = lambda self, name: table[name].default
    members["dataType"] = lambda self, name: table[name].kind
    members["_isParameterNodeWrapper"] = True
    members["_Qt"] = QtCore
    return type(classtype.__name__, (classtype,), members)


def isParameterNodeWrapper(classOrObj: Any) -> bool:
    """True for a wrapper class or instance."""
    return bool(getattr(classOrObj, "_isParameterNodeWrapper", False))


def findChildWidgetForParameter(widget: Any, parameter: str) -> Any:
    """The child widget that edits the parameter."""
    for child in widget.findChildren(QtWidgets.QWidget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    return None
