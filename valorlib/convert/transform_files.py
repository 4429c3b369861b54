"""Transforms in files: ITK transform files, and displacement fields as vector images."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from valorlib.convert.image_files import VOLUME_SUFFIXES, existing, read_sitk, suffix_of, write_sitk, write_whole
from valorlib.convert.simpleitk import field_from_sitk, field_to_sitk, transform_from_sitk, transform_to_sitk
from valorlib.core.errors import InputError
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform, VelocityField
from valorlib.ops.mapping import exponentiate

TRANSFORM_SUFFIXES = (".h5", ".hdf5", ".tfm", ".txt", ".mat")


def read_transform(path: str | Path) -> Transform:
    """Transform of an ITK transform file (.h5 .tfm .txt .mat) or of a displacement field (.nrrd .nii.gz .mha ...).

    Both are taken as fixed to moving, LPS mm: what resampling the moving image needs, and what Slicer saves.

    Raises:
        InputError: missing or damaged file, or something else than a transform.
    """
    path = existing(path)
    suffix = suffix_of(path)
    try:
        if suffix in TRANSFORM_SUFFIXES:
            return transform_from_sitk(sitk.ReadTransform(str(path)))
        if suffix.endswith(VOLUME_SUFFIXES):
            return field_from_sitk(_as_3d(read_sitk(path)))
    except RuntimeError as error:
        hint = "save it in Slicer as a grid transform" if "Inverse" in str(error) else "save it again"
        raise InputError(
            f"{path}: expected an ITK transform, got something damaged or of another kind; {hint}"
        ) from None
    except InputError as error:
        if str(error).startswith(str(path)):
            raise
        raise InputError(f"{path}: {error}") from None
    known = ", ".join((*TRANSFORM_SUFFIXES, *VOLUME_SUFFIXES))
    raise InputError(f"{path}: expected a transform file ({known}), got {suffix or 'no suffix'!r}")


def _as_3d(image: sitk.Image) -> sitk.Image:
    """A 4D scalar image whose last axis holds three components, as a vector image."""
    if image.GetDimension() == 4 and image.GetNumberOfComponentsPerPixel() == 1 and image.GetSize()[3] == 3:
        return sitk.Compose([image[:, :, :, n] for n in range(3)])
    return image


def write_field(field: DisplacementField, path: str | Path) -> None:
    """Write a displacement field as a float32 vector image, mm LPS, that ITK and Slicer read as a transform."""
    image = sitk.Cast(field_to_sitk(field), sitk.sitkVectorFloat32)
    if suffix_of(Path(path)).endswith(".nrrd"):
        image.SetMetaData("displacement field type", "resampling")
    write_sitk(image, path, compress=suffix_of(Path(path)) == ".nii.gz")


def write_transform(transform: Transform, path: str | Path) -> None:
    """Write an ITK transform file (.h5 .tfm .txt .mat) or, with an image's suffix, one displacement field.

    A velocity field is exponentiated first.

    Raises:
        InputError: unknown suffix, a chain or affine where a field is wanted, or a folder that cannot be written to.
    """
    path, suffix = Path(path), suffix_of(Path(path))
    transform = _without_velocity(transform)
    if suffix in TRANSFORM_SUFFIXES:
        write_whole(path, lambda part: sitk.WriteTransform(transform_to_sitk(transform), part))
    elif isinstance(transform, DisplacementField):
        write_field(transform, path)
    else:
        raise InputError(
            f"{path}: expected a name ending in {', '.join(TRANSFORM_SUFFIXES)} for an affine or a chain; "
            "sample it to a displacement field first"
        )


def _without_velocity(transform: Transform) -> AffineTransform | DisplacementField | Chain:
    if isinstance(transform, VelocityField):
        return exponentiate(transform)
    if isinstance(transform, Chain):
        return Chain(tuple(_without_velocity(part) for part in transform.parts))
    return transform
