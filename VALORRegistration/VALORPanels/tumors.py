"""What a person knows of each tumor: whether it may change shape, and how far it reaches."""

from __future__ import annotations

import dataclasses
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from valorlib.core.errors import InputError

MOTION, EXTENT = "VALOR.motion", "VALOR.extent_mm"
MOTIONS = ("free", "volume", "rigid")


def motionBox(node: Any) -> Any:
    """Combo box for a list of clicks; what is chosen is kept with the list."""
    names = {"free": _("free"), "volume": _("same volume"), "rigid": _("rigid")}
    box = qt.QComboBox()
    for word in MOTIONS:
        box.addItem(names[word], word)
    held = node.GetAttribute(MOTION)
    box.currentIndex = MOTIONS.index(held) if held in MOTIONS else 0
    box.toolTip = _("How this tumor may move: freely, without changing its volume, or without changing its shape")
    box.connect("currentIndexChanged(int)", lambda index: node.SetAttribute(MOTION, MOTIONS[index]))
    return box


def setExtent(node: Any, text: str) -> None:
    """Keep the reach of a tumor with its list; empty: not known."""
    node.SetAttribute(EXTENT, text.strip() or None)


def extentOf(node: Any) -> float:
    """Reach of a tumor in mm, 0 when it is not known or drawn as a line.

    Raises:
        InputError: neither a number nor a line.
    """
    text = (node.GetAttribute(EXTENT) or "0").strip()
    if lineOf(node) is not None:
        return 0.0
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise InputError(
            f"{node.GetName()}: expected a reach in mm or the name of a line, got {text!r}; type one of them"
        ) from None


def lineOf(node: Any) -> Any:
    """The line (markups) that the reach of a tumor names, from its middle to its farthest point; None for a number."""
    text = (node.GetAttribute(EXTENT) or "").strip()
    lines = slicer.util.getNodesByClass("vtkMRMLMarkupsLineNode")
    found = [line for line in lines if text and line.GetName() == text]
    return found[0] if found else None


def _drags(lists: list[Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Beginnings and ends of the drawn lines, x, y, z in LPS, tumor after tumor; a tumor without a line has a point.

    Raises:
        InputError: a line without two points.
    """
    from valorlib.convert.mrml_shapes import points_from_node

    begin: list[float] = []
    end: list[float] = []
    for node in lists:
        line = lineOf(node)
        points = [[0.0] * 3] * 2 if line is None else points_from_node(line).points.tolist()
        if len(points) != 2:
            raise InputError(f"{line.GetName()}: expected a line of 2 points, got {len(points)}; draw it again")
        begin += points[0]
        end += points[1]
    return tuple(begin), tuple(end)


def withTumors(options: Any, lists: list[Any]) -> Any:
    """The options with what the table says of each clicked tumor; as they are where it says nothing.

    Args:
        options: of the method.
        lists: lists of clicks, one a tumor, in the order of their numbers; no background.
    """
    known = {field.name for field in dataclasses.fields(options)}
    motions = tuple(node.GetAttribute(MOTION) or "free" for node in lists)
    extents = tuple(extentOf(node) for node in lists)
    changes: dict[str, Any] = {}
    if "tumor_motion" in known and any(word != "free" for word in motions):
        changes["tumor_motion"] = motions
    if "extent_mm" in known and any(extents):
        changes["extent_mm"] = extents
    if "extent_to_mm" in known and any(lineOf(node) is not None for node in lists):
        changes["extent_at_mm"], changes["extent_to_mm"] = _drags(lists)
    return dataclasses.replace(options, **changes) if changes else options
