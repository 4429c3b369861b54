"""What the worker is asked to do. Core types in, core types out; no scene, no page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from valor_workbench.worker import Context
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.points import PointCloud, PointPair, Seeds
from valorlib.core.transforms import DisplacementField, Transform

MESHES = (".vtk", ".vtp", ".stl", ".ply", ".obj")


@dataclass(frozen=True, eq=False)
class Opened:
    """What a file held. Only the fields that apply are filled."""

    name: str
    images: tuple[Image, ...] = ()
    labels: LabelMap | None = None
    dose: Dose | None = None
    transform: Transform | None = None
    seeds: Seeds | None = None
    points: PointCloud | None = None
    surfaces: Mapping[str, Any] = field(default_factory=dict)
    dicom_folder: str = ""


@dataclass(frozen=True, eq=False)
class DemoData:
    """The generated pair and what is true about it."""

    fixed: Image
    moving: Image
    seeds: Seeds | None
    truth: DisplacementField | None
    fixed_tumors: LabelMap | None
    landmarks: PointPair | None
    extras: Mapping[str, Any] = field(default_factory=dict)


def open_path(context: Context, path: Path, grid: Grid | None = None) -> Opened:
    """Read one file or DICOM folder, whatever it holds; grid: where DICOM structures are filled in."""
    from valorlib.convert import files

    context.progress(0.1, f"Reading {path.name}")
    name = path.name.lower()
    if name.endswith(MESHES) or (path.is_dir() and any(p.name.lower().endswith(MESHES) for p in path.iterdir())):
        return Opened(path.name, surfaces=_surfaces(path))
    if path.is_dir() or name.endswith((".dcm", ".ima")):
        from valor_workbench.tasks_dicom import read_dicom

        images, dose, labels = read_dicom(context, path, grid)
        folder = str(path if path.is_dir() else path.parent)
        return Opened(path.name, images=images, dose=dose, labels=labels, dicom_folder=folder)
    if name.endswith((".h5", ".tfm", ".mat", ".txt")):
        return Opened(path.name, transform=files.read_transform(path))
    if name.endswith((".mrk.json", ".fcsv")) and "landmark" in name:
        return Opened(path.name, points=PointCloud(files.read_seeds(path).points))
    if name.endswith((".mrk.json", ".fcsv")):
        return Opened(path.name, seeds=files.read_seeds(path))
    if name.endswith(".csv"):
        return Opened(path.name, points=files.read_points(path))
    if name.endswith(".seg.nrrd"):
        return Opened(path.name, labels=files.read_labels(path))
    return _open_volume(path)


def open_surfaces(context: Context, paths: Sequence[Path]) -> Opened:
    """Several surface files that were opened together: one set, an organ a file."""
    found: dict[str, Any] = {}
    for n, path in enumerate(paths):
        context.progress(n / len(paths), f"Reading {path.name}")
        for name, surface in _surfaces(path).items():
            if name in found:
                raise InputError(f"{path.name}: expected each organ once, got {name} twice; rename a file")
            found[name] = surface
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    return Opened(f"{paths[0].name}{more}", surfaces=found)


def _surfaces(path: Path) -> dict[str, Any]:
    """Name of each organ to its surface; one without a name is called as its file."""
    from valorlib.convert.surfaces import read_organs

    organs = read_organs(path)
    if len(organs.surfaces) == 1 and not path.is_dir():
        return {path.name.split(".")[0]: next(iter(organs.surfaces.values()))}
    return {organs.names[number]: surface for number, surface in organs.surfaces.items()}


def _open_volume(path: Path) -> Opened:
    from valorlib.convert import files

    try:
        image = files.read_image(path)
    except InputError as error:
        try:
            return Opened(path.name, transform=files.read_transform(path))
        except InputError:
            raise error from None
    words = path.name.lower()
    if "dose" in words:
        return Opened(path.name, dose=files.read_dose(path))
    if any(word in words for word in ("seg", "label", "mask", "structure")):
        return Opened(path.name, labels=files.read_labels(path))
    return Opened(path.name, images=(image,))


def make_demo(context: Context, seed: int, size: str) -> DemoData:
    """The generated breast pair."""
    from valorlib.demo import make_pair

    context.progress(0.1, "Making two scans")
    case = make_pair(seed, size=size)
    return DemoData(case.pair.fixed, case.pair.moving, case.pair.seeds, case.truth, case.fixed_tumors, case.landmarks)


def warm_up(context: Context) -> None:
    """Import what runs need, so that the first one starts at once."""
    import valorlib.methods.valor  # noqa: F401
