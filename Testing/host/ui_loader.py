"""Loads .ui files as Slicer's QUiLoader does: unknown classes are refused, connections are made."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

from PySide6 import QtCore, QtUiTools, QtWidgets

from host import ctk_widgets, mrml_widgets, pythonqt

CUSTOM = {cls.__name__: cls for cls in (*ctk_widgets.CLASSES, *mrml_widgets.CLASSES)}


class QUiLoader(QtUiTools.QUiLoader):
    """The loader that slicer.util.loadUI asks for."""

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        for cls in CUSTOM.values():
            self.registerCustomWidget(cls)

    def load(self, file: Any, parent: Any = None) -> Any:
        root = ET.fromstring(bytes(file.readAll().data()))
        connections = root.find("connections")
        for widget in root.iter("widget"):
            name = widget.get("class")
            if name not in CUSTOM and not hasattr(QtWidgets, name):
                raise RuntimeError(f"the host has no class {name}; write a stand-in")
        for section in ("connections", "customwidgets"):
            element = root.find(section)
            if element is not None:
                root.remove(element)
        buffer = QtCore.QBuffer()
        buffer.setData(ET.tostring(root))
        buffer.open(QtCore.QIODevice.ReadOnly)
        with pythonqt.loading():
            widget = super().load(buffer, parent)
        if widget is None:
            raise RuntimeError(self.errorString())
        for connection in [] if connections is None else connections:
            values = {key: connection.findtext(key) for key in ("sender", "signal", "receiver", "slot")}
            sender, receiver = (_named(widget, values[key]) for key in ("sender", "receiver"))
            slot = values["slot"].split("(")[0]
            pythonqt.connect(sender, values["signal"], getattr(receiver, slot))
        return widget


def _named(root: Any, name: str) -> Any:
    found = root if root.objectName == name else root.findChild(QtCore.QObject, name)
    if found is None:
        raise RuntimeError(f"connection: no widget named {name}")
    return found
