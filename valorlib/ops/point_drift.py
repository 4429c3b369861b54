"""The loop of multi-organ Bayesian coherent point drift on one resolution."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.ops.estep import Expectation, FixedLeaves, expect, fixed_leaves
from valorlib.ops.leaves import Leaves, build_leaves
from valorlib.ops.pivoted_cholesky import Basis
from valorlib.ops.point_motion import PointMotion, rows_of

FEW_PAIRS = 5_000_000
FEW_LEAF = 128


@dataclass(frozen=True, kw_only=True)
class DriftSettings:
    """Settings of the loop.

    outliers: omega. kappa: of the Dirichlet prior of the mixture weights; 0 keeps them equal. model: "similarity",
    "rigid", "none", or "affine" (without any displacement only). spread: the motion's posterior variance enters the
    updates (the published form). similarity_first: it is updated before the displacement; published: after.
    epsilon_mm, step_mm: stop when sigma and the largest move change less. scales: bounds of the scale.
    """

    outliers: float
    kappa: float
    model: str
    spread: bool
    epsilon_mm: float
    step_mm: float
    min_loops: int
    max_loops: int
    scales: tuple[float, float]
    floor_mm: float
    similarity_first: bool = False
    dtype: torch.dtype = torch.float32
    cutoff: float = 6.0
    leaf: int = 32


@dataclass(frozen=True, eq=False)
class Drifted:
    """Motion after the loop; bounds: evidence lower bound, from the second loop on; mass: (M,) nu of each moving point.

    fixed_mass: (N,) share of each fixed point that was matched. sigmas: mm, a loop each.
    """

    motion: PointMotion
    bounds: tuple[float, ...]
    sigmas: tuple[float, ...]
    mass: Tensor
    fixed_mass: Tensor
    converged: bool


@dataclass(eq=False)
class Level:
    """The clouds of one resolution: moving points (M, 3) in the frame of the process, fixed points minus the center."""

    moving: Tensor
    moving_organs: Tensor
    fixed: Tensor
    fixed_organs: Tensor
    transition: Tensor
    settings: DriftSettings
    bases: tuple[Basis, ...] | None = None
    known: list[tuple[Tensor, Tensor]] = dataclasses.field(default_factory=list)

    def features_of(self, bases: tuple[Basis, ...]) -> list[tuple[Tensor, Tensor]]:
        """Rows of the moving points of each basis, and their features; kept for who asks next."""
        if self.bases is not bases:
            self.bases, self.known = bases, []
            for basis in bases:
                rows = rows_of(basis, self.moving_organs)
                self.known.append((rows, basis.features(self.moving[rows], self.moving_organs[rows])))
        return self.known

    def prepare(self) -> tuple[FixedLeaves, Leaves]:
        """The leaves of both clouds."""
        few = len(self.moving) * len(self.fixed) <= FEW_PAIRS
        width = max(FEW_LEAF, self.settings.leaf) if few else self.settings.leaf
        fixed = fixed_leaves(self.fixed, build_leaves(self.fixed, self.fixed_organs, width=width), self.settings.dtype)
        return fixed, build_leaves(self.moving, self.moving_organs, width=width)


def start_variance(level: Level, gamma: float) -> float:
    """sigma^2 before the first loop: gamma^2 / 3 times the mean squared distance of pairs that U allows."""
    total, weight = 0.0, 0.0
    for b in torch.unique(level.fixed_organs).tolist():
        x = level.fixed[level.fixed_organs == b]
        for a in torch.unique(level.moving_organs).tolist():
            share = float(level.transition[b, a])
            if share > 0:
                y = level.moving[level.moving_organs == a]
                mean = x.square().sum(1).mean() + y.square().sum(1).mean() - 2 * x.mean(0) @ y.mean(0)
                total += share * len(x) * len(y) * float(mean)
                weight += share * len(x) * len(y)
    if weight == 0:
        raise InputError("label matrix: expected at least one fixed organ that some moving organ may become")
    return max(gamma * gamma * total / weight / 3, 1e-12)


def drift(level: Level, motion: PointMotion, progress: Callable[[int, float], None]) -> Drifted:
    """Run the loop from `motion`; progress(loop, sigma_mm) is called each loop.

    Source: Joutard, Pheiffer et al., A multi-organ point cloud registration algorithm for abdominal CT registration,
    WBIR 2022, Algorithm 1; the updates of Hirose, IEEE TPAMI 43(7), 2021, in the weight space of the low-rank prior.
    """
    settings = level.settings
    fixed, leaves = level.prepare()
    density = _density(level)
    state = _State(level, motion)
    bounds: list[float] = []
    sigmas: list[float] = []
    converged = False
    for loop in range(settings.max_loops):
        found = state.expect(fixed, leaves, density)
        if float(found.moving_mass.sum()) < 1e-6:
            raise InputError(
                "points: expected the clouds to meet, got no fixed point near any moving point of its organ; "
                "check the labels, or start closer"
            )
        if loop > 0:
            bounds.append(found.log_evidence - state.divergence())
        before = state.moved
        state.update(found)
        sigmas.append(state.variance**0.5)
        progress(loop, sigmas[-1])
        step = float((state.moved - before).square().sum(1).max()) ** 0.5
        still = loop > 0 and abs(sigmas[-1] - sigmas[-2]) < settings.epsilon_mm and step < settings.step_mm
        if still and loop + 1 >= settings.min_loops:
            converged = True
            break
    return Drifted(state.motion(), tuple(bounds), tuple(sigmas), found.moving_mass, found.fixed_mass, converged)


def matched_shares(level: Level, motion: PointMotion) -> Tensor:
    """(N,) posterior probability that each fixed point belongs to a moving point under `motion`; the rest: outliers."""
    fixed, leaves = level.prepare()
    return _State(level, motion).expect(fixed, leaves, _density(level)).fixed_mass


def _density(level: Level) -> float:
    """Of an outlier, 1/mm^3 and label: even over the box of the fixed points."""
    volume = float((level.fixed.amax(0) - level.fixed.amin(0)).clamp_min(1e-3).prod())
    return 1 / (volume * len(level.transition))


def _second_moment(nu: Tensor, du: Tensor, total: float) -> Tensor:
    moment = (nu[:, None] * du).T @ du / total
    return moment + 1e-6 * moment.trace() * torch.eye(3, dtype=moment.dtype, device=moment.device)


class _State:
    """What changes in the loop. Symbols as in the paper: y moving, x fixed, v displacement, s R t, nu masses."""

    def __init__(self, level: Level, motion: PointMotion) -> None:
        self.level, self.settings, self.begin = level, level.settings, motion
        self.y = level.moving
        self.s, self.R, self.t, self.variance = motion.scale, motion.rotation, motion.shift, motion.variance
        self.weights, self.roots = list(motion.weights), list(motion.roots)
        self.v = torch.zeros_like(self.y)
        self.spread = self.y.new_zeros(len(self.y))
        self.log_alpha = self.y.new_zeros(len(self.y))  # of M alpha
        self.alpha_divergence = self.learned = 0.0
        self.features = level.features_of(motion.bases)
        for (rows, phi), weights, root in zip(self.features, self.weights, self.roots, strict=True):
            self.v[rows] = phi @ weights
            if self.settings.spread and float(weights.abs().sum()) > 0:
                self.spread[rows] = torch.linalg.solve_triangular(root, phi.T, upper=False).square().sum(0)
        self.moved = self.s * (self.y + self.v) @ self.R.T + self.t

    def expect(self, fixed: FixedLeaves, leaves: Leaves, density: float) -> Expectation:
        """Step 1: responsibilities."""
        omega, count = self.settings.outliers, len(self.y)
        gauss = (2 * torch.pi * self.variance) ** 1.5
        outlier = count * omega / (1 - omega) * gauss * density
        weight = self.log_alpha - 1.5 * self.s**2 * self.spread / self.variance
        return expect(
            fixed,
            self.moved,
            weight,
            leaves,
            self.level.transition.log(),
            variance=self.variance,
            outlier=outlier,
            scale=(1 - omega) / gauss / count,
            cutoff=self.settings.cutoff,
        )

    def update(self, found: Expectation) -> None:
        """Steps 2 and 3: displacement, mixture weights, similarity, sigma."""
        nu, total = found.moving_mass, float(found.moving_mass.sum())
        if self.settings.similarity_first:
            self._update_similarity(nu, found.pulled, self.y + self.v, total)
        self._update_displacement(nu, found.pulled)
        self._update_alpha(nu)
        u = self.y + self.v
        if not self.settings.similarity_first:
            self._update_similarity(nu, found.pulled, u, total)
        self.moved = self.s * u @ self.R.T + self.t
        spread = self.s**2 * float(nu @ self.spread) / total
        x = self.level.fixed
        square = found.fixed_mass @ x.square().sum(1) - 2 * (found.pulled * self.moved).sum()
        square = square + nu @ self.moved.square().sum(1)
        self.variance = max(float(square) / (3 * total) + spread, self.settings.floor_mm**2)

    def _update_displacement(self, nu: Tensor, px: Tensor) -> None:
        k = self.s**2 / self.variance
        pull = k * ((px - nu[:, None] * self.t) @ self.R / self.s - nu[:, None] * self.y)
        strength = k * nu
        for g, (rows, phi) in enumerate(self.features):
            if not len(rows):
                continue
            precision = phi.T @ (strength[rows, None] * phi)
            precision.diagonal().add_(1)
            root = torch.linalg.cholesky(precision)
            self.weights[g] = torch.cholesky_solve(phi.T @ pull[rows], root)
            self.roots[g] = root
            self.v[rows] = phi @ self.weights[g]
            if self.settings.spread:
                self.spread[rows] = torch.linalg.solve_triangular(root, phi.T, upper=False).square().sum(0)
        self.learned = float(strength @ self.spread)

    def _update_alpha(self, nu: Tensor) -> None:
        kappa, count = self.settings.kappa, len(nu)
        if kappa <= 0:
            return
        a, total = kappa + nu, kappa * count + nu.sum()
        mean_log = torch.digamma(a) - torch.digamma(total)
        self.log_alpha = mean_log + torch.log(mean_log.new_tensor(float(count)))
        prior = torch.lgamma(nu.new_tensor(kappa * count)) - count * torch.lgamma(nu.new_tensor(kappa))
        own = torch.lgamma(total) - torch.lgamma(a).sum()
        self.alpha_divergence = float(own - prior + (nu * mean_log).sum())

    def _update_similarity(self, nu: Tensor, px: Tensor, u: Tensor, total: float) -> None:
        if self.settings.model == "none":
            return
        x_mean, u_mean = px.sum(0) / total, nu @ u / total
        du = u - u_mean
        cross = (px - nu[:, None] * x_mean).T @ du / total
        size = float(nu @ du.square().sum(1)) / total + 3 * float(nu @ self.spread) / total
        if self.settings.model == "affine":
            self.R = torch.linalg.solve(_second_moment(nu, du, total), cross.T).T
            self.t = x_mean - self.R @ u_mean
            return
        left, _, right = torch.linalg.svd(cross)
        flip = torch.ones(3, dtype=cross.dtype, device=cross.device)
        flip[2] = torch.linalg.det(left @ right)
        self.R = left * flip @ right
        if self.settings.model == "similarity":
            low, high = self.settings.scales
            self.s = min(max(float((self.R * cross).sum()) / size, low), high)
        self.t = x_mean - self.s * self.R @ u_mean

    def divergence(self) -> float:
        """Kullback-Leibler divergence of the posterior of motion and weights from their priors."""
        if not self.roots:
            return self.alpha_divergence
        roots, weights = self.roots, torch.cat([weights.flatten() for weights in self.weights])
        log_det = 2 * float(torch.cat([root.diagonal() for root in roots]).log().sum())
        # The trace of the posterior covariance less the rank; the points' variances tell it where they are known.
        less = -self.learned
        if not self.settings.spread:
            eyes = (torch.eye(len(root), dtype=root.dtype, device=root.device) for root in roots)
            less = sum(
                float(torch.linalg.solve_triangular(root, eye, upper=False).square().sum()) - len(root)
                for root, eye in zip(roots, eyes, strict=True)
            )
        return self.alpha_divergence + 0.5 * (3 * (less + log_det) + float(weights.square().sum()))

    def motion(self) -> PointMotion:
        """The motion as it stands."""
        return dataclasses.replace(
            self.begin,
            weights=tuple(self.weights),
            roots=tuple(self.roots),
            scale=self.s,
            rotation=self.R,
            shift=self.t,
            variance=self.variance,
        )
