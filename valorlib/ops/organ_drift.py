"""Point drift from start to finish: clouds, prior, starts, coarse to fine."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.run import Run, part
from valorlib.ops.far_ends import far_ends_mm
from valorlib.ops.gp_kernel import MotionPrior, coherent_groups
from valorlib.ops.pivoted_cholesky import Basis, inducing_basis
from valorlib.ops.point_drift import Drifted, DriftSettings, Level, drift, matched_shares, start_variance
from valorlib.ops.point_motion import PointMotion
from valorlib.ops.surface_fit import fit_surfaces
from valorlib.ops.thinning import thin_evenly

CANDIDATES = 300
FINE_CUTOFF = 4.5
FIRST_POINTS = 4000
START_POINTS = 150
STIFF_POINTS = 120
STIFFNESS = 0.6
STIFF_LENGTH = 2.0
SURFACE_POINTS = 400
SURFACE_LOOPS = 10
SURFACE_STILL_MM = 0.15
LAST_POINTS = 800
LAST_LOOPS = 12
LAST_STILL_MM = 0.05
INLIER = 0.5
STRICT_LOOPS = 15
Report = Callable[[int, float], None]


@dataclass(frozen=True, eq=False)
class Clouds:
    """Both clouds: points (n, 3) mm, organs (n,) counted from 0; labels: of each organ, empty without labels."""

    fixed: NDArray[np.float64]
    fixed_organs: NDArray[np.int64]
    moving: NDArray[np.float64]
    moving_organs: NDArray[np.int64]
    labels: tuple[int, ...]
    _kept: dict[int, tuple[NDArray[np.int64], NDArray[np.int64]]] = dataclasses.field(default_factory=dict, init=False)

    def thinned(self, count: int) -> Clouds:
        """At most about `count` points an organ in each cloud."""
        x, y = self.thinned_rows(count)
        return dataclasses.replace(
            self,
            fixed=self.fixed[x],
            fixed_organs=self.fixed_organs[x],
            moving=self.moving[y],
            moving_organs=self.moving_organs[y],
        )

    def thinned_rows(self, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of the fixed and the moving points that `thinned` keeps; of large clouds by way of FIRST_POINTS."""
        if count not in self._kept:
            sides = ((self.fixed, self.fixed_organs), (self.moving, self.moving_organs))
            many = max(_largest(organs) for _, organs in sides) > 2 * FIRST_POINTS >= 4 * count
            start = self.thinned_rows(FIRST_POINTS) if many else tuple(np.arange(len(points)) for points, _ in sides)
            x, y = (
                rows[thin_evenly(points[rows], organs[rows], count)]
                for (points, organs), rows in zip(sides, start, strict=True)
            )
            self._kept[count] = x, y
        return self._kept[count]


@dataclass(frozen=True, eq=False)
class Plan:
    """How to run. transition: (L, L) P(fixed label | moving label). coarse_points, fine_loops: see the options.

    gamma: reach of the first matches. tolerance, max_rank: of the low rank. surfaces: the points lie on surfaces, whose
    normals guide the organs. loosen: how much farther organs bend when their surfaces do not close.
    """

    prior: MotionPrior
    transition: Tensor
    settings: DriftSettings
    gamma: float
    coarse_points: int
    fine_loops: int
    tolerance: float
    max_rank: int
    seed: int
    device: str
    surfaces: bool = True
    loosen: float = 1.0
    shorten: float = 1.0
    unlike_slow: tuple[Tensor, Tensor] | None = None

    def stiff(self) -> Plan:
        """The plan for organs that hardly bend."""
        length, size = STIFF_LENGTH * self.prior.length_mm, STIFFNESS * self.prior.size_mm
        return dataclasses.replace(self, prior=dataclasses.replace(self.prior, length_mm=length, size_mm=size))

    def unlike(self) -> Plan:
        """The plan for organs whose surfaces did not close: they bend more, drift alone decides, to a strict end."""
        if not self.surfaces:
            return self.strict()
        prior = dataclasses.replace(
            self.prior,
            size_mm=self.prior.size_mm * max(1.0, self.loosen),
            length_mm=self.prior.length_mm * min(1.0, self.shorten),
            organ_slow=self.unlike_slow,
        )
        return dataclasses.replace(self.strict(), prior=prior)

    def strict(self) -> Plan:
        """The plan for drift alone, without surfaces that finish what it leaves: it goes on to a strict end."""
        settings = dataclasses.replace(
            self.settings,
            min_loops=min(max(STRICT_LOOPS, self.settings.min_loops), self.settings.max_loops),
            epsilon_mm=0.1 * self.settings.epsilon_mm,
            step_mm=0.4 * self.settings.step_mm,
        )
        return dataclasses.replace(self, settings=settings)


