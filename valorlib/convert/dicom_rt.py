"""DICOM radiotherapy objects: RTDOSE, RTSTRUCT and RTPLAN to core types, and doses back to RTDOSE."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose
from valorlib.metrics.contours import Contours

RTDOSE = "1.2.840.10008.5.1.4.1.1.481.2"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
RTPLAN = "1.2.840.10008.5.1.4.1.1.481.5"
SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
OFFSET_TOLERANCE_MM = 0.01


@dataclass(frozen=True, eq=False, kw_only=True)
class TpsDvh:
    """A DVH the planning system stored with the dose. dose_gy: (n,) lower bin edges; volume_cc: (n,) cumulative."""

    roi: int
    dose_gy: NDArray[np.float64]
    volume_cc: NDArray[np.float64]
    mean_gy: float


@dataclass(frozen=True, eq=False, kw_only=True)
class RtDose:
    """A dose with what the file says about it. summation: PLAN, FRACTION, BEAM ... frame_uid: frame of reference."""

    dose: Dose
    frame_uid: str
    summation: str
    dvhs: tuple[TpsDvh, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, eq=False, kw_only=True)
class StructureSet:
    """Structures with contours, and numbers by name; empty ones are named in the warnings."""

    structures: tuple[Contours, ...]
    numbers: dict[str, int]
    frame_uid: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RtPlan:
    """Prescription of a plan. prescription_gy: the largest target prescription, None where the plan names none."""

    label: str
    prescription_gy: float | None
    targets: tuple[tuple[str, float], ...]
    fractions: int | None


def read_rt(path: str | Path, sop_class: str, what: str) -> Any:
    """The data set of a DICOM file of one kind.

    Raises:
        InputError: no DICOM, or another kind.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        data = pydicom.dcmread(path)
    except (InvalidDicomError, OSError, EOFError, ValueError):
        raise InputError(f"{path}: expected a DICOM {what}, got a file that is no DICOM; export it again") from None
    if data.get("SOPClassUID") != sop_class:
        kind = data.get("Modality", "something else")
        raise InputError(f"{path}: expected a DICOM {what}, got {kind}; choose the {what} file")
    return data


def is_rtstruct(path: Path) -> bool:
    """True for a file that says it is an RTSTRUCT."""
    return _sop_class(path) == RTSTRUCT


def is_rtdose(path: Path) -> bool:
    """True for a file that says it is an RTDOSE."""
    return _sop_class(path) == RTDOSE


def is_segmentation(path: Path) -> bool:
    """True for a file that says it is a DICOM segmentation."""
    return _sop_class(path) == SEGMENTATION


def _sop_class(path: Path) -> str:
    import pydicom

    try:
        with path.open("rb") as file:
            if file.read(132)[128:] != b"DICM":
                return ""
        return str(pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["SOPClassUID"]).get("SOPClassUID", ""))
    except Exception:  # any fault means: not such a file
        return ""


def read_rtdose(path: str | Path, *, prescription_gy: float | None = None) -> RtDose:
    """Dose of an RTDOSE file, Gy.

    Args:
        path: the file.
        prescription_gy: needed where the dose is relative.

    Raises:
        InputError: not a dose, or one that cannot be understood.
    """
    data = read_rt(path, RTDOSE, "RTDOSE")
    name = Path(path).name
    if "PixelData" not in data or "DoseGridScaling" not in data:
        raise InputError(f"{name}: expected a dose grid, got an RTDOSE without one; export the dose as a volume")
    try:
        values = np.atleast_3d(data.pixel_array)
    except Exception as error:  # pydicom raises many kinds for a broken or encoded grid
        raise InputError(f"{name}: the dose grid cannot be decoded ({error}); export it uncompressed") from None
    if data.get("NumberOfFrames", 1) == 1 and data.pixel_array.ndim == 2:
        values = data.pixel_array[None]
    array = values.astype(np.float64) * float(data.DoseGridScaling)
    warnings: list[str] = []
    array *= _unit_factor(data, name, float(array.max()), prescription_gy, warnings)
    array, grid = _dose_grid(data, array, name, warnings)
    if not array.any():
        warnings.append(f"{name}: the dose is zero everywhere.")
    dvhs = _tps_dvhs(data, name, warnings)
    return RtDose(
        dose=Dose(array.astype(np.float32), grid),
        frame_uid=str(data.get("FrameOfReferenceUID", "")),
        summation=str(data.get("DoseSummationType", "")),
        dvhs=dvhs,
        warnings=tuple(warnings),
    )


