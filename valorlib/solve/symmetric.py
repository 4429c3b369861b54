"""The engine run from both sides: each image moves half the way, so that swapping the two gives the inverse.

Both images are pulled to a place between them, fixed along id + a and moving along id + b, and every step pushes a and
b by opposite amounts. The way from fixed to moving is then b after the inverse of a.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.run import Progress, part
from valorlib.ops.measures import Measure
from valorlib.ops.smooth import (
    along_axes,
    damp_divergence,
    difference,
    gaussian,
    keep_volume,
    resize_matrices,
    transposed,
)
from valorlib.ops.warp import identity, sample
from valorlib.solve.compositive import FINAL_ROUNDS, Adam, Spots, clamp_length, pull_spots, spots_of
from valorlib.solve.deform import Deformed, Matching, gray_measure, gray_scale, windows_of
from valorlib.solve.frame import Frame, pull, pull_mask, sized, to_voxels
from valorlib.solve.schedule import Level, Plateau

INVERSE_STEPS = 30


@dataclass(frozen=True, eq=False)
class Sides:
    """What one level compares; all on the wide grid, so that either image may move.

    fixed, moving: (K, J, I). fixed_weight, moving_weight: (K, J, I). make_measure(fixed, weight): the similarity to a
    pulled fixed image on the level's grid.
    """

    grid: Grid
    margin: tuple[int, ...]
    fixed: Tensor
    moving: Tensor
    fixed_weight: Tensor
    moving_weight: Tensor
    make_measure: Callable[[Tensor, Tensor], Measure]


def _force(warped: Tensor, found: Tensor, grid: Grid, down: Sequence[Tensor | None]) -> Tensor:
    """(3, k, j, i) direction in which the similarity rises when the image moves, per mm."""
    pulls = [along_axes(slope.mul_(found)[None], down) for slope in difference(warped)]
    return torch.cat(pulls) / pulls[0].new_tensor(grid.spacing[::-1]).view(3, 1, 1, 1)


class Symmetric:
    """The engine over one frame, from both sides. losses: minus the similarity, one number a step."""

    def __init__(self, frame: Frame, *, soften: float = 0.3) -> None:
        self.frame, self.soften = frame, soften
        self.losses: list[float] = []

    def level(
        self, both: tuple[Tensor, Tensor] | None, sides: Sides, level: Level, progress: Progress
    ) -> tuple[Tensor, Tensor]:
        """Half fields (3, k, j, i), mm, of the fixed and the moving image after one level.

        Args:
            both: half fields so far at any resolution, None at the beginning.
            sides: what to compare.
            level: settings; smoothing applies to each half.
            progress: called each step.
        """
        field_grid = self.frame.grid(max(level.field_mm, level.image_mm))
        zero = sides.moving.new_zeros(3, *field_grid.shape)
        a, b = (zero, zero) if both is None else (sized(u, field_grid.shape) for u in both)
        up = resize_matrices(a, field_grid.shape, sides.grid.shape)
        down = transposed(up)
        spacing = field_grid.spacing[::-1]
        adam, plateau = Adam(soften=self.soften), Plateau()
        start, values = (a, b), []
        spots = spots_of(sides.grid, sides.moving.shape, sides.margin)
        for step in range(level.iterations):
            progress(step / level.iterations, f"{level.image_mm:g} mm, step {step + 1}")
            value, force = self._push(a, b, sides, spots, up, down)
            values.append(value)
            if plateau.reached(-value):
                break
            force = gaussian(force, [level.gradient_mm / s for s in spacing])
            # Half a step each: the two images together move by what one moves in the plain engine.
            v = clamp_length(adam.step(force) * (0.5 * level.step_mm), 0.5 * level.step_mm)
            a, b = (self._moved(u, w, field_grid, level) for u, w in ((a, -v), (b, v)))
        self.losses += [-value for value in values]
        a, b = start if values and values[-1] < values[0] else (a, b)
        return (
            keep_volume(a, spacing, level.least_volume, rounds=FINAL_ROUNDS),
            keep_volume(b, spacing, level.least_volume, rounds=FINAL_ROUNDS),
        )

    def _push(
        self,
        a: Tensor,
        b: Tensor,
        sides: Sides,
        spots: Spots,
        up: Sequence[Tensor | None],
        down: Sequence[Tensor | None],
    ) -> tuple[float, Tensor]:
        far = along_axes(a, up), along_axes(b, up)
        still = pull_spots(torch.stack([sides.fixed, sides.fixed_weight]), far[0], spots)
        warped = pull_spots(torch.stack([sides.moving, sides.moving_weight]), far[1], spots)
        weight = ((still[1] > 0.99) & (warped[1] > 0.99)).to(a.dtype)
        one = sides.make_measure(still[0], weight)(warped[0])
        other = sides.make_measure(warped[0], weight)(still[0])
        force = _force(warped[0], one.gradient, sides.grid, down) - _force(still[0], other.gradient, sides.grid, down)
        return 0.5 * (one.value + other.value), 0.5 * force

    def _moved(self, u: Tensor, v: Tensor, grid: Grid, level: Level) -> Tensor:
        spacing = grid.spacing[::-1]
        u = v + sample(u[None], identity(u[None]) + to_voxels(v, grid)[None])[0]
        u = gaussian(u, [level.total_mm / s for s in spacing])
        u = damp_divergence(u, spacing, level.volume_mm)
        return keep_volume(u, spacing, level.least_volume)


def whole_way(both: tuple[Tensor, Tensor], grid: Grid) -> Tensor:
    """(3, K, J, I), mm: id + b after the inverse of id + a, both on `grid`.

    Raises:
        InputError: the half fields lie on another grid.
    """
    a, b = both
    if tuple(a.shape[1:]) != tuple(grid.shape):
        raise InputError(f"grid: expected {tuple(a.shape[1:])} voxels as the half fields have, got {tuple(grid.shape)}")
    at, inverse = identity(a[None]), -a
    for _ in range(INVERSE_STEPS):
        error = inverse + sample(a[None], at + to_voxels(inverse, grid)[None])[0]
        inverse = inverse - error
    return inverse + sample(b[None], at + to_voxels(inverse, grid)[None])[0]


def sides_of(fixed: Image, moving: Image, frame: Frame, level: Level, matching: Matching, device: str) -> Sides:
    """Both images at the level's resolution on the wide grid, scaled to a standard deviation of about 1."""
    grid = frame.grid(level.image_mm)
    wide = frame.wide(grid)
    pictures = pull(fixed, wide, np.eye(4), device), frame.moving(moving, grid, device)
    weights = (
        pull_mask(matching.fixed_mask, fixed.grid, wide, np.eye(4), device),
        pull_mask(matching.moving_mask, moving.grid, wide, frame.start.matrix, device),
    )
    scales = [gray_scale(name, *one) for name, *one in zip(("fixed", "moving"), pictures, weights, strict=True)]
    if matching.ssd_weight:
        # One gray scale for both, halfway, so that neither image is the master.
        scales = [((scales[0][0] + scales[1][0]) / 2, (scales[0][1] + scales[1][1]) / 2)] * 2
    still, moved = ((image - mean) / spread for image, (mean, spread) in zip(pictures, scales, strict=True))
    windows = windows_of(tuple(grid.shape), grid.spacing[::-1], level)
    return Sides(grid, frame.margin(grid), still, moved, *weights, lambda f, w: gray_measure(f, w, windows, matching))


def deform_symmetric(
    fixed: Image,
    moving: Image,
    frame: Frame,
    levels: Sequence[Level],
    matching: Matching,
    *,
    device: str,
    progress: Progress,
    soften: float = 0.3,
) -> Deformed:
    """As `deform.deform`, from both sides; gray values only, no constraints."""
    engine = Symmetric(frame, soften=soften)
    both: tuple[Tensor, Tensor] | None = None
    seconds, done = [], 0.0
    costs = [lv.iterations / lv.image_mm**3 for lv in levels]
    for level, cost in zip(levels, costs, strict=True):
        begin = time.process_time()
        step = part(progress, done / sum(costs), (done + cost) / sum(costs))
        both = engine.level(both, sides_of(fixed, moving, frame, level, matching, device), level, step)
        done += cost
        seconds.append(time.process_time() - begin)
    if both is None:
        raise InputError("levels: expected at least one level, got none")
    u_mm = whole_way(both, frame.grid(max(levels[-1].field_mm, levels[-1].image_mm)))
    return Deformed(u_mm, frame, tuple(engine.losses), tuple(seconds))
