"""How far a registration can be trusted: a map of its expected error, for a transform from anywhere.

Source: Smolders, Deformable image registration uncertainty quantification using deep learning for dose accumulation in
adaptive proton therapy, WBIR 2022 (mode "paper").
Differs: the default judges a transform by an independent registration of the same images (mode "anchor"), or our own by
registering again under known motion (mode "own"); both are scaled by a factor found on generated motion.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, option
from valorlib.core.run import Run, part
from valorlib.core.transforms import Transform
from valorlib.metrics.calibration import (
    LEVELS,
    Calibration,
    Scale,
    known_share,
    radius,
    ranks,
)
from valorlib.ops.error_maps import correlation_length, squared_length
from valorlib.ops.posterior import PosteriorSettings, posterior_sigma
from valorlib.solve.error_estimates import (
    Anchored,
    Register,
    WorkingPair,
    aligned_register,
    anchored,
    full_estimate,
    looks,
    motion_factor,
    motion_size,
    own_register,
    quick_estimate,
    working_pair,
)
from valorlib.solve.scan_calibration import Raw, Registers, calibrate_on_scan, scale_that_ships

PAPER_NOTE = "Paper mode is a map of the inverse image gradient; it does not know how well this registration did."
BOUND_NOTE = "The second registration fits these images worse than the given one: read sigma as an upper bound."


@dataclass(frozen=True, kw_only=True)
class DirUncertaintyOptions(Options):
    """Options of `estimate`."""

    mode: str = option(
        "anchor",
        "anchor: transform from any program; own: made by VALOR; paper: posterior of Smolders et al.",
        choices=("anchor", "own", "paper"),
    )
    quality: str = option("quick", "full registers about ten times more (own mode)", choices=("quick", "full"))
    site: str = option("any", "Body site, for the scale", choices=("any", "head_neck", "thorax"))
    scale: float = option(0.0, "Factor on sigma; 0 takes the shipped or calibrated one", low=0.0, high=10.0)
    calibrate: bool = option(False, "Find the scale on this scan with known motion")
    spacing_mm: float = option(4.0, "Voxels of the working images", low=1.0, high=10.0, unit="mm")
    sigma_c_mm: float = option(
        15.0, "Correlation width of the samples; 29 is the paper's, wider DVH bands", low=2.0, high=60.0, unit="mm"
    )
    fit_sigma_c: bool = option(False, "Estimate the correlation width from this case", advanced=True)
    same_contrast: bool = option(True, "Both scans show tissue with the same contrast", advanced=True)
    repeats: int = option(4, "Made pairs of the full quality", low=2, high=12, advanced=True)
    lambda_mm2: float = option(2.63, "Prior weight of the paper mode", low=0.01, high=100, unit="1/mm2", advanced=True)
    noise_share: float = option(
        0.01, "Image noise of the paper mode, share of the range", low=1e-4, high=1.0, advanced=True
    )


QUICK = DirUncertaintyOptions(spacing_mm=6.0)
FULL = DirUncertaintyOptions(mode="own", quality="full")


@dataclass(frozen=True, eq=False)
class TransformUnderTest:
    """Two scans and the transform between them, from any program."""

    pair: ImagePair
    transform: Transform


@dataclass(frozen=True, eq=False, kw_only=True)
class UncertaintyResult:
    """The expected error of a transform.

    sigma: root mean square of the 3D error length, mm, at the working resolution; when no scale is known its values
    rank places and are no millimeters (`in_mm` False). rank: 0 to 100, share of places that are more certain.
    sigma_c_mm: correlation width for samples. upper_bound: the true error is likely smaller. calibration: from known
    motion on this scan, when asked for. seen: share of sigma^2 that is a difference seen to the second registration
    (anchor mode; None: nothing is seen), for `metrics.calibration.known_share`.
    """

    sigma: Image
    rank: Image
    in_mm: bool
    scale: Scale
    sigma_c_mm: float
    upper_bound: bool = False
    calibration: Calibration | None = None
    seen: Image | None = None
    warnings: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)

    def radius(self, level: float) -> Image:
        """Radius, mm, of the ball around the mapped point that holds the true one with this probability."""
        known = 0.0 if self.seen is None else known_share(self.seen.array)
        values = np.asarray(self.sigma.array * radius(level, known), dtype=np.float32)
        return Image(values, self.sigma.grid, f"radius {100 * level:g} %")


def estimate(
    inputs: TransformUnderTest, options: DirUncertaintyOptions, run: Run, *, register: Register | None = None
) -> UncertaintyResult:
    """Expected error of a transform.

    Args:
        inputs: scans and transform.
        options: mode, quality and scale.
        run: seed and progress.
        register: the registration that made the transform (own mode); our independent one when None.
    """
    pair = inputs.pair
    work = working_pair(pair.fixed, pair.moving, inputs.transform, spacing_mm=options.spacing_mm, mask=pair.fixed_mask)
    registers = _registers(work, options, run.device) if register is None else _given(work, register)
    share = 0.5 if options.calibrate else 0.95
    first = Run(device=run.device, seed=run.seed, progress=part(run.progress, 0.0, share))
    raw, motion, found = _raw(work, options, first, registers)
    scale, calibration, warnings = _scale(work, options, run, share, motion)
    warnings += (PAPER_NOTE,) if options.mode == "paper" else ()
    upper = bool(found and found.upper_bound)
    warnings += (BOUND_NOTE,) if upper else ()
    sigma_c = options.sigma_c_mm
    if options.fit_sigma_c and found is not None:
        sigma_c = float(np.clip(correlation_length(found.difference, work.grid, work.inside) or sigma_c, 8.0, 30.0))
    rank = np.zeros(work.grid.shape, dtype=np.float32)
    rank[work.inside] = ranks(raw[work.inside])
    values = (raw * np.float32(scale.value or 1.0)).astype(np.float32)
    return UncertaintyResult(
        sigma=Image(values, work.grid, "sigma"),
        rank=Image(rank, work.grid, "rank"),
        in_mm=scale.value is not None,
        scale=scale,
        sigma_c_mm=sigma_c,
        upper_bound=upper,
        calibration=calibration,
        seen=None if found is None else Image(found.seen, work.grid, "seen"),
        warnings=warnings,
        record=_record(work, values, motion, found),
    )


def _record(work: WorkingPair, sigma: np.ndarray[Any, Any], motion_mm: float, found: Anchored | None) -> dict[str, Any]:
    inside = sigma[work.inside]
    record: dict[str, Any] = {
        "working_voxels": int(sigma.size),
        "working_spacing_mm": list(work.grid.spacing),
        "sigma_mean_mm": float(inside.mean()),
        "sigma_p95_mm": float(np.percentile(inside, 95)),
        "sigma_max_mm": float(inside.max()),
        "deformation_rms_mm": motion_mm,
    }
    known = np.zeros(1) if found is None else known_share(found.seen[work.inside])
    record["radius_in_sigma"] = {f"{100 * level:g}": float(radius(level, known).mean()) for level in LEVELS}
    if found is not None:
        length = np.sqrt(squared_length(found.difference)[work.inside])
        record["difference_to_second_registration_mm"] = {
            "mean": float(length.mean()),
            "p95": float(np.percentile(length, 95)),
        }
        record["local_correlation"] = {"given": found.likeness[0], "second_registration": found.likeness[1]}
    return record


def _registers(work: WorkingPair, options: DirUncertaintyOptions, device: str) -> Registers:
    squared = not options.same_contrast
    return own_register(work, device, squared), own_register(work, device, squared, aligned=True)


def _given(work: WorkingPair, register: Register) -> Registers:
    return register, aligned_register(work, register)


def _raw(work: WorkingPair, options: DirUncertaintyOptions, run: Run, registers: Registers) -> Raw:
    """Sigma before scaling, at the working resolution, and the size of the deformation that our registration found."""
    if options.mode == "paper":
        settings = PosteriorSettings(options.lambda_mm2, options.noise_share, options.sigma_c_mm)
        sigma = posterior_sigma(work.fixed, work.moving, work.field, settings, seed=run.seed, progress=run.progress)
        return sigma, motion_size(work, work.field), None
    full = options.mode == "own" and options.quality == "full"
    share = 0.3 if full else 0.95
    found = looks(work, *registers, part(run.progress, 0.0, share))
    if options.mode == "anchor":
        given = anchored(work, found)
        return given.sigma, motion_size(work, given.middle), given
    motion = motion_size(work, found.middle)
    if not full:
        sigma = quick_estimate(work, found)
    else:
        progress = part(run.progress, share, 1.0)
        sigma = full_estimate(work, found, registers, repeats=options.repeats, seed=run.seed, progress=progress)
    return sigma * np.float32(motion_factor(motion)), motion, None


def _scale(
    work: WorkingPair, options: DirUncertaintyOptions, run: Run, start: float, motion_mm: float
) -> tuple[Scale, Calibration | None, tuple[str, ...]]:
    name = options.mode if options.mode != "own" else f"own_{options.quality}"
    if options.calibrate and options.mode != "paper":
        last = Run(device=run.device, seed=run.seed, progress=part(run.progress, start, 0.98))
        found = calibrate_on_scan(
            work,
            lambda pair, step, registers: _raw(pair, options, step, registers),
            lambda pair: _registers(pair, options, run.device),
            last,
            elsewhere=options.mode == "anchor",
        )
        source = "found on this scan with known smooth motion (no sliding, no artifacts)"
        return Scale(value=found.scale, spread_pct=25.0, source=source), found, ()
    if options.scale > 0:
        return Scale(value=options.scale, spread_pct=float("nan"), source="given by the user"), None, ()
    scale, warnings = scale_that_ships(name, options.site, motion_mm)
    return scale, None, warnings


METHOD = Method(
    "dir_uncertainty",
    "Registration uncertainty",
    TransformUnderTest,
    DirUncertaintyOptions,
    estimate,
    "Smolders et al., WBIR 2022",
    presets={"default": DirUncertaintyOptions(), "quick": QUICK, "full": FULL},
    reasons={
        "default": "A transform from any program: judged by a second, independent registration.",
        "quick": "The same at 6 mm, for a first look.",
        "full": "A registration made here: registered again under known motion.",
    },
)
