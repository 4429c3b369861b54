"""Results as DICOM, as the worker writes them: image series, SEG, REG, RTDOSE."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from dataclasses import field as made_by
from pathlib import Path
from typing import Any
from uuid import uuid4

from valor_workbench.tasks_files import zip_folder
from valor_workbench.worker import Context
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.run import part
from valorlib.core.transforms import DisplacementField


@dataclass(frozen=True, eq=False)
class DicomExport:
    """What is written.

    fixed: the scan that all of it lies on, None where there is none. fixed_folder, moving_folder: where the scans'
    own DICOM files are, when they came from such. labels, images, doses: by the file name without ending.
    """

    name: str
    fixed: Image | None
    field: DisplacementField | None = None
    labels: Mapping[str, LabelMap] = made_by(default_factory=dict)
    images: Mapping[str, Image] = made_by(default_factory=dict)
    doses: Mapping[str, Dose] = made_by(default_factory=dict)
    fixed_folder: str = ""
    moving_folder: str = ""


def write_dicom(context: Context, wanted: DicomExport) -> Path:
    """All of `wanted` as DICOM in one .zip of the session's folder."""
    folder = context.folder / f"dicom-{uuid4().hex[:8]}"
    folder.mkdir()
    try:
        _write_all(context, wanted, folder)
        return zip_folder(replace(context, progress=part(context.progress, 0.7, 1.0)), folder, wanted.name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _write_all(context: Context, wanted: DicomExport, folder: Path) -> None:
    from valorlib.convert.dicom_reg import write_deformable_registration, write_rtdose

    sources = _sources(context, wanted, folder)
    reference = sources[0] if sources else None
    _write_segmentations(wanted, sources, folder)
    for name, image in wanted.images.items():
        _write_series(image, reference, name, folder)
    context.progress(0.6, "Writing the registration")
    if wanted.field is not None:
        write_deformable_registration(
            wanted.field,
            folder / "registration.dcm",
            fixed_reference=reference,
            moving_reference=_first(wanted.moving_folder),
            description=wanted.name,
        )
    for name, dose in wanted.doses.items():
        write_rtdose(dose, folder / f"{name}.dcm", reference=reference, description=name.replace("_", " "))


def _sources(context: Context, wanted: DicomExport, folder: Path) -> list[Any]:
    """Slices of the fixed scan: its own, or a series written for it."""
    from valorlib.convert.dicom_series import headers_of, series_of, write_series

    if wanted.fixed is None:
        return []
    context.progress(0.1, "Reading the series of the fixed scan")
    if wanted.fixed_folder:
        found = headers_of(Path(wanted.fixed_folder), wanted.fixed.grid.shape[0])
        if found:
            return found
    context.progress(0.2, "Writing the fixed scan")
    made = series_of(wanted.fixed, description=wanted.fixed.name or "fixed")
    write_series(made, folder / "fixed")
    return made


def _write_series(image: Image, reference: Any, name: str, folder: Path) -> None:
    from valorlib.convert.dicom_series import series_of, write_series

    write_series(series_of(image, reference=reference, description=name.replace("_", " ")), folder / name)


def _write_segmentations(wanted: DicomExport, sources: list[Any], folder: Path) -> None:
    if not wanted.labels or not sources:
        return
    from valorlib.convert.dicom_reg import write_segmentation

    for name, labels in wanted.labels.items():
        if labels.labels:
            write_segmentation(labels, folder / f"{name}.dcm", sources=sources, description=name.replace("_", " "))


def _first(folder: str) -> Any:
    """Header of any image of a DICOM folder, or None."""
    from valorlib.convert.dicom_series import headers_of

    return next(iter(headers_of(Path(folder))), None) if folder else None
