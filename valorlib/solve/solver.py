"""The general solver: any parameterization, any weighted terms, one level; and a pyramid of such levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.run import Progress, part
from valorlib.ops.adam import Adam
from valorlib.ops.warp import identity, sample
from valorlib.solve.parameterizations import Parameterization
from valorlib.solve.schedule import Plateau
from valorlib.solve.terms import State, Term


@dataclass(frozen=True, eq=False, kw_only=True)
class Problem:
    """One level.

    moving: (1, 1, K, J, I) on the working grid. spacing_mm: (k, j, i). terms: weight and term. rate: Adam's step, in
    the parameterization's own unit. iterations: at most. moving_mask: (1, 1, K, J, I), 1 where moving has data.
    """

    moving: Tensor
    spacing_mm: tuple[float, float, float]
    terms: Sequence[tuple[float, Term]]
    rate: float
    iterations: int
    moving_mask: Tensor | None = None
    patience: int = 10


@dataclass(frozen=True, eq=False)
class Solved:
    """Losses of the steps, the lowest of them, and the displacement there: (1, 3, K, J, I) voxels."""

    losses: tuple[float, ...]
    best: float
    u_vox: Tensor


def state_of(u_vox: Tensor, problem: Problem) -> State:
    """What the terms see for a displacement."""
    at = identity(u_vox) + u_vox
    mask = torch.ones_like(problem.moving) if problem.moving_mask is None else problem.moving_mask
    with torch.no_grad():
        seen = (sample(mask, at, padding="zeros") > 0.5).to(u_vox.dtype)
    return State(u_vox, problem.spacing_mm, sample(problem.moving, at), seen)


def solve(parameterization: Parameterization, problem: Problem, progress: Progress) -> Solved:
    """Change the parameters in place until the loss stops falling; they end at the best step, not the last.

    Raises:
        InputError: the loss is not a number from the first step on.
    """
    parameters = parameterization.parameters()
    optimizer = Adam(parameters, problem.rate)
    plateau, shape = Plateau(patience=problem.patience), problem.moving.shape[2:]
    best, kept = float("inf"), [p.detach().clone() for p in parameters]
    losses: list[float] = []
    for step in range(problem.iterations):
        progress(step / problem.iterations, f"Step {step + 1}")
        optimizer.zero_grad()
        state = state_of(parameterization.displacement(shape), problem)
        loss = torch.stack([weight * term(state) for weight, term in problem.terms]).sum()
        losses.append(float(loss.detach()))
        if losses[-1] < best:
            best, kept = losses[-1], [p.detach().clone() for p in parameters]
        if plateau.reached(losses[-1]):
            break
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    if best == float("inf"):
        raise InputError("loss: expected a number, got none; check the images for NaN and empty masks")
    with torch.no_grad():
        for parameter, value in zip(parameters, kept, strict=True):
            parameter.copy_(value)
        return Solved(tuple(losses), best, parameterization.displacement(shape))


def solve_pyramid(
    parameterization: Parameterization,
    problems: Sequence[Problem],
    progress: Progress,
    after_level: Callable[[Solved], None] | None = None,
) -> tuple[Solved, ...]:
    """Solve coarse to fine; the parameters carry over from level to level."""
    costs = [problem.iterations * problem.moving.numel() for problem in problems]
    found, done = [], 0
    for problem, cost in zip(problems, costs, strict=True):
        span = part(progress, done / sum(costs), (done + cost) / sum(costs))
        found.append(solve(parameterization, problem, span))
        done += cost
        if after_level is not None:
            after_level(found[-1])
    return tuple(found)