def without_outliers(level: Level, matched: Tensor) -> Level:
    """The level with the fixed points alone that the drift holds for likelier `matched` (N,) than outliers."""
    keep = matched >= INLIER
    return dataclasses.replace(level, fixed=level.fixed[keep], fixed_organs=level.fixed_organs[keep])


def level_of(clouds: Clouds, plan: Plan, motion: PointMotion, settings: DriftSettings) -> Level:
    """The clouds as the loop wants them, in the frame of `motion`."""

    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.as_tensor(array, device=plan.device)

    return Level(
        motion.enter(tensor(clouds.moving)),
        tensor(clouds.moving_organs),
        tensor(clouds.fixed) - motion.center,
        tensor(clouds.fixed_organs),
        plan.transition,
        settings,
    )


def still_motion(clouds: Clouds, plan: Plan, start: NDArray[np.float64], bases: tuple[Basis, ...] = ()) -> PointMotion:
    """The start alone: no displacement, unit similarity."""
    like = plan.transition
    return PointMotion(
        start=like.new_tensor(start),
        center=like.new_tensor(clouds.fixed.mean(0)),
        bases=bases,
        weights=tuple(like.new_zeros(len(b.points), 3) for b in bases),
        roots=tuple(torch.eye(len(b.points), dtype=like.dtype, device=like.device) for b in bases),
        scale=1.0,
        rotation=torch.eye(3, dtype=like.dtype, device=like.device),
        shift=like.new_zeros(3),
        variance=1.0,
        labels=clouds.labels,
    )


def build_bases(clouds: Clouds, plan: Plan, start: NDArray[np.float64]) -> tuple[Basis, ...]:
    """Inducing points of each coherent group, in the frame after `start`."""
    frame = still_motion(clouds, plan, start)
    moving = frame.enter(torch.as_tensor(clouds.moving, device=plan.device))
    organs = torch.as_tensor(clouds.moving_organs, device=plan.device)
    generator = torch.Generator().manual_seed(plan.seed)
    bases = []
    for group in coherent_groups(plan.prior.coherence):
        rows = torch.nonzero(torch.isin(organs, organs.new_tensor(group))).flatten()
        if len(rows):
            bases.append(
                inducing_basis(
                    moving[rows],
                    organs[rows],
                    plan.prior,
                    tuple(group),
                    tolerance=plan.tolerance,
                    max_rank=plan.max_rank,
                    generator=generator,
                    candidates=CANDIDATES * len(group),
                )
            )
    return tuple(bases)


def check_memory(clouds: Clouds, plan: Plan, limit_gb: float) -> float:
    """Raise InputError, before the start, when the run needs more than `limit_gb`; returns the need, or a bound of it.

    Counted are features twice, the clouds and their leaves, one chunk of pairs, and the libraries.
    """
    points = len(clouds.moving) + len(clouds.fixed)
    plain = points * 1500 + 5e8
    need = (plain + 8 * 3 * float(len(clouds.moving)) * min(plan.max_rank, len(clouds.moving))) / 1e9
    if need <= limit_gb:
        return need
    # The bound is too large to tell: find out the true rank.
    features = sum(
        np.count_nonzero(np.isin(clouds.moving_organs, basis.members)) * len(basis.points)
        for basis in build_bases(clouds, plan, np.eye(4))
    )
    need = float(features * 8 * 3 + plain) / 1e9
    if need > limit_gb:
        raise InputError(
            f"points: expected a run within {limit_gb:g} GB of memory, got {len(clouds.moving)} moving and "
            f"{len(clouds.fixed)} fixed points that need {need:.1f} GB; thin the points or raise memory_limit_gb"
        )
    return need


