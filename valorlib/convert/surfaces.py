"""Organs from label maps, structure sets, meshes or points: as surfaces, and as evenly spaced points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.convert.files import read_labels, read_points
from valorlib.convert.image_files import existing, suffix_of
from valorlib.convert.polydata import polydata_of_triangles
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointCloud
from valorlib.ops.thinning import thin_evenly

F64 = NDArray[np.float64]
MESHES = (".vtk", ".vtp", ".stl", ".ply", ".obj")
POINTS = (".csv", ".fcsv", ".mrk.json", ".json", ".txt")
LABEL_ARRAYS = ("label", "labels", "organ", "segment")


@dataclass(frozen=True, eq=False)
class Surface:
    """Triangles of one organ. points: (N, 3) LPS mm. faces: (M, 3) int, counterclockwise seen from outside."""

    points: F64
    faces: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OrganSet:
    """Organs of one file.

    names: label to name. surfaces: label to surface, where there are surfaces. cloud: the points of a point file.
    labels: the label map, where the file is one. warnings: plain sentences.
    """

    names: Mapping[int, str]
    surfaces: Mapping[int, Surface] = field(default_factory=dict)
    cloud: PointCloud | None = None
    labels: LabelMap | None = None
    warnings: tuple[str, ...] = ()


def read_organs(path: str | Path, *, space: str = "lps") -> OrganSet:
    """Organs of a label map, .seg.nrrd, RTSTRUCT, mesh, folder of meshes, or point file.

    Args:
        path: the file. A folder holds one mesh an organ, named by the file, or an RTSTRUCT.
        space: "lps" or "ras", of files that do not say (CSV, meshes).

    Raises:
        InputError: nothing there, or an organ without voxels, faces or points.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, space)
    path = existing(path)
    suffix = suffix_of(path)
    if suffix in POINTS:
        cloud = read_points(path, space)
        labels = [] if cloud.labels is None else np.unique(cloud.labels).tolist()
        return OrganSet({int(v): cloud.names.get(int(v), str(int(v))) for v in labels}, cloud=cloud)
    if suffix in MESHES:
        return _read_mesh_file(path, space)
    from valorlib.convert.dicom_rt import is_rtstruct

    if is_rtstruct(path):
        return _read_structure_set(path)
    return organs_of_labels(read_labels(path), name=path.name)


def organs_of_labels(labels: LabelMap, *, name: str = "labels") -> OrganSet:
    """Surfaces of all labels of a label map.

    Raises:
        InputError: no labels, or a named one without voxels.
    """
    if not labels.labels:
        raise InputError(f"{name}: expected at least one organ, got an empty label map; draw the organs first")
    empty = [word for label, word in labels.names.items() if label != 0 and label not in labels.labels]
    if empty:
        raise InputError(f"{name}: expected voxels in each organ, got none in {empty[0]}; draw it or remove it")
    surfaces = {label: surface_of_mask(labels.array == label, labels.grid) for label in labels.labels}
    return OrganSet({label: labels.name_of(label) for label in labels.labels}, surfaces, labels=labels)


def surface_of_mask(mask: NDArray[np.bool_], grid: Grid) -> Surface:
    """Surface of a mask (K, J, I): marching cubes on the lightly smoothed mask, closed at the border of the image."""
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    where = np.nonzero(mask)
    if not len(where[0]):
        raise InputError("mask: expected at least one voxel, got none")
    low = np.array([axis.min() for axis in where])
    high = np.array([axis.max() for axis in where]) + 1
    box = np.pad(mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))], 3).astype(np.float32)
    smooth = gaussian_filter(box, 0.6)
    # A structure one voxel thick would vanish: keep it as drawn.
    if (smooth > 0.5).sum() < 0.8 * box.sum():
        smooth = box
    corners, faces, _, _ = marching_cubes(smooth, 0.5)
    index = (corners + low - 3)[:, ::-1]
    points = grid.to_world(index)
    return Surface(points, outward(points, faces.astype(np.int64)))


def outward(points: F64, faces: NDArray[np.int64]) -> NDArray[np.int64]:
    """The faces turned so that the volume they enclose is positive."""
    a, b, c = (points[faces[:, n]] - points.mean(0) for n in range(3))
    return faces if float(np.einsum("nc,nc->", a, np.cross(b, c))) >= 0 else faces[:, ::-1]


def sample_surface(surface: Surface, count: int, rng: np.random.Generator) -> tuple[F64, F64]:
    """About `count` points spread evenly over a surface, and their outward unit normals; both (n, 3)."""
    a, b, c = (surface.points[surface.faces[:, n]] for n in range(3))
    normal = np.cross(b - a, c - a)
    twice = np.linalg.norm(normal, axis=1)
    if not len(twice) or twice.sum() <= 0:
        raise InputError("surface: expected faces with an area, got none; check the mesh")
    face = rng.choice(len(twice), 6 * count, p=twice / twice.sum())
    r, s = np.sqrt(rng.random(len(face))), rng.random(len(face))
    points = a[face] * (1 - r)[:, None] + b[face] * (r * (1 - s))[:, None] + c[face] * (r * s)[:, None]
    keep = thin_evenly(points, np.zeros(len(points), dtype=np.int64), count)
    face = face[keep]
    return points[keep], normal[face] / twice[face][:, None]


