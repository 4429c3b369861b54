"""PointCloudRegistration's computations, from core types to core types: run them in any worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import vtk
from numpy.typing import NDArray

from valorlib.convert.mrml import Triangles
from valorlib.convert.mrml_shapes import polydata_of
from valorlib.convert.mrml_space import array_of_image
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.results import Result
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.organs import surface_distances
from valorlib.ops.organ_field import organ_field
from valorlib.ops.transforms import to_displacement

F64 = NDArray[np.float64]

FIELD_MM = 4.0
"""Voxels of the transform made from the points."""
MARGIN_MM = 30.0
"""How far the transform reaches beyond the organs, where it fades to the common similarity."""


@dataclass(frozen=True, eq=False)
class Organs:
    """Point clouds of both sides with the surfaces they were drawn from; organs are numbered from 1 in both.

    names: number to name. fixed, moving: number to surface; the moving ones are carried along.
    """

    pair: PointPair
    names: Mapping[int, str]
    fixed: Mapping[int, Triangles]
    moving: Mapping[int, Triangles]


@dataclass(frozen=True, eq=False)
class OrganRow:
    """Numbers of one organ. Distances: between surfaces, both ways, mm."""

    name: str
    points: int
    mean_before_mm: float
    mean_after_mm: float
    hd95_before_mm: float
    hd95_after_mm: float
    displacement_mm: float
    sigma_mm: float


@dataclass(frozen=True, eq=False)
class PointOutcome:
    """A result with all that is shown of it, computed.

    surfaces: organ to its moved surface. sigma_mm, displacement_mm: organ to a value a vertex. transform: fixed to
    moving, one field. rows: one an organ.
    """

    result: Result
    surfaces: Mapping[int, Triangles]
    sigma_mm: Mapping[int, F64]
    displacement_mm: Mapping[int, F64]
    transform: DisplacementField
    rows: tuple[OrganRow, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


def sample_surface(surface: Triangles, spacing_mm: float, rng: np.random.Generator) -> tuple[F64, F64]:
    """Points about `spacing_mm` apart on a surface, with unit normals; both (n, 3).

    Drawn evenly by area, four times as many as needed, then one kept in each box of the wanted spacing.
    """
    a, b, c = (surface.points[surface.faces[:, n]] for n in range(3))
    normal = np.cross(b - a, c - a)
    twice = np.linalg.norm(normal, axis=1)
    if not len(twice) or twice.sum() <= 0:
        return np.zeros((0, 3)), np.zeros((0, 3))
    count = int(np.clip(4 * twice.sum() / 2 / spacing_mm**2, 200, 2_000_000))
    face = rng.choice(len(twice), count, p=twice / twice.sum())
    r, s = np.sqrt(rng.random(count)), rng.random(count)
    points = a[face] * (1 - r)[:, None] + b[face] * (r * (1 - s))[:, None] + c[face] * (r * s)[:, None]
    boxes = np.floor(points / spacing_mm).astype(np.int64)
    keep = np.sort(np.unique(boxes, axis=0, return_index=True)[1])
    face = face[keep]
    return points[keep], normal[face] / twice[face][:, None]


def clouds_of(
    fixed: Mapping[str, Triangles],
    moving: Mapping[str, Triangles],
    *,
    organs: tuple[str, ...] | None = None,
    spacing_mm: float = 4.0,
    seed: int = 0,
) -> Organs:
    """Clouds of the organs that both sides have, matched by name.

    Args:
        fixed: name to surface.
        moving: name to surface.
        organs: those wanted; None takes all that both sides have.
        spacing_mm: distance of the points.
        seed: of the sampling.

    Raises:
        InputError: nothing in common, or a wanted organ that a side lacks.
    """
    if not spacing_mm > 0:
        raise InputError(f"spacing_mm: expected a positive distance, got {spacing_mm:g}")
    for name in organs or ():
        for side, have in (("fixed", fixed), ("moving", moving)):
            if name not in have:
                raise InputError(f"{name}: expected in both sets, the {side} one lacks it; rename it or leave it out")
    common = [name for name in fixed if name in moving and (organs is None or name in organs)]
    if not common:
        raise InputError(
            f"organs: expected at least one name in both sets, got {', '.join(fixed) or 'none'} and "
            f"{', '.join(moving) or 'none'}; rename them alike"
        )
    numbers = {n + 1: name for n, name in enumerate(common)}
    rng = np.random.default_rng(seed)
    sides = [
        _cloud({n: side[name] for n, name in numbers.items()}, numbers, spacing_mm, rng) for side in (fixed, moving)
    ]
    both = ({n: side[name] for n, name in numbers.items()} for side in (fixed, moving))
    return Organs(PointPair(*sides), numbers, *both)


def _cloud(
    surfaces: Mapping[int, Triangles], names: Mapping[int, str], spacing_mm: float, rng: np.random.Generator
) -> PointCloud:
    points, labels, normals = [], [], []
    for number, surface in surfaces.items():
        at, out = sample_surface(surface, spacing_mm, rng)
        if not len(at):
            raise InputError(f"{names[number]}: expected a surface, got an empty one; draw it or leave it out")
        points.append(at)
        normals.append(out)
        labels.append(np.full(len(at), number))
    return PointCloud(np.concatenate(points), np.concatenate(labels), np.concatenate(normals), dict(names))


def measure(organs: Organs, result: Result) -> PointOutcome:
    """All that is shown of a point registration, computed."""
    surfaces, sigma, moved_by = {}, {}, {}
    for number, surface in organs.moving.items():
        labels = np.full(len(surface.points), number)
        moved = _move(result, surface.points, labels)
        surfaces[number] = Triangles(moved, surface.faces)
        sigma[number] = _sigma(result, surface.points, labels)
        moved_by[number] = np.linalg.norm(moved - surface.points, axis=1)
    rows = tuple(_row(organs, n, surfaces[n], sigma[n], moved_by[n]) for n in organs.names)
    return PointOutcome(result, surfaces, sigma, moved_by, field_of(organs, result), rows, dict(organs.names))


def _move(result: Result, points: F64, labels: NDArray[np.int64]) -> F64:
    """Moving points in fixed space: by the method's model, or by the inverse transform where it has none."""
    model: Any = result.model
    if model is not None:
        return np.asarray(model.move(points, model.organs(labels, len(points))))
    from valorlib.ops.transforms import inverse_of, map_points

    return map_points(result.inverse if result.inverse is not None else inverse_of(result.transform), points)