def _unit_factor(data: Any, name: str, highest: float, prescription_gy: float | None, warnings: list[str]) -> float:
    units = str(data.get("DoseUnits", "")).upper()
    if units == "RELATIVE":
        if prescription_gy is None:
            raise InputError(f"{name}: the dose is relative; give the prescription in Gy")
        warnings.append(f"{name}: relative dose, scaled so that its highest value of 1 or 100 % is the prescription.")
        return prescription_gy / (100.0 if highest > 5 else 1.0)
    if units == "CGY":
        warnings.append(f"{name}: the dose is in cGy; it was divided by 100.")
        return 0.01
    if units != "GY":
        warnings.append(f"{name}: the dose unit is {units or 'missing'}; Gy was assumed.")
    if prescription_gy and highest > 20 * prescription_gy:
        warnings.append(
            f"{name}: tagged Gy, but its highest value, {highest:.0f}, is {highest / prescription_gy:.0f} times the "
            "prescription: it looks like cGy and was divided by 100."
        )
        return 0.01
    if prescription_gy and prescription_gy < 60 and 95 <= highest <= 130 and highest > 2.5 * prescription_gy:
        warnings.append(
            f"{name}: tagged Gy, but its highest value, {highest:.0f}, looks like percent of {prescription_gy:g} Gy; "
            "it was converted."
        )
        return prescription_gy / 100
    return 1.0


def _dose_grid(
    data: Any, array: NDArray[np.float64], name: str, warnings: list[str]
) -> tuple[NDArray[np.float64], Grid]:
    """Values and grid, frames rising along the normal and evenly spaced."""
    try:
        row = np.asarray(data.ImageOrientationPatient, dtype=np.float64)
        origin = np.asarray(data.ImagePositionPatient, dtype=np.float64)
        spacing = [float(v) for v in data.PixelSpacing]
    except (AttributeError, TypeError, ValueError):
        raise InputError(f"{name}: expected position, orientation and pixel spacing, got a file without them") from None
    normal = np.cross(row[:3], row[3:])
    offsets = np.asarray(data.get("GridFrameOffsetVector") or [0.0], dtype=np.float64).ravel()
    if len(offsets) != len(array):
        raise InputError(f"{name}: expected {len(array)} frame offsets, got {len(offsets)}; export the dose again")
    if len(offsets) > 1 and abs(offsets[0]) > OFFSET_TOLERANCE_MM:
        # The second form of the vector: absolute z, allowed for plain axial grids alone.
        if abs(abs(normal[2]) - 1) > 1e-4:
            raise InputError(f"{name}: frame offsets must start with 0 in an oblique grid, got {offsets[0]:g}")
        offsets = (offsets - origin[2]) * np.sign(normal[2])
    steps = np.diff(offsets)
    if len(steps) and steps.max() < 0:
        array, offsets = array[::-1], offsets[::-1]
    steps = np.diff(offsets)
    if len(steps) and steps.min() <= 0:
        raise InputError(f"{name}: expected frame offsets that rise or fall, got a jumping list; export the dose again")
    if len(steps) and np.ptp(steps) > OFFSET_TOLERANCE_MM:
        array, offsets = _evened(array, offsets)
        warnings.append(
            f"{name}: frames are unevenly spaced; the dose was interpolated to {offsets[1] - offsets[0]:g} mm."
        )
    step = float((offsets[-1] - offsets[0]) / (len(offsets) - 1)) if len(offsets) > 1 else _thickness(data)
    matrix = np.eye(4)
    matrix[:3, 0] = row[:3] * spacing[1]
    matrix[:3, 1] = row[3:] * spacing[0]
    matrix[:3, 2] = normal * step
    matrix[:3, 3] = origin + normal * offsets[0]
    return array, Grid.from_matrix(array.shape[::-1], matrix)


def _thickness(data: Any) -> float:
    value = data.get("SliceThickness")
    return float(value) if value else 1.0


