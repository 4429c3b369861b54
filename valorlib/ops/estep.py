"""Who belongs to whom: the expectation step of point drift, on pairs of leaves that can touch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from valorlib.ops.leaves import Leaves

SMALL = 120_000
BUNDLE = 8
BUNDLES = 64
LEAST = {torch.float32: -87.0, torch.float64: -700.0}


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


@dataclass(frozen=True, eq=False)
class _Boxes:
    """Boxes from low to high (n, 3) mm, each of one organ (n,)."""

    low: Tensor
    high: Tensor
    organ: Tensor

    def of(self, rows: Tensor) -> _Boxes:
        """Those of `rows`, of any shape."""
        return _Boxes(self.low[rows], self.high[rows], self.organ[rows])

    def near(self, other: _Boxes, allowed: Tensor, reach: float) -> Tensor:
        """True where the gap to the other's box, row by row or all with all, is at most `reach` and organs may meet."""
        square = torch.zeros((), dtype=self.low.dtype, device=self.low.device)
        for axis in range(3):
            gap = torch.maximum(
                other.low[..., axis] - self.high[..., axis], self.low[..., axis] - other.high[..., axis]
            )
            square = gap.clamp_min_(0).square_() + square
        return (square <= reach * reach) & allowed[self.organ, other.organ]


def _all_with_all(own: _Boxes, other: _Boxes, allowed: Tensor, reach: float) -> Tensor:
    rows, columns = (torch.arange(len(boxes.low), device=boxes.low.device) for boxes in (own, other))
    return own.of(rows[:, None]).near(other.of(columns[None]), allowed, reach)


def _bundled(boxes: _Boxes, spans: dict[int, tuple[int, int]]) -> tuple[_Boxes, Tensor, Tensor]:
    """Boxes around BUNDLE leaves in a row of one organ, the first leaf of each, and one past its last."""
    first = torch.cat([torch.arange(a, b, BUNDLE, device=boxes.low.device) for a, b in spans.values()])
    ends = torch.cat([first.new_full((-(-(b - a) // BUNDLE),), b) for a, b in spans.values()])
    stop = torch.minimum(first + BUNDLE, ends)
    rows = torch.minimum(first[:, None] + torch.arange(BUNDLE, device=first.device), stop[:, None] - 1)
    return _Boxes(boxes.low[rows].amin(1), boxes.high[rows].amax(1), boxes.organ[first]), first, stop


def _touching(fixed: FixedLeaves, moving: Leaves, boxes: _Boxes, allowed: Tensor, reach: float) -> Tensor:
    """(2, pairs) fixed and moving leaves whose organs may meet and whose boxes are closer than `reach`; rising.

    Args:
        fixed: fixed leaves.
        moving: moving leaves.
        boxes: those of the moving leaves.
        allowed: (L, L) True where a fixed organ (row) may meet a moving one (column).
        reach: mm.
    """
    own = _Boxes(fixed.low, fixed.high, fixed.leaves.organ)
    if len(own.low) * len(boxes.low) <= SMALL:
        return torch.stack(torch.nonzero(_all_with_all(own, boxes, allowed, reach), as_tuple=True))
    (many, first, stop), (others, start, end) = _bundled(own, fixed.leaves.spans), _bundled(boxes, moving.spans)
    found = []
    step = torch.arange(BUNDLE, device=first.device)
    for at in range(0, len(first), BUNDLES):
        some = torch.arange(at, min(at + BUNDLES, len(first)), device=first.device)
        row, column = torch.nonzero(_all_with_all(many.of(some), others, allowed, reach), as_tuple=True)
        rows, columns = first[some[row], None] + step, start[column, None] + step
        real = (rows < stop[some[row], None])[:, :, None] & (columns < end[column, None])[:, None]
        left, right = rows[:, :, None].expand(real.shape)[real], columns[:, None].expand(real.shape)[real]
        close = own.of(left).near(boxes.of(right), allowed, reach)
        pairs = torch.stack([left[close], right[close]])
        found.append(pairs[:, pairs[0].argsort(stable=True)])
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
    boxes = _Boxes(low, high, moving.organ)
    pairs = _touching(fixed, moving, boxes, log_transition > -torch.inf, cutoff * variance**0.5)
    for start, stop in _chunks(pairs[0], chunk_pairs):
        rows, cols = pairs[0, start:stop], pairs[1, start:stop]
        first = int(rows[0])
        extra = log_transition[fixed.leaves.organ[rows], moving.organ[cols]]
        sums, back = _block(fixed, at[cols], weight[cols] + extra[:, None], rows, first, variance, outlier)
        total[first : first + len(sums)] = sums
        mass.index_add_(0, cols, back[..., 4])
        pulled.index_add_(0, cols, back[..., :3] + back[..., 4:] * fixed.center[rows, None])
    return _gather(fixed, moving, mass, pulled, total, outlier, scale, pairs.shape[1])


def _block(
    fixed: FixedLeaves, at: Tensor, weight: Tensor, rows: Tensor, first: int, variance: float, outlier: float
) -> tuple[Tensor, Tensor]:
    """Sums over m for the fixed leaves of the chunk, and sums over n (pairs, width, 5) of P times [x', x'^2, 1]."""
    local = fixed.local[rows]
    offset = (at - fixed.center[rows, None]).to(local.dtype)
    constant = weight.to(local.dtype) - offset.square().sum(2) / (2 * variance)
    half = torch.full_like(constant, -0.5 / variance)
    right = torch.cat([offset / variance, half[..., None], constant[..., None]], 2)
    # exp is many times slower where its result is no normal number.
    weights = torch.bmm(local, right.transpose(1, 2)).clamp_min_(LEAST[local.dtype]).exp_()
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