def cloud_of(organs: OrganSet, count: int, seed: int) -> PointCloud:
    """The points of a point file as they are, or about `count` points on each organ's surface."""
    if organs.cloud is not None:
        return organs.cloud
    points, normals, labels = [], [], []
    for label, surface in organs.surfaces.items():
        at, out = sample_surface(surface, count, np.random.default_rng([seed, label]))
        points.append(at)
        normals.append(out)
        labels.append(np.full(len(at), label))
    return PointCloud(np.concatenate(points), np.concatenate(labels), np.concatenate(normals), dict(organs.names))


def with_labels(organs: OrganSet, numbers: Mapping[int, int], names: Mapping[int, str]) -> OrganSet:
    """The same organs under other labels."""
    cloud, labels = organs.cloud, organs.labels
    if cloud is not None and cloud.labels is not None:
        cloud = PointCloud(cloud.points, np.vectorize(numbers.__getitem__)(cloud.labels), cloud.normals, dict(names))
    if labels is not None:
        array = np.zeros_like(labels.array)
        for old, new in numbers.items():
            array[labels.array == old] = new
        labels = LabelMap(array, labels.grid, dict(names))
    surfaces = {numbers[label]: surface for label, surface in organs.surfaces.items()}
    return OrganSet(dict(names), surfaces, cloud, labels, organs.warnings)


def match_names(fixed: OrganSet, moving: OrganSet) -> tuple[OrganSet, OrganSet]:
    """Both sets with the same label for the same name; sets without names are matched by number."""
    sides = (fixed, moving)
    plain = [all(name == str(label) for label, name in side.names.items()) for side in sides]
    if all(plain) or not all(side.names for side in sides):
        return fixed, moving
    if any(plain):
        named = sides[plain.index(False)].names
        merged = {label: named.get(label, str(label)) for side in sides for label in side.names}
        first, second = (with_labels(s, {k: k for k in s.names}, {k: merged[k] for k in s.names}) for s in sides)
        return first, second
    numbers: dict[str, int] = {}
    for name in [n for side in sides for n in side.names.values()]:
        numbers.setdefault(name.strip().lower(), len(numbers) + 1)
    agree = all(moving.names.get(k, n).lower() == n.lower() for k, n in fixed.names.items())
    if agree and len(set(fixed.names) | set(moving.names)) == len(numbers):
        return fixed, moving
    out = []
    for side in sides:
        change = {label: numbers[name.strip().lower()] for label, name in side.names.items()}
        out.append(with_labels(side, change, {change[label]: name for label, name in side.names.items()}))
    return out[0], out[1]


def _read_mesh(path: Path, space: str) -> Any:
    """The triangles of a mesh file, as VTK keeps them; a file with an error is refused."""
    import vtk

    readers = {
        ".vtp": vtk.vtkXMLPolyDataReader,
        ".stl": vtk.vtkSTLReader,
        ".ply": vtk.vtkPLYReader,
        ".obj": vtk.vtkOBJReader,
        ".vtk": vtk.vtkPolyDataReader,
    }
    reader = readers[suffix_of(path)]()
    reader.SetFileName(str(path))
    reader.GlobalWarningDisplayOff()
    reader.Update()
    cut = vtk.vtkTriangleFilter()
    cut.SetInputData(reader.GetOutput())
    cut.PassVertsOff()
    cut.PassLinesOff()
    clean = vtk.vtkCleanPolyData()
    clean.SetInputConnection(cut.GetOutputPort())
    clean.Update()
    mesh = clean.GetOutput()
    if mesh is None or not mesh.GetNumberOfPolys():
        raise InputError(f"{path.name}: expected a surface with faces, got none; export it again")
    return mesh


def _space_of(path: Path, space: str) -> str:
    """The space a mesh file names in its first lines, as Slicer writes it, or `space`."""
    with path.open("rb") as file:
        head = file.read(400).upper()
    if b"SPACE=RAS" in head:
        return "ras"
    return "lps" if b"SPACE=LPS" in head else space.lower()


