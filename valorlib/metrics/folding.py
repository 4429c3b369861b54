"""Where a transform folds, how it changes volume, and how well it agrees with its inverse."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.jacobian import F32, axis_components, gradient, jacobian_determinant, slabs
from valorlib.ops.stencils import strict_determinants

MAX_PLACES = 100


@dataclass(frozen=True, kw_only=True)
class FoldPlace:
    """One connected group of folded voxels; position_mm: LPS mm of its worst voxel."""

    position_mm: tuple[float, float, float]
    voxels: int
    volume_ml: float
    worst: float


@dataclass(frozen=True, kw_only=True)
class FoldSummary:
    """Folds and volume change of a transform.

    count, share_pct, volume_ml: voxels whose determinant by central differences is 0 or less. strict_*: the same when
    any finite-difference stencil is 0 or less (8 one-sided corners, 2 inner tetrahedra of each cell, central).
    folded_ml: non-diffeomorphic volume, the summed size of the inverted tetrahedra. places: where to look, worst first
    (strict count). sd_log_jacobian: of the determinant itself, 2-voxel border left out, folds at 1e-9.
    sd_log_jacobian_l2r: Learn2Reg's figure, which adds 3 to the determinant first. harmonic_energy: mean squared
    Frobenius norm of the displacement's gradient.
    """

    voxels: int
    count: int
    share_pct: float
    volume_ml: float
    strict_count: int
    strict_share_pct: float
    strict_volume_ml: float
    folded_ml: float
    places: tuple[FoldPlace, ...]
    minimum: float
    p01: float
    mean: float
    p99: float
    maximum: float
    sd_log_jacobian: float
    sd_log_jacobian_l2r: float
    harmonic_energy: float

    @property
    def sentence(self) -> str:
        """What to tell the user."""
        if not self.strict_count:
            return "No folds: the transform is invertible at every voxel."
        return (
            f"The transform folds at {self.strict_count} voxels ({self.strict_share_pct:.3g} %, "
            f"{self.strict_volume_ml:.3g} ml) in {len(self.places)} places; do not use it there."
        )

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def fold_summary(
    field: DisplacementField, *, mask: NDArray[np.bool_] | None = None, jacobian: Image | None = None
) -> FoldSummary:
    """Folds of a displacement field, counted loosely and strictly, with the places.

    Args:
        field: the whole transform as one field.
        mask: (K, J, I); count inside it only.
        jacobian: the central determinant, when it is at hand.
    """
    det = (jacobian or jacobian_determinant(field)).array
    if mask is not None and mask.shape != det.shape:
        raise InputError(f"mask: expected shape {det.shape}, got {mask.shape}; resample it onto the transform's grid")
    worst, folded_mm3 = strict_determinants(field, det)
    strict = worst <= 0
    inside = np.ones(det.shape, dtype=bool) if mask is None else mask
    folded, strict = (det <= 0) & inside, strict & inside
    values = det[inside]
    if not values.size:
        raise InputError("mask: expected at least one voxel, got none; choose another structure")
    voxel_ml = field.grid.voxel_volume_mm3 / 1000
    low, high = np.percentile(values, (1, 99))
    return FoldSummary(
        voxels=int(values.size),
        count=int(folded.sum()),
        share_pct=float(100 * folded.sum() / values.size),
        volume_ml=float(folded.sum() * voxel_ml),
        strict_count=int(strict.sum()),
        strict_share_pct=float(100 * strict.sum() / values.size),
        strict_volume_ml=float(strict.sum() * voxel_ml),
        folded_ml=float(folded_mm3[inside].sum() / 1000),
        places=_places(strict, worst, field, voxel_ml),
        minimum=float(values.min()),
        p01=float(low),
        mean=float(values.mean(dtype=np.float64)),
        p99=float(high),
        maximum=float(values.max()),
        sd_log_jacobian=sd_log(det, inside),
        sd_log_jacobian_l2r=sd_log(det + np.float32(3), inside),
        harmonic_energy=harmonic_energy(field),
    )


def sd_log(values: F32, mask: NDArray[np.bool_] | None = None) -> float:
    """Standard deviation of the log, values clipped to 1e-9..1e9, without a 2-voxel border (where there is room)."""
    cut = tuple(slice(2, -2) if n > 4 else slice(None) for n in values.shape)
    inner = values[cut] if mask is None else values[cut][mask[cut]]
    return float(np.log(np.clip(inner, 1e-9, 1e9)).std(dtype=np.float64)) if inner.size else 0.0


def harmonic_energy(field: DisplacementField) -> float:
    """Mean over voxels of the squared Frobenius norm of the displacement's gradient (no unit)."""
    total = 0.0
    for part in slabs(field.grid):
        low, high = max(0, part.start - 2), min(field.grid.size[2], part.stop + 2)
        inner = slice(part.start - low, part.stop - low)
        for component in axis_components(field, slice(low, high)):
            for axis in range(3):
                d = gradient(component if axis == 0 else component[inner], axis, field.grid.spacing[2 - axis])
                d = d[inner] if axis == 0 else d
                total += float(np.sum(d * d, dtype=np.float64))
    return total / float(np.prod(field.grid.shape))


