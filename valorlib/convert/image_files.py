"""Scalar images, label maps and dose in image files. Each fault of a file is one sentence."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from valorlib.convert.header_check import check_header
from valorlib.convert.simpleitk import grid_from_sitk, image_to_sitk
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image

VOLUME_SUFFIXES = (".nrrd", ".nhdr", ".nii.gz", ".nii", ".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
WRITE_SUFFIXES = (".nrrd", ".nii.gz", ".nii", ".mha")
FINEST_MM, COARSEST_MM = 1e-5, 1000.0


def suffix_of(path: Path) -> str:
    """Lower-case suffix; ".nii.gz" and ".seg.nrrd" count as one."""
    name = path.name.lower()
    for double in (".nii.gz", ".seg.nrrd", ".mrk.json"):
        if name.endswith(double):
            return double
    return path.suffix.lower()


def existing(path: str | Path) -> Path:
    """`path`, which must be a file with something in it.

    Raises:
        InputError: nothing there, a folder, an empty file, or no right to read it.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise InputError(f"{path}: expected a file, found nothing there; check the name")
        if path.is_dir():
            raise InputError(f"{path}: expected a file, got a folder")
        if path.stat().st_size == 0:
            raise InputError(f"{path}: expected data, got an empty file; export it again")
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror})") from None
    return path


def read_sitk(path: str | Path) -> sitk.Image:
    """SimpleITK image of an image file, with its faults found first.

    Raises:
        InputError: missing, empty, damaged, ambiguous or unsupported file.
    """
    path = existing(path)
    suffix = suffix_of(path)
    if not suffix.endswith((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES, ".dcm")):
        known = ", ".join((*VOLUME_SUFFIXES, *PICTURE_SUFFIXES))
        raise InputError(f"{path}: expected an image file ({known}) or a DICOM folder, got {suffix or 'no suffix'!r}")
    check_header(path, suffix)
    try:
        return sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path}: {_reason(str(error), suffix)}") from None


def _reason(text: str, suffix: str) -> str:
    if "Zero-valued spacing" in text:
        return "expected positive spacing, got 0; correct the header of the file"
    if "orthonormal" in text or "determinant is 0" in text:
        return "expected perpendicular axes, got sheared or flat ones; resample the image first"
    return f"expected {suffix.lstrip('.').upper()} data, got something damaged or of another kind; export it again"


def checked_grid(image: sitk.Image, path: Path) -> Grid:
    """Grid of a file's image, with spacing that a scan can have."""
    if image.GetDimension() > 3:
        size = " x ".join(map(str, image.GetSize()))
        raise InputError(f"{path}: expected one volume, got {image.GetDimension()}D data ({size}); extract one first")
    if suffix_of(path) in PICTURE_SUFFIXES and image.GetDimension() == 2:
        # The dots per inch of a picture are about paper, not about the patient.
        return Grid((*image.GetSize(), 1))
    try:
        grid = grid_from_sitk(image)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if min(grid.spacing) < FINEST_MM or max(grid.spacing) > COARSEST_MM:
        raise InputError(f"{path}: expected a spacing in mm, got {grid.spacing}; correct the header of the file")
    return grid


def scalar_array(image: sitk.Image, path: Path) -> NDArray[np.generic]:
    """Array of a file's image: one value a voxel; colored pictures become gray."""
    count = image.GetNumberOfComponentsPerPixel()
    if "complex" in image.GetPixelIDTypeAsString():
        raise InputError(f"{path}: expected real numbers, got complex ones; save the magnitude")
    array: NDArray[np.generic] = sitk.GetArrayFromImage(image)
    if count == 1:
        return array
    if count in (3, 4) and image.GetDimension() == 2:
        # Rec. 601 weights; a fourth channel is opacity.
        return np.asarray(array[..., :3].astype(np.float64) @ (0.299, 0.587, 0.114))
    what = "color or vectors" if count == 3 else f"{count} values a voxel (a time series?)"
    raise InputError(f"{path}: expected one volume with one value a voxel, got {what}; extract one volume first")


def volume_of(image: sitk.Image) -> sitk.Image:
    """A 4D image of one time as 3D."""
    if image.GetDimension() == 4 and image.GetSize()[3] == 1:
        return image[:, :, :, 0]
    return image


