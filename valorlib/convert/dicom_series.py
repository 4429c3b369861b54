"""An image as a DICOM series of its own, so that segmentations of any scan have slices to refer to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID, generate_uid

from valorlib.convert.dicom_reg import _place, _save, _start
from valorlib.core.images import Image

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
CT_TAGS = {"KVP": None}
MR_TAGS = {
    "ScanningSequence": "RM",
    "SequenceVariant": "NONE",
    "ScanOptions": "",
    "MRAcquisitionType": "",
    "EchoTime": None,
    "EchoTrainLength": None,
}
"""What the standard asks of a scan; how it was made is not known here. RM: research mode."""
AIR_HU = -500.0
"""An image that goes below is taken for one in HU."""


def series_of(image: Image, *, reference: Any = None, description: str = "") -> list[Any]:
    """Data sets of an image, one a slice, 16 bit, marked as derived.

    Args:
        image: right-handed grid; HU when it goes below -500.
        reference: data set of the same patient, study and frame, or None for an anonymous one.
        description: of the series.

    Raises:
        InputError: a mirrored grid.
    """
    low, high = float(image.array.min()), float(image.array.max())
    is_ct = low < AIR_HU
    slope = 1.0 if is_ct else max((high - low) / 65535.0, 1e-9)
    intercept = -32768.0 if is_ct else low
    text, shift = f"{slope:.9e}", f"{intercept:.8e}"
    stored = np.round((image.array.astype(np.float64) - float(shift)) / float(text)).clip(0, 65535).astype("<u2")
    series, frame = generate_uid(), str(reference.FrameOfReferenceUID) if reference is not None else generate_uid()
    study = None if reference is not None else generate_uid()
    found = []
    for k in range(image.grid.shape[0]):
        data = _start(CT if is_ct else MR, "CT" if is_ct else "MR", reference, description)
        _place(data, image.grid, frame)
        position = image.grid.to_world(np.array([0.0, 0.0, float(k)]))
        data.ImagePositionPatient = [f"{v:.10g}" for v in position]
        data.SeriesInstanceUID, data.SOPInstanceUID, data.InstanceNumber = series, generate_uid(), k + 1
        if study is not None:
            data.StudyInstanceUID, data.PatientName = study, "Anonymous^"
        data.ImageType, data.AcquisitionNumber = ["DERIVED", "SECONDARY", "AXIAL" if is_ct else "OTHER"], 1
        for tag, value in (CT_TAGS if is_ct else MR_TAGS).items():
            setattr(data, tag, value)
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
        data.Rows, data.Columns = image.grid.shape[1], image.grid.shape[2]
        data.RescaleSlope, data.RescaleIntercept, data.RescaleType = text, shift, "HU" if is_ct else "US"
        data.WindowCenter, data.WindowWidth = f"{(low + high) / 2:.6g}", f"{max(high - low, 1.0):.6g}"
        data.PixelData = stored[k].tobytes()
        found.append(data)
    return found


def write_series(slices: list[Any], folder: Path) -> None:
    """Write data sets of a series into a new folder."""
    folder.mkdir(parents=True)
    for n, data in enumerate(slices, start=1):
        _save(data, folder / f"{n:04d}.dcm")


def headers_of(folder: Path, count: int | None = None) -> list[Any]:
    """Data sets, without voxels, of the first series in a folder that has `count` slices; empty when there is none."""
    groups: dict[str, list[Any]] = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            head = pydicom.dcmread(path, stop_before_pixels=True)
        except (InvalidDicomError, OSError, EOFError, ValueError, AttributeError):
            continue
        if "ImagePositionPatient" in head and UID(str(head.SOPClassUID)).name.endswith("Image Storage"):
            groups.setdefault(str(head.get("SeriesInstanceUID", "")), []).append(head)
    return next((heads for heads in groups.values() if count in (None, len(heads))), [])
