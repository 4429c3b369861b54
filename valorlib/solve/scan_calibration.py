"""The factor on sigma: the one that ships, or one found on the user's own scan, moved by known motion."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.metrics.calibration import Calibration, Scale, calibrate, known_share, right_scale, shipped_scale
from valorlib.ops.known_truth import denoised, known_pair, noise_level, random_field
from valorlib.solve.error_estimates import Anchored, Register, WorkingPair

Registers = tuple[Register, Register]
"""One that starts from the pair's affine start, and the same for images that are aligned already."""
Raw = tuple[NDArray[np.float32], float, Anchored | None]
"""Sigma before scaling, size of the deformation (mm), and the comparison with a second registration if there was."""
PAIRS = 2
SIZE_RANGE_MM = (4.0, 20.0)
ELSEWHERE_MM = 4.0
"""Size of the error that stands for that of a program which cannot be run again."""


def calibrate_on_scan(
    work: WorkingPair,
    raw: Callable[[WorkingPair, Run, Registers], Raw],
    registers_of: Callable[[WorkingPair], Registers],
    run: Run,
    *,
    elsewhere: bool,
) -> Calibration:
    """Register pairs made from the fixed scan with known motion, and compare sigma with the true error.

    Args:
        work: the pair.
        raw: sigma before scaling of a pair whose `field` is judged.
        registers_of: our registrations of images on a pair's grid.
        run: seed and progress.
        elsewhere: the transform comes from a program that cannot be run again. The registration judged is then the
            truth plus a smooth error.
    """
    rng = np.random.default_rng(run.seed + 17)
    base = denoised(work.fixed)
    centered = replace(work, start=AffineTransform.identity())
    registers = registers_of(centered)
    length = np.linalg.norm(work.field.array[work.inside] - work.field.array[work.inside].mean(axis=0), axis=-1)
    size_mm = float(np.clip(np.percentile(length, 95), *SIZE_RANGE_MM))
    sigmas, errors, shares = [], [], []
    for n in range(PAIRS):
        truth = random_field(work.grid, rng, size_mm=size_mm)
        made = known_pair(base, truth, rng, noise=noise_level(work.fixed, work.inside))
        step = Run(device=run.device, seed=run.seed + n, progress=part(run.progress, n / PAIRS, (n + 1) / PAIRS))
        if elsewhere:
            error = random_field(work.grid, rng, size_mm=ELSEWHERE_MM, widths_mm=(12.0, 20.0), weights=(1.0, 1.0))
            judged = DisplacementField(truth.array + error.array, work.grid)
        else:
            judged = registers[0](made.fixed, made.moving, 0, step.progress)
        pair = replace(centered, fixed=made.fixed, moving=made.moving, field=judged)
        sigma, _, found = raw(pair, step, registers)
        sigmas.append(sigma[work.inside])
        shares.append((known_share(found.seen) if found else np.zeros_like(sigma))[work.inside])
        errors.append(np.linalg.norm(judged.array - truth.array, axis=-1)[work.inside])
    sigma, size, known = (np.concatenate(parts) for parts in (sigmas, errors, shares))
    return calibrate(sigma, size, scale=right_scale(sigma, size, known), known=known)


def scale_that_ships(estimate: str, site: str, motion_mm: float) -> tuple[Scale, tuple[str, ...]]:
    """The factor for a way of estimating and a site, and what there is to say about it.

    Args:
        estimate: name in the table that ships.
        site: "any" where it is not known.
        motion_mm: rms of the deformation at hand.
    """
    scale = shipped_scale(estimate, site)
    if scale.value is None:
        return scale, (f"{scale.source[:1].upper()}{scale.source[1:]}; calibrate on this scan to get mm.",)
    warnings: tuple[str, ...] = ()
    if site == "any":
        warnings += (
            f"Sigma is scaled by a factor that varied by {scale.spread_pct:.0f} % between sites; name the site.",
        )
    if scale.motion_mm and not scale.motion_mm[0] / 1.5 <= motion_mm <= scale.motion_mm[1] * 1.5:
        warnings += (
            f"The deformation of {motion_mm:.1f} mm (rms) is far from the {scale.motion_mm[0]:.1f} to "
            f"{scale.motion_mm[1]:.1f} mm that sigma was scaled on; calibrate on this scan.",
        )
    return scale, warnings
