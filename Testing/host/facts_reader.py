"""Questions to the facts: which properties, signals and methods a class has in Slicer's Python."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FACTS = Path(__file__).parent / "facts"


@cache
def widgets() -> dict[str, Any]:
    """Facts of the ctk and Slicer classes."""
    return json.loads((FACTS / "widgets.json").read_text())


@cache
def qt() -> dict[str, Any]:
    """Facts of the plain Qt classes."""
    return json.loads((FACTS / "qt.json").read_text())


@cache
def python() -> dict[str, Any]:
    """Facts of Slicer's Python modules."""
    return json.loads((FACTS / "python.json").read_text())


def ancestry(name: str) -> list[dict[str, Any]]:
    """Facts of the class and of its bases, the class first."""
    found = []
    while name:
        entry = widgets().get(name) or qt().get(name)
        if entry is None:
            break
        found.append(entry)
        name = entry["base"]
    return found


def is_known(name: str) -> bool:
    """True when the facts hold this class."""
    return name in widgets() or name in qt()


def members(name: str, kind: str) -> set[str]:
    """Names (without arguments) of the kind: properties, signals, slots, enums."""
    return {member.split("(")[0] for entry in ancestry(name) for member in entry.get(kind, [])}


def signatures(name: str, kind: str) -> set[str]:
    """Whole signatures of the kind, without the words after an argument's type that some slots carry."""
    return {member.replace(" ", "") for entry in ancestry(name) for member in entry.get(kind, [])}


def public_names(name: str) -> set[str]:
    """Everything Python reaches on an instance of the class."""
    kinds = ("properties", "signals", "slots", "enums")
    return set().union(*(members(name, kind) for kind in kinds))