def _sigma(result: Result, points: F64, labels: NDArray[np.int64]) -> F64:
    model: Any = result.model
    return (
        np.asarray(model.sigma_mm(points, model.organs(labels, len(points))))
        if model is not None
        else np.zeros(len(points))
    )


def _row(organs: Organs, number: int, moved: Triangles, sigma: F64, moved_by: F64) -> OrganRow:
    target = organs.fixed[number]
    first, last = surface_distances(organs.moving[number], target), surface_distances(moved, target)
    return OrganRow(
        organs.names[number],
        int(np.count_nonzero(organs.pair.moving.labels == number)),
        first["mean_mm"],
        last["mean_mm"],
        first["hd95_mm"],
        last["hd95_mm"],
        float(moved_by.mean()),
        float(sigma.mean()),
    )


def field_of(organs: Organs, result: Result) -> DisplacementField:
    """Fixed to moving as one field around the fixed organs: each organ's own motion inside it, smooth between.

    Far from all organs it is the common similarity.
    """
    if result.displacement is not None:
        return result.displacement
    grid = _box(organs.pair.fixed.points)
    if result.model is None:
        return to_displacement(result.transform, grid)
    return organ_field(result.model, voxels_of(organs.fixed, grid))


def voxels_of(surfaces: Mapping[int, Triangles], grid: Grid) -> LabelMap:
    """Label map of closed surfaces on a grid along the world's axes; a later organ covers an earlier one."""
    out = np.zeros(grid.shape, dtype=np.int32)
    for number, surface in surfaces.items():
        stencil = vtk.vtkPolyDataToImageStencil()
        # The stencil takes coordinates as they come: no RAS is needed for it.
        stencil.SetInputData(polydata_of(Triangles(surface.points * (-1, -1, 1), surface.faces)))
        stencil.SetOutputOrigin(grid.origin)
        stencil.SetOutputSpacing(grid.spacing)
        stencil.SetOutputWholeExtent([v for n in grid.size for v in (0, n - 1)])
        fill = vtk.vtkImageStencilToImage()
        fill.SetInputConnection(stencil.GetOutputPort())
        fill.SetInsideValue(1)
        fill.SetOutputScalarTypeToUnsignedChar()
        fill.Update()
        out[array_of_image(fill.GetOutput()) == 1] = number
    return LabelMap(out, grid)


def _box(points: F64) -> Grid:
    low, high = points.min(axis=0) - MARGIN_MM, points.max(axis=0) + MARGIN_MM
    size = np.ceil((high - low) / FIELD_MM).astype(int) + 1
    matrix = np.diag([FIELD_MM, FIELD_MM, FIELD_MM, 1.0])
    matrix[:3, 3] = low
    return Grid.from_matrix([int(n) for n in size], matrix)
