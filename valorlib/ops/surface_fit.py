"""Organs laid surface on surface: matched along normals alone, so that organs turn where point drift would stick."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from valorlib.ops.point_drift import Level
from valorlib.ops.point_motion import PointMotion
from valorlib.ops.point_start import FEW_POINTS, organ_sizes, similarity_of_pairs

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
NEIGHBORS = 9
FLAT = 0.15
LEAST_NOISE_MM = 0.2
TUKEY = 4.7
FAR = 3.0
KEPT = 0.7
FAR_SHARE = 0.95
CLOSED = 1.15
DIRECT = 400
GRADIENT_LOOPS = 25


@dataclass(frozen=True, eq=False)
class Patches:
    """Neighbors of each point: rows (n, k), within its organ; flat (n,) 1 where they lie on a surface, 0 in a cloud.

    spacing_mm: distance to the nearest other point, mean over the nearer 70 %, a mean over organs. far_mm: the same
    distance of the farthest 5 %, organ by organ where it has points enough.
    """

    rows: I64
    flat: F64
    spacing_mm: float
    far_mm: dict[int, float]


@dataclass(frozen=True, eq=False)
class SurfaceFit:
    """Motion after the fit; distance_mm: mean over the nearer 70 % of the points, both ways, a mean over organs.

    spacing_mm: the same distance between the points of one cloud, a mean of both. alike: no large organ is of odd size.
    far_share: distance of the farthest 5 % as a share of that in one cloud, a mean over organs; of the two directions
    the lesser, so that noise in one cloud does not count.
    """

    motion: PointMotion
    distance_mm: float
    spacing_mm: float
    alike: bool
    far_share: float

    @property
    def closed(self) -> bool:
        """The surfaces lie as close as two samples of one surface do."""
        return self.alike and self.distance_mm <= CLOSED * self.spacing_mm and self.far_share <= CLOSED


@dataclass(frozen=True, eq=False)
class _Matches:
    """Pairs of moving and fixed rows: unit normals of the pairs (n, 3), weights (n,) in 1/mm^2."""

    moving: I64
    fixed: I64
    normals: F64
    weights: F64


def patches_of(points: F64, organs: I64) -> Patches:
    """Neighborhoods of points (n, 3) of organs (n,); organs of few points count as no surface."""
    rows = np.repeat(np.arange(len(points))[:, None], NEIGHBORS, axis=1)
    flat = np.zeros(len(points))
    spacing: list[float] = []
    far: dict[int, float] = {}
    for organ in np.unique(organs).tolist():
        own = np.nonzero(organs == organ)[0]
        if len(own) <= 2 * NEIGHBORS:
            continue
        distance, near = cKDTree(points[own]).query(points[own], k=NEIGHBORS)
        spacing.append(_nearer(distance[:, 1]))
        far[organ] = _at_share(distance[:, 1], FAR_SHARE)
        rows[own] = own[near]
        least, middle, _ = _least_spread(points, rows[own])
        flat[own] = np.clip(1 - least / (FLAT * middle + 1e-12), 0, 1)
    return Patches(rows, flat, float(np.mean(spacing)) if spacing else 0.0, far)


def normals_of(points: F64, patches: Patches) -> F64:
    """(n, 3) unit normals of either sign: the direction in which the neighbors spread least."""
    return _least_spread(points, patches.rows)[2]


def _least_spread(points: F64, rows: I64) -> tuple[F64, F64, F64]:
    """The two smallest eigenvalues of the scatter of the neighbors `rows` (n, k), and the axis (n, 3) of the smallest.

    Source: Smith, Eigenvalues of a symmetric 3 x 3 matrix, Communications of the ACM 4(4), 1961.
    """
    x, y, z = (axis[rows.T] for axis in np.ascontiguousarray(points.T))
    for part in (x, y, z):
        part -= part.mean(0)
    pairs = ((x, x), (x, y), (x, z), (y, y), (y, z), (z, z))
    xx, xy, xz, yy, yz, zz = (np.einsum("ij,ij->j", a, b) for a, b in pairs)
    mean = (xx + yy + zz) / 3
    wide = np.sqrt(((xx - mean) ** 2 + (yy - mean) ** 2 + (zz - mean) ** 2 + 2 * (xy**2 + xz**2 + yz**2)) / 6)
    unit = np.maximum(wide, 1e-300)
    a, b, c, d, e, f = (xx - mean) / unit, xy / unit, xz / unit, (yy - mean) / unit, yz / unit, (zz - mean) / unit
    half = np.clip((a * (d * f - e * e) - b * (b * f - c * e) + c * (b * e - c * d)) / 2, -1, 1)
    angle = np.arccos(half) / 3
    low, high = 2 * np.cos(angle + 2 * np.pi / 3), 2 * np.cos(angle)
    a, d, f = a - low, d - low, f - low
    # The axis is at right angles to all rows of the matrix less the eigenvalue; the longest cross product is safest.
    crossed = np.stack(
        [
            [b * e - c * d, b * c - a * e, a * d - b * b],
            [b * f - c * e, c * c - a * f, a * e - b * c],
            [d * f - e * e, c * e - b * f, b * e - c * d],
        ]
    )
    square = (crossed**2).sum(1)
    best, column = square.argmax(0), np.arange(len(xx))
    axis = crossed[best, :, column] / np.sqrt(np.maximum(square[best, column], 1e-300))[:, None]
    return mean + wide * low, mean - wide * (low + high), axis


def fit_surfaces(
    level: Level, motion: PointMotion, *, loops: int, still_mm: float = 0.0, apart: float = 1.1
) -> SurfaceFit:
    """Gauss-Newton on the distances along the normals, both ways, with the motion's own prior.

    Source: Rusinkiewicz, A symmetric objective function for ICP, ACM Transactions on Graphics 38(4), 2019.
    Differs: the motion is a Gaussian process an organ, and a common similarity; Tukey's weights; loops after which
    surfaces lie farther apart do not count; organs of odd size are left as they are.

    Args:
        level: the clouds in the frame of `motion`; some hundred points an organ are enough.
        motion: where to start; its bases hold the prior.
        loops: most loops of matching and solving.
        still_mm: stop when points move less in a loop, on average.
        apart: a loop counts when the distance of the surfaces is at most this many times the smallest before.
    """
    surfaces = _Surfaces(level, motion, apart)
    before = surfaces.now
    for _ in range(loops):
        surfaces.solve(surfaces.match())
        after = surfaces.now
        step, before = float(np.linalg.norm(after - before, axis=1).mean()), after
        if step < still_mm:
            break
    surfaces.state_doubt(surfaces.match())
    distance, spacing = surfaces.distance_mm, surfaces.spacing_mm()
    return SurfaceFit(surfaces.motion(), distance, spacing, surfaces.alike, surfaces.far_share())


class _Surfaces:
    """The state of the fit, in numpy. Symbols as in point_drift: y moving, x fixed, v displacement, s R t."""

    def __init__(self, level: Level, motion: PointMotion, apart: float) -> None:
        self.apart = apart
        self.begin, self.model = motion, level.settings.model
        self.y, self.x = level.moving.cpu().numpy(), level.fixed.cpu().numpy()
        self.own, self.other = level.moving_organs.cpu().numpy(), level.fixed_organs.cpu().numpy()
        self.patches, still = patches_of(self.y, self.own), patches_of(self.x, self.other)
        self.fixed_spacing_mm, self.fixed_far_mm = still.spacing_mm, still.far_mm
        self.flat, self.fixed_normals = still.flat, normals_of(self.x, still)
        sizes = organ_sizes(self.x, self.other, self.y, self.own)
        self.organs = sizes.organs[sizes.trusted]
        odd = sizes.organs[~sizes.trusted]
        self.alike = not any(min((self.own == k).sum(), (self.other == k).sum()) >= FEW_POINTS for k in odd)
        self.fits = np.isin(self.own, self.organs)
        sides = (self.own, self.other)
        self.pairs = [tuple(np.nonzero(side == k)[0] for side in sides) for k in self.organs.tolist()]
        self.trees = [cKDTree(self.x[x]) for _, x in self.pairs]
        self.s, self.R, self.t = motion.scale, motion.rotation.cpu().numpy(), motion.shift.cpu().numpy()
        self.weights = [w.cpu().numpy() for w in motion.weights]
        self.roots = list(motion.roots)
        self.first_mm = self.distance_mm = np.inf
        self.first_far: F64 | None = None
        self.least_far = np.zeros(0)
        self.best = (self.s, self.R, self.t, list(self.weights))
        self.groups, self.guided = [], list[bool]()
        for basis, (rows, features) in zip(motion.bases, level.features_of(motion.bases), strict=True):
            self.guided.append(bool(np.isin(basis.members, self.organs).any()))
            self.groups.append((rows.cpu().numpy(), features.cpu().numpy()))
        self.now = self.moved()

    def moved(self) -> F64:
        u = self.y.copy()
        for (rows, phi), weights in zip(self.groups, self.weights, strict=True):
            u[rows] += phi @ weights
        return np.asarray(self.s * u @ self.R.T + self.t)

    def match(self) -> _Matches:
        """Nearest points both ways, organ by organ."""
        moved = self.now
        parts: list[tuple[I64, I64, F64]] = []
        distances: list[float] = []
        far: list[tuple[float, float]] = []
        for (y, x), tree in zip(self.pairs, self.trees, strict=True):
            own = moved[y]
            there, to_x = tree.query(own)
            back, to_y = cKDTree(own).query(self.x[x])
            distances.append((_nearer(there) + _nearer(back)) / 2)
            far.append((_at_share(there, FAR_SHARE), _at_share(back, FAR_SHARE)))
            parts.append((np.concatenate([y, y[to_y]]), np.concatenate([x[to_x], x]), np.concatenate([there, back])))
        ends = np.array(far).reshape(-1, 2)
        self._keep(float(np.mean(distances)) if distances else np.inf, ends.max(1))
        self.least_far = ends.min(1)
        if not parts:
            return _Matches(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3)), np.zeros(0))
        m, n, distance = (np.concatenate([part[k] for part in parts]) for k in range(3))
        return self._weigh(moved, m, n, distance, np.cumsum([len(part[0]) for part in parts])[:-1])

    def spacing_mm(self) -> float:
        """Of both clouds in the fixed world."""
        return (self.best[0] * self.patches.spacing_mm + self.fixed_spacing_mm) / 2

    def far_share(self) -> float:
        """See SurfaceFit; after `match`."""
        moved, shares = self.now, list[float]()
        for organ, (y, _), tree, least in zip(
            self.organs.tolist(), self.pairs, self.trees, self.least_far, strict=True
        ):
            far = self.fixed_far_mm.get(organ)
            own = (_own_far(cKDTree(moved[y])), _own_far(tree) if far is None else far)
            shares.append(float(least) / max((own[0] + own[1]) / 2, 1e-12))
        return float(np.mean(shares)) if shares else np.inf

    def _keep(self, distance: float, far: F64) -> None:
        """The state as it stands becomes the answer, unless surfaces, or an end of one organ, have come apart."""
        self.first_mm = min(self.first_mm, distance)
        if self.first_far is None:
            self.first_far = far + self.fixed_spacing_mm
        if distance <= self.apart * self.first_mm and bool(np.all(far <= self.first_far)):
            self.distance_mm = distance
            self.best = (self.s, self.R, self.t, list(self.weights))

    def _weigh(self, moved: F64, m: I64, n: I64, distance: F64, cuts: I64) -> _Matches:
        """Normals of the pairs, and weights: none where far off, curved, or normals disagree; `cuts` part organs."""
        first, second = normals_of(moved, self.patches)[m], self.fixed_normals[n]
        total = first * np.sign(np.einsum("ij,ij->i", first, second))[:, None] + second
        length = np.sqrt(np.einsum("ij,ij->i", total, total))
        total /= np.maximum(length, 1e-12)[:, None]
        along = np.einsum("ij,ij->i", self.x[n] - moved[m], total)
        noise, near = np.empty(len(m)), np.empty(len(m))
        for a, b in itertools.pairwise([0, *cuts.tolist(), len(m)]):
            noise[a:b] = max(1.4826 * _at_share(np.abs(along[a:b]), 0.5), LEAST_NOISE_MM)
            near[a:b] = FAR * _at_share(distance[a:b], 0.5)
        weight = np.maximum(1 - (along / (TUKEY * noise)) ** 2, 0) ** 2 * (distance < near)
        weight *= self.patches.flat[m] * self.flat[n] * np.clip((length - 1.4) / 0.6, 0, 1)
        return _Matches(m, n, total, weight / (2 * noise**2))

    def solve(self, found: _Matches) -> None:
        """The common similarity anew, then the displacement of each group, given the matches."""
        if self.model in ("similarity", "rigid") and self.alike:
            matrix = similarity_of_pairs(self.now[self.fits], self.y[self.fits], rigid=self.model == "rigid")
            self.s = float(np.cbrt(np.linalg.det(matrix[:3, :3])))
            self.R, self.t = matrix[:3, :3] / self.s, matrix[:3, 3]
        gap = np.sum((self.x[found.fixed] - self.s * self.y[found.moving] @ self.R.T - self.t) * found.normals, axis=1)
        for g, features, mine, pull in self._of_groups(found):
            self.weights[g] = _weights_of(features, pull, gap[mine], found.weights[mine], self.weights[g])
        self.now = self.moved()

    def state_doubt(self, found: _Matches) -> None:
        """Posterior of the weights given distances along normals alone: what slides along a surface stays in doubt."""
        for g, features, mine, pull in self._of_groups(found):
            precision = _mean_precision(features, pull, found.weights[mine])
            root = self.roots[g]
            self.roots[g] = torch.as_tensor(np.linalg.cholesky(precision), dtype=root.dtype, device=root.device)

    def _of_groups(self, found: _Matches) -> Iterator[tuple[int, F64, I64, F64]]:
        """Of each guided group: its number, and of its matches that count features, rows and pulls."""
        pull = self.s * found.normals @ self.R
        place = np.empty(len(self.y), dtype=np.int64)
        for g, (rows, phi) in enumerate(self.groups):
            if not self.guided[g]:
                continue
            place[:] = -1
            place[rows] = np.arange(len(rows))
            at = place[found.moving]
            mine = np.nonzero((at >= 0) & (found.weights > 0))[0]
            yield g, phi[at[mine]], mine, pull[mine]

    def motion(self) -> PointMotion:
        like = self.begin.start
        s, r, t, weights = self.best

        def tensor(array: F64) -> torch.Tensor:
            return torch.as_tensor(array, dtype=like.dtype, device=like.device)

        return dataclasses.replace(
            self.begin,
            scale=s,
            rotation=tensor(r),
            shift=tensor(t),
            weights=tuple(tensor(w) for w in weights),
            roots=tuple(self.roots),
        )


def _at_share(values: F64, share: float) -> float:
    """The value that `share` of the values do not exceed."""
    place = int(share * (len(values) - 1))
    return float(np.partition(values, place)[place])


def _own_far(tree: cKDTree) -> float:
    """Distance to the nearest other point of the cloud, of the farthest 5 %."""
    return _at_share(tree.query(tree.data, k=2)[0][:, 1], FAR_SHARE)


def _nearer(distance: F64) -> float:
    """Mean of the nearer 70 %, so that noise and missing parts do not count."""
    return float(np.sort(distance)[: max(1, int(KEPT * len(distance)))].mean())


def _mean_precision(features: F64, pull: F64, precision: F64) -> F64:
    """(r, r) inverse of the posterior covariance of the weights, a mean over the three axes.

    Exact for small problems; in large ones the pulls count as even in all directions.
    """
    rank = features.shape[1]
    if 3 * rank > DIRECT:
        even = (features * (precision * np.sum(pull**2, axis=1))[:, None]).T @ features / 3
        return np.asarray(even + np.eye(rank))
    slope = (pull[:, :, None] * features[:, None, :]).reshape(len(features), 3 * rank) * np.sqrt(precision)[:, None]
    covariance = np.linalg.inv(slope.T @ slope + np.eye(3 * rank)).reshape(3, rank, 3, rank)
    inverse = np.linalg.inv(sum(covariance[k, :, k] for k in range(3)) / 3)
    return np.asarray((inverse + inverse.T) / 2)


def _weights_of(features: F64, pull: F64, gap: F64, precision: F64, last: F64) -> F64:
    """(r, 3) weights a of least precision * (pull . (features a) - gap)^2 + |a|^2.

    Small problems are solved at once; large ones (many organs in one group) by conjugate gradients from `last`.
    """
    rank = features.shape[1]
    root = np.sqrt(precision)
    if 3 * rank <= DIRECT:
        slope = (features[:, :, None] * pull[:, None, :]).reshape(len(gap), 3 * rank) * root[:, None]
        gram = slope.T @ slope
        gram[np.diag_indices(len(gram))] += 1
        return np.asarray(np.linalg.solve(gram, slope.T @ (gap * root)).reshape(rank, 3))

    def apply(a: F64) -> F64:
        along = np.sum((features @ a) * pull, axis=1) * precision
        return np.asarray(a + features.T @ (along[:, None] * pull))

    alike = (features * precision[:, None]).T @ features / 3
    alike[np.diag_indices(rank)] += 1
    inverse = np.linalg.inv(alike)
    a = last.copy()
    rest = features.T @ ((gap * precision)[:, None] * pull) - apply(a)
    step = ready = inverse @ rest
    for _ in range(GRADIENT_LOOPS):
        there = apply(step)
        length = np.sum(rest * ready) / max(float(np.sum(step * there)), 1e-300)
        a, left = a + length * step, rest - length * there
        next_ready = inverse @ left
        turn = np.sum(left * next_ready) / max(float(np.sum(rest * ready)), 1e-300)
        step, rest, ready = next_ready + turn * step, left, next_ready
    return np.asarray(a)