def _evened(
    array: NDArray[np.float64], offsets: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    step = float(np.diff(offsets).min())
    even = np.arange(offsets[0], offsets[-1] + 1e-6, step)
    at = np.interp(even, offsets, np.arange(len(offsets), dtype=np.float64))
    low = np.minimum(at.astype(int), len(offsets) - 2)
    share = (at - low)[:, None, None]
    return array[low] * (1 - share) + array[low + 1] * share, even


def _tps_dvhs(data: Any, name: str, warnings: list[str]) -> tuple[TpsDvh, ...]:
    """The stored DVHs in Gy; a stated mean that disagrees with its own curve is noticed."""
    found: list[TpsDvh] = []
    odd = 0
    for item in data.get("DVHSequence") or []:
        raw = np.asarray(item.DVHData, dtype=np.float64).reshape(-1, 2)
        scaling = float(item.get("DVHDoseScaling") or 1.0)
        width, volume = raw[:, 0] * scaling, raw[:, 1]
        edges = np.concatenate([[0.0], np.cumsum(width)[:-1]])
        factor = 0.01 if str(item.get("DoseUnits", "")).upper() == "CGY" else 1.0
        cumulative = volume if str(item.get("DVHType", "")).upper() != "DIFFERENTIAL" else volume[::-1].cumsum()[::-1]
        mean = float((cumulative * width).sum()) * factor / max(float(cumulative[0]), 1e-12)
        stated = item.get("DVHMeanDose")
        odd += stated is not None and abs(float(stated) * factor - mean) > 0.05 * max(mean, 0.2)
        roi = item.get("DVHReferencedROISequence")
        number = int(roi[0].ReferencedROINumber) if roi else -1
        found.append(TpsDvh(roi=number, dose_gy=edges * factor, volume_cc=cumulative, mean_gy=mean))
    if odd:
        warnings.append(
            f"{name}: the mean doses stored with {odd} DVHs disagree with the DVHs themselves: they are tagged Gy but "
            "look like percent of the prescription; the means of the curves are used."
        )
    return tuple(found)


def read_rtstruct(path: str | Path) -> StructureSet:
    """Structures of an RTSTRUCT file as contours, LPS mm.

    Raises:
        InputError: not a structure set, or contours that cannot be understood.
    """
    data = read_rt(path, RTSTRUCT, "RTSTRUCT")
    names = {int(r.ROINumber): str(r.get("ROIName") or r.ROINumber) for r in data.get("StructureSetROISequence") or []}
    structures, numbers, warnings = [], {}, []
    frames = [str(r.get("ReferencedFrameOfReferenceUID", "")) for r in data.get("StructureSetROISequence") or []]
    seen = set()
    for item in data.get("ROIContourSequence") or []:
        number = int(item.ReferencedROINumber)
        name = names.get(number, str(number))
        seen.add(number)
        polygons, points = [], 0
        for contour in item.get("ContourSequence") or []:
            kind = str(contour.get("ContourGeometricType", ""))
            values = np.asarray(contour.get("ContourData") or [], dtype=np.float64)
            if kind in ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR") and len(values) >= 9 and len(values) % 3 == 0:
                polygons.append(values.reshape(-1, 3))
            else:
                points += 1
        if polygons:
            structures.append(Contours(name, tuple(polygons)))
            numbers[name] = number
        else:
            what = "points or open lines only" if points else "no contours"
            warnings.append(f"{name}: {what}; it was left out.")
    warnings += [f"{name}: no contours; it was left out." for n, name in names.items() if n not in seen]
    return StructureSet(
        structures=tuple(structures),
        numbers=numbers,
        frame_uid=next((f for f in frames if f), str(data.get("FrameOfReferenceUID", ""))),
        warnings=tuple(warnings),
    )


def read_rtplan(path: str | Path) -> RtPlan:
    """Prescription and fractions of an RTPLAN file."""
    data = read_rt(path, RTPLAN, "RTPLAN")
    targets = []
    for item in data.get("DoseReferenceSequence") or []:
        dose = item.get("TargetPrescriptionDose")
        if dose is not None and str(item.get("DoseReferenceType", "TARGET")) == "TARGET":
            targets.append((str(item.get("DoseReferenceDescription") or "target"), float(dose)))
    groups = data.get("FractionGroupSequence") or []
    planned = groups[0].get("NumberOfFractionsPlanned") if groups else None
    beams = groups[0].get("ReferencedBeamSequence") if groups else None
    fractions = int(planned) if planned is not None else None
    doses = [float(b.BeamDose) for b in beams or [] if b.get("BeamDose") is not None]
    prescription = max((dose for _, dose in targets), default=None)
    if prescription is None and doses and fractions:
        prescription = sum(doses) * fractions
    return RtPlan(
        label=str(data.get("RTPlanLabel", "")),
        prescription_gy=prescription,
        targets=tuple(targets),
        fractions=fractions,
    )


def check_frames(*frames: tuple[str, str]) -> None:
    """Raise InputError when objects that carry a frame of reference do not share it. frames: what it is, its UID."""
    known = [(what, uid) for what, uid in frames if uid]
    for what, uid in known[1:]:
        if uid != known[0][1]:
            raise InputError(
                f"{what}: expected the frame of reference of the {known[0][0]}, got another; "
                "export both from the same scan, or register them first"
            )
