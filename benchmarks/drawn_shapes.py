"""Exact shapes drawn as contours in an RTSTRUCT beside an RTDOSE, for programs that read DICOM alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from analytic_shapes import Shape, linear_dose
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian

from valorlib.convert.dicom_reg import write_rtdose
from valorlib.convert.dicom_rt import RTSTRUCT

FRAME = "1.2.826.0.1.3680043.8.498.1"


def write_drawn_shape(folder: Path, kind: str, *, slice_mm: float = 2.0) -> tuple[Shape, np.ndarray, float]:
    """Write rs.dcm and rd.dcm; returns the shape, the direction of the dose gradient and its size, Gy/mm."""
    shape = Shape(kind, 24.0, np.asarray([0.4, -0.7, 0.0]), np.eye(3))
    direction, slope = np.asarray([0.6, 0.0, 0.8]), 0.6
    dose = linear_dose(shape.center, direction, slope, 2.5, reach_mm=20.0)
    write_rtdose(dose, folder / "rd.dcm", frame_uid=FRAME)
    roi, contours = Dataset(), Dataset()
    roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID, roi.ROIGenerationAlgorithm = 1, kind, FRAME, ""
    contours.ReferencedROINumber, contours.ROIDisplayColor, contours.ContourSequence = 1, [255, 0, 0], Sequence([])
    angles = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    for z in np.arange(-shape.radius + slice_mm / 2, shape.radius, slice_mm):
        radius = float(shape.radius_at(np.asarray([z]))[0])
        ring = np.stack([radius * np.cos(angles), radius * np.sin(angles), np.full_like(angles, z)], axis=1)
        item = Dataset()
        item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(ring)
        item.ContourData = [f"{v:.6f}" for v in (ring + shape.center).ravel()]
        contours.ContourSequence.append(item)
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = RTSTRUCT, "1.2.826.0.1.3680043.8.498.2", "RTSTRUCT"
    data.StructureSetLabel, data.FrameOfReferenceUID = kind, FRAME
    observation = Dataset()
    observation.ObservationNumber, observation.ReferencedROINumber, observation.RTROIInterpretedType = 1, 1, "ORGAN"
    data.StructureSetROISequence, data.ROIContourSequence = Sequence([roi]), Sequence([contours])
    data.RTROIObservationsSequence = Sequence([observation])
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = RTSTRUCT, data.SOPInstanceUID
    pydicom.dcmwrite(folder / "rs.dcm", data, enforce_file_format=True)
    return shape, direction, slope
