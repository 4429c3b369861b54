"""Structures from any file: label maps, segmentations, DICOM RTSTRUCT, or a folder of them."""

from __future__ import annotations

from pathlib import Path

from valorlib.convert.dicom_rt import is_rtstruct, is_segmentation, read_rtstruct
from valorlib.convert.image_files import existing
from valorlib.convert.segment_files import read_segments
from valorlib.core.errors import InputError
from valorlib.core.images import LabelMap
from valorlib.metrics.contours import solid_of
from valorlib.metrics.solids import StructurePoints, sample_labels, sample_solid

SUFFIXES = (".nrrd", ".nii", ".nii.gz", ".mha", ".mhd")


def read_structures(path: str | Path, *, cap: str = "rounded", seed: int = 0) -> tuple[StructurePoints, ...]:
    """Points of every structure of a file or folder.

    Args:
        path: label map, .seg.nrrd, DICOM SEG, RTSTRUCT, or a folder with one RTSTRUCT or one mask a file, named by it.
        cap: end-cap rule of contours.
        seed: of the sampling.

    Raises:
        InputError: nothing there, or no structure in it.
    """
    path = existing(path) if not Path(path).is_dir() else Path(path)
    if path.is_dir():
        return _of_folder(path, cap, seed)
    if is_rtstruct(path):
        return _of_rtstruct(path, cap, seed)
    masks = _of_segmentation(path) if is_segmentation(path) else read_segments(path)
    found = tuple(sample_labels(mask, 1, seed=seed) for mask in masks.values() if mask.labels)
    if not found:
        raise InputError(f"{path.name}: expected at least one structure, got an empty label map; choose another file")
    return found


def _of_segmentation(path: Path) -> dict[str, LabelMap]:
    from valorlib.convert.dicom_reg import read_segmentation

    return read_segmentation(path)


def _of_rtstruct(path: Path, cap: str, seed: int) -> tuple[StructurePoints, ...]:
    out = []
    for contours in read_rtstruct(path).structures:
        solid = solid_of(contours, cap=cap)
        step = max(1.0, min(2.5, float(solid.slice_mm)))
        out.append(sample_solid(solid, cell_mm=step, seed=seed))
    if not out:
        raise InputError(f"{path.name}: expected at least one structure with contours, got none; choose another file")
    return tuple(out)


def _of_folder(folder: Path, cap: str, seed: int) -> tuple[StructurePoints, ...]:
    files = sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith("."))
    structure_sets = [p for p in files if is_rtstruct(p)]
    if len(structure_sets) > 1:
        names = ", ".join(p.name for p in structure_sets[:4])
        raise InputError(
            f"{folder.name}: expected one structure set, got {len(structure_sets)} ({names}); name the file"
        )
    if structure_sets:
        return _of_rtstruct(structure_sets[0], cap, seed)
    out: list[StructurePoints] = []
    for path in files:
        if not path.name.lower().endswith(SUFFIXES):
            continue
        masks = {name: mask for name, mask in read_segments(path).items() if mask.labels}
        stem = path.name.split(".")[0]
        for name, mask in masks.items():
            points = sample_labels(mask, 1, seed=seed)
            label = stem if len(masks) == 1 else f"{stem} {name}"
            out.append(StructurePoints(label, points.points, points.weights_mm3, points.replicate, points.warnings))
    if not out:
        raise InputError(f"{folder.name}: expected masks ({', '.join(SUFFIXES)}) or an RTSTRUCT, got none of them")
    return tuple(out)