def _read_mesh_file(path: Path, space: str) -> OrganSet:
    from vtk.util.numpy_support import vtk_to_numpy

    mesh = _read_mesh(path, space)
    points = vtk_to_numpy(mesh.GetPoints().GetData()).astype(np.float64)
    faces = vtk_to_numpy(mesh.GetPolys().GetConnectivityArray()).reshape(-1, 3).astype(np.int64)
    if not np.all(np.isfinite(points)):
        raise InputError(f"{path.name}: expected finite coordinates, got NaN or infinity; clean the mesh first")
    if _space_of(path, space) == "ras":
        points = points * (-1.0, -1.0, 1.0)
    owner = _face_labels(mesh, faces)
    if owner is None:
        return OrganSet({1: "surface"}, {1: Surface(points, outward(points, faces))})
    surfaces = {int(v): _part(points, faces[owner == v]) for v in np.unique(owner)}
    return OrganSet({label: str(label) for label in surfaces}, surfaces)


def _face_labels(mesh: Any, faces: NDArray[np.int64]) -> NDArray[np.int64] | None:
    from vtk.util.numpy_support import vtk_to_numpy

    for data, per_face in ((mesh.GetCellData(), True), (mesh.GetPointData(), False)):
        for n in range(data.GetNumberOfArrays()):
            if str(data.GetArrayName(n)).lower() in LABEL_ARRAYS:
                values = vtk_to_numpy(data.GetArray(n)).astype(np.int64)
                return np.asarray(values if per_face else values[faces[:, 0]])
    return None


def _part(points: F64, faces: NDArray[np.int64]) -> Surface:
    used, renumbered = np.unique(faces, return_inverse=True)
    own = points[used]
    return Surface(own, outward(own, renumbered.reshape(-1, 3).astype(np.int64)))


def _read_folder(folder: Path, space: str) -> OrganSet:
    files = sorted(p for p in folder.iterdir() if suffix_of(p) in MESHES)
    if files:
        found = {n + 1: _read_mesh_file(p, space) for n, p in enumerate(files)}
        names = {n + 1: p.stem for n, p in enumerate(files)}
        return OrganSet(names, {n: _joined(tuple(one.surfaces.values())) for n, one in found.items()})
    from valorlib.convert.dicom_rt import is_rtstruct

    sets = [p for p in sorted(folder.iterdir()) if p.is_file() and is_rtstruct(p)]
    if len(sets) != 1:
        raise InputError(
            f"{folder.name}: expected meshes or one RTSTRUCT in the folder, got {len(sets)} structure sets"
        )
    return _read_structure_set(sets[0])


def _joined(parts: Sequence[Surface]) -> Surface:
    start = np.cumsum([0, *(len(p.points) for p in parts)])
    faces = [p.faces + start[n] for n, p in enumerate(parts)]
    return Surface(np.concatenate([p.points for p in parts]), np.concatenate(faces))


def _read_structure_set(path: Path) -> OrganSet:
    from valorlib.convert.dicom_rt import read_rtstruct
    from valorlib.metrics.contours import solid_of

    found = read_rtstruct(path)
    if not found.structures:
        raise InputError(f"{path.name}: expected at least one structure with contours, got none; choose another file")
    surfaces, names = {}, {}
    for number, contours in enumerate(found.structures, start=1):
        surfaces[number] = _surface_of_solid(solid_of(contours))
        names[number] = contours.name
    return OrganSet(names, surfaces, warnings=found.warnings)


def _surface_of_solid(solid: Any, *, step_mm: float = 1.5) -> Surface:
    low, high = (np.asarray(corner) for corner in solid.box)
    low, high = low - 2 * step_mm, high + 2 * step_mm
    size = np.ceil((high - low) / step_mm).astype(int) + 1
    size = np.minimum(size, 400)
    spacing = (high - low) / (size - 1)
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(solid.axes).T * spacing
    matrix[:3, 3] = np.asarray(solid.axes).T @ low
    if np.linalg.det(matrix[:3, :3]) < 0:
        matrix[:3, 0], matrix[:3, 3] = -matrix[:3, 0], matrix[:3, 3] + matrix[:3, 0] * (size[0] - 1)
    grid = Grid.from_matrix([int(n) for n in size], matrix)
    inside = solid.inside(grid.points().reshape(-1, 3)).reshape(grid.shape)
    if not inside.any():
        raise InputError(f"{solid.name}: expected a structure with a volume, got none; draw it again")
    return surface_of_mask(inside, grid)


def write_surface(surface: Surface, path: Path, scalars: Mapping[str, F64] | None = None) -> None:
    """Write a surface (or points alone) as .vtk, LPS mm, with values a point by name."""
    import vtk

    mesh = polydata_of_triangles(surface.points.astype(np.float32), surface.faces, scalars)
    writer = vtk.vtkPolyDataWriter()
    writer.SetFileName(str(path))
    writer.SetFileTypeToBinary()
    writer.SetFileVersion(42)
    writer.SetHeader("SlicerVALOR moved organ;SPACE=LPS")
    writer.SetInputData(mesh)
    if not writer.Write():
        raise InputError(f"{path.name}: could not be written; check the free space on the disk")
