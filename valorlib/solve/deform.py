"""Images in, field out: scales the images, builds each level and runs the fast engine over all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.run import Progress, part
from valorlib.ops.boxes import Windows
from valorlib.ops.contrast import no_contrast
from valorlib.ops.lncc import LocalCorrelation
from valorlib.ops.measures import Measure, SquaredDifference, Weighted
from valorlib.ops.mind import mind_ssc
from valorlib.solve.compositive import Compositive, Constraint, LevelImages
from valorlib.solve.frame import Frame, pull_mask
from valorlib.solve.schedule import Level

AfterLevel = Callable[[Tensor, Frame], None]


@dataclass(frozen=True, eq=False, kw_only=True)
class Matching:
    """What makes two images alike, and where to look.

    squared: contrast may turn over. ssd_weight: squared difference (same contrast only) beside lncc_weight times the
    local correlation. mind: compare self-similarity descriptors in place of gray values. both_edges: edges of
    the fixed image pull as well as those of the warped one (same contrast only). floor: variance below
    which a window counts as flat (images have a standard deviation of 1). fixed_mask, moving_mask: where images count.
    fixed_tumors, moving_tumors: confirmed masks that shall meet, with their weight.
    """

    squared: bool = False
    ssd_weight: float = 0.0
    lncc_weight: float = 1.0
    mind: bool = False
    both_edges: bool = False
    floor: float = 1e-3
    fixed_mask: LabelMap | None = None
    moving_mask: LabelMap | None = None
    fixed_tumors: Image | None = None
    moving_tumors: Image | None = None
    tumor_weight: float = 0.0


@dataclass(frozen=True, eq=False)
class Deformed:
    """A field in its frame. u_mm: (3, k, j, i), see `solve.frame`. seconds: CPU seconds a level."""

    u_mm: Tensor
    frame: Frame
    losses: tuple[float, ...]
    seconds: tuple[float, ...]


def deform(
    fixed: Image,
    moving: Image,
    frame: Frame,
    levels: Sequence[Level],
    matching: Matching,
    *,
    device: str,
    progress: Progress,
    soften: float = 0.3,
    constraints: Sequence[Constraint] = (),
    after_level: AfterLevel | None = None,
) -> Deformed:
    """Register coarse to fine.

    Args:
        fixed: image of the frame.
        moving: the other image; the frame's start is built in.
        frame: where to work.
        levels: coarse to fine.
        matching: similarity and masks.
        device: torch device.
        progress: called each step.
        soften: part of the mean step size in Adam's denominator; higher leaves flat regions alone.
        constraints: see `Compositive`.
        after_level: called with the field after each level.
    """
    engine = Compositive(frame, soften=soften, constraints=constraints)
    u: Tensor | None = None
    seconds = []
    # The cost of a level is about voxels x steps.
    costs = [lv.iterations / lv.image_mm**3 * (1.0 if lv.stride == 1 else 0.4) for lv in levels]
    done = 0.0
    for level, cost in zip(levels, costs, strict=True):
        begin = time.process_time()
        step = part(progress, done / sum(costs), (done + cost) / sum(costs))
        step(0.0, f"{level.image_mm:g} mm, preparing")
        u = engine.level(u, level_images(fixed, moving, frame, level, matching, device), level, step)
        done += cost
        seconds.append(time.process_time() - begin)
        if after_level is not None:
            after_level(u, frame)
    if u is None:
        raise InputError("levels: expected at least one level, got none")
    return Deformed(u, frame, tuple(engine.losses), tuple(seconds))


def windows_of(shape: tuple[int, ...], spacing_kji: Sequence[float], level: Level) -> Windows:
    """The window lattice of a level."""
    k, j, i = (0 if n == 1 else max(1, round(level.window_mm / s)) for n, s in zip(shape, spacing_kji, strict=True))
    return Windows(tuple(shape), (k, j, i), level.stride)


def level_images(
    fixed: Image, moving: Image, frame: Frame, level: Level, matching: Matching, device: str
) -> LevelImages:
    """Both images at the level's resolution, scaled to a standard deviation of 1, with their weights."""
    grid = frame.grid(level.image_mm)
    wide = frame.wide(grid)
    still = frame.fixed(fixed, grid, device)
    moved = frame.moving(moving, grid, device)
    weight = pull_mask(matching.fixed_mask, fixed.grid, grid, np.eye(4), device)
    seen = pull_mask(matching.moving_mask, moving.grid, wide, frame.start.matrix, device)
    if matching.mind:
        still_channels, channels = list(_descriptors(still)), list(_descriptors(moved))
    else:
        # One gray scale for both, where gray values themselves are compared: masks of different reach would shift it.
        scale = gray_scale("fixed", still, weight)
        other = scale if matching.ssd_weight else gray_scale("moving", moved, seen)
        still_channels, channels = [(still - scale[0]) / scale[1]], [(moved - other[0]) / other[1]]
    meet = matching.fixed_tumors is not None and matching.moving_tumors is not None
    if matching.fixed_tumors is not None and matching.moving_tumors is not None:
        still_channels.append(frame.fixed(matching.fixed_tumors, grid, device))
        channels.append(frame.moving(matching.moving_tumors, grid, device))
    windows = windows_of(tuple(grid.shape), grid.spacing[::-1], level)

    def make(weights: Tensor) -> Sequence[Measure]:
        ones = torch.ones_like(weights)
        found: list[Measure] = []
        for n, channel in enumerate(still_channels):
            if meet and n == len(still_channels) - 1:
                found.append(Weighted([(matching.tumor_weight, SquaredDifference(channel, ones))]))
            elif matching.mind:
                found.append(SquaredDifference(channel, weights))
            else:
                found.append(gray_measure(channel, weights, windows, matching))
        return found

    edges = torch.stack(still_channels) if matching.both_edges else None
    all_seen = bool((seen == 1).all())
    return LevelImages(grid, frame.margin(grid), torch.stack(channels), weight, None if all_seen else seen, make, edges)


