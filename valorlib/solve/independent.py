"""A second, independent registration of a pair: the anchor against which a transform from elsewhere is judged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.run import Progress
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.solve.deform import Matching, deform
from valorlib.solve.frame import Frame
from valorlib.solve.schedule import Level

FIELD_SHARE, FIELD_MM = 2.0, 10.0
"""Voxels of the field in voxels of the images, and what they stay below: half of the work is on the field, and one as
smooth as this needs no finer ones."""


@dataclass(frozen=True, kw_only=True)
class IndependentSettings:
    """How the second registration works. Variations of them make the ensemble.

    finest_mm: voxels of the last level. window_mm: reach of the similarity. smooth_mm: Gaussian on the whole field.
    iterations: of the coarse and of the last level. squared: for images of different contrast. floor: variance, of
    images scaled to 1, below which a window is noise. mind: compare self-similarity descriptors, not gray values.
    """

    finest_mm: float = 4.0
    window_mm: float = 8.0
    smooth_mm: float = 10.0
    gradient_mm: float = 5.0
    iterations: tuple[int, int] = (40, 40)
    squared: bool = False
    mind: bool = False
    floor: float = 0.01


def register_independently(
    fixed: Image,
    moving: Image,
    grid: Grid,
    settings: IndependentSettings,
    *,
    start: AffineTransform,
    mask: LabelMap | None = None,
    device: str = "cpu",
    progress: Progress,
) -> DisplacementField:
    """Local correlation, coarse to fine, from an affine start; the field lies on `grid`."""
    frame = Frame(grid, start, margin_mm=24.0)
    levels = [
        Level(
            image_mm=settings.finest_mm * scale,
            iterations=iterations,
            field_mm=min(settings.finest_mm * FIELD_SHARE, FIELD_MM) * scale,
            step_mm=settings.finest_mm * scale * 0.5,
            gradient_mm=settings.gradient_mm * scale**0.5,
            total_mm=settings.smooth_mm * scale**0.5,
            window_mm=settings.window_mm * scale,
        )
        for scale, iterations in zip((2.0, 1.0), settings.iterations, strict=True)
    ]
    matching = Matching(
        squared=settings.squared and not settings.mind,
        both_edges=settings.mind or not settings.squared,
        floor=settings.floor,
        mind=settings.mind,
        fixed_mask=mask,
    )
    found = deform(fixed, moving, frame, levels, matching, device=device, progress=progress)
    return frame.displacement(found.u_mm, grid)


def affine_of(field: DisplacementField, inside: NDArray[np.bool_] | None = None) -> AffineTransform:
    """Least-squares affine transform of a field: its gross motion, from which the second registration starts."""
    step = tuple(slice(None, None, max(1, n // 24)) for n in field.grid.shape)
    x = field.grid.points()[step].reshape(-1, 3)
    y = x + field.array[step].reshape(-1, 3)
    if inside is not None and int(inside[step].sum()) > 50:
        keep = inside[step].ravel()
        x, y = x[keep], y[keep]
    middle = x.mean(axis=0)
    design = np.hstack([x - middle, np.ones((len(x), 1))])
    ridge = 1e-6 * np.trace(design.T @ design) * np.diag([1.0, 1.0, 1.0, 0.0])
    solution = np.linalg.solve(design.T @ design + ridge, design.T @ (y - x)).T
    matrix = np.eye(4)
    matrix[:3, :3] += solution[:, :3]
    matrix[:3, 3] = solution[:, 3] - solution[:, :3] @ middle
    return AffineTransform(matrix)
