"""Prior of organ motion: a Gaussian process whose coherence length and size differ by organ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.errors import InputError


@dataclass(frozen=True, eq=False)
class MotionPrior:
    """Prior of the displacement; organs are counted 0 to L - 1.

    length_mm: (L,) how far motion stays coherent. size_mm: (L,) standard deviation of the displacement.
    coherence: (L, L) how much two organs move together, 0 to 1; ones on the diagonal, positive semi-definite.
    long_mm, long_size_mm: length and size of a second, slow motion that is added: an organ's shift, turn and growth.
    organ_slow: (L,) its length and (L,) its size of each organ, instead of those two.
    """

    length_mm: Tensor
    size_mm: Tensor
    coherence: Tensor
    long_mm: float = 100.0
    long_size_mm: float = 0.0
    organ_slow: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        count = len(self.length_mm)
        if tuple(self.coherence.shape) != (count, count) or len(self.size_mm) != count:
            raise InputError(
                f"coherence matrix: expected {count} x {count} for {count} organs, got {tuple(self.coherence.shape)}"
            )
        if float(self.length_mm.min()) <= 0 or float(self.size_mm.min()) <= 0:
            raise InputError("length and size of the motion: expected positive mm for each organ")
        check_coherence(self.coherence)

    def variance(self, organs: Tensor) -> Tensor:
        """(n,) prior variance of the displacement along each axis, mm^2."""
        slow = self.long_size_mm**2 if self.organ_slow is None else self.organ_slow[1][organs].square()
        return self.size_mm[organs].square() + slow


def check_coherence(matrix: Tensor) -> None:
    """Raise InputError unless `matrix` is symmetric, has a diagonal of ones and no negative eigenvalue."""
    if not torch.allclose(matrix, matrix.T, atol=1e-9) or not torch.allclose(
        matrix.diagonal(), torch.ones_like(matrix.diagonal()), atol=1e-9
    ):
        raise InputError("coherence matrix: expected a symmetric matrix with ones on its diagonal; correct the entries")
    lowest = float(torch.linalg.eigvalsh(matrix.double()).min())
    if lowest < -1e-9:
        raise InputError(
            f"coherence matrix: expected no negative eigenvalue, got {lowest:.3g}; "
            "bring the entries outside the diagonal closer to each other"
        )


def motion_kernel(a: Tensor, organ_a: Tensor, b: Tensor, organ_b: Tensor, prior: MotionPrior) -> Tensor:
    """(n, m) prior covariance of the displacement between points a (n, 3) and b (m, 3), mm squared.

    Source: Joutard et al., A multi-organ point cloud registration algorithm, WBIR 2022, Eq. 3.
    Differs: Gibbs' form of the Gaussian kernel; the printed one is not positive definite for unequal lengths.
    """
    first, second = prior.length_mm[organ_a][:, None], prior.length_mm[organ_b][None]
    total = first.square() + second.square()
    square = (a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * a @ b.T).clamp_min(0)
    out = (square / total).neg_().exp_()
    if not bool((prior.length_mm == prior.length_mm[0]).all()):
        out *= (2 * first * second / total).pow(1.5)
    out *= prior.size_mm[organ_a][:, None] * prior.size_mm[organ_b][None]
    if prior.organ_slow is not None:
        long, size = prior.organ_slow
        first, second = long[organ_a][:, None], long[organ_b][None]
        total = first.square() + second.square()
        slow = (2 * first * second / total).pow(1.5) * (square / total).neg_().exp_()
        out += slow * size[organ_a][:, None] * size[organ_b][None]
    elif prior.long_size_mm > 0:
        out += (square / (-2 * prior.long_mm**2)).exp_() * prior.long_size_mm**2
    if bool((prior.coherence == 1).all()):
        return out
    return out * prior.coherence[organ_a][:, organ_b]


def coherent_groups(coherence: Tensor) -> list[list[int]]:
    """Organs that share motion: connected components of the organs with a coherence above 0."""
    linked = coherence.abs() > 0
    groups: list[list[int]] = []
    left = set(range(len(coherence)))
    while left:
        group, todo = set(), [min(left)]
        while todo:
            organ = todo.pop()
            if organ not in group:
                group.add(organ)
                todo += [int(k) for k in torch.nonzero(linked[organ]).flatten()]
        groups.append(sorted(group))
        left -= group
    return groups
