"""Numbers of carried organs: surface distances, overlap with the fixed organ and with each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkFiltersGeneral import vtkDistancePolyDataFilter

from valorlib.convert.polydata import polydata_of_triangles
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointPair
from valorlib.core.results import Result
from valorlib.metrics.overlap import overlap

F64 = NDArray[np.float64]


class _Mesh(Protocol):
    """A surface: points (N, 3) LPS mm, faces (M, 3)."""

    @property
    def points(self) -> F64: ...
    @property
    def faces(self) -> NDArray[np.int64]: ...


class _Side(Protocol):
    @property
    def surfaces(self) -> Mapping[int, Any]: ...
    @property
    def labels(self) -> LabelMap | None: ...


def point_distances(first: F64, second: F64) -> dict[str, float]:
    """Nearest distances between two sets of points, both ways, mm; hd95_mm: the larger of the two directions."""
    return _summary(cKDTree(second).query(first)[0], cKDTree(first).query(second)[0])


def surface_distances(first: _Mesh, second: _Mesh) -> dict[str, float]:
    """As `point_distances`, from the corners of each surface to the nearest place on the other one's triangles."""
    measure = vtkDistancePolyDataFilter()
    measure.SignedDistanceOff()
    measure.ComputeSecondDistanceOn()
    measure.ComputeCellCenterDistanceOff()
    for port, surface in enumerate((first, second)):
        points = np.asarray(surface.points, dtype=np.float64)
        measure.SetInputData(port, polydata_of_triangles(points, surface.faces))
    measure.Update()
    found = (measure.GetOutput(), measure.GetSecondDistanceOutput())
    there, back = (vtk_to_numpy(mesh.GetPointData().GetArray("Distance")).astype(np.float64) for mesh in found)
    return _summary(there, back)


def _summary(there: F64, back: F64) -> dict[str, float]:
    both = np.concatenate([there, back])
    return {
        "mean_mm": float(both.mean()),
        "p95_mm": float(np.percentile(both, 95)),
        "max_mm": float(both.max()),
        "hd95_mm": float(max(np.percentile(there, 95), np.percentile(back, 95))),
    }


def enclosed_ml(surface: _Mesh) -> float:
    """Volume inside a closed surface, ml."""
    a, b, c = (surface.points[surface.faces[:, n]] - surface.points.mean(0) for n in range(3))
    return abs(float(np.einsum("nc,nc->", a, np.cross(b, c)))) / 6000


def organ_table(
    sides: tuple[_Side, _Side],
    pair: PointPair,
    result: Result,
    moved: Mapping[int, Any],
    warped: LabelMap | None,
    names: Mapping[int, str],
) -> list[dict[str, Any]]:
    """One row an organ: distances before and after, Dice, volume change, mean sigma; what cannot be known is None.

    Args:
        sides: the organs of the fixed and the moving file.
        pair: the clouds that were registered.
        result: of the registration.
        moved: label to moved surface.
        warped: the moving label map on the fixed grid.
        names: label to name.
    """
    fixed_owner, moving_owner = (_owner(cloud.labels, len(cloud.points)) for cloud in (pair.fixed, pair.moving))
    rows = []
    for label in sorted(set(fixed_owner.tolist()) | set(moving_owner.tolist())):
        here, there = fixed_owner == label, moving_owner == label
        row: dict[str, Any] = {"label": label, "organ": names.get(label, str(label))}
        row["in_fixed"], row["in_moving"] = bool(here.any()), bool(there.any())
        if row["in_moving"] and result.sigma_mm is not None and result.moved is not None:
            row["sigma_mm"] = float(result.sigma_mm[there].mean())
            shift = result.moved.points[there] - pair.moving.points[there]
            row["moved_mm"] = float(np.linalg.norm(shift, axis=1).mean())
        if row["in_fixed"] and row["in_moving"] and result.moved is not None:
            target, target_points = sides[0].surfaces.get(label), pair.fixed.points[here]
            start, end = sides[1].surfaces.get(label), moved.get(label)
            row["before"] = _between(start, pair.moving.points[there], target, target_points)
            row["after"] = _between(end, result.moved.points[there], target, target_points)
        row |= _volumes(sides, moved, warped, label)
        rows.append(row)
    return rows


def _owner(labels: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
    return np.ones(count, dtype=np.int64) if labels is None else labels


def _between(moving: Any, moving_points: F64, fixed: Any, fixed_points: F64) -> dict[str, float]:
    """Between surfaces where both sides have one, else between the points."""
    if all(surface is not None and len(surface.faces) for surface in (moving, fixed)):
        return surface_distances(moving, fixed)
    return point_distances(moving_points, fixed_points)


def _volumes(
    sides: tuple[_Side, _Side], moved: Mapping[int, Any], warped: LabelMap | None, label: int
) -> dict[str, Any]:
    out: dict[str, Any] = {}
    start, end = sides[1].surfaces.get(label), moved.get(label)
    if start is not None and end is not None and len(start.faces):
        before, after = enclosed_ml(start), enclosed_ml(end)
        out |= {"moving_ml": before, "moved_ml": after}
        out["change_pct"] = 100 * (after / before - 1) if before > 0 else None
    fixed = sides[0].labels
    if fixed is not None and warped is not None and label in fixed.labels:
        reference = fixed.array == label if fixed.grid.matches(warped.grid) else None
        if reference is not None and (warped.array == label).any():
            out["dice"] = overlap(warped.array == label, reference).dice
        elif reference is not None and start is not None:
            out["dice"] = 0.0
    return out


def total_overlap(masks: Mapping[int, NDArray[np.bool_]], grid: Grid) -> dict[str, float]:
    """How much carried organs share: ml covered twice or more, and its percentage of what they cover."""
    count = np.zeros(grid.shape, dtype=np.int16)
    for mask in masks.values():
        count += mask
    twice, once = int((count > 1).sum()), int((count > 0).sum())
    return {"ml": twice * grid.voxel_volume_mm3 / 1000, "pct": 100 * twice / once if once else 0.0}
