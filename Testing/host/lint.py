"""Finds what a panel, a .ui file or a stand-in uses that Slicer lacks: sentences, none when all is well."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping

from host import facts_reader

QT_EVENTS = {"paintEvent", "sizeHint", "minimumSizeHint", "hitButton", "staticMetaObject"}
HOSTS_OWN = {"start", "connect", "disconnect", "widgetRepresentation", "enter", "exit", "isEntered"}
"""`start` is called before Slicer's code sees the widget; connect is PythonQt's on every object."""
ON_EACH_OBJECT = {"connect", "disconnect", "objectName", "setParent"}
CALLED = re.compile(r"_?ui\.\w+\.(text|value|checked|enabled|visible|currentIndex|currentText|collapsed|toolTip)\(")


def extra_names(cls: type) -> list[str]:
    """Public names of a stand-in that the class of Slicer lacks."""
    names = {n for n in vars(cls) if not n.startswith("_")} - QT_EVENTS - HOSTS_OWN
    return sorted(names - facts_reader.public_names(cls.__name__))


def wrong_in_ui(root: ET.Element) -> list[str]:
    """Classes, properties and connections of a .ui file that do not exist."""
    wrong = []
    classes = {widget.get("name"): str(widget.get("class")) for widget in root.iter("widget")}
    for widget in root.iter("widget"):
        kind = str(widget.get("class"))
        if not facts_reader.is_known(kind):
            wrong.append(f"class {kind}")
            continue
        known = facts_reader.members(kind, "properties")
        own = [item.get("name") for item in widget.findall("property") if item.get("stdset") != "0"]
        wrong += [f"property {kind}.{name}" for name in own if name not in known]
    for connection in root.iter("connection"):
        for end, member in (("sender", "signal"), ("receiver", "slot")):
            kind, signature = classes.get(connection.findtext(end), "missing"), connection.findtext(member)
            if signature not in facts_reader.signatures(kind, f"{member}s"):
                wrong.append(f"{member} {kind}.{signature}")
    return wrong


def wrong_attributes(text: str, classes: Mapping[str, Iterable[str]]) -> list[str]:
    """Attributes of the panel's widgets (`self.ui.name.attribute`) that their classes lack.

    Args:
        text: a Python source.
        classes: object name to the classes that bear it in the .ui files.
    """
    wrong = []
    for node in ast.walk(ast.parse(text)):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
            continue
        owner = node.value.value
        if getattr(owner, "attr", getattr(owner, "id", "")) not in ("ui", "_ui"):
            continue
        wrong += [
            f"{node.lineno}: {node.value.attr} ({kind}).{node.attr}"
            for kind in classes.get(node.value.attr, {"missing"})
            if node.attr not in facts_reader.public_names(kind) | ON_EACH_OBJECT
        ]
    return wrong


def wrong_signals(text: str) -> list[str]:
    """Signals that no class has, properties that are called, and connections that PythonQt does not know."""
    every = set()
    for name in [*facts_reader.widgets(), *facts_reader.qt()]:
        every |= facts_reader.signatures(name, "signals")
    wrong = [f"signal {s}" for s in re.findall(r'\.connect\(\s*"([^"]+)"', text) if s not in every]
    wrong += [f"property called: {name}" for name in CALLED.findall(text)]
    if ".connect(self" in text.replace("addObserver", ""):
        wrong.append("connect by signature")
    return wrong


def unknown_util(text: str) -> list[str]:
    """Functions of slicer.util that do not exist."""
    facts = facts_reader.python()["slicer.util"]
    return sorted(set(re.findall(r"slicer\.util\.(\w+)", text)) - set(facts["functions"]) - set(facts["classes"]))
