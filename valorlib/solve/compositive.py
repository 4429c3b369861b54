"""The fast engine: Adam on the smoothed force, each step composed onto the field, the field kept smooth.

One step: force = (d similarity / d warped) x gradient of the warped image, taken down to the field's grid and smoothed;
Adam makes a step v of at most `step_mm`; u becomes v + u o (id + v); a Gaussian on u keeps it smooth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.run import Progress
from valorlib.ops.measures import Measure
from valorlib.ops.smooth import along_axes, difference, gaussian, resize_matrices, transposed
from valorlib.ops.warp import identity, sample
from valorlib.solve.frame import Frame, sized, to_voxels
from valorlib.solve.schedule import Level, Plateau

Constraint = Callable[[Tensor, Grid], Tensor]
MASK_EVERY = 6


@dataclass(frozen=True, eq=False)
class LevelImages:
    """What one level compares.

    moving: (C, K, J, I) channels on the wide grid. make_measures(weight): one similarity a channel, for voxel weights
    (K, J, I). fixed_weight: (K, J, I). moving_weight: (K, J, I) on the wide grid, None when all 1.
    """

    grid: Grid
    margin: tuple[int, ...]
    moving: Tensor
    fixed_weight: Tensor
    moving_weight: Tensor | None
    make_measures: Callable[[Tensor], Sequence[Measure]]


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


def places_of(u_mm: Tensor, images: LevelImages) -> Tensor:
    """(1, 3, K, J, I) voxel indices in the wide moving image for a dense field (3, K, J, I) of the level."""
    at = to_voxels(u_mm, images.grid)[None]
    margin = at.new_tensor(images.margin).view(1, 3, 1, 1, 1)
    return at.add_(identity(at)).add_(margin)


def image_force(warped: Tensor, measures: Sequence[Measure], grid: Grid) -> tuple[float, Tensor]:
    """Similarity of the channels (C, K, J, I) and the direction, (3, K, J, I), in which it rises per mm."""
    value, force = 0.0, None
    for channel, measure in zip(warped, measures, strict=True):
        found = measure(channel)
        value += found.value
        slopes = difference(channel)
        pulls = torch.stack([s.mul_(found.gradient).div_(h) for s, h in zip(slopes, grid.spacing[::-1], strict=True)])
        force = pulls if force is None else force.add_(pulls)
    if force is None:
        force = warped.new_zeros(3, *grid.shape)
    return value, force


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
        at = identity(u[None])
        for step in range(level.iterations):
            progress(step / level.iterations, f"{level.image_mm:g} mm, step {step + 1}")
            there = places_of(along_axes(u, up), images)
            if images.moving_weight is not None and step % MASK_EVERY == 0:
                seen = sample(images.moving_weight[None, None], there, padding="zeros")[0, 0]
                measures = images.make_measures(images.fixed_weight * (seen > 0.99))
            value, force = image_force(sample(images.moving[None], there)[0], measures, images.grid)
            self.losses.append(-value)
            if plateau.reached(-value):
                break
            force = gaussian(along_axes(force, down), [level.gradient_mm / s for s in spacing])
            v = clamp_length(adam.step(force) * level.step_mm, level.step_mm)
            u = v + sample(u[None], at + to_voxels(v, field_grid)[None])[0]
            u = gaussian(u, [level.total_mm / s for s in spacing])
            for constrain in self.constraints:
                u = constrain(u, field_grid)
        return u
