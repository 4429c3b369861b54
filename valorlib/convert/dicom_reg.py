"""Results as DICOM: doses as RTDOSE, displacement fields as deformable REG, labels as SEG."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from valorlib import __version__
from valorlib.convert.dicom_rt import RTDOSE, RTPLAN, read_rt
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, LabelMap
from valorlib.core.transforms import DisplacementField

DEFORMABLE_REG = "1.2.840.10008.5.1.4.1.1.66.3"
MATRIX_IDENTITY = [1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]
PATIENT_TAGS = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex")
STUDY_TAGS = ("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName")


def write_rtdose(
    dose: Dose, path: str | Path, *, reference: Any = None, description: str = "", frame_uid: str = ""
) -> None:
    """Write a dose as RTDOSE, 32 bit.

    Args:
        dose: Gy, 0 or more.
        path: file to write.
        reference: data set of the same patient and study (pydicom), or None for an anonymous one.
        description: of the series, such as "5th percentile".
        frame_uid: frame of reference; that of `reference` when empty.
    """
    if float(dose.array.min()) < 0:
        raise InputError("dose: expected Gy of 0 or more for RTDOSE, got negative values; clip them first")
    data = _start(RTDOSE, "RTDOSE", reference, description)
    _place(data, dose.grid, frame_uid or _frame(reference))
    highest = float(dose.array.max())
    scaling = highest / (2**32 - 2) if highest > 0 else 1e-6
    # The standard allows 16 characters for a decimal string; the stored values follow the rounded factor.
    text = f"{scaling:.9e}"
    stored = np.round(dose.array.astype(np.float64) / float(text))
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 32, 32, 31, 0
    data.Rows, data.Columns, data.NumberOfFrames = dose.grid.shape[1], dose.grid.shape[2], dose.grid.shape[0]
    data.FrameIncrementPointer = 0x3004000C
    data.GridFrameOffsetVector = [_short(n * dose.grid.spacing[2]) for n in range(dose.grid.shape[0])]
    data.DoseUnits, data.DoseType, data.DoseSummationType = "GY", "PHYSICAL", "PLAN"
    data.DoseGridScaling = text
    data.DoseComment = f"SlicerVALOR {__version__}. Not for clinical use."
    # The standard wants one item, and readers take the first: a plan that is not known gets a UID of its own.
    plan = _reference_to(reference) if _is_plan(reference) else _unknown_plan()
    data.ReferencedRTPlanSequence = Sequence([plan])
    data.PixelData = np.minimum(stored, 2**32 - 1).astype("<u4").tobytes()
    _save(data, path)


def write_deformable_registration(
    field: DisplacementField,
    path: str | Path,
    *,
    fixed_reference: Any = None,
    moving_reference: Any = None,
    description: str = "",
) -> None:
    """Write a field as Deformable Spatial Registration: moving frame of reference from the fixed one, vectors in mm.

    Args:
        field: point x of the fixed image is found at x + u(x) in the moving image.
        path: file to write.
        fixed_reference: data set of the fixed series (patient, study, frame), or None.
        moving_reference: data set of the moving series, or None.
        description: of the series.
    """
    data = _start(DEFORMABLE_REG, "REG", fixed_reference, description or "Deformable registration")
    now = dt.datetime.now(tz=dt.timezone.utc)
    data.ContentDate, data.ContentTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    data.ContentLabel, data.ContentDescription, data.ContentCreatorName = "DEFORMABLE", "Displacement field", ""
    data.SeriesDescription = description or "Deformable registration"
    fixed_frame = _frame(fixed_reference) or str(generate_uid())
    data.FrameOfReferenceUID, data.PositionReferenceIndicator = fixed_frame, ""
    item = Dataset()
    item.SourceFrameOfReferenceUID = _frame(moving_reference) or str(generate_uid())
    item.ReferencedImageSequence = Sequence([])
    for name in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence"):
        matrix = Dataset()
        matrix.FrameOfReferenceTransformationMatrixType = "RIGID"
        matrix.FrameOfReferenceTransformationMatrix = MATRIX_IDENTITY
        setattr(item, name, Sequence([matrix]))
    item.DeformableRegistrationGridSequence = Sequence([_vector_grid(field)])
    item.RegistrationTypeCodeSequence = Sequence([_code("125024", "DCM", "Image Content-based Alignment")])
    data.DeformableRegistrationSequence = Sequence([item])
    _save(data, path)


def read_deformable_registration(path: str | Path) -> DisplacementField:
    """Field of a Deformable Spatial Registration; matrices before and after must be the identity."""
    data = read_rt(path, DEFORMABLE_REG, "deformable registration")
    item = next((i for i in data.DeformableRegistrationSequence if i.get("DeformableRegistrationGridSequence")), None)
    if item is None:
        raise InputError(f"{path}: expected a displacement grid, got none; this registration is rigid")
    for name in ("PreDeformationMatrixRegistrationSequence", "PostDeformationMatrixRegistrationSequence"):
        for matrix in item.get(name) or []:
            if not np.allclose([float(v) for v in matrix.FrameOfReferenceTransformationMatrix], MATRIX_IDENTITY):
                raise InputError(f"{path}: a rigid part beside the displacement grid is not supported; export it alone")
    grid_item = item.DeformableRegistrationGridSequence[0]
    size = [int(v) for v in grid_item.GridDimensions]
    spacing = [float(v) for v in grid_item.GridResolution]
    row = np.asarray([float(v) for v in grid_item.ImageOrientationPatient])
    matrix = np.eye(4)
    matrix[:3, 0], matrix[:3, 1] = row[:3] * spacing[0], row[3:] * spacing[1]
    matrix[:3, 2] = np.cross(row[:3], row[3:]) * spacing[2]
    matrix[:3, 3] = [float(v) for v in grid_item.ImagePositionPatient]
    vectors = np.frombuffer(grid_item.VectorGridData, dtype="<f4").reshape(*size[::-1], 3)
    return DisplacementField(vectors.astype(np.float32), Grid.from_matrix(size, matrix))


def _vector_grid(field: DisplacementField) -> Dataset:
    grid = field.grid
    direction = np.asarray(grid.direction)
    if np.linalg.det(direction) < 0:
        raise InputError("displacement: expected a right-handed grid, got a mirrored one; resample it first")
    item = Dataset()
    item.ImagePositionPatient = [_short(v) for v in grid.origin]
    item.ImageOrientationPatient = [_short(v) for v in (*direction[:, 0], *direction[:, 1])]
    item.GridDimensions = list(grid.size)
    item.GridResolution = [float(s) for s in grid.spacing]
    item.VectorGridData = np.ascontiguousarray(field.array, dtype="<f4").tobytes()
    return item


def write_segmentation(labels: LabelMap, path: str | Path, *, sources: list[Any], description: str = "") -> None:
    """Write labels as DICOM SEG (highdicom) on the slices of their source series.

    Args:
        labels: on the grid of the series.
        path: file to write.
        sources: data sets of all slices of the series.
        description: of the series.
    """
    import highdicom as hd
    from pydicom.sr.codedict import codes

    if not labels.labels:
        raise InputError("labels: expected at least one structure, got none")
    ordered = sorted(sources, key=lambda s: float(np.dot(_normal(s), [float(v) for v in s.ImagePositionPatient])))
    if len(ordered) != labels.grid.shape[0]:
        raise InputError(f"sources: expected {labels.grid.shape[0]} slices as in the labels, got {len(ordered)}")
    segments = [
        hd.seg.SegmentDescription(
            segment_number=n,
            segment_label=labels.name_of(label)[:64],
            segmented_property_category=codes.SCT.AnatomicalStructure,
            segmented_property_type=codes.SCT.Organ,
            algorithm_type=hd.seg.SegmentAlgorithmTypeValues.SEMIAUTOMATIC,
            algorithm_identification=hd.AlgorithmIdentificationSequence(
                name="SlicerVALOR", version=__version__, family=codes.DCM.ArtificialIntelligence
            ),
        )
        for n, label in enumerate(labels.labels, start=1)
    ]
    masks = np.stack([labels.array == label for label in labels.labels], axis=-1).astype(np.uint8)
    found = hd.seg.Segmentation(
        source_images=ordered,
        pixel_array=masks,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=segments,
        series_instance_uid=hd.UID(),
        series_number=900,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="SlicerVALOR",
        manufacturer_model_name="SlicerVALOR",
        software_versions=__version__,
        device_serial_number="0",
        series_description=description or "Structures",
    )
    found.save_as(path)


def read_segmentation(path: str | Path) -> dict[str, LabelMap]:
    """Each segment of a DICOM SEG: its label to a label map of 0 and 1."""
    import highdicom as hd

    try:
        found = hd.seg.segread(path)
        volume = found.get_volume(combine_segments=False)
    except Exception as error:
        name = Path(path).name
        raise InputError(
            f"{name}: expected a DICOM segmentation of parallel slices, got one that fails: {error}"
        ) from None
    values, matrix = volume.array, np.asarray(volume.affine, dtype=float)[:, [2, 1, 0, 3]]
    if np.linalg.det(matrix[:3, :3]) < 0:
        values = values[::-1]
        matrix[:3, 3] += matrix[:3, 2] * (len(values) - 1)
        matrix[:3, 2] *= -1
    grid = Grid.from_matrix(values.shape[2::-1], matrix)
    out: dict[str, LabelMap] = {}
    for n, number in enumerate(found.segment_numbers):
        label = str(found.get_segment_description(number).SegmentLabel) or f"segment {number}"
        label = label if label not in out else f"{label} {number}"
        out[label] = LabelMap((values[..., n] > 0).astype(np.int32), grid, {1: label})
    return out


def _normal(data: Any) -> np.ndarray[Any, Any]:
    row = np.asarray([float(v) for v in data.ImageOrientationPatient])
    return np.cross(row[:3], row[3:])


def _start(sop_class: str, modality: str, reference: Any, description: str) -> Dataset:
    """A data set with patient, study, series and equipment."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = UID(sop_class), generate_uid(), modality
    data.SpecificCharacterSet = "ISO_IR 192"
    now = dt.datetime.now(tz=dt.timezone.utc)
    data.InstanceCreationDate, data.InstanceCreationTime = now.strftime("%Y%m%d"), now.strftime("%H%M%S")
    for tag in (*PATIENT_TAGS, *STUDY_TAGS):
        setattr(data, tag, reference.get(tag, "") if reference is not None else "")
    if not data.StudyInstanceUID:
        data.StudyInstanceUID = generate_uid()
    if reference is None:
        data.PatientName, data.PatientID = "Anonymous", "0"
    data.SeriesInstanceUID, data.SeriesNumber, data.InstanceNumber = generate_uid(), 900, 1
    data.SeriesDescription = description[:64]
    data.Manufacturer, data.ManufacturerModelName, data.DeviceSerialNumber = "SlicerVALOR", "SlicerVALOR", "0"
    data.SoftwareVersions, data.OperatorsName = __version__, ""
    return data


