"""A DICOM series folder as one image."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image

TAGS = [
    "SOPClassUID", "SeriesInstanceUID", "SeriesDescription", "SeriesNumber", "Modality", "ImagePositionPatient",
    "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns", "InstanceNumber", "NumberOfFrames",
    "SamplesPerPixel", "TemporalPositionIdentifier", "AcquisitionNumber", "EchoTime",
]  # fmt: skip
UNEVEN = 0.05
"""Slice distances may differ by this part of their median."""


def read_series(folder: str | Path, series: str | None = None) -> Image:
    """Image of a DICOM series, slices sorted by position; rescale slope and intercept applied.

    Args:
        folder: folder with the files of the series; its subfolders are searched too.
        series: SeriesInstanceUID, needed when the folder holds several series.

    Raises:
        InputError: no images, several series, missing or doubled slices, uneven spacing, a tilted stack, or files that
            cannot be decoded.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder of DICOM files, found none; check the name")
    groups = _series_of(folder)
    if not groups:
        raise InputError(f"{folder}: expected DICOM images, found none")
    if series is not None and series not in groups:
        raise InputError(f"{folder}: expected the series {series}, got {', '.join(groups)}")
    if series is None and len(groups) > 1:
        listed = "; ".join(_describe(heads) for heads in groups.values())
        raise InputError(
            f"{folder}: expected one series, got {len(groups)} ({listed}); put one into a folder of its own"
        )
    return _assemble(folder, groups[series] if series is not None else next(iter(groups.values())))


def _series_of(folder: Path) -> dict[str, list[tuple[Path, Any]]]:
    """SeriesInstanceUID to (path, header) of the files that hold pixels of a scan."""
    groups: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.name.startswith("."):
            continue
        try:
            head = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=TAGS)
        except (InvalidDicomError, OSError, EOFError, ValueError, AttributeError):
            continue
        # Dose, structures, plans and registrations have readers of their own.
        if "Rows" in head and str(head.get("Modality", "")) not in ("RTDOSE", "SEG", "RTIMAGE"):
            groups[str(head.get("SeriesInstanceUID", "?"))].append((path, head))
    return dict(groups)


def _describe(heads: list[tuple[Path, Any]]) -> str:
    head = heads[0][1]
    what = f"{head.get('Modality', '?')} {head.get('SeriesDescription', '')}".strip()
    return f"{what}, {len(heads)} images, in {heads[0][0].parent.name}"


def _assemble(folder: Path, heads: list[tuple[Path, Any]]) -> Image:
    if int(heads[0][1].get("NumberOfFrames", 1) or 1) > 1:
        return _read_multiframe(folder, heads)
    for path, head in heads:
        missing = [t for t in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing") if not head.get(t)]
        if missing:
            raise InputError(f"{path}: expected {', '.join(missing)} in the header; export the series again")
        if int(head.get("SamplesPerPixel", 1)) != 1:
            raise InputError(f"{path}: expected one value a pixel, got color; choose another series")
    grid, order = _stack_grid(folder, [head for _, head in heads])
    slices = [_pixels(heads[n][0]) for n in order]
    return Image(np.stack(slices), grid, str(heads[0][1].get("SeriesDescription", folder.name)))


def _stack_grid(folder: Path, heads: list[Any]) -> tuple[Grid, list[int]]:
    """Grid of the stack, and the order of the files along its normal."""
    shapes = {(int(h.Rows), int(h.Columns)) for h in heads}
    pixels = {tuple(round(float(v), 5) for v in h.PixelSpacing) for h in heads}
    axes = np.asarray([[float(v) for v in h.ImageOrientationPatient] for h in heads])
    if len(shapes) > 1 or len(pixels) > 1 or float(np.abs(axes - axes[0]).max()) > 1e-3:
        raise InputError(f"{folder}: expected slices of one size and orientation, got several; is a scout among them?")
    row, column = axes[0, :3], axes[0, 3:]
    normal = np.cross(row, column)
    positions = np.asarray([[float(v) for v in h.ImagePositionPatient] for h in heads])
    along = positions @ normal
    order = [int(n) for n in np.argsort(along, kind="stable")]
    step = _step(folder, along[order])
    drift = positions[order[-1]] - positions[order[0]] - normal * (along[order[-1]] - along[order[0]])
    if float(np.linalg.norm(drift)) > 0.1 * max(float(np.max(np.asarray(heads[0].PixelSpacing, dtype=float))), 0.1):
        raise InputError(f"{folder}: expected slices straight above each other, got a tilted stack; resample it first")
    spacing = (float(heads[0].PixelSpacing[1]), float(heads[0].PixelSpacing[0]), step)
    direction = np.stack([row, column, normal], axis=1)
    size = (int(heads[0].Columns), int(heads[0].Rows), len(heads))
    origin = positions[order[0]]
    return Grid(size, spacing, tuple(origin), tuple(map(tuple, direction))), order


def _step(folder: Path, along: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> float:
    """Distance of the slices, mm; 1 for a single one."""
    if len(along) < 2:
        return 1.0
    steps = np.diff(along)
    middle = float(np.median(steps))
    doubled = int(np.count_nonzero(steps < 1e-3))
    if doubled:
        raise InputError(f"{folder}: expected one image a position, got {doubled} doubled (several times or echoes?)")
    gaps = steps > 1.5 * middle
    if gaps.any():
        missing = int(np.round(steps[gaps] / middle).sum() - np.count_nonzero(gaps))
        raise InputError(f"{folder}: expected a full stack, got {missing} missing slices; export the series again")
    if float(np.abs(steps - middle).max()) > UNEVEN * middle:
        raise InputError(
            f"{folder}: expected even slice distances, got {steps.min():.2f} to {steps.max():.2f} mm; resample it first"
        )
    return float((along[-1] - along[0]) / (len(along) - 1))


def _pixels(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    try:
        data = pydicom.dcmread(path)
        array = data.pixel_array.astype(np.float32)
    except Exception as error:  # the decoders of pydicom raise many kinds
        reason = type(error).__name__
        raise InputError(f"{path}: the pixels cannot be decoded ({reason}); export the series uncompressed") from None
    slope, intercept = float(data.get("RescaleSlope", 1) or 1), float(data.get("RescaleIntercept", 0) or 0)
    return np.asarray(array * slope + intercept, dtype=np.float32)


def _read_multiframe(folder: Path, heads: list[tuple[Path, Any]]) -> Image:
    """Enhanced CT or MR: all slices in one file."""
    from valorlib.convert.image_files import read_image_file

    if len(heads) > 1:
        raise InputError(f"{folder}: expected one multi-frame file, got {len(heads)}; choose one of them")
    return read_image_file(heads[0][0])
