"""Grids taken some slices at a time; needs no torch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from valorlib.core.grid import Grid

CHUNK = 2_000_000
"""Points handled at once; bounds the memory."""


def slabs(grid: Grid) -> list[slice]:
    """Slices along k of at most CHUNK voxels (at least one slice each)."""
    step = max(1, CHUNK // (grid.size[0] * grid.size[1]))
    return [slice(k, min(k + step, grid.size[2])) for k in range(0, grid.size[2], step)]


def slab_points(grid: Grid, slab: slice) -> NDArray[np.float64]:
    """(n, 3) world positions of the voxels of some slices, in array order."""
    start, stop = slab.start, slab.stop
    return grid.cropped((0, 0, start), (grid.size[0], grid.size[1], stop)).points().reshape(-1, 3)
