"""Generated cases with a known truth: for trying the product, for tests and for benchmarks.

`make_pair` makes two scans of one procedural breast. The fixed scan is 7T-like (0.7 mm, shading, signal drops), the
moving one 3T-like (1.1 mm, another oblique grid), as the clinician uses them: the 3T scan is laid on the 7T scan, and
the click is made in the 3T scan. Both sample the same anatomy at exactly known positions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter, maximum_filter
from scipy.spatial.transform import Rotation

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointCloud, PointPair, Seeds
from valorlib.core.transforms import DisplacementField
from valorlib.demo_anatomy import Breast, Lesion, lesion_depth, make_noises, signal
from valorlib.demo_fields import known_field

__all__ = ["DemoCase", "make_pair"]

UNIT = 1000.0  # gray value of signal 1
SPACINGS = {"full": (0.7, 1.1), "small": (1.4, 1.8)}


@dataclass(frozen=True, eq=False)
class DemoCase:
    """Two scans and all that is true about them.

    pair: the scans, with one seed a tumor on the moving one. truth: exact displacement on the fixed grid.
    fixed_tumors, moving_tumors: labels 1, 2, ... landmarks: corresponding points; the label of each is the tumor it
    lies in, 0 at features elsewhere. kinds: "bright" or "isointense", one a tumor. lesions: the shapes (moving space).
    """

    pair: ImagePair
    truth: DisplacementField
    fixed_tumors: LabelMap
    moving_tumors: LabelMap
    landmarks: PointPair
    kinds: tuple[str, ...]
    lesions: tuple[Lesion, ...]

    @property
    def start_error_mm(self) -> float:
        """Mean landmark error before registration."""
        return float(np.linalg.norm(self.landmarks.fixed.points - self.landmarks.moving.points, axis=1).mean())


def _grids(size: str, rng: np.random.Generator) -> tuple[Grid, Grid]:
    """Fixed and moving grid: oblique each in its own way, off-origin, over about the same box."""
    fixed_mm, moving_mm = SPACINGS[size]
    center = np.array([62.0, -38.0, 21.0]) + rng.uniform(-8, 8, 3)
    grids = []
    for spacing, extent, tilt in (
        ((fixed_mm, fixed_mm, fixed_mm), (101.5, 94.5, 45.5), 4.0),
        ((moving_mm, moving_mm, 1.1 * moving_mm), (118.0, 112.0, 62.0), 9.0),
    ):
        turn = Rotation.from_rotvec(np.deg2rad(rng.uniform(-tilt, tilt, 3))).as_matrix()
        count = np.round(np.asarray(extent) / spacing).astype(int)
        origin = center - turn @ ((count - 1) / 2 * np.asarray(spacing))
        grids.append(Grid(tuple(count), spacing, tuple(origin), tuple(map(tuple, turn))))
    return grids[0], grids[1]


def _lesion(breast: Breast, grid: Grid, rng: np.random.Generator, kind: str, radius_mm: float) -> Lesion | None:
    """A lesion at a random place well inside the breast, clear of the lesions there are; None when no place is left."""
    half = np.asarray(grid.extent_mm) / 2
    for _ in range(4000):
        at = grid.center + rng.uniform(-1, 1, 3) * (half - radius_mm - 9)
        clear = all(np.linalg.norm(at - other.center) > 14 + radius_mm + other.radius_mm for other in breast.lesions)
        deep = float(breast.depth_mm(at[None])[0]) > radius_mm + 6
        if clear and deep and float(breast.wall_mm(at[None])[0]) > radius_mm + 8:
            turn = Rotation.from_rotvec(rng.standard_normal(3)).as_matrix()
            stretch = np.exp(rng.uniform(-0.22, 0.22, 3))
            axes = turn * (radius_mm * stretch / np.prod(stretch) ** (1 / 3))
            return Lesion(at, axes, float(rng.uniform(0.03, 0.13)), kind)
    return None


def _with_lesions(breast: Breast, grid: Grid, rng: np.random.Generator, kinds: tuple[str, ...]) -> Breast:
    for number, kind in enumerate(kinds):
        radius = float(rng.uniform(4.0, 8.0) if number == 0 else rng.uniform(3.6, 6.0))
        lesion = _lesion(breast, grid, rng, kind, radius)
        if lesion is None:
            break
        breast = Breast(breast.center, breast.half_mm, breast.lattice, breast.noises, (*breast.lesions, lesion))
    return breast


def _breast(center: NDArray[np.float64], rng: np.random.Generator) -> Breast:
    lattice = Grid((140, 134, 84), (1.0, 1.0, 1.0), tuple(center - (70, 67, 42)))
    shape = np.array([46.0, 68.0, 60.0]) * rng.uniform(0.95, 1.08, 3)
    return Breast(center + np.array([0.0, 30.0, 0.0]), shape, lattice, make_noises(lattice, rng), ())


def _shading(
    points: NDArray[np.float64], center: NDArray[np.float64], rng: np.random.Generator, strength: float
) -> NDArray[np.float32]:
    """Slow multiplicative shading: the exponential of a random quadratic, about +-strength at the border."""
    q = (points - center) / 50.0
    a, b = rng.uniform(-1, 1, 3), rng.uniform(-1, 1, 3)
    return np.asarray(np.exp(strength * (q @ a * 0.7 + (q**2) @ b * 0.5)), dtype=np.float32)


def _drops(
    points: NDArray[np.float64], center: NDArray[np.float64], rng: np.random.Generator, count: int
) -> NDArray[np.float32]:
    """Signal drops as at 7T: smooth dark blobs, the factor to multiply with."""
    factor = np.ones(points.shape[:-1], dtype=np.float32)
    for _ in range(count):
        at = center + rng.uniform(-1, 1, 3) * (38, 34, 18)
        radius, depth = rng.uniform(7, 13), rng.uniform(0.5, 0.85)
        factor *= 1 - depth * np.exp(-0.5 * ((points - at) ** 2).sum(-1) / radius**2)
    return factor


def _rician(clean: NDArray[np.float32], rng: np.random.Generator, sigma: float) -> NDArray[np.float32]:
    real, imaginary = rng.standard_normal((2, *clean.shape), dtype=np.float32)
    return np.asarray(UNIT * np.hypot(clean + sigma * real, sigma * imaginary), dtype=np.float32)


def _tumors(breast: Breast, grid: Grid, points: NDArray[np.float64]) -> LabelMap:
    labels = np.zeros(grid.shape, dtype=np.int32)
    for number, lesion in enumerate(breast.lesions, start=1):
        labels[lesion_depth(breast, lesion, points) > 0] = number
    return LabelMap(labels, grid, {n + 1: f"Tumor {n + 1}" for n in range(len(breast.lesions))})


def _features(
    clean: NDArray[np.float32], inside: NDArray[np.bool_], spacing_mm: float, count: int
) -> NDArray[np.int64]:
    """(n, 3) voxels (k, j, i) of the clearest corners: largest smallest-eigenvalue of the structure tensor."""
    slopes = np.gradient(gaussian_filter(clean, 1.0))
    tensor = np.empty((*clean.shape, 3, 3), dtype=np.float32)
    for a in range(3):
        for b in range(a, 3):
            tensor[..., a, b] = tensor[..., b, a] = gaussian_filter(slopes[a] * slopes[b], 2.0, truncate=2.5)
    # 3 det / (sum of principal minors) stands in for the smallest eigenvalue: large in corners, 0 on edges.
    minors = sum(tensor[..., a, a] * tensor[..., b, b] - tensor[..., a, b] ** 2 for a, b in ((0, 1), (0, 2), (1, 2)))
    score = np.where(inside, np.linalg.det(tensor) / (minors + 1e-12), 0)
    peak = (score == maximum_filter(score, int(2 * round(2.8 / spacing_mm) + 1))) & (score > 0)
    best = np.argsort(score[peak])[::-1][:count]
    return np.argwhere(peak)[best]


def _landmarks(
    grid: Grid,
    mapped: NDArray[np.float64],
    features: NDArray[np.int64],
    tumors: LabelMap,
    moving: Grid,
    rng: np.random.Generator,
) -> PointPair:
    chosen, owners = [features], [np.zeros(len(features), dtype=np.int64)]
    for label in tumors.labels:
        voxels = np.argwhere(tumors.array == label)
        picked = voxels[rng.permutation(len(voxels))[:20]]
        chosen.append(picked)
        owners.append(np.full(len(picked), label, dtype=np.int64))
    voxels, labels = np.concatenate(chosen), np.concatenate(owners)
    there = mapped[tuple(voxels.T)]
    kept = moving.contains(there)
    here = grid.to_world(voxels[:, ::-1])
    return PointPair(PointCloud(here[kept], labels[kept]), PointCloud(there[kept], labels[kept]))


def _seeds(tumors: LabelMap, rng: np.random.Generator) -> Seeds:
    """One click a tumor, at a random voxel of its inner part."""
    points = []
    for label in tumors.labels:
        depth = distance_transform_edt(tumors.array == label)
        inner = np.argwhere(depth >= 0.5 * depth.max())
        points.append(tumors.grid.to_world(inner[rng.integers(len(inner))][::-1]))
    return Seeds(np.asarray(points).reshape(-1, 3), np.asarray(tumors.labels, dtype=np.int64), "moving")


def _kinds(seed: int, lesions: int | None, kind: str | None, rng: np.random.Generator) -> tuple[str, ...]:
    count = lesions if lesions is not None else int(rng.choice([1, 1, 2]))
    first = kind or ("isointense" if seed % 6 == 5 else "bright")
    return (first, *["bright"] * (count - 1)) if count else ()


def make_pair(
    seed: int = 0,
    *,
    size: str = "full",
    lesions: int | None = None,
    kind: str | None = None,
    mean_mm: float | None = None,
    noise: float = 0.02,
    drops: int | None = None,
) -> DemoCase:
    """Two scans of one procedural breast with known field, tumors and landmarks; same arguments, same case.

    Args:
        seed: any whole number from 0; each sixth case (5, 11, 17, ...) has an isointense first lesion.
        size: "full" (fixed 145 x 135 x 65 voxels of 0.7 mm, moving 1.1 mm) or "small" (half the resolution).
        lesions: number of tumors (0 to 3), None: one or two by chance.
        kind: "bright" or "isointense" for the first tumor, None: by the seed.
        mean_mm: mean size of the motion aimed at, 60 % of it a shift; None: 3.5 to 8 by chance, 3 of them a shift.
        noise: sigma of the Rician noise, in parts of the brightest tissue.
        drops: number of 7T signal drops, None: one or two by chance.

    Raises:
        InputError: an argument outside its range.
    """
    _check(seed, size, lesions, kind, mean_mm)
    rng = np.random.default_rng([seed, 7_011])
    fixed_grid, moving_grid = _grids(size, rng)
    if mean_mm is None:
        motion = known_field(fixed_grid, rng, mean_mm=float(rng.uniform(3.5, 8.0)))
    else:
        motion = known_field(fixed_grid, rng, mean_mm=mean_mm, shift_mm=0.6 * mean_mm)
    center = motion.mapped.reshape(-1, 3).mean(axis=0)
    breast = _with_lesions(_breast(center, rng), fixed_grid, rng, _kinds(seed, lesions, kind, rng))
    moving_points = moving_grid.points()
    clean_fixed = signal(breast, motion.mapped, "7T")
    clean_moving = signal(breast, moving_points, "3T")
    fixed_tumors = _tumors(breast, fixed_grid, motion.mapped)
    moving_tumors = _tumors(breast, moving_grid, moving_points)
    inside = (breast.depth_mm(motion.mapped) > 3) & (breast.wall_mm(motion.mapped) > -4) & (fixed_tumors.array == 0)
    features = _features(clean_fixed, inside, fixed_grid.spacing[0], 100)
    landmarks = _landmarks(fixed_grid, motion.mapped, features, fixed_tumors, moving_grid, rng)
    count = drops if drops is not None else int(rng.integers(1, 3))
    fixed_points = fixed_grid.points()
    shaded = clean_fixed * _shading(fixed_points, center, rng, 0.55) * _drops(fixed_points, center, rng, count)
    fixed = Image(_rician(shaded, rng, noise), fixed_grid, "fixed 7T")
    shaded = clean_moving * _shading(moving_points, center, rng, 0.2)
    moving = Image(_rician(shaded, rng, 0.8 * noise), moving_grid, "moving 3T")
    pair = ImagePair(fixed, moving, _seeds(moving_tumors, rng) if breast.lesions else None)
    kinds = tuple(lesion.kind for lesion in breast.lesions)
    return DemoCase(pair, motion.displacement, fixed_tumors, moving_tumors, landmarks, kinds, breast.lesions)


def _check(seed: int, size: str, lesions: int | None, kind: str | None, mean_mm: float | None) -> None:
    if seed < 0:
        raise InputError(f"seed: expected 0 or more, got {seed}")
    if size not in SPACINGS:
        raise InputError(f"size: expected 'small' or 'full', got {size!r}")
    if lesions is not None and not 0 <= lesions <= 3:
        raise InputError(f"lesions: expected 0 to 3, got {lesions}")
    if mean_mm is not None and not 0.5 <= mean_mm <= 15.0:
        raise InputError(f"mean_mm: expected 0.5 to 15, got {mean_mm:g}")
    if kind not in (None, "bright", "isointense"):
        raise InputError(f"kind: expected 'bright' or 'isointense', got {kind!r}")
