"""DICOM files and folders, as the worker reads them: image series, RTDOSE, RTSTRUCT."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from valor_workbench.worker import Context
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap

MOST_FILES = 20_000
OWN_GRID_MM = 2.0
MARGIN_MM = 4.0


def read_dicom(
    context: Context, path: Path, grid: Grid | None
) -> tuple[tuple[Image, ...], Dose | None, LabelMap | None]:
    """Images, dose and structures of a folder, or of the folder a file lies in.

    grid: where the structures are filled in when no image is beside them; a grid of their own when None.

    Raises:
        InputError: no image, dose or structures there, or one sentence on what is wrong with them.
    """
    from valorlib.convert.dicom_rt import is_rtdose, is_rtstruct, read_rtdose, read_rtstruct

    files = sorted(p for p in path.rglob("*") if p.is_file())[:MOST_FILES] if path.is_dir() else [path]
    doses = [p for p in files if is_rtdose(p)]
    structure_sets = [p for p in files if is_rtstruct(p)]
    dose = read_rtdose(doses[0]).dose if doses else None
    images: tuple[Image, ...] = ()
    try:
        images = _images(path, {p.parent for p in files if p not in doses and p not in structure_sets})
    except InputError:
        if dose is None and not structure_sets:
            raise
    labels = None
    if structure_sets:
        context.progress(0.5, "Filling the structures in")
        found = read_rtstruct(structure_sets[0]).structures
        labels = fill_in(context, found, images[0].grid if images else grid)
    return images, dose, labels


def _images(path: Path, folders: set[Path]) -> tuple[Image, ...]:
    from valorlib.convert.files import read_image

    if path.is_file():
        return (read_image(path.parent),) if folders else ()
    found, problems = [], []
    for folder in sorted(folders):
        try:
            found.append(read_image(folder))
        except InputError as error:
            problems.append(error)
    if not found and problems:
        raise problems[0]
    return tuple(found)


def fill_in(context: Context, structures: tuple[object, ...], grid: Grid | None) -> LabelMap:
    """Contours as one label map; where two overlap, the smaller stays on top."""
    from valorlib.metrics.contours import solid_of

    if not structures:
        raise InputError("structures: expected closed contours, got none; export them again")
    solids = [solid_of(one) for one in structures]  # type: ignore[arg-type]
    points = np.concatenate([p for one in structures for p in one.polygons])  # type: ignore[attr-defined]
    grid = grid or _around(points)
    at = grid.points().reshape(-1, 3)
    masks = []
    for n, solid in enumerate(solids):
        context.progress(0.5 + 0.5 * n / len(solids), f"Filling {solid.name} in")
        masks.append(solid.inside(at))
    out = np.zeros(len(at), dtype=np.int32)
    for n in sorted(range(len(masks)), key=lambda n: -int(masks[n].sum())):
        out[masks[n]] = n + 1
    return LabelMap(out.reshape(grid.shape), grid, {n + 1: solid.name for n, solid in enumerate(solids)})


def _around(points: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Grid:
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    size = np.maximum(1, np.ceil((high - low) / OWN_GRID_MM)).astype(int)
    spacing = (OWN_GRID_MM, OWN_GRID_MM, OWN_GRID_MM)
    return Grid((int(size[0]), int(size[1]), int(size[2])), spacing, (float(low[0]), float(low[1]), float(low[2])))