def _place(data: Dataset, grid: Grid, frame_uid: str) -> None:
    direction = np.asarray(grid.direction)
    if np.linalg.det(direction) < 0:
        raise InputError("dose: expected a right-handed grid, got a mirrored one; resample it first")
    data.ImagePositionPatient = [_short(v) for v in grid.origin]
    data.ImageOrientationPatient = [_short(v) for v in (*direction[:, 0], *direction[:, 1])]
    data.PixelSpacing = [_short(grid.spacing[1]), _short(grid.spacing[0])]
    data.SliceThickness = _short(grid.spacing[2])
    data.FrameOfReferenceUID = frame_uid or str(generate_uid())
    data.PositionReferenceIndicator = ""


def _short(value: float) -> str:
    """A decimal string of at most 16 characters."""
    for digits in range(12, 3, -1):
        text = f"{float(value):.{digits}g}"
        if len(text) <= 16:
            return text
    return f"{float(value):.6g}"


def _frame(reference: Any) -> str:
    return str(reference.get("FrameOfReferenceUID", "")) if reference is not None else ""


def _is_plan(reference: Any) -> bool:
    return reference is not None and reference.get("Modality") == "RTPLAN"


def _unknown_plan() -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = RTPLAN, generate_uid()
    return item


def _reference_to(data: Any) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _save(data: Dataset, path: str | Path) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = data.SOPClassUID, data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta = meta
    pydicom.dcmwrite(path, data, enforce_file_format=True)
