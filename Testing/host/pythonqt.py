"""PythonQt's rules on PySide6: properties are values, unknown attributes are refused, signals connect by signature."""

from __future__ import annotations

import ctypes
import inspect
import logging
import sys
import traceback
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore, QtGui, QtUiTools, QtWidgets

from host import facts_reader

# Getters that C++ calls as virtual functions: a property in their place would recurse through Shiboken.
VIRTUAL = {"sizeHint", "minimumSizeHint", "duration", "objectName"}
SKIPPED_BY_CLASS = {("QProgressBar", "text"), ("QLayout", "spacing"), ("QBoxLayout", "spacing")}

errors: list[str] = []
"""Tracebacks of exceptions that left a slot; Slicer prints them to its console, the tests look at them here."""

_loading = 0
_own_getattribute = QtCore.QObject.__getattribute__


class _Value:
    """A Qt property as a plain value."""

    def __init__(self, name: str, original: Any) -> None:
        self.name, self.original = name, original

    def __get__(self, obj: Any, owner: Any = None) -> Any:
        if obj is None:
            # Slicer replaces QTimer.singleShot by a function of its own; as a static call it works there.
            return self.original if self.name == "singleShot" else self
        return self.original(obj) if callable(self.original) else obj.property(self.name)

    def __set__(self, obj: Any, value: Any) -> None:
        if not obj.setProperty(self.name, value):
            raise AttributeError(f"{type(obj).__name__}.{self.name}: {value!r} was refused")


def _patch_properties(cls: type) -> None:
    meta = getattr(cls, "staticMetaObject", None)
    if meta is None or not isinstance(meta, QtCore.QMetaObject):
        return
    for index in range(meta.propertyOffset(), meta.propertyCount()):
        name = meta.property(index).name()
        if name in VIRTUAL or (cls.__name__, name) in SKIPPED_BY_CLASS:
            continue
        original = getattr(cls, name, None)
        while isinstance(original, _Value):
            original = original.original
        usable = callable(original) and not isinstance(original, QtCore.Signal)
        setattr(cls, name, _Value(name, original if usable else None))


def _strict_setattr() -> Callable[..., None]:
    # The classes' own slots refuse instances of Python subclasses once they are replaced; the root's does not.
    original = next(cls for cls in QtCore.QObject.__mro__ if cls.__module__ == "Shiboken").__setattr__

    def __setattr__(self: Any, name: str, value: Any) -> None:
        cls = type(self)
        if _loading or name.startswith("_") or isinstance(value, QtCore.SignalInstance):
            return original(self, name, value)
        held = inspect.getattr_static(cls, name, None)
        if isinstance(held, _Value):
            return held.__set__(self, value)
        if isinstance(held, QtCore.Property):
            if not self.setProperty(name, value):
                raise AttributeError(f"{cls.__name__}.{name}: {value!r} was refused")
            return None
        if name == "name":
            self.setObjectName(value)
            return None
        stand_in = cls.__module__.startswith(("PySide6", "host."))
        if stand_in and isinstance(self, QtCore.QObject):
            raise AttributeError(f"{cls.__name__} has no attribute {name!r}")
        return original(self, name, value)

    return __setattr__


def class_name(obj: Any) -> str:
    """Name of the Slicer or Qt class that the object stands for."""
    for cls in type(obj).__mro__:
        if facts_reader.is_known(cls.__name__):
            return cls.__name__
    return type(obj).__name__


def _trimmed(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, called with as many of the signal's arguments as it takes; what it raises is kept in `errors`."""
    try:
        kinds = inspect.signature(function).parameters.values()
        many = any(p.kind is p.VAR_POSITIONAL for p in kinds)
        count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in kinds)
    except (TypeError, ValueError):
        many, count = True, 0

    def call(*arguments: Any) -> None:
        try:
            function(*(arguments if many else arguments[:count]))
        except Exception:
            errors.append(traceback.format_exc())
            logging.getLogger("host").error("exception in a slot: %s", sys.exc_info()[1])

    return call


_connections: dict[tuple[int, str, Any], Any] = {}