def gray_scale(name: str, values: Tensor, weight: Tensor) -> tuple[Tensor, float]:
    """Weighted mean and standard deviation."""
    count = float(weight.sum())
    if count < 8:
        raise InputError(f"{name}: expected voxels inside its mask and the common region, got next to none; check both")
    mean = (values * weight).sum() / count
    spread = float((((values - mean).square() * weight).sum() / count).sqrt())
    if not spread > 1e-6 * max(float(values.abs().max()), 1e-20):
        raise no_contrast(name)
    return mean, spread


def gray_measure(fixed: Tensor, weight: Tensor, windows: Windows, matching: Matching) -> Measure:
    """The similarity to a fixed image (K, J, I) that `matching` asks for."""
    parts: list[tuple[float, Measure]] = []
    if matching.lncc_weight:
        local = LocalCorrelation(fixed, weight, windows, squared=matching.squared, floor=matching.floor)
        parts.append((matching.lncc_weight, local))
    if matching.ssd_weight:
        parts.append((matching.ssd_weight, SquaredDifference(fixed, weight)))
    return parts[0][1] if len(parts) == 1 and parts[0][0] == 1 else Weighted(parts)


def _descriptors(image: Tensor) -> Tensor:
    """(12, K, J, I) self-similarity context of (K, J, I)."""
    found: Tensor = mind_ssc(image[None, None], radius=1, step=2)[0]
    return found


def textureless(image: Image, frame: Frame, device: str, *, at_mm: float = 2.0, noise_share: float = 0.12) -> float:
    """Share (0 to 1) of the frame's bright half in which windows of about 10 mm show next to no structure.

    noise_share: windows with a standard deviation below this share of the image's are flat.
    """
    grid = frame.grid(at_mm)
    values = frame.fixed(image, grid, device)
    weight = (values > values.median()).to(values.dtype)
    mean, spread = gray_scale("fixed", values, torch.ones_like(values))
    values = (values - mean) / spread
    radius = tuple(0 if n == 1 else max(1, round(5.0 / s)) for n, s in zip(grid.shape, grid.spacing[::-1], strict=True))
    windows = Windows(tuple(grid.shape), (radius[0], radius[1], radius[2]))
    count = windows.sums(torch.ones_like(values))
    mean = windows.sums(values) / count
    flat = (windows.sums(values.square()) / count - mean.square() < noise_share**2).to(values.dtype)
    return float((flat * weight).sum() / weight.sum().clamp_min(1))
