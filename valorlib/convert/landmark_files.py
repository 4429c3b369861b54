"""Corresponding points from files."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from valorlib.convert.image_files import existing
from valorlib.convert.point_files import FLIP, read_points
from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud, PointPair

HEADER = ("fixed_x", "fixed_y", "fixed_z", "moving_x", "moving_y", "moving_z", "label")


def read_landmarks(path: str | Path, space: str = "lps") -> PointPair:
    """Corresponding points of a CSV file: fixed x,y,z, moving x,y,z, and a whole-number label if there is one.

    A first row without numbers is a header and is skipped.

    Args:
        path: the file.
        space: "lps" or "ras".

    Raises:
        InputError: missing file, or a row that does not hold six numbers.
    """
    path = existing(path)
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: expected a CSV file, got something that is not text") from None
    found: list[list[float]] = []
    labels: list[int] = []
    for number, row in enumerate(rows, start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        try:
            values = [float(cell) for cell in cells[:6]]
            label = int(float(cells[6])) if len(cells) > 6 and cells[6] else 0
        except ValueError:
            if not found and number == 1:
                continue
            raise InputError(f"{path}: expected numbers in row {number}, got {','.join(row)!r}") from None
        if len(values) < 6:
            raise InputError(
                f"{path}: expected fixed x,y,z and moving x,y,z in row {number}, got {len(values)} numbers"
            )
        found.append(values)
        labels.append(label)
    if not found:
        raise InputError(f"{path}: expected at least one row of fixed x,y,z,moving x,y,z, got none")
    points = np.asarray(found) * np.tile(FLIP[space.upper()], 2)
    owners = np.asarray(labels, dtype=np.int64)
    return PointPair(PointCloud(points[:, :3], owners), PointCloud(points[:, 3:], owners))


def read_landmark_pair(fixed: str | Path, moving: str | Path, space: str = "lps") -> PointPair:
    """Corresponding points of two point files of equal length, in the same order."""
    pair = PointPair(read_points(fixed, space), read_points(moving, space))
    if len(pair.fixed.points) != len(pair.moving.points):
        raise InputError(
            f"landmarks: expected as many fixed as moving points, got {len(pair.fixed.points)} and "
            f"{len(pair.moving.points)}; check the two files"
        )
    return pair


def write_landmarks(landmarks: PointPair, path: str | Path) -> None:
    """Write corresponding points as `read_landmarks` reads them, LPS mm."""
    labels = landmarks.fixed.labels
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(HEADER)
        for n, (a, b) in enumerate(zip(landmarks.fixed.points, landmarks.moving.points, strict=True)):
            table.writerow([*(f"{v:.6f}" for v in (*a, *b)), int(labels[n]) if labels is not None else 0])