def read_image_file(path: str | Path) -> Image:
    """Image of one file, any suffix of VOLUME_SUFFIXES or PICTURE_SUFFIXES; pictures are slices of 1 mm pixels.

    Raises:
        InputError: the file cannot be read, or holds something else than one scalar image.
    """
    path = Path(path)
    image = volume_of(read_sitk(path))
    grid = checked_grid(image, path)
    array = scalar_array(image, path).reshape(grid.shape)
    check_numbers(path, array)
    return Image(array.astype(np.float32), grid, _name(path))


def check_numbers(path: str | Path, array: NDArray[np.generic]) -> None:
    """Raise InputError when an array of a file has NaN or infinite values, or numbers beyond float32."""
    if not np.issubdtype(array.dtype, np.floating):
        return
    finite = np.isfinite(array)
    bad = array.size - int(np.count_nonzero(finite))
    if bad:
        raise InputError(f"{path}: expected finite numbers, got {bad} NaN or infinite voxels; replace them first")
    if array.dtype == np.float64 and array.size and float(np.abs(array).max()) > float(np.finfo(np.float32).max):
        raise InputError(f"{path}: expected values within float32, got larger ones; rescale the image")


def _name(path: Path) -> str:
    suffix = suffix_of(path)
    return path.name[: len(path.name) - len(suffix)] if suffix else path.name


def read_dose_file(path: str | Path) -> Dose:
    """Dose, Gy, of an image file.

    Raises:
        InputError: as `read_image_file`, or negative values.
    """
    image = read_image_file(path)
    if float(image.array.min()) < -1e-3:
        raise InputError(f"{path}: expected a dose in Gy, got negative values; is this the CT?")
    return Dose(np.maximum(image.array, 0), image.grid)


@contextmanager
def whole_or_not(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, of the same suffix, renamed to it when the block ends well, removed otherwise.

    Raises:
        InputError: the folder is missing or cannot be written to, or the disk is full.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise InputError(f"{path.parent}: expected a folder to write to, found none; make it first")
    try:
        folder = Path(tempfile.mkdtemp(prefix=".part-", dir=path.parent))
    except OSError as error:
        raise InputError(f"{path.parent}: cannot be written to ({error.strerror})") from None
    try:
        yield folder / path.name
        (folder / path.name).replace(path)
    finally:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def write_sitk(image: sitk.Image, path: str | Path, *, compress: bool) -> None:
    """Write an image file, whole or not at all.

    Raises:
        InputError: suffix that cannot be written, a NIfTI twin beside it, or a folder that cannot be written to.
    """
    path = Path(path)
    if not suffix_of(path).endswith(WRITE_SUFFIXES):
        raise InputError(f"{path}: expected a name ending in {', '.join(WRITE_SUFFIXES)}, got {path.name!r}")
    check_twin(path)
    write_whole(path, lambda part: sitk.WriteImage(image, part, compress))


def write_whole(path: str | Path, write: Callable[[str], object]) -> None:
    """Call `write(temporary name)`, then rename; ITK's failures become one sentence."""
    with whole_or_not(path) as part:
        try:
            write(os.fspath(part))
        except RuntimeError as error:
            text = re.sub(r"\s+", " ", str(error))[-160:]
            raise InputError(f"{path}: cannot be written; is the disk full? ({text})") from None


def check_twin(path: Path) -> None:
    """Raise InputError when f.nii is about to stand beside f.nii.gz, or the other way round."""
    suffix = suffix_of(path)
    if suffix in (".nii", ".nii.gz"):
        twin = path.with_name(path.name[: -len(suffix)] + (".nii" if suffix == ".nii.gz" else ".nii.gz"))
        if twin.exists():
            raise InputError(f"{path}: {twin.name} lies beside it and readers mix up the two; remove or rename one")


def write_image(image: Image, path: str | Path) -> None:
    """Write a float32 image, uncompressed except .nii.gz."""
    write_sitk(image_to_sitk(image), path, compress=suffix_of(Path(path)) == ".nii.gz")


def write_dose(dose: Dose, path: str | Path) -> None:
    """Write a dose, Gy, as float32."""
    write_image(Image(dose.array, dose.grid), path)
