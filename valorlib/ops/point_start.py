"""Where point drift starts: similarity from organ centroids, trimmed; and what the organs' sizes say."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

SCALE_RANGE = (0.67, 1.5)
SIZE_TOLERANCE = 0.15
FEW_POINTS = 12


@dataclass(frozen=True, eq=False)
class OrganSizes:
    """Organs that both clouds have, as places in the list of labels.

    fixed_center, moving_center: (n, 3) mm. ratio: (n,) size in fixed over size in moving, from the median radius.
    trusted: (n,) True where the organ's size fits the others and it has points enough; these make the start.
    """

    organs: NDArray[np.int64]
    fixed_center: NDArray[np.float64]
    moving_center: NDArray[np.float64]
    ratio: NDArray[np.float64]
    trusted: NDArray[np.bool_]

    @property
    def common_ratio(self) -> float:
        """Median ratio of the organs with points enough."""
        return float(np.median(self.ratio)) if len(self.ratio) else 1.0


def _radius(points: NDArray[np.float64], center: NDArray[np.float64]) -> float:
    distance = np.linalg.norm(points - center, axis=1)
    return float(np.median(distance)) + 1e-9


def organ_sizes(
    fixed: NDArray[np.float64],
    fixed_organs: NDArray[np.int64],
    moving: NDArray[np.float64],
    moving_organs: NDArray[np.int64],
) -> OrganSizes:
    """Centers and size ratios of the organs both clouds have; points (n, 3) mm."""
    both = np.intersect1d(fixed_organs, moving_organs)
    centers, ratios, enough = [], [], []
    for organ in both:
        x, y = fixed[fixed_organs == organ], moving[moving_organs == organ]
        centers.append((x.mean(0), y.mean(0)))
        enough.append(min(len(x), len(y)) >= FEW_POINTS)
        ratios.append(_radius(x, centers[-1][0]) / _radius(y, centers[-1][1]) if min(len(x), len(y)) > 1 else 1.0)
    ratio, large = np.array(ratios), np.array(enough)
    middle = float(np.median(ratio[large])) if large.any() else 1.0
    trusted = large & (np.abs(ratio / middle - 1) <= SIZE_TOLERANCE)
    if trusted.sum() < 3:
        order = np.argsort(np.where(large, np.abs(np.log(ratio / middle)), np.inf), kind="stable")
        trusted = np.isin(np.arange(len(both)), order[:3]) & large
    if not trusted.any():
        trusted = np.ones(len(both), dtype=bool)
    pairs = np.array(centers).reshape(-1, 2, 3)
    return OrganSizes(both, pairs[:, 0], pairs[:, 1], ratio, trusted)


def similarity_of_pairs(
    fixed: NDArray[np.float64], moving: NDArray[np.float64], *, rigid: bool = False
) -> NDArray[np.float64]:
    """(4, 4) similarity that carries moving points (n, 3) onto fixed points (n, 3), least squares.

    Source: Umeyama, IEEE TPAMI 13(4), 1991.
    """
    x, y = fixed - fixed.mean(0), moving - moving.mean(0)
    left, size, right = np.linalg.svd(x.T @ y)
    flip = np.diag([1.0, 1.0, np.linalg.det(left @ right)])
    rotation = left @ flip @ right
    scale = 1.0 if rigid else float(np.clip((size * np.diag(flip)).sum() / (y**2).sum(), *SCALE_RANGE))
    return _matrix(scale * rotation, fixed.mean(0), moving.mean(0))


def _matrix(
    linear: NDArray[np.float64], fixed_center: NDArray[np.float64], moving_center: NDArray[np.float64]
) -> NDArray[np.float64]:
    out = np.eye(4)
    out[:3, :3] = linear
    out[:3, 3] = fixed_center - linear @ moving_center
    return out


def spread_out(centers: NDArray[np.float64]) -> bool:
    """True when centers fix a rotation: at least three, and not on a line."""
    if len(centers) < 3:
        return False
    sizes = np.linalg.svd(centers - centers.mean(0), compute_uv=False)
    return bool(sizes[1] > 0.15 * sizes[0])


def start_candidates(
    sizes: OrganSizes, fixed: NDArray[np.float64], moving: NDArray[np.float64], *, rigid: bool
) -> list[NDArray[np.float64]]:
    """Similarities (4, 4), moving to fixed, to start from; the likeliest first.

    With three organs or more the centers of the trusted organs tell; otherwise no turn, and then the four ways to lay
    the main axes of one cloud on the other's.

    Args:
        sizes: of the organs.
        fixed: (n, 3) mm points of the organs both have.
        moving: (m, 3).
        rigid: keep the size.
    """
    x, y = sizes.fixed_center[sizes.trusted], sizes.moving_center[sizes.trusted]
    scale = 1.0 if rigid else float(np.clip(np.median(sizes.ratio[sizes.trusted]), *SCALE_RANGE))
    plain = _matrix(scale * np.eye(3), x.mean(0), y.mean(0))
    if spread_out(x) and spread_out(y):
        return [similarity_of_pairs(x, y, rigid=rigid), plain]
    axes_x, axes_y = (_axes(points) for points in (fixed, moving))
    turned = []
    for first, second in product((1.0, -1.0), repeat=2):
        turn = axes_x @ np.diag([first, second, first * second]) @ axes_y.T
        turned.append(_matrix(scale * turn, fixed.mean(0), moving.mean(0)))
    angles = [np.trace(t[:3, :3]) for t in turned]
    return [plain, *(turned[k] for k in np.argsort(angles)[::-1])]


def _axes(points: NDArray[np.float64]) -> NDArray[np.float64]:
    _, _, right = np.linalg.svd(points - points.mean(0), full_matrices=False)
    axes = right.T
    axes[:, 2] *= np.sign(np.linalg.det(axes))
    return np.asarray(axes)
