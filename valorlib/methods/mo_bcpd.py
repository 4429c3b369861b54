"""MO-BCPD: organ surfaces carried over, each organ moving by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.method import Method
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.results import Result
from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform
from valorlib.methods.mo_bcpd_options import PRESETS, REASONS, MoBcpdOptions
from valorlib.ops.gp_kernel import MotionPrior
from valorlib.ops.label_mending import mend_labels
from valorlib.ops.organ_drift import (
    Clouds,
    Plan,
    best_start,
    best_stiff_run,
    build_bases,
    check_memory,
    run_as_stiff_as_surfaces_allow,
    run_levels,
    stiff_motion,
    whole_body,
)
from valorlib.ops.point_checks import check_pair, drift_warnings, organ_warnings
from valorlib.ops.point_drift import Drifted, DriftSettings
from valorlib.ops.point_start import SCALE_RANGE, organ_sizes, start_candidates
from valorlib.ops.thinning import spacing_mm


def register(pair: PointPair, options: MoBcpdOptions, run: Run) -> Result:
    """Carry the moving organs onto the fixed ones.

    `pair.moving` is the paper's source and `pair.fixed` its target; labels name the organs. Points go from moving to
    fixed: `Result.moved` are the moving points in the fixed world in the order they came, `Result.model` carries any
    further point. `Result.transform` maps fixed to moving, as all transforms do: the inverse of the similarity alone;
    `ops.organ_field` makes the dense field with the organs' own motion.

    Source: Joutard, Pheiffer, Audigier, Wohlfahrt, Dorent, Piat, Vercauteren, Modat, Mansi, A multi-organ point cloud
    registration algorithm for abdominal CT registration, WBIR 2022, 10.1007/978-3-031-11203-4_9.
    Differs: Gibbs' kernel (unequal lengths stay positive definite); outliers have a label density; low rank by pivoted
    Cholesky; start from organ centers; label mending; coarse to fine; sigma_mm is that of a matched point, not of the
    motion alone.

    Raises:
        InputError: clouds or options that cannot work, or more memory than allowed.
    """
    check_pair(pair)
    names = {**pair.moving.names, **pair.fixed.names}
    clouds = _clouds(pair, options)
    plan = _plan(clouds, options, run)
    sizes = organ_sizes(clouds.fixed, clouds.fixed_organs, clouds.moving, clouds.moving_organs)
    warnings = organ_warnings(pair, sizes, clouds.labels, names)
    check_memory(clouds, plan, options.memory_limit_gb)
    run.progress(0.02, "Finding the start")
    start = _start(clouds, plan, options)
    clouds, mended = mend_labels(clouds, plan, start, _wrong_share(options, plan))

    def turning(loop: int, sigma: float) -> None:
        run.progress(0.05, f"Turning organs, loop {loop + 1}: sigma {sigma:.2f} mm")

    levels = replace(run, progress=part(run.progress, 0.1, 0.95))
    if plan.prior.long_size_mm <= 0:
        motion = stiff_motion(clouds, plan, start, build_bases(clouds, plan, start), turning)
        found, last, _ = run_levels(clouds, plan, motion, levels, closed=False)
    else:
        reaches = (options.gamma, 0.1 * options.gamma, 0.3 * options.gamma)[: options.starts]
        stiff = best_stiff_run(clouds, plan, start, reaches, turning)
        found, last = run_as_stiff_as_surfaces_allow(clouds, plan, stiff, start, levels)
    return _result(pair, clouds, found, warnings + drift_warnings(found, last, clouds, names), mended)


def _clouds(pair: PointPair, options: MoBcpdOptions) -> Clouds:
    fixed, moving = pair.fixed.labels, pair.moving.labels
    if not options.use_labels or fixed is None or moving is None:
        zeros = (np.zeros(len(c.points), dtype=np.int64) for c in (pair.fixed, pair.moving))
        return Clouds(pair.fixed.points, next(zeros), pair.moving.points, next(zeros), ())
    labels = np.union1d(fixed, moving)
    organs = (np.searchsorted(labels, values) for values in (fixed, moving))
    return Clouds(
        pair.fixed.points, next(organs), pair.moving.points, next(organs), tuple(int(label) for label in labels)
    )


def _matrix(values: tuple[float, ...], name: str, count: int, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    if not values:
        return otherwise
    if len(values) != count * count:
        raise InputError(f"{name}: expected {count * count} numbers for {count} organs, got {len(values)}")
    return np.asarray(values, dtype=np.float64).reshape(count, count)


def _each(values: tuple[float, ...], name: str, count: int, otherwise: float) -> list[float]:
    if values and len(values) != count:
        raise InputError(f"{name}: expected {count} numbers, one an organ, got {len(values)}")
    return list(values) or [otherwise] * count


def _plan(clouds: Clouds, options: MoBcpdOptions, run: Run) -> Plan:
    count = max(1, len(clouds.labels))
    eye, shared, wrong = np.eye(count), options.between_organs, options.label_error
    coherence = _matrix(options.coherence_matrix, "coherence_matrix", count, (1 - shared) * eye + shared)
    alone = bool(np.array_equal(coherence, eye))
    mixed = eye if count == 1 else (1 - wrong) * eye + wrong / (count - 1) * (1 - eye)
    transition = _matrix(options.label_matrix, "label_matrix", count, mixed)
    if not np.allclose(transition.sum(0), 1, atol=1e-3):
        raise InputError(f"label_matrix: expected columns that sum to 1, got {np.round(transition.sum(0), 3).tolist()}")

    def tensor(values: object) -> torch.Tensor:
        return torch.as_tensor(values, dtype=torch.float64, device=run.device)

    prior = MotionPrior(
        tensor(_each(options.organ_length_mm, "organ_length_mm", count, options.length_mm)),
        tensor(_each(options.organ_size_mm, "organ_size_mm", count, options.size_mm)),
        tensor(coherence),
        long_mm=options.long_mm,
        long_size_mm=options.long_size_mm,
    )
    settings = DriftSettings(
        outliers=options.outliers,
        kappa=options.kappa,
        model=options.similarity,
        spread=options.spread,
        similarity_first=options.similarity_first,
        epsilon_mm=options.epsilon_mm,
        step_mm=options.step_mm,
        min_loops=min(options.min_loops, options.max_loops),
        max_loops=options.max_loops,
        scales=(1e-3, 1e3) if options.start == "given" else SCALE_RANGE,
        floor_mm=max(1e-3, 0.05 * spacing_mm(clouds.fixed)),
        dtype=torch.float64 if options.exact else torch.float32,
    )
    slow = _slow_motion(clouds, options)
    return Plan(
        prior=prior,
        transition=tensor(transition),
        settings=settings,
        gamma=options.gamma,
        coarse_points=options.coarse_points,
        fine_loops=options.fine_loops,
        tolerance=options.tolerance,
        max_rank=options.max_rank,
        seed=run.seed,
        device=run.device,
        surfaces=options.surfaces,
        loosen=1.0 if options.organ_size_mm else options.unlike_size_mm / options.size_mm,
        shorten=options.unlike_length_mm / options.length_mm if alone and not options.organ_length_mm else 1.0,
        unlike_slow=(tensor(slow[0]), tensor(slow[1])) if alone and options.long_size_mm > 0 else None,
    )


def _wrong_share(options: MoBcpdOptions, plan: Plan) -> float:
    """Share of wrong labels to look for: as set, or what U says; none with the paper's prior, where U alone decides."""
    if options.label_error > 0 or options.long_size_mm <= 0:
        return options.label_error
    return min(0.5, 1 - float(plan.transition.diagonal().mean()))


