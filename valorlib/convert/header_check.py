"""Faults of image files that ITK reads without a word: cut-off NIfTI files, NIfTI twins, headers of zeros."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

from valorlib.core.errors import InputError

NIFTI1_SIZE, NIFTI2_SIZE = 348, 540


def check_header(path: Path, suffix: str) -> None:
    """Raise InputError for what the reader behind would not notice."""
    if suffix in (".nii", ".nii.gz"):
        _check_nifti(path, suffix)


def _check_nifti(path: Path, suffix: str) -> None:
    twin = path.with_name(path.name[: -len(suffix)] + (".nii" if suffix == ".nii.gz" else ".nii.gz"))
    if twin.exists():
        # ITK takes the header of one and the voxels of the other.
        raise InputError(f"{path}: {twin.name} lies beside it and readers mix up the two; remove or rename one")
    head = _head(path)
    order = next((o for o in "<>" if struct.unpack_from(o + "i", head)[0] in (NIFTI1_SIZE, NIFTI2_SIZE)), None)
    if order is None:
        raise InputError(f"{path}: expected NIfTI data, got something damaged or of another kind; export it again")
    if struct.unpack_from(order + "i", head)[0] == NIFTI2_SIZE:
        dims = struct.unpack_from(order + "8q", head, 16)
        bits, offset = struct.unpack_from(order + "h", head, 14)[0], struct.unpack_from(order + "q", head, 168)[0]
        pixdim, forms = struct.unpack_from(order + "8d", head, 104), struct.unpack_from(order + "2i", head, 344)
    else:
        dims = struct.unpack_from(order + "8h", head, 40)
        bits, offset = struct.unpack_from(order + "h", head, 72)[0], struct.unpack_from(order + "f", head, 108)[0]
        pixdim, forms = struct.unpack_from(order + "8f", head, 76), struct.unpack_from(order + "2h", head, 252)
    used = [int(n) for n in dims[1 : 1 + max(0, min(int(dims[0]), 7))]]
    if not used or min(used) < 1 or bits < 1:
        raise InputError(f"{path}: expected an image, got a header without voxels; export it again")
    if not any(forms) and not all(math.isfinite(p) and p > 0 for p in pixdim[1 : 1 + min(3, len(used))]):
        raise InputError(f"{path}: expected positive spacing, got {pixdim[1:4]}; correct the header of the file")
    wanted = int(offset) + math.prod(used) * bits // 8
    length = _length(path, wanted)
    if length < wanted:
        raise InputError(f"{path}: expected {wanted} bytes, got {length}; the file is cut off, copy it again")


def _head(path: Path) -> bytes:
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(NIFTI2_SIZE)
    except (OSError, EOFError, zlib.error):
        head = b""
    if len(head) < NIFTI1_SIZE:
        raise InputError(f"{path}: expected NIfTI data, got something damaged or of another kind; export it again")
    return head.ljust(NIFTI2_SIZE, b"\0")


def _length(path: Path, wanted: int) -> int:
    """Bytes of the file when unpacked; cheap where the trailer of the gzip file tells it."""
    with path.open("rb") as raw:
        if raw.read(2) != b"\x1f\x8b":
            return path.stat().st_size
        raw.seek(-4, 2)
        told = struct.unpack("<I", raw.read(4))[0]
    if told == wanted % 2**32:
        return wanted
    total = 0
    try:
        with gzip.open(path) as file:
            while block := file.read(1 << 22):
                total += len(block)
    except (OSError, EOFError, zlib.error):
        return min(total, wanted - 1)
    return total
