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
    volume_factor,
)
from valorlib.ops.warp import identity, sample
from valorlib.solve.frame import Frame, sized, to_voxels
from valorlib.solve.schedule import Level, Plateau

Constraint = Callable[[Tensor, Grid], Tensor]
MASK_EVERY = 6
FINAL_ROUNDS = 30
VOLUME_EVERY = 4
LEAST_FACTOR, GAIN = 0.01, 1.6
"""Volume factors below are no smaller; how much of the ratio to the spread aimed at is taken off at a time."""
MOST = 0.8
"""Share of the voxels above which looking at all of them is as fast as picking."""


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


@dataclass(frozen=True, eq=False)
class Spots:
    """Voxels of a level that are looked at.

    places: (n,) in the flattened grid; None: all. base, scale: a voxel's place in the wide grid as `grid_sample` wants
    it, -1 to 1, is base (3, n), components (i, j, k), plus scale (3, 1) times its displacement in mm.
    """

    shape: tuple[int, ...]
    places: Tensor | None
    base: Tensor
    scale: Tensor


def spots_of(grid: Grid, wide: Sequence[int], margin: Sequence[int], weight: Tensor | None = None) -> Spots:
    """Voxels that weigh something and their neighbors, or all where these are most.

    Args:
        grid: of the level.
        wide: (K, J, I) voxels of the wide grid.
        margin: voxels along (k, j, i) that the wide grid begins before the level's.
        weight: (K, J, I); None: all voxels.
    """
    like = torch.zeros(1) if weight is None else weight
    axes, scales = [], []
    for n, all_, before, spacing in zip(grid.shape, wide, margin, grid.spacing[::-1], strict=True):
        # An axis of one voxel has no length: every place on it reads that voxel.
        unit = 2.0 / (all_ - 1) if all_ > 1 else 0.0
        axes.append((torch.arange(n, dtype=like.dtype, device=like.device) + before) * unit - (1 if all_ > 1 else 0))
        scales.append(unit / spacing)
    base = torch.stack(torch.meshgrid(*axes, indexing="ij")).flip(0).flatten(1)
    places = None
    if weight is not None:
        near = _widened(weight > 0)
        if int(near.sum()) < MOST * near.numel():
            places = near.flatten().nonzero().squeeze(1)
            base = base[:, places]
    return Spots(tuple(grid.shape), places, base, like.new_tensor(scales[::-1]).view(3, 1))


def _widened(mask: Tensor) -> Tensor:
    """(K, J, I) mask with the neighbors of its voxels."""
    for axis, n in enumerate(mask.shape):
        wider = mask.clone()
        if n > 1:
            wider.narrow(axis, 0, n - 1).logical_or_(mask.narrow(axis, 1, n - 1))
            wider.narrow(axis, 1, n - 1).logical_or_(mask.narrow(axis, 0, n - 1))
        mask = wider
    return mask


def pull_spots(channels: Tensor, u_mm: Tensor, spots: Spots, *, padding: str = "border") -> Tensor:
    """(C, K, J, I) channels of a wide image at x + u(x); 0 at voxels that are not looked at.

    Args:
        channels: (C, K, J, I) on the wide grid.
        u_mm: (3, K, J, I), components (k, j, i), dense on the level's grid.
        spots: where to look.
        padding: as for `ops.warp.sample`.
    """
    moves = u_mm.flatten(1) if spots.places is None else u_mm.flatten(1).index_select(1, spots.places)
    at = torch.addcmul(spots.base, moves.flip(0), spots.scale)
    found = F.grid_sample(channels[None], at.T[None, None, None], padding_mode=padding, align_corners=True)[0, :, 0, 0]
    if spots.places is not None:
        found = channels.new_zeros(len(channels), u_mm[0].numel()).index_copy_(1, spots.places, found)
    return found.view(-1, *spots.shape)


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


def tuned(volume_mm: float, u: Tensor, spacing: Sequence[float], level: Level, weight: Tensor) -> float:
    """Smoothing of volume change that brings its spread nearer to the one aimed at: 0.75 to 1.5 times the set one."""
    if not level.spread:
        return volume_mm
    inside = F.interpolate(weight[None, None], size=u.shape[1:])[0, 0] > 0
    if int(inside.sum()) < 2:
        return volume_mm
    spread = float(volume_factor(u, spacing)[inside].clamp_min(LEAST_FACTOR).log().std())
    wanted = volume_mm * float((spread / level.spread) ** GAIN)
    return min(max(wanted, 0.75 * level.volume_mm), 1.5 * level.volume_mm)


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
        weight = images.fixed_weight
        measures = images.make_measures(weight)
        at, start, values, volume_mm = identity(u[None]), u, list[float](), level.volume_mm
        spots = spots_of(images.grid, images.moving.shape[1:], images.margin, images.fixed_weight)
        for step in range(level.iterations):
            progress(step / level.iterations, f"{level.image_mm:g} mm, step {step + 1}")
            dense = along_axes(u, up)
            if images.moving_weight is not None and step % MASK_EVERY == 0:
                there = pull_spots(images.moving_weight[None], dense, spots, padding="zeros")
                seen = images.fixed_weight * (there[0] > 0.99)
                if not torch.equal(seen, weight):
                    weight, measures = seen, images.make_measures(seen)
            warped = pull_spots(images.moving, dense, spots)
            value, force = image_force(warped, measures, images, down)
            values.append(value)
            if plateau.reached(-value):
                break
            force = gaussian(force, [level.gradient_mm / s for s in spacing])
            v = clamp_length(adam.step(force) * level.step_mm, level.step_mm)
            u = v + sample(u[None], at + to_voxels(v, field_grid)[None])[0]
            u = gaussian(u, [level.total_mm / s for s in spacing])
            u = damp_divergence(u, spacing, volume_mm)
            if step % VOLUME_EVERY == VOLUME_EVERY - 1:
                u = keep_volume(u, spacing, level.least_volume)
                volume_mm = tuned(volume_mm, u, spacing, level, weight)
            for constrain in self.constraints:
                u = constrain(u, field_grid)
        self.losses += [-value for value in values]
        # Steps of Adam are as long however weak the force is: a scan laid on itself must stay where it is.
        u = start if values and values[-1] < values[0] else u
        return keep_volume(u, spacing, level.least_volume, rounds=FINAL_ROUNDS)
