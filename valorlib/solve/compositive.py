"""The fast engine: Adam on the smoothed force, each step composed onto the field, the field kept smooth.

One step: force = (d similarity / d warped) x gradient of the warped image, taken down to the field's grid and smoothed;
Adam makes a step v of at most `step_mm`; u becomes v + u o (id + v); a Gaussian on u keeps it smooth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.run import Progress
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
from valorlib.solve.frame import Frame, sized, to_voxels
from valorlib.solve.schedule import Level, Plateau

Constraint = Callable[[Tensor, Grid], Tensor]
MASK_EVERY = 6
FINAL_ROUNDS = 30
VOLUME_EVERY = 4


@dataclass(frozen=True, eq=False)
class LevelImages:
    """What one level compares.

    moving: (C, K, J, I) channels on the wide grid. make_measures(weight): one similarity a channel, for voxel weights
    (K, J, I). fixed_weight: (K, J, I). moving_weight: (K, J, I) on the wide grid, None when all 1. still: (C, K, J, I)
    fixed channels whose edges shall pull as well as those of the warped image; None for the warped image's alone.
    """

    grid: Grid
    margin: tuple[int, ...]
    moving: Tensor
    fixed_weight: Tensor
    moving_weight: Tensor | None
    make_measures: Callable[[Tensor], Sequence[Measure]]
    still: Tensor | None = None


class Adam:
    """Adam whose denominator is shared by the components of a vector and softened by its own mean.

    Source: Kingma, Adam: a method for stochastic optimization, ICLR 2015.
    """

    def __init__(self, *, soften: float, first: float = 0.9, second: float = 0.99) -> None:
        self._soften, self._first, self._second = soften, first, second
        self._mean: Tensor | float = 0.0
        self._square: Tensor | float = 0.0
        self._count = 0

    def step(self, g: Tensor) -> Tensor:
        """Direction of about unit length for the gradient g, (3, K, J, I)."""
        self._count += 1
        self._mean = self._first * self._mean + (1 - self._first) * g
        self._square = self._second * self._square + (1 - self._second) * g.square().sum(0, keepdim=True)
        mean = self._mean / (1 - self._first**self._count)
        size = (self._square / (1 - self._second**self._count)).sqrt()
        return mean / (size + self._soften * size.mean() + 1e-20)


def clamp_length(v_mm: Tensor, longest_mm: float) -> Tensor:
    """Vectors no longer than `longest_mm`."""
    length = v_mm.square().sum(0, keepdim=True).sqrt()
    return v_mm * (longest_mm / length.clamp_min(longest_mm))


def pull_wide(
    channels: Tensor, u_mm: Tensor, grid: Grid, margin: tuple[int, ...], *, padding: str = "border"
) -> Tensor:
    """(C, K, J, I) channels of a wide image at x + u(x), u (3, K, J, I) dense on the level's grid.

    The same as `ops.warp.sample`, with shift, scale and flip in one pass a component: half the time of a step.
    """
    shape = channels.shape[1:]
    at = torch.empty_like(u_mm)
    for axis, (n, wide, spacing) in enumerate(zip(grid.shape, shape, grid.spacing[::-1], strict=True)):
        unit = 2.0 / max(wide - 1, 1)
        base = (torch.arange(n, dtype=u_mm.dtype, device=u_mm.device) + margin[axis]) * unit - 1
        view = [1, 1, 1]
        view[axis] = n
        # An axis of one voxel has no length: every place on it reads that voxel.
        scale = unit / spacing if wide > 1 else 0.0
        torch.add((base if wide > 1 else base * 0).view(view), u_mm[axis], alpha=scale, out=at[2 - axis])
    places = at.movedim(0, -1)[None]
    return F.grid_sample(channels[None], places, padding_mode=padding, align_corners=True)[0]


def image_force(
    warped: Tensor, measures: Sequence[Measure], images: LevelImages, down: Sequence[Tensor | None]
) -> tuple[float, Tensor]:
    """Similarity of the channels (C, K, J, I) and the direction in which it rises per mm, on the field's grid.

    down: matrices that take (1, K, J, I) to the field's grid.
    """
    value = 0.0
    total: list[Tensor] = []
    for n, (channel, measure) in enumerate(zip(warped, measures, strict=True)):
        found = measure(channel)
        value += found.value
        slopes = difference(channel if images.still is None else 0.5 * (channel + images.still[n]))
        pulls = [along_axes(slope.mul_(found.gradient)[None], down) for slope in slopes]
        total = [a + b for a, b in zip(total, pulls, strict=True)] if total else pulls
    per_mm = total[0].new_tensor(images.grid.spacing[::-1]).view(3, 1, 1, 1)
    return value, torch.cat(total) / per_mm


class Compositive:
    """The engine over one frame.

    losses: minus the similarity, one number a step. constraints: called with (u_mm, its grid) after each step; what
    they return is the field that goes on (landmarks, rigid tumors).
    """

    def __init__(self, frame: Frame, *, soften: float = 0.3, constraints: Sequence[Constraint] = ()) -> None:
        self.frame, self.soften, self.constraints = frame, soften, tuple(constraints)
        self.losses: list[float] = []

    def level(self, u_mm: Tensor | None, images: LevelImages, level: Level, progress: Progress) -> Tensor:
        """The field after one level.

        Args:
            u_mm: (3, k, j, i) field so far at any resolution, None at the beginning.
            images: what to compare.
            level: settings.
            progress: called each step.
        """
        field_grid = self.frame.grid(max(level.field_mm, level.image_mm))
        u = images.moving.new_zeros(3, *field_grid.shape) if u_mm is None else sized(u_mm, field_grid.shape)
        spacing = field_grid.spacing[::-1]
        up = resize_matrices(u, field_grid.shape, images.grid.shape)
        down = transposed(up)
        adam, plateau = Adam(soften=self.soften), Plateau()
        measures = images.make_measures(images.fixed_weight)
        at, start, values = identity(u[None]), u, []
        for step in range(level.iterations):
            progress(step / level.iterations, f"{level.image_mm:g} mm, step {step + 1}")
            dense = along_axes(u, up)
            if images.moving_weight is not None and step % MASK_EVERY == 0:
                seen = pull_wide(images.moving_weight[None], dense, images.grid, images.margin, padding="zeros")[0]
                measures = images.make_measures(images.fixed_weight * (seen > 0.99))
            warped = pull_wide(images.moving, dense, images.grid, images.margin)
            value, force = image_force(warped, measures, images, down)
            values.append(value)
            if plateau.reached(-value):
                break
            force = gaussian(force, [level.gradient_mm / s for s in spacing])
            v = clamp_length(adam.step(force) * level.step_mm, level.step_mm)
            u = v + sample(u[None], at + to_voxels(v, field_grid)[None])[0]
            u = gaussian(u, [level.total_mm / s for s in spacing])
            u = damp_divergence(u, spacing, level.volume_mm)
            if step % VOLUME_EVERY == VOLUME_EVERY - 1:
                u = keep_volume(u, spacing, level.least_volume)
            for constrain in self.constraints:
                u = constrain(u, field_grid)
        self.losses += [-value for value in values]
        # Steps of Adam are as long however weak the force is: a scan laid on itself must stay where it is.
        u = start if values and values[-1] < values[0] else u
        return keep_volume(u, spacing, level.least_volume, rounds=FINAL_ROUNDS)
