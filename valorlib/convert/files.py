"""Files to core types and back, in one place: images, labels, dose, transforms, points, DICOM series folders."""

from __future__ import annotations

from pathlib import Path

from valorlib.convert.image_files import existing, read_dose_file, read_image_file, write_dose, write_image
from valorlib.convert.point_files import read_points, read_seeds
from valorlib.convert.segment_files import read_label_file, read_segments, write_labels
from valorlib.convert.transform_files import read_transform as read_transform_file
from valorlib.convert.transform_files import write_field, write_transform
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import Transform

__all__ = [
    "read_dose",
    "read_image",
    "read_labels",
    "read_points",
    "read_seeds",
    "read_segments",
    "read_transform",
    "write_dose",
    "write_field",
    "write_image",
    "write_labels",
    "write_transform",
]


def read_image(path: str | Path) -> Image:
    """Scalar image of a file (NRRD, NIfTI, MHA, PNG ...) or of a DICOM series folder.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    if Path(path).is_dir():
        from valorlib.convert.dicom import read_series

        return read_series(path)
    return read_image_file(path)


def read_labels(path: str | Path) -> LabelMap:
    """Label map of a file; .seg.nrrd brings the names of its segments.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    return read_label_file(path)


def read_dose(path: str | Path) -> Dose:
    """Dose, Gy, of an image file or of a DICOM RTDOSE file (.dcm).

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    if _is_dicom(path):
        from valorlib.convert.dicom_rt import read_rtdose

        return read_rtdose(path).dose
    return read_dose_file(path)


def read_transform(path: str | Path) -> Transform:
    """Transform, fixed to moving, of an ITK file, a displacement field, or a DICOM deformable registration (.dcm).

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    if _is_dicom(path):
        from valorlib.convert.dicom_reg import read_deformable_registration

        return read_deformable_registration(path)
    return read_transform_file(path)


def _is_dicom(path: str | Path) -> bool:
    return existing(path).suffix.lower() == ".dcm"
