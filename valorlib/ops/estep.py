"""Who belongs to whom: the expectation step of point drift, on pairs of leaves that can touch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.ops.leaves import Leaves


@dataclass(frozen=True, eq=False)
class FixedLeaves:
    """The fixed cloud, ready for `expect`.

    center: (leaves, 3) float64 mm. local: (leaves, width, 5): offset from the center, its square, one.
    low, high: (leaves, 3) the boxes, mm.
    """

    leaves: Leaves
    center: Tensor
    local: Tensor
    low: Tensor
    high: Tensor
    count: int


@dataclass(frozen=True, eq=False)
class Expectation:
    """Sums of the responsibilities P (moving x fixed); all float64.

    moving_mass: (M,) nu, fixed_mass: (N,) nu'. pulled: (M, 3) P x. log_evidence: sum over fixed points of the log of
    the mixture. pairs: share of the M x N pairs that were looked at.
    """

    moving_mass: Tensor
    fixed_mass: Tensor
    pulled: Tensor
    log_evidence: float
    pairs: float


def fixed_leaves(points: Tensor, leaves: Leaves, dtype: torch.dtype) -> FixedLeaves:
    """Boxes and centered coordinates of the fixed points (N, 3), float64 mm."""
    at = points[leaves.index]
    low, high = at.amin(1), at.amax(1)
    center = (low + high) / 2
    offset = (at - center[:, None]).to(dtype)
    local = torch.cat([offset, offset.square().sum(2, keepdim=True), torch.ones_like(offset[..., :1])], 2)
    return FixedLeaves(leaves, center, local, low, high, len(points))


def _touching(fixed: FixedLeaves, organ: int, low: Tensor, high: Tensor, moving: Tensor, reach: float) -> Tensor:
    """(2, pairs) fixed leaves of one organ and the `moving` leaves whose boxes are closer than `reach`; rising."""
    first, stop = fixed.leaves.spans[organ]
    found = []
    rows = max(1, 2_000_000 // max(1, len(moving)))
    for start in range(first, stop, rows):
        part = slice(start, min(start + rows, stop))
        gap = torch.maximum(low[moving][None] - fixed.high[part, None], fixed.low[part, None] - high[moving][None])
        near = gap.clamp_min_(0).square_().sum(2) <= reach * reach
        row, column = torch.nonzero(near, as_tuple=True)
        found.append(torch.stack([row + start, moving[column]]))
    return torch.cat(found, 1)


def _chunks(rows: Tensor, limit: int) -> list[tuple[int, int]]:
    """Cut a rising list of rows into stretches of about `limit` that never part one row."""
    values, counts = torch.unique_consecutive(rows, return_counts=True)
    del values
    ends = counts.cumsum(0).tolist()
    out, start, last = [], 0, 0
    for end in ends:
        if end - start > limit and last > start:
            out.append((start, last))
            start = last
        last = end
    if last > start:
        out.append((start, last))
    return out


def expect(
    fixed: FixedLeaves,
    moved: Tensor,
    log_weight: Tensor,
    moving: Leaves,
    log_transition: Tensor,
    *,
    variance: float,
    outlier: float,
    scale: float = 1.0,
    cutoff: float = 6.0,
    chunk_pairs: int = 384,
) -> Expectation:
    """Responsibilities of moved points for fixed points, summed.

    The pair (m, n) has the weight exp(log_weight[m] + log_transition[b, a] - |x_n - moved_m|^2 / (2 variance)).

    Args:
        fixed: from `fixed_leaves`.
        moved: (M, 3) float64 mm.
        log_weight: (M,) log of the mixture weight times what else does not depend on the fixed point.
        moving: leaves of the moving cloud.
        log_transition: (L, L) log P(fixed label b | moving label a); -inf forbids the pair.
        variance: sigma^2, mm^2.
        outlier: what an outlier adds to the sum over m, in the same unit.
        scale: log_evidence counts log(scale * sum).
        cutoff: pairs of leaves farther apart than this many sigma are left out.
        chunk_pairs: pairs of leaves worked on at once (memory).
    """
    at = moved[moving.index]
    low, high = at.amin(1), at.amax(1)
    weight = torch.where(moving.valid, log_weight[moving.index], -torch.inf)
    width = moving.index.shape[1]
    mass = moved.new_zeros(len(at), width)
    pulled = moved.new_zeros(len(at), width, 3)
    total = moved.new_zeros(fixed.leaves.index.shape)
    looked = 0
    for organ in fixed.leaves.spans:
        allowed = [k for k in moving.spans if float(log_transition[organ, k]) > -torch.inf]
        if not allowed:
            continue
        columns = torch.cat([torch.arange(*moving.spans[k], device=moved.device) for k in allowed])
        pairs = _touching(fixed, organ, low, high, columns, cutoff * variance**0.5)
        looked += pairs.shape[1]
        extra = log_transition[organ][moving.organ]
        for start, stop in _chunks(pairs[0], chunk_pairs):
            rows, cols = pairs[0, start:stop], pairs[1, start:stop]
            first = int(rows[0])
            sums, back = _block(fixed, at[cols], weight[cols] + extra[cols, None], rows, first, variance, outlier)
            total[first : first + len(sums)] = sums
            mass.index_add_(0, cols, back[..., 4])
            pulled.index_add_(0, cols, back[..., :3] + back[..., 4:] * fixed.center[rows, None])
    return _gather(fixed, moving, mass, pulled, total, outlier, scale, looked)


def _block(
    fixed: FixedLeaves, at: Tensor, weight: Tensor, rows: Tensor, first: int, variance: float, outlier: float
) -> tuple[Tensor, Tensor]:
    """Sums over m for the fixed leaves of the chunk, and sums over n (pairs, width, 5) of P times [x', x'^2, 1]."""
    local = fixed.local[rows]
    offset = (at - fixed.center[rows, None]).to(local.dtype)
    constant = weight.to(local.dtype) - offset.square().sum(2) / (2 * variance)
    half = torch.full_like(constant, -0.5 / variance)
    right = torch.cat([offset / variance, half[..., None], constant[..., None]], 2)
    weights = torch.bmm(local, right.transpose(1, 2)).exp_()
    count = int(rows[-1]) - first + 1
    sums = local.new_zeros(count, local.shape[1]).index_add_(0, rows - first, weights.sum(2))
    inverse = torch.where(sums > 1e-30, 1 / (sums + outlier), 0)
    inverse *= fixed.leaves.valid[first : first + count]
    left = local * inverse[rows - first][..., None]
    return sums.double(), torch.bmm(weights.transpose(1, 2), left).double()


def _gather(
    fixed: FixedLeaves,
    moving: Leaves,
    mass: Tensor,
    pulled: Tensor,
    total: Tensor,
    outlier: float,
    scale: float,
    looked: int,
) -> Expectation:
    real, own = fixed.leaves.valid, moving.valid
    count = int(own.sum())
    nu, px = mass.new_zeros(count), pulled.new_zeros(count, 3)
    nu[moving.index[own]], px[moving.index[own]] = mass[own], pulled[own]
    share = torch.where(total > 1e-30, total / (total + outlier), 0)
    back = total.new_zeros(fixed.count)
    back[fixed.leaves.index[real]] = share[real]
    evidence = ((total[real] + outlier).clamp_min(1e-300) * scale).log().sum()
    return Expectation(nu, back, px, float(evidence), looked / (total.shape[0] * mass.shape[0]))