def best_start(clouds: Clouds, plan: Plan, candidates: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """The candidate whose short run on few points has the highest evidence."""
    if len(candidates) == 1:
        return candidates[0]
    few = clouds.thinned(START_POINTS)
    rough = dataclasses.replace(plan, tolerance=max(plan.tolerance, 1e-2), gamma=max(plan.gamma, 0.3))
    settings = dataclasses.replace(plan.settings, max_loops=20, min_loops=20)
    scores = []
    for start in candidates:
        motion = still_motion(few, rough, start, build_bases(few, rough, start))
        level = level_of(few, rough, motion, settings)
        motion = dataclasses.replace(motion, variance=start_variance(level, rough.gamma))
        scores.append(drift(level, motion, lambda loop, sigma: None).bounds[-1])
    return candidates[int(np.argmax(scores))]


def whole_body(clouds: Clouds, plan: Plan, start: NDArray[np.float64], model: str) -> NDArray[np.float64]:
    """(4, 4) similarity, rigid or affine fit of the clouds without any displacement, from `start`."""
    few = clouds.thinned(4 * START_POINTS)
    settings = dataclasses.replace(plan.settings, model=model, max_loops=60, min_loops=20, epsilon_mm=0.01)
    motion = still_motion(few, plan, start)
    level = level_of(few, plan, motion, settings)
    motion = dataclasses.replace(motion, variance=start_variance(level, max(plan.gamma, 0.2)))
    return drift(level, motion, lambda loop, sigma: None).motion.similarity()


def stiff_motion(
    clouds: Clouds, plan: Plan, start: NDArray[np.float64], bases: tuple[Basis, ...], report: Report
) -> PointMotion:
    """Motion to go on from, in `bases`: a run on few points in which organs hardly bend, so that they turn first.

    Without a slow part in the prior: the start alone with the first sigma.
    """
    motion = still_motion(clouds, plan, start, bases)
    if plan.prior.long_size_mm <= 0:
        level = level_of(clouds, plan, motion, plan.settings)
        return dataclasses.replace(motion, variance=start_variance(level, plan.gamma))
    return stiff_run(clouds, plan, start, report).enter(bases)


@dataclass(frozen=True, eq=False)
class StiffRun:
    """What the stiff run found, on the level it ran; closed: the surfaces lie as close as two samples of one do.

    Only then the surfaces have guided the organs: where shapes differ, sliding along them proves nothing.
    """

    motion: PointMotion
    level: Level
    closed: bool
    evidence: float

    def enter(self, bases: tuple[Basis, ...]) -> PointMotion:
        """The motion in other bases."""
        return _in_bases(self.motion, bases, self.level)


def stiff_run(clouds: Clouds, plan: Plan, start: NDArray[np.float64], report: Report) -> StiffRun:
    """Organs turn, and hardly bend: drift on few points, then surface on surface."""
    few = clouds.thinned(STIFF_POINTS)
    stiff = dataclasses.replace(plan.stiff(), tolerance=max(plan.tolerance, 1e-2))
    center = still_motion(clouds, plan, start).center
    first = still_motion(few, stiff, start, build_bases(few, stiff, start))
    first = dataclasses.replace(first, center=center)
    level = level_of(few, stiff, first, dataclasses.replace(plan.settings, epsilon_mm=0.02, step_mm=1.0, max_loops=40))
    first = dataclasses.replace(first, variance=start_variance(level, plan.gamma))
    found = drift(level, first, report)
    drifted, evidence = found.motion, found.bounds[-1]
    if not plan.surfaces:
        return StiffRun(drifted, level, closed=False, evidence=evidence)
    first_level, some = level, clouds.thinned(SURFACE_POINTS)
    level = level_of(some, stiff, drifted, plan.settings)
    level = without_outliers(level, matched_shares(level, drifted))
    fit = fit_surfaces(level, drifted, loops=SURFACE_LOOPS, still_mm=SURFACE_STILL_MM)
    if not fit.closed:
        return StiffRun(drifted, first_level, closed=False, evidence=evidence)
    variance = max(fit.distance_mm**2 / 2, plan.settings.floor_mm**2)
    return StiffRun(dataclasses.replace(fit.motion, variance=variance), level, closed=True, evidence=evidence)


def _in_bases(motion: PointMotion, bases: tuple[Basis, ...], level: Level) -> PointMotion:
    """The same motion written in other bases: least squares at the moving points."""
    wanted = motion.displacement(level.moving, level.moving_organs)
    weights, roots = [], []
    for basis in bases:
        rows = torch.isin(level.moving_organs, level.moving_organs.new_tensor(basis.members))
        phi = basis.features(level.moving[rows], level.moving_organs[rows])
        eye = torch.eye(phi.shape[1], dtype=phi.dtype, device=phi.device)
        gram = phi.T @ phi
        weights.append(torch.linalg.solve(gram + 1e-2 * eye, phi.T @ wanted[rows]))
        roots.append(torch.linalg.cholesky(eye + motion.scale**2 / motion.variance * gram))
    return dataclasses.replace(motion, bases=bases, weights=tuple(weights), roots=tuple(roots))


def best_stiff_run(
    clouds: Clouds, plan: Plan, start: NDArray[np.float64], gammas: tuple[float, ...], report: Report
) -> StiffRun:
    """The stiff run of the first reach that closes the surfaces; if none does, the one of the highest evidence.

    A long reach finds large turns of an organ, a short one keeps to a good start; which is better differs by case.
    Where none closes, the organs are unlike: runs anew with their shorter slow motion; ends that lie nearest decide.
    """
    runs: list[StiffRun] = []
    for gamma in gammas:
        runs.append(stiff_run(clouds, dataclasses.replace(plan, gamma=gamma), start, report))
        if runs[-1].closed:
            return runs[-1]
    if plan.surfaces and plan.unlike_slow is not None:
        prior = dataclasses.replace(plan.prior, organ_slow=plan.unlike_slow)
        alone = dataclasses.replace(plan, prior=prior, surfaces=False)
        runs += [stiff_run(clouds, dataclasses.replace(alone, gamma=gamma), start, report) for gamma in gammas]
        return min(runs, key=lambda run: far_ends_mm(run.level, run.motion))
    return max(runs, key=lambda run: run.evidence)


def run_levels(
    clouds: Clouds, plan: Plan, motion: PointMotion, run: Run, *, closed: bool
) -> tuple[Drifted, Clouds, bool]:
    """Coarse run to convergence, a few loops with all points, then surface on surface where that closed at the start.

    Returns:
        What was found, the clouds of the last level, and whether the surfaces lie as close as two samples of one do.
    """
    coarse = plan.coarse_points * (1 if clouds.labels else 5)
    levels = [clouds]
    if 0 < coarse < max(_largest(clouds.fixed_organs), _largest(clouds.moving_organs)):
        levels = [clouds.thinned(coarse), clouds]
    bounds: list[float] = []
    sigmas: list[float] = []
    for number, shown in enumerate(levels):
        settings = plan.settings
        if number > 0:
            settings = dataclasses.replace(
                settings, max_loops=plan.fine_loops, min_loops=plan.fine_loops, cutoff=FINE_CUTOFF
            )
        level = level_of(shown, plan, motion, settings)

        def report(loop: int, sigma: float, *, number: int = number, most: int = settings.max_loops) -> None:
            done = (number + (loop + 1) / most) / len(levels)
            run.progress(done, f"{'Fine' if number else 'Matching'}, loop {loop + 1}: sigma {sigma:.2f} mm")

        found = drift(level, motion, report)
        motion = found.motion
        bounds += found.bounds
        sigmas += found.sigmas
    if closed:
        x, y = clouds.thinned_rows(LAST_POINTS)
        if len(x) < len(clouds.fixed) or len(y) < len(clouds.moving):
            level = level_of(clouds.thinned(LAST_POINTS), plan, motion, plan.settings)
        level = without_outliers(level, found.fixed_mass[torch.as_tensor(x, device=plan.device)])
        fit = fit_surfaces(level, motion, loops=LAST_LOOPS, still_mm=LAST_STILL_MM)
        motion, closed = fit.motion, fit.closed
    return dataclasses.replace(found, motion=motion, bounds=tuple(bounds), sigmas=tuple(sigmas)), levels[-1], closed


def run_as_stiff_as_surfaces_allow(
    clouds: Clouds, plan: Plan, stiff: StiffRun, start: NDArray[np.float64], run: Run
) -> tuple[Drifted, Clouds]:
    """The levels, with organs that hardly bend if their surfaces close so, else with the prior of the plan.

    Of motions that lay the surfaces equally well the smoothest is the likeliest. Surfaces that did not close at the
    start are of unlike organs: these bend more.
    """
    plans = [plan.stiff(), plan] if stiff.closed else [plan.unlike()]
    for number, chosen in enumerate(plans):
        bases = build_bases(clouds, chosen, start)
        share = part(run.progress, number / len(plans), (number + 1) / len(plans))
        levels = dataclasses.replace(run, progress=share)
        found, last, closed = run_levels(clouds, chosen, stiff.enter(bases), levels, closed=stiff.closed)
        if closed:
            break
    return found, last


def _largest(organs: NDArray[np.int64]) -> int:
    return int(np.bincount(organs).max())
