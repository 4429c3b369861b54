"""Images and labels on another grid: the value at x is the image's at T(x)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import Chain, Transform
from valorlib.ops.mapping import GridMapper, slabs
from valorlib.ops.warp import sample


def resample_image(image: Image, grid: Grid, transform: Transform | None = None, *, fill: float | None = None) -> Image:
    """`image` pulled onto `grid`, linearly interpolated.

    Args:
        image: the moving image.
        grid: the fixed grid.
        transform: fixed to moving; None leaves everything where it is.
        fill: value outside the image; None takes the image's smallest value (air in CT, 0 in MR).
    """
    outside = float(image.array.min()) if fill is None else fill
    return Image(_pull(image.array, image.grid, grid, transform, "bilinear", outside), grid, image.name)


def resample_dose(dose: Dose, grid: Grid, transform: Transform | None = None) -> Dose:
    """`dose` pulled onto `grid`, linearly interpolated; 0 Gy outside."""
    return Dose(_pull(dose.array, dose.grid, grid, transform, "bilinear", 0.0), grid)


def resample_labels(labels: LabelMap, grid: Grid, transform: Transform | None = None) -> LabelMap:
    """`labels` pulled onto `grid`, each voxel taking the nearest label; 0 outside."""
    present = labels.labels
    # float32 holds whole numbers up to 2^24; larger labels travel by their rank.
    if present and (max(present) > 2**24 or min(present) < -(2**24)):
        values, ranks = np.unique(labels.array, return_inverse=True)
        ranked = ranks.reshape(labels.array.shape).astype(np.float32) + 1
        found = _pull(ranked, labels.grid, grid, transform, "nearest", 0.0).astype(np.int32)
        array = np.concatenate([[0], values])[found]
    else:
        array = _pull(labels.array.astype(np.float32), labels.grid, grid, transform, "nearest", 0.0)
    return LabelMap(array.astype(np.int32), grid, labels.names)


def resample_mask(mask: LabelMap, grid: Grid, transform: Transform | None = None) -> Image:
    """How much of each voxel of `grid` a binary mask covers, 0 to 1, linearly interpolated."""
    array = (mask.array != 0).astype(np.float32)
    return Image(_pull(array, mask.grid, grid, transform, "bilinear", 0.0), grid)


def block_means(image: Image, spacing_mm: float) -> Image:
    """Block means at about `spacing_mm`; an axis already coarser stays as it is."""
    blocks = [max(1, min(round(spacing_mm / s), n)) for s, n in zip(image.grid.spacing, image.grid.size, strict=True)]
    stop = [n // b * b for n, b in zip(image.grid.size, blocks, strict=True)]
    (i, j, k), (bi, bj, bk) = stop, blocks
    array = image.array[:k, :j, :i].reshape(k // bk, bk, j // bj, bj, i // bi, bi).mean((1, 3, 5))
    grid = image.grid.cropped((0, 0, 0), stop)
    spacing = [s * b for s, b in zip(grid.spacing, blocks, strict=True)]
    return Image(array, grid.resampled(spacing), image.name)


def _pull(
    array: NDArray[np.float32], source: Grid, grid: Grid, transform: Transform | None, mode: str, outside: float
) -> NDArray[np.float32]:
    tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]
    mapper = GridMapper(transform if transform is not None else Chain(()), grid)
    out = np.empty(grid.shape, dtype=np.float32)
    for slab in slabs(grid):
        at = mapper.index_in(source, slab)
        values = sample(tensor, at, mode=mode)[0, 0]
        out[slab] = values.masked_fill_(~_inside(at, source)[0], outside).numpy()
    return out


def _inside(at: torch.Tensor, source: Grid) -> torch.Tensor:
    """(1, k, j, i): True within the outer border of the source (half a voxel beyond the outermost centers)."""
    inside = torch.ones_like(at[:, 0], dtype=torch.bool)
    for axis, count in enumerate(source.shape):
        # The hair's breadth absorbs the rounding of places that lie exactly on the border.
        inside &= (at[:, axis] >= -0.5001) & (at[:, axis] <= count - 0.4999)
    return inside