def _places(folds: NDArray[np.bool_], worst: F32, field: DisplacementField, voxel_ml: float) -> tuple[FoldPlace, ...]:
    if not folds.any():
        return ()
    groups, count = ndimage.label(folds, structure=np.ones((3, 3, 3)))
    numbers = np.arange(1, count + 1)
    sizes = np.bincount(groups.ravel(), minlength=count + 1)[1:]
    lowest = ndimage.minimum_position(worst, groups, numbers)
    depth = np.asarray([worst[p] for p in lowest])
    found = []
    for n in np.argsort(depth, kind="stable")[:MAX_PLACES]:
        x, y, z = (round(float(v), 3) for v in field.grid.to_world(lowest[n][::-1]))
        volume = float(sizes[n] * voxel_ml)
        found.append(FoldPlace(position_mm=(x, y, z), voxels=int(sizes[n]), volume_ml=volume, worst=float(depth[n])))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class StructureJacobian:
    """Volume change inside one structure: a mean of 0.9 is a loss of 10 %."""

    name: str
    voxels: int
    volume_ml: float
    mean: float
    minimum: float
    p05: float
    p95: float
    maximum: float
    folds: int


def structure_jacobians(jacobian: Image, labels: LabelMap) -> tuple[StructureJacobian, ...]:
    """Statistics of the determinant in each structure."""
    if not labels.grid.matches(jacobian.grid):
        raise InputError("structures: expected the grid of the transform; resample them onto it first")
    rows = []
    for label in labels.labels:
        values = jacobian.array[labels.array == label]
        low, high = np.percentile(values, (5, 95))
        rows.append(
            StructureJacobian(
                name=labels.name_of(label),
                voxels=int(values.size),
                volume_ml=values.size * jacobian.grid.voxel_volume_mm3 / 1000,
                mean=float(values.mean(dtype=np.float64)),
                minimum=float(values.min()),
                p05=float(low),
                p95=float(high),
                maximum=float(values.max()),
                folds=int((values <= 0).sum()),
            )
        )
    return tuple(rows)


@dataclass(frozen=True, eq=False, kw_only=True)
class InverseConsistency:
    """How far a point lands from where it started after going there and back, mm; NaN where it leaves the field."""

    error: Image
    mean_mm: float
    p95_mm: float
    max_mm: float
    outside_pct: float


def inverse_consistency(forward: DisplacementField, inverse: DisplacementField) -> InverseConsistency:
    """|u(x) + v(x + u(x))| at each voxel of the forward field; voxels that leave the inverse's grid are not counted."""
    u = forward.array
    at = forward.grid.points() + u
    inside = inverse.grid.contains(at)
    index = np.moveaxis(inverse.grid.to_index(at)[..., ::-1], -1, 0)
    back = [ndimage.map_coordinates(inverse.array[..., c], index, order=1, mode="nearest") for c in range(3)]
    error = np.linalg.norm(u + np.stack(back, axis=-1), axis=-1).astype(np.float32)
    error[~inside] = np.nan
    values = error[inside]
    if not values.size:
        raise InputError("inverse: expected a field that covers where the points land; check that it is the inverse")
    return InverseConsistency(
        error=Image(error, forward.grid, "Inverse consistency"),
        mean_mm=float(values.mean(dtype=np.float64)),
        p95_mm=float(np.percentile(values, 95)),
        max_mm=float(values.max()),
        outside_pct=float(100 * (1 - inside.mean())),
    )
