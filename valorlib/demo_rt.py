"""A generated radiotherapy case: a CT-like pelvis on two days, organs, dose and the known motion between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, map_coordinates

from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.transforms import DisplacementField
from valorlib.demo_fields import known_field

Array = NDArray[np.float32]
STRUCTURES = ("target", "bladder", "rectum", "femur_left", "femur_right")
PRESCRIPTION_GY = 60.0
_CENTER = np.array([5.0, -12.0, 30.0])
_SHAPES = {  # center relative to the body's, half axes, HU
    "target": ((0.0, 4.0, -6.0), (20.0, 17.0, 19.0), 45.0),
    "bladder": ((0.0, -22.0, 22.0), (29.0, 22.0, 21.0), 8.0),
    "rectum": ((0.0, 38.0, 0.0), (13.0, 14.0, 70.0), 25.0),
    "femur_left": ((88.0, 6.0, -4.0), (22.0, 23.0, 23.0), 720.0),
    "femur_right": ((-88.0, 6.0, -4.0), (22.0, 23.0, 23.0), 720.0),
}


@dataclass(frozen=True, eq=False)
class RTCase:
    """Two days of one patient.

    pair: CT of both days, with structures as fixed_labels and moving_labels. dose: of the moving day, on a grid of
    its own. dose_at_fixed: the true dose carried to the fixed grid. truth: exact field, fixed to moving.
    landmarks: corresponding points, labeled by structure (0: elsewhere in the body).
    """

    pair: ImagePair
    dose: Dose
    dose_at_fixed: Dose
    truth: DisplacementField
    landmarks: PointPair


def _depth(points: NDArray[np.float64], center: NDArray[np.float64], half: tuple[float, float, float]) -> Array:
    q = np.linalg.norm((points - center) / np.asarray(half), axis=-1)
    return np.asarray((1 - q) * np.prod(half) ** (1 / 3), dtype=np.float32)


def _edge(distance_mm: Array, width_mm: float = 1.2) -> Array:
    return np.asarray(1 / (1 + np.exp(np.clip(-distance_mm / width_mm, -30, 30))), dtype=np.float32)


def _labels(points: NDArray[np.float64], grid: Grid) -> LabelMap:
    found = np.zeros(grid.shape, dtype=np.int32)
    for label in range(len(STRUCTURES), 0, -1):
        at, half, _ = _SHAPES[STRUCTURES[label - 1]]
        found[_depth(points, _CENTER + at, half) > 0] = label
    return LabelMap(found, grid, dict(enumerate(STRUCTURES, start=1)))


def _body(points: NDArray[np.float64]) -> Array:
    return _depth(points, _CENTER, (168.0, 108.0, 600.0)) * np.float32(0.5)


def _ct(points: NDArray[np.float64], noise: Array, lattice: Grid) -> Array:
    """HU at world points: fat under the skin, muscle with fat planes, organs."""
    index = np.moveaxis(lattice.to_index(points)[..., ::-1], -1, 0).astype(np.float32)
    texture = np.asarray(map_coordinates(noise, index, order=1, mode="nearest"), dtype=np.float32)
    body = _body(points)
    muscle = _edge(np.asarray(texture * 5 + 1.5 + np.clip(body - 12, -6, 4), dtype=np.float32), 1.0)
    value = -105 + 155 * muscle + 8 * texture
    for name in reversed(STRUCTURES):
        at, half, hu = _SHAPES[name]
        inside = _edge(_depth(points, _CENTER + at, half))
        value = value + (hu * (1 + 0.08 * texture) - value) * inside
    return np.asarray(-1000 + (value + 1000) * _edge(body), dtype=np.float32)


def _dose_gy(points: NDArray[np.float64]) -> Array:
    """Gy at world points: a plateau over the target, a steep fall, two low lateral beams and a vertical one."""
    at, half, _ = _SHAPES["target"]
    plateau = _edge(_depth(points, _CENTER + at, half) + 7, 3.0)
    offset = points - (_CENTER + at)
    lateral = np.exp(-0.5 * ((offset[..., 1] / 26) ** 4 + (offset[..., 2] / 27) ** 4))
    vertical = np.exp(-0.5 * ((offset[..., 0] / 27) ** 4 + (offset[..., 2] / 27) ** 4))
    beams = 0.30 * lateral + 0.18 * vertical
    return np.asarray(PRESCRIPTION_GY * (beams + (1 - beams) * plateau) * _edge(_body(points)), dtype=np.float32)


def _landmarks(labels: LabelMap, mapped: NDArray[np.float64], body: Array, rng: np.random.Generator) -> PointPair:
    here, there, owners = [], [], []
    for label in (0, *labels.labels):
        inside = (labels.array == label) & (body > 10)
        inside[:4] = inside[-4:] = False
        voxels = np.argwhere(inside)
        voxels = voxels[rng.permutation(len(voxels))[:25]]
        here.append(labels.grid.to_world(voxels[:, ::-1]))
        there.append(mapped[tuple(voxels.T)])
        owners.append(np.full(len(voxels), label, dtype=np.int64))
    labels_of = np.concatenate(owners)
    return PointPair(PointCloud(np.concatenate(here), labels_of), PointCloud(np.concatenate(there), labels_of))


def make_rt_case(seed: int = 0, *, spacing_mm: float = 3.0, mean_mm: float = 5.0, noise_hu: float = 12.0) -> RTCase:
    """A CT-like pelvis on two days, with five structures, dose and the known motion; same arguments, same case."""
    rng = np.random.default_rng([seed, 7_033])
    fine = (spacing_mm, spacing_mm, spacing_mm)
    sizes = np.round(np.array([[372, 250, 150], [396, 270, 186]]) / spacing_mm).astype(int)
    corners = _CENTER - (sizes - 1) / 2 * spacing_mm + rng.uniform(-3, 3, (2, 3))
    fixed_grid, moving_grid = (Grid(tuple(n), fine, tuple(c)) for n, c in zip(sizes, corners, strict=True))
    motion = known_field(fixed_grid, rng, degrees=1.5, shift_mm=2.5, mean_mm=mean_mm, knots_mm=60.0)
    lattice = Grid((110, 80, 60), (4.0, 4.0, 4.0), tuple(_CENTER - (218, 158, 118)))
    noise = gaussian_filter(rng.standard_normal(lattice.shape, dtype=np.float32), 1.6)
    noise /= noise.std()
    moving_points = moving_grid.points()
    scans = []
    for points in (motion.mapped, moving_points):
        clean = _ct(points, noise, lattice)
        scans.append(clean + np.float32(noise_hu) * rng.standard_normal(clean.shape, dtype=np.float32))
    fixed_labels, moving_labels = _labels(motion.mapped, fixed_grid), _labels(moving_points, moving_grid)
    pair = ImagePair(
        Image(scans[0], fixed_grid, "fixed CT"),
        Image(scans[1], moving_grid, "moving CT"),
        fixed_labels=fixed_labels,
        moving_labels=moving_labels,
    )
    dose_grid = moving_grid.resampled((2.5, 2.5, 2.5))
    landmarks = _landmarks(fixed_labels, motion.mapped, _body(motion.mapped), rng)
    dose = Dose(_dose_gy(dose_grid.points()), dose_grid)
    return RTCase(pair, dose, Dose(_dose_gy(motion.mapped), fixed_grid), motion.displacement, landmarks)
