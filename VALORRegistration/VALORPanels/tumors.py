"""What a person knows of each tumor: whether it may change shape, and how far it reaches."""

from __future__ import annotations

import dataclasses
from typing import Any

import qt
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
    """Reach of a tumor in mm, 0 when it is not known.

    Raises:
        InputError: no number.
    """
    text = (node.GetAttribute(EXTENT) or "0").replace(",", ".")
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{node.GetName()}: expected a reach in mm, got {text!r}; type a number") from None


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
    return dataclasses.replace(options, **changes) if changes else options
