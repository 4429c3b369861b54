"""Low rank of the motion prior: a few inducing points per coherent group, found by pivoted Cholesky."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.ops.gp_kernel import MotionPrior, motion_kernel

WHOLE = 800


@dataclass(frozen=True, eq=False)
class Basis:
    """Inducing points of one coherent group: G is about features @ features.T, for any points.

    points: (r, 3) mm, organs: (r,). factor: (r, r) lower triangle with factor @ factor.T = G(points, points).
    residual: largest part of the prior variance that is left out, 0 to 1. members: the organs of the group.
    """

    points: Tensor
    organs: Tensor
    factor: Tensor
    prior: MotionPrior
    residual: float
    members: tuple[int, ...]

    def features(self, points: Tensor, organs: Tensor) -> Tensor:
        """(n, r) features of any points (n, 3); zero for organs of other groups."""
        cross = motion_kernel(self.points, self.organs, points, organs, self.prior)
        solved: Tensor = torch.linalg.solve_triangular(self.factor, cross, upper=False)
        return solved.T

    def left_out(self, points: Tensor, organs: Tensor, features: Tensor) -> Tensor:
        """(n,) prior variance that the features leave out, mm squared; grows to the whole far from the cloud."""
        inside = torch.isin(organs, organs.new_tensor(self.members))
        return ((self.prior.variance(organs) - features.square().sum(1)) * inside).clamp_min(0)


def inducing_basis(
    points: Tensor,
    organs: Tensor,
    prior: MotionPrior,
    members: tuple[int, ...],
    *,
    tolerance: float,
    max_rank: int,
    generator: torch.Generator,
    candidates: int = 1500,
) -> Basis:
    """Choose inducing points until the largest variance left out is below `tolerance` of the prior's.

    Args:
        points: (n, 3) mm, centered, float64; all points of the group.
        organs: (n,) organ of each point.
        prior: of the motion.
        members: organs of the group.
        tolerance: share of the prior variance.
        max_rank: most inducing points.
        generator: of the seed; picks candidates from large clouds.
        candidates: most points looked at.

    Raises:
        InputError: the rank ran out with more than 1 % of the variance left.
    """
    if len(points) > candidates:
        pick = torch.randperm(len(points), generator=generator)[:candidates].to(points.device)
        points, organs = points[pick], organs[pick]
    limit = min(max_rank, len(points))
    columns = points.new_zeros(len(points), limit)
    scale = prior.variance(organs)
    left = scale.clone()
    chosen: list[int] = []
    whole = motion_kernel(points, organs, points, organs, prior) if len(points) <= WHOLE else None
    for rank in range(limit):
        pivot = int(left.argmax())
        if float(left[pivot]) <= tolerance * float(scale.max()):
            break
        one = slice(pivot, pivot + 1)
        column = motion_kernel(points, organs, points[one], organs[one], prior)[:, 0] if whole is None else whole[pivot]
        column = (column - columns[:, :rank] @ columns[pivot, :rank]) / left[pivot].sqrt()
        columns[:, rank] = column
        left = (left - column.square()).clamp_min(0)
        chosen.append(pivot)
    residual = float(left.max() / scale.max())
    if residual > max(0.01, 2 * tolerance) and len(chosen) == max_rank:
        raise InputError(
            f"max_rank: expected enough inducing points, got {max_rank} with {100 * residual:.0f} % of the motion left "
            "out; raise max_rank or the coherence length"
        )
    index = torch.tensor(chosen, device=points.device)
    return Basis(points[index], organs[index], _factor(points[index], organs[index], prior), prior, residual, members)


def _factor(points: Tensor, organs: Tensor, prior: MotionPrior) -> Tensor:
    gram = motion_kernel(points, organs, points, organs, prior)
    jitter = 1e-10 * float(gram.diagonal().mean())
    factor: Tensor = torch.linalg.cholesky(gram + jitter * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    return factor
