"""Symmetric log-demons, and broken geodesics: a path of up to five stationary velocity fields."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.ops.contrast import check_contrast
from valorlib.ops.demons import Demons, symmetric_update, velocity_length_mm
from valorlib.ops.plausibility import alarmed
from valorlib.ops.prepare import match_histogram
from valorlib.ops.warp import compose_voxels, exponential, resize_field, warp
from valorlib.solve.frame import Frame, pull_mask
from valorlib.solve.outcome import linear_start, one_thread, outcome
from valorlib.solve.schedule import Plateau


@dataclass(frozen=True, kw_only=True)
class LogDemonsOptions(Options):
    """Options of `register`."""

    pieces: int = option(1, "Most velocity fields in a row (broken geodesic); more for large motion", low=1, high=5)
    finest_mm: float = option(2.0, "Voxel size of the last level", low=0.3, high=10.0, unit="mm")
    levels: int = option(3, "Resolutions, each half as fine as the next", low=1, high=5)
    iterations: int = option(30, "Updates at each level", low=1, high=500)
    update_mm: float = option(2.0, "Smoothing of each update (fluid)", low=0.0, high=20.0, unit="mm")
    smoothing_mm: float = option(2.5, "Smoothing of the velocity (elastic)", low=0.0, high=20.0, unit="mm")
    step_vox: float = option(1.0, "Longest update of a point", low=0.1, high=4.0, unit="voxels", advanced=True)
    match_histograms: bool = option(True, "Give the moving image the fixed one's intensities first")
    gain: float = option(0.02, "Least fall of the image difference that a further piece must bring", low=0.0, high=1.0)


@alarmed
def register(pair: ImagePair, options: LogDemonsOptions, run: Run) -> Result:
    """Register two images of one contrast by smooth invertible maps.

    Each piece is a stationary velocity field found by symmetric log-demons between the fixed image and the moving
    image warped so far. The transform is exp(v1) after exp(v2) after ... ; the sum of the pieces' lengths approximates
    the distance between the two images and is recorded as `path_length_mm`.

    Source: Vercauteren, Symmetric Log-Domain Diffeomorphic Registration, MICCAI 2008, 10.1007/978-3-540-85988-8_90;
    Benzagmout, Broken geodesics, WBIR 2022.
    Differs: first-order composition of velocities; each piece runs over all levels; the moving image is warped once
    by the whole path, not piece by piece, so that nothing is interpolated twice.
    """
    begin = time.process_time()
    check_contrast(pair)
    start = linear_start(pair)
    moving = match_histogram(pair.moving, pair.fixed) if options.match_histograms else pair.moving
    pair = ImagePair(pair.fixed, moving, fixed_mask=pair.fixed_mask, moving_mask=pair.moving_mask, start=start)
    with one_thread():
        frame = Frame(pair.fixed.grid, start, margin_mm=0.0)
        path, losses = _path(pair, frame, options, run)
        run.progress(0.93, "Displacement field and inverse")
        grid = frame.grid(options.finest_mm)
        u_vox = _along(path)
        u_mm = (u_vox * u_vox.new_tensor(grid.spacing[::-1]).view(1, 3, 1, 1, 1))[0]
        done = outcome(u_mm, frame, pair.fixed.grid, pair.moving.grid)
    lengths = [velocity_length_mm(v, grid) for v in path]
    run.progress(1.0, "Done")
    return done.result(
        start=frame.start,
        losses=losses,
        method="log_demons",
        options=as_dict(options),
        pieces=len(path),
        piece_lengths_mm=lengths,
        path_length_mm=sum(lengths),
        cpu_seconds=time.process_time() - begin,
    )


def _along(path: list[Tensor]) -> Tensor:
    """One displacement, voxels: a fixed point goes through the last piece first, as each piece was found on top."""
    u = exponential(path[0], 6)
    for v in path[1:]:
        u = compose_voxels(exponential(v, 6), u)
    return u


def _path(pair: ImagePair, frame: Frame, options: LogDemonsOptions, run: Run) -> tuple[list[Tensor], list[float]]:
    path: list[Tensor] = []
    losses: list[float] = []
    for number in range(options.pieces):
        scaled = part(run.progress, 0.9 * number / options.pieces, 0.9 * (number + 1) / options.pieces)
        v, first, last, trace = _piece(pair, frame, path, options, run.device, scaled, number + 1)
        losses += trace
        if number and first - last < options.gain * first:
            break
        path.append(v)
    return path, losses


def _piece(
    pair: ImagePair,
    frame: Frame,
    path: list[Tensor],
    options: LogDemonsOptions,
    device: str,
    progress: Progress,
    number: int,
) -> tuple[Tensor, float, float, list[float]]:
    """One velocity field over all levels; also the image difference before and after, and at each step."""
    v: Tensor | None = None
    losses: list[float] = []
    for level in range(options.levels):
        grid = frame.grid(options.finest_mm * 2 ** (options.levels - 1 - level))
        fixed, moving, weight = _images(pair, frame, grid, device)
        before = resize_field(_along(path), fixed.shape[2:]) if path else None
        there = warp(moving, before) if before is not None else moving
        v = fixed.new_zeros(1, 3, *fixed.shape[2:]) if v is None else resize_field(v, fixed.shape[2:])
        demons = Demons.on(grid, options.update_mm, options.smoothing_mm, options.step_vox)
        plateau = Plateau(patience=6, tolerance=0.005)
        for step in range(options.iterations):
            done = (level + step / options.iterations) / options.levels
            progress(done, f"Piece {number}, {grid.spacing[0]:.1f} mm, step {step + 1}")
            v, loss = symmetric_update(fixed, there, v, weight, demons)
            losses.append(loss)
            if plateau.reached(loss):
                break
    if v is None:
        raise InputError("levels: expected at least one level, got none")
    first = float((there - fixed).square().mul(weight).sum() / weight.sum().clamp_min(1))
    return v, first, losses[-1], losses


def _images(pair: ImagePair, frame: Frame, grid: Grid, device: str) -> tuple[Tensor, Tensor, Tensor]:
    fixed = frame.fixed(pair.fixed, grid, device)[None, None]
    moving = frame.moving(pair.moving, grid, device)[None, None]
    weight = pull_mask(pair.fixed_mask, pair.fixed.grid, grid, torch.eye(4).numpy(), device)
    weight = weight * pull_mask(pair.moving_mask, pair.moving.grid, grid, frame.start.matrix, device)
    scale = fixed.std().clamp_min(1e-6)
    return fixed / scale, moving / scale, weight[None, None]


METHOD = Method(
    "log_demons",
    "Log-demons",
    ImagePair,
    LogDemonsOptions,
    register,
    "Vercauteren 2008; Benzagmout 2022",
    presets={
        "default": LogDemonsOptions(),
        "quick": LogDemonsOptions(finest_mm=3.0, levels=2, iterations=15),
        "large_motion": LogDemonsOptions(pieces=4),
        "smooth": LogDemonsOptions(update_mm=3.0, smoothing_mm=4.0),
    },
    reasons={
        "default": "Two scans of the same contrast, moderate motion.",
        "quick": "Small volumes and previews.",
        "large_motion": "Motion that one velocity field cannot follow: several in a row (broken geodesic).",
        "smooth": "When the default looks too local.",
    },
)
