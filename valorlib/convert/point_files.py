"""Points and seeds in files: Slicer's .mrk.json and .fcsv, and CSV. All come back LPS mm."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from valorlib.convert.image_files import existing, suffix_of
from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud, Seeds

FLIP = {"LPS": (1.0, 1.0, 1.0), "RAS": (-1.0, -1.0, 1.0)}


@dataclass(frozen=True)
class NamedPoint:
    """A point of a file, LPS mm, with what is written beside it."""

    position: tuple[float, float, float]
    label: str = ""
    description: str = ""
    list_name: str = ""


def read_points(path: str | Path, space: str = "lps") -> PointCloud:
    """Points of a .mrk.json, .fcsv or .csv (x,y,z[,label]) file, LPS mm.

    Args:
        path: the file. Slicer's formats say themselves whether they are LPS or RAS.
        space: "lps" or "ras", the space of a CSV file.

    Raises:
        InputError: missing, empty or damaged file, or one without points.
    """
    found = read_named_points(path, space)
    if not found:
        raise InputError(f"{path}: expected points, found none")
    words = [p.label for p in found]
    labels, names = _numbers_of(words)
    return PointCloud(np.asarray([p.position for p in found]), labels, None, names)


def _numbers_of(words: Sequence[str]) -> tuple[Any, dict[int, str]]:
    """Label numbers of label texts: themselves when all are whole numbers, else one a name, in order of appearance."""
    if not any(words):
        return None, {}
    try:
        return np.asarray([int(w) for w in words], dtype=np.int64), {}
    except ValueError:
        order = {w: n + 1 for n, w in enumerate(dict.fromkeys(words))}
        return np.asarray([order[w] for w in words], dtype=np.int64), {n: w for w, n in order.items()}


def read_seeds(path: str | Path, on: Literal["fixed", "moving"] = "moving", space: str = "lps") -> Seeds:
    """Clicks of a .mrk.json, .fcsv or .csv (x,y,z[,label]) file.

    A label or description of "-" or 0, or a list whose name says background, is a background click; a whole number is
    the number of the tumor; anything else is tumor 1.

    Raises:
        InputError: as `read_points`.
    """
    found = read_named_points(path, space)
    if not found:
        raise InputError(f"{path}: expected seeds, found none; click at least once in the tumor")
    points = np.asarray([p.position for p in found])
    return Seeds(points, np.asarray([seed_tumor(p.label, p.description, p.list_name) for p in found]), on)


def seed_tumor(label: str, description: str = "", list_name: str = "", tumor: int = 1) -> int:
    """Number of the tumor that a point marks, 0 for background; `tumor` where nothing is written."""
    words = (label.strip().lower(), description.strip().lower())
    if "-" in words or "background" in words:
        return 0
    for word in words:
        if word.isdigit():
            return int(word)
    return 0 if "background" in list_name.lower() else tumor


def read_named_points(path: str | Path, space: str = "lps") -> tuple[NamedPoint, ...]:
    """All points of a file with their labels, LPS mm."""
    path = existing(path)
    suffix = suffix_of(path)
    readers = {".mrk.json": _read_json, ".json": _read_json, ".fcsv": _read_fcsv, ".csv": _read_csv, ".txt": _read_csv}
    if suffix not in readers:
        raise InputError(f"{path}: expected .mrk.json, .fcsv or .csv, got {suffix or 'no suffix'!r}")
    if space.upper() not in FLIP:
        raise InputError(f"space: expected lps or ras, got {space!r}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: expected text in UTF-8, got other bytes; save it again") from None
    found = readers[suffix](text, path, space)
    for point in found:
        if not np.all(np.isfinite(point.position)):
            raise InputError(f"{path}: expected finite coordinates, got {point.position}; correct the file")
    return tuple(found)


def _point(path: Path, values: Sequence[Any], space: str) -> tuple[float, float, float]:
    try:
        x, y, z = (float(v) * sign for v, sign in zip(values, FLIP[space], strict=True))
    except (TypeError, ValueError):
        raise InputError(f"{path}: expected three numbers x, y, z, got {list(values)}; correct the file") from None
    return x, y, z


def _space(path: Path, word: object) -> str:
    """LPS or RAS of the words and numbers that Slicer has used."""
    name = {"0": "RAS", "1": "LPS", "LPS": "LPS", "RAS": "RAS"}.get(str(word).strip().upper())
    if name is None:
        raise InputError(f"{path}: expected coordinates in LPS or RAS, got {word!r}; export it again")
    return name


def _read_json(text: str, path: Path, space: str) -> list[NamedPoint]:
    try:
        lists = json.loads(text)["markups"]
        if not isinstance(lists, list):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise InputError(f"{path}: expected a markups file of Slicer, got something else; save it again") from None
    found = []
    for markup in lists:
        if not isinstance(markup, dict):
            raise InputError(f"{path}: expected a list of markups, got {markup!r}; save it again")
        if str(markup.get("coordinateUnits", "mm")) not in ("mm", "['mm', 'UCUM', 'millimeter']"):
            raise InputError(f"{path}: expected coordinates in mm, got {markup['coordinateUnits']}; export it again")
        # Files without the word are of Slicer's first versions of the format: LPS.
        space = _space(path, markup.get("coordinateSystem", "LPS"))
        for control in markup.get("controlPoints", []):
            if control.get("positionStatus", "defined") != "defined":
                continue
            position = _point(path, control.get("position", ()), space)
            words = (str(control.get("label", "")), str(control.get("description", "")))
            found.append(NamedPoint(position, *words, str(markup.get("name", path.name))))
    return found


def _read_fcsv(text: str, path: Path, space: str) -> list[NamedPoint]:
    # A file that does not say so is of the time when Slicer wrote RAS.
    space, columns = "RAS", ["id", "x", "y", "z", "ow", "ox", "oy", "oz", "vis", "sel", "lock", "label", "desc"]
    found = []
    for line in text.splitlines():
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition("=")
            if key.strip() == "CoordinateSystem":
                space = _space(path, value)
            elif key.strip() == "columns":
                columns = [c.strip() for c in value.split(",")]
        elif line.strip():
            row = dict(zip(columns, next(csv.reader([line])), strict=False))
            position = _point(path, [row.get(c) for c in ("x", "y", "z")], space)
            found.append(NamedPoint(position, row.get("label", ""), row.get("desc", ""), path.name))
    return found


def _read_csv(text: str, path: Path, space: str) -> list[NamedPoint]:
    rows = [r for r in csv.reader(text.splitlines()) if any(c.strip() for c in r) and not r[0].startswith("#")]
    if rows and not _is_number(rows[0][0]):
        names = [c.strip().lower() for c in rows[0]]
        if "x" in names and "y" in names and "z" in names:
            picks = [names.index(c) for c in ("x", "y", "z")]
            label = next((names.index(c) for c in ("label", "tumor", "organ", "name") if c in names), None)
            short = [r for r in rows[1:] if len(r) <= max(picks)]
            if short:
                raise InputError(f"{path}: expected x, y, z in each row, got {short[0]}; correct the file")
            return [NamedPoint(_point(path, [r[c] for c in picks], space.upper()), _cell(r, label)) for r in rows[1:]]
        raise InputError(f"{path}: expected the columns x, y, z[, label], got {', '.join(rows[0])}")
    return [NamedPoint(_point(path, r[:3], space.upper()), _cell(r, 3)) for r in rows]


def _cell(row: Sequence[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