def _signal_of(sender: Any, signature: str) -> Any:
    wanted = signature.replace(" ", "")
    known = facts_reader.signatures(class_name(sender), "signals")
    if wanted not in known and sender.metaObject().indexOfSignal(wanted) < 0:
        raise ValueError(f"{class_name(sender)} has no signal {signature!r}")
    name, arguments = wanted.rstrip(")").split("(")
    bound = getattr(sender, name)
    if isinstance(inspect.getattr_static(type(sender), name, None), QtCore.Signal) and type(
        sender
    ).__module__.startswith("PySide6"):
        types = tuple(arguments.split(",")) if arguments else ()
        try:
            return bound[types if len(types) != 1 else types[0]] if types else bound
        except (IndexError, KeyError):
            return bound
    return bound


def connect(sender: Any, signature: str, *target: Any) -> bool:
    """PythonQt's `sender.connect("signal(args)", callable)` or `(signature, receiver, "slot(args)")`."""
    function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
    call = _trimmed(function)
    if signature.endswith("(bool)") and "currentNodeChanged" in signature:
        inner = call

        def call(node: Any = None) -> None:
            inner(node is not None)

    _signal_of(sender, signature).connect(call)
    _connections[(id(sender), signature.replace(" ", ""), function)] = call
    return True


def disconnect(sender: Any, signature: str, *target: Any) -> bool:
    """Undo `connect` of the same sender, signal and callable."""
    function = target[0] if len(target) == 1 else getattr(target[0], target[1].split("(")[0])
    call = _connections.pop((id(sender), signature.replace(" ", ""), function), None)
    if call is None:
        return False
    _signal_of(sender, signature).disconnect(call)
    return True


def _child(obj: Any, name: str) -> Any:
    for child in obj.children():
        if child.objectName == name:
            return child
    return None


def _getattribute(self: Any, name: str) -> Any:
    if name == "connect":
        return lambda signature, *target: connect(self, signature, *target)
    if name == "disconnect":
        return lambda signature, *target: disconnect(self, signature, *target)
    try:
        return _own_getattribute(self, name)
    except AttributeError:
        if name == "name":
            return self.objectName
        if name == "exec_":
            return self.exec
        if not name.startswith("_"):
            value = self.property(name)
            if value is not None and name.encode() in [bytes(n) for n in self.dynamicPropertyNames()]:
                return value
            child = self.findChild(QtCore.QObject, name)
            if child is not None:
                return child
        raise


class loading:
    """While a .ui file is loaded, the loader may store children as attributes."""

    def __enter__(self) -> None:
        global _loading  # noqa: PLW0603
        _loading += 1

    def __exit__(self, *exc: object) -> None:
        global _loading  # noqa: PLW0603
        _loading -= 1


def qobject_classes() -> list[type]:
    """The QObject classes of the four PySide modules that the panels see, bases first."""
    # PySide6 makes its types when they are first asked for: dir() and getattr(), never vars().
    found = {
        value
        for module in (QtCore, QtGui, QtWidgets, QtUiTools)
        for value in (getattr(module, name) for name in dir(module))
        if isinstance(value, type) and issubclass(value, QtCore.QObject)
    }
    return sorted(found, key=lambda cls: (len(cls.__mro__), cls.__name__))


def enforce() -> None:
    """Switch PySide6 to PythonQt's rules, for the whole process."""
    if isinstance(QtCore.QObject.objectName, _Value):
        return
    classes, refuse_unknown = qobject_classes(), _strict_setattr()
    for cls in classes:
        _patch_properties(cls)
    if sys.version_info < (3, 12):
        # Shiboken loses references to True, False and None with replaced attributes; before Python 3.12
        # these are counted, and the interpreter aborts when none is left.
        for value in (True, False, None):
            ctypes.c_ssize_t.from_address(id(value)).value += 1_000_000_000
    for cls in classes:
        cls.__setattr__ = refuse_unknown
    QtCore.QObject.objectName = _Value("objectName", QtCore.QObject.objectName)
    QtCore.QObject.__getattribute__ = _getattribute