def _slow_motion(clouds: Clouds, options: MoBcpdOptions) -> tuple[list[float], list[float]]:
    """Length and size, mm, of the slow motion of each organ that is unlike its partner.

    The length spans the organ, within the options; the size is at least what brings the organ to its partner's size.
    """
    least, most = min(options.unlike_long_mm, options.long_mm), options.long_mm
    count = max(1, len(clouds.labels))
    length, size = [most] * count, [options.long_size_mm] * count
    sizes = organ_sizes(clouds.fixed, clouds.fixed_organs, clouds.moving, clouds.moving_organs)
    for organ, ratio in zip(sizes.organs.tolist(), sizes.ratio.tolist(), strict=True):
        own = clouds.moving[clouds.moving_organs == organ]
        length[organ] = float(np.clip(np.linalg.norm(np.ptp(own, axis=0)), least, most))
        radius = float(np.linalg.norm(own.std(axis=0)))
        size[organ] = max(options.long_size_mm, abs(ratio / sizes.common_ratio - 1) * radius)
    return length, size


def _start(clouds: Clouds, plan: Plan, options: MoBcpdOptions) -> NDArray[np.float64]:
    if options.start == "given":
        return np.eye(4)
    sizes = organ_sizes(clouds.fixed, clouds.fixed_organs, clouds.moving, clouds.moving_organs)
    candidates = start_candidates(sizes, clouds.fixed, clouds.moving, rigid=options.similarity == "rigid")
    wanted = len(candidates) if len(candidates) > 2 else 1
    start = best_start(clouds, plan, candidates[:wanted])
    return whole_body(clouds, plan, start, "affine") if options.start == "affine" else start


def _result(pair: PointPair, clouds: Clouds, found: Drifted, warnings: list[str], mended: int) -> Result:
    motion = found.motion
    similarity = AffineTransform(motion.similarity())
    back = AffineTransform(np.asarray(np.linalg.inv(similarity.matrix), dtype=np.float64))
    moved = motion.move(clouds.moving, clouds.moving_organs)
    record = {
        "loops": len(found.sigmas),
        "converged": found.converged,
        "sigma_mm": found.sigmas[-1],
        "scale": float(np.cbrt(np.linalg.det(similarity.matrix[:3, :3]))),
        "rank": [len(basis.points) for basis in motion.bases],
        "left_out_share": max((basis.residual for basis in motion.bases), default=0.0),
        "mended_labels": mended,
        "matched_share": float(found.fixed_mass.mean()),
    }
    return Result(
        transform=back,
        inverse=similarity,
        start=back,
        moved=PointCloud(moved, pair.moving.labels, names={**pair.fixed.names, **pair.moving.names}),
        sigma_mm=motion.sigma_mm(clouds.moving, clouds.moving_organs),
        model=motion,
        losses=tuple(-value for value in found.bounds),
        warnings=tuple(warnings),
        record=record,
    )


METHOD = Method(
    "mo_bcpd",
    "MO-BCPD",
    PointPair,
    MoBcpdOptions,
    register,
    "Joutard et al., A multi-organ point cloud registration algorithm for abdominal CT registration, WBIR 2022",
    PRESETS,
    REASONS,
)
