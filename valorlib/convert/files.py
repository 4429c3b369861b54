"""Files to core types and back, in one place: images, labels, dose, transforms, points, DICOM series folders."""

from __future__ import annotations

from pathlib import Path

from valorlib.convert.dicom import read_series
from valorlib.convert.image_files import read_dose_file, read_image_file, write_dose, write_image
from valorlib.convert.point_files import read_points, read_seeds
from valorlib.convert.segment_files import read_label_file, read_segments, write_labels
from valorlib.convert.transform_files import read_transform, write_field, write_transform
from valorlib.core.images import Dose, Image, LabelMap

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
    return read_series(path) if Path(path).is_dir() else read_image_file(path)


def read_labels(path: str | Path) -> LabelMap:
    """Label map of a file; .seg.nrrd brings the names of its segments.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    return read_label_file(path)


def read_dose(path: str | Path) -> Dose:
    """Dose, Gy, of an image file.

    Raises:
        InputError: one sentence on what is wrong with the file.
    """
    return read_dose_file(path)
