"""DICOM around `valor uncertainty`: are the frames of reference the same, and results as DICOM objects."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError

from valorlib.convert.dicom_reg import write_deformable_registration, write_rtdose, write_segmentation
from valorlib.convert.dicom_rt import check_frames, is_rtdose, is_rtstruct
from valorlib.convert.dicom_series import headers_of, series_of, write_series
from valorlib.convert.files import read_labels
from valorlib.core.errors import InputError
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.ops.resample import resample_labels
from valorlib.uncertainty import Assessment

Paths = Mapping[str, Path | None]


def check_job_frames(paths: Paths) -> None:
    """Structures must share the frame of reference of the fixed scan, the dose that of the moving scan.

    Files that carry no frame (NRRD, NIfTI) are not compared.

    Raises:
        InputError: one sentence naming the two that differ.
    """
    check_frames(("fixed scan", _frame(paths.get("fixed"))), ("structures", _frame(paths.get("structures"))))
    check_frames(("moving scan", _frame(paths.get("moving"))), ("dose", _frame(paths.get("dose"))))


def _frame(path: Path | None) -> str:
    """Frame of reference of a DICOM file or folder; empty where it has none."""
    if path is None:
        return ""
    head = _head(Path(path))
    if head is None:
        return ""
    if "FrameOfReferenceUID" in head:
        return str(head.FrameOfReferenceUID)
    referenced = head.get("ReferencedFrameOfReferenceSequence") or []
    if referenced:
        return str(referenced[0].FrameOfReferenceUID)
    regions = head.get("StructureSetROISequence") or []
    return next((str(uid) for r in regions if (uid := r.get("ReferencedFrameOfReferenceUID"))), "")


def _head(path: Path) -> Any:
    """Header of a DICOM file, of the first slice of a folder, or None."""
    if path.is_dir():
        return next(iter(headers_of(path)), None)
    if not (path.is_file() and (is_rtdose(path) or is_rtstruct(path) or path.suffix.lower() == ".dcm")):
        return None
    try:
        return pydicom.dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, OSError, ValueError):
        return None


def write_dicom_results(folder: Path, found: Assessment, fixed: Image, paths: Paths) -> tuple[str, ...]:
    """Write the registration, the doses and the structures as DICOM objects.

    Args:
        folder: made here: registration.dcm, dose_mean.dcm, dose_p05.dcm, dose_p95.dcm and structures.dcm, and the
            fixed scan as a series in `fixed` where it did not come from DICOM.
        found: the assessment.
        fixed: scan all of it lies on.
        paths: of the inputs; patient, study and frame come from the fixed and the moving scan.

    Returns:
        What was not written, a sentence each.
    """
    folder.mkdir()
    sources = _headers(paths.get("fixed"), fixed.grid.shape[0])
    if not sources:
        sources = series_of(fixed, description=fixed.name or "fixed scan")
        write_series(sources, folder / "fixed")
    write_deformable_registration(
        found.displacement,
        folder / "registration.dcm",
        fixed_reference=sources[0],
        moving_reference=next(iter(_headers(paths.get("moving"), None)), None),
        description="Registration judged by SlicerVALOR",
    )
    if found.dose is not None:
        names = {"mean": "Mean of sampled doses", "p05": "5th percentile", "p95": "95th percentile"}
        for key, words in names.items():
            dose: Dose = getattr(found.dose, key)
            clipped = Dose(np.maximum(dose.array, 0), dose.grid)
            write_rtdose(clipped, folder / f"dose_{key}.dcm", reference=sources[0], description=words)
    return _write_structures(folder, fixed, sources, paths.get("structures"))


def _write_structures(folder: Path, fixed: Image, sources: list[Any], path: Path | None) -> tuple[str, ...]:
    if path is None:
        return ()
    if not Path(path).is_file() or is_rtstruct(Path(path)):
        return ("DICOM: no SEG was written; the structures are contours or several files.",)
    try:
        labels = read_labels(Path(path))
    except InputError:
        return ("DICOM: no SEG was written; the structures are no label map.",)
    on_fixed: LabelMap = labels if labels.grid.matches(fixed.grid) else resample_labels(labels, fixed.grid)
    if on_fixed.labels:
        write_segmentation(on_fixed, folder / "structures.dcm", sources=sources, description="Structures")
    return ()


def _headers(path: Path | None, count: int | None) -> list[Any]:
    return headers_of(Path(path), count) if path is not None and Path(path).is_dir() else []
