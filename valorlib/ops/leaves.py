"""Points split into small boxes of neighbors, organ by organ."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Leaves:
    """Leaves of at most `width` points, sorted by organ.

    index: (n_leaves, width) row of each point; the places of padding repeat a neighbor. valid: (n_leaves, width) False
    on padding. organ: (n_leaves,). spans: organ to its first and one past its last leaf.
    """

    index: Tensor
    valid: Tensor
    organ: Tensor
    spans: dict[int, tuple[int, int]]


def _split(points: Tensor, rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Rows of one organ as (leaves, at most width), by halving along the longest side; and which are no padding."""
    levels = 0
    while -(-len(rows) // 2**levels) > width:
        levels += 1
    size = -(-len(rows) // 2**levels) * 2**levels
    place = torch.arange(size, device=rows.device).clamp_max(len(rows) - 1)
    rows, valid = rows[place][None], (torch.arange(size, device=rows.device) < len(rows))[None]
    for _ in range(levels):
        at = points[rows]
        axis = (at.amax(1) - at.amin(1)).argmax(1)
        order = at.gather(2, axis[:, None, None].expand(-1, at.shape[1], 1))[..., 0].argsort(dim=1, stable=True)
        half = rows.shape[1] // 2
        rows = rows.gather(1, order).reshape(-1, half)
        valid = valid.gather(1, order).reshape(-1, half)
    return rows, valid


def build_leaves(points: Tensor, organs: Tensor, *, width: int = 32) -> Leaves:
    """Split points (n, 3) of organs (n,) into leaves of neighbors."""
    labels = [int(label) for label in torch.unique(organs)]
    parts = [_split(points, torch.nonzero(organs == label).flatten(), width) for label in labels]
    most = max(rows.shape[1] for rows, _ in parts)
    found, valid, spans, start = [], [], {}, 0
    for label, (rows, real) in zip(labels, parts, strict=True):
        pad = most - rows.shape[1]
        found.append(torch.cat([rows, rows[:, :1].expand(-1, pad)], 1))
        valid.append(torch.cat([real, real.new_zeros(len(real), pad)], 1))
        spans[label] = (start, start + len(rows))
        start += len(rows)
    organ = torch.cat([organs.new_full((stop - first,), label) for label, (first, stop) in spans.items()])
    return Leaves(torch.cat(found), torch.cat(valid), organ, spans)
