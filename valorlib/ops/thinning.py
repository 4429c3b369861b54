"""Fewer points, evenly: one of each small box of neighbors."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from valorlib.ops.leaves import build_leaves


def thin_evenly(points: NDArray[np.float64], organs: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Rows of at most about `count` points an organ, spread evenly over it; rising.

    Args:
        points: (n, 3) mm.
        organs: (n,) organ of each point.
        count: wanted points of each organ; organs with fewer keep all.
    """
    kept = []
    at = torch.as_tensor(np.ascontiguousarray(points, dtype=np.float64))
    for organ in np.unique(organs):
        rows = np.nonzero(organs == organ)[0]
        if len(rows) <= count:
            kept.append(rows)
            continue
        own = at[torch.as_tensor(rows)]
        boxes = _boxes(own, count)
        kept.append(rows[boxes])
    return np.sort(np.concatenate(kept))


def _boxes(points: torch.Tensor, count: int) -> NDArray[np.int64]:
    width = max(1, len(points) // count)
    leaves = build_leaves(points, torch.zeros(len(points), dtype=torch.int64), width=width)
    at = points[leaves.index]
    middle = (at * leaves.valid[..., None]).sum(1) / leaves.valid.sum(1, keepdim=True).clamp_min(1)
    distance = (at - middle[:, None]).square().sum(2)
    nearest = torch.where(leaves.valid, distance, torch.inf).argmin(1)
    rows = leaves.index.gather(1, nearest[:, None])[:, 0][leaves.valid.any(1)]
    if len(rows) > count:
        rows = rows[torch.linspace(0, len(rows) - 1, count).round().long()]
    return np.asarray(torch.unique(rows).numpy())


def spacing_mm(points: NDArray[np.float64], *, sample: int = 1000) -> float:
    """Median distance of a point to its nearest neighbor, mm."""
    step = max(1, len(points) // sample)
    distance, _ = cKDTree(points).query(points[::step], k=2)
    return float(np.median(distance[:, 1]))
