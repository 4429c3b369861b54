"""An affine start: a linear motion improved by gradient, coarse to fine, from a rigid one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.core.run import Progress
from valorlib.core.transforms import AffineTransform
from valorlib.ops.boxes import Windows
from valorlib.solve.frame import Frame, pull, pull_mask
from valorlib.solve.parameterizations import Affine
from valorlib.solve.solver import Problem, solve_pyramid
from valorlib.solve.terms import LocalCorrelations, SelfSimilarity, Term

VOXELS = {False: (24, 48), True: (32, 64, 128, 256)}
"""Voxels along the longest axis at each level, of volumes and of single slices; never finer than the images are."""


def affine_start(
    fixed: Image,
    moving: Image,
    start: AffineTransform,
    progress: Progress,
    *,
    kind: str = "affine",
    similarity: str = "mind",
    iterations: Sequence[int] | None = None,
    device: str = "cpu",
) -> AffineTransform:
    """The linear motion near `start` that makes both images most alike.

    Args:
        fixed: image.
        moving: image.
        start: fixed to moving.
        progress: called each step.
        kind: "rigid", "similarity" or "affine".
        similarity: "mind" (any contrast) or "lncc" (squared local correlation).
        iterations: at most, a level; None: 60, then 40 at each finer one.
        device: torch device.
    """
    frame = Frame(fixed.grid, start)
    longest = max(fixed.grid.extent_mm)
    voxels = VOXELS[min(fixed.grid.size) == 1]
    spacings = [max(longest / count, min(fixed.grid.spacing)) for count in voxels]
    given = iterations if iterations is not None else (60, *[40] * (len(voxels) - 1))
    like = torch.zeros(1, device=device)
    motion = Affine(fixed.grid.extent_mm[::-1], kind=kind, like=like)
    # Steps as long in voxels on every level: long ones on the finest would never settle.
    problems = [
        _problem(fixed, moving, frame, spacing, similarity, 0.01 * spacing / spacings[0], steps, device)
        for spacing, steps in zip(spacings, given, strict=False)
    ]
    solve_pyramid(motion, problems, progress)
    return _joined(motion, frame)


def _problem(
    fixed: Image, moving: Image, frame: Frame, spacing: float, similarity: str, rate: float, steps: int, device: str
) -> Problem:
    grid: Grid = frame.grid(spacing)
    pictures = []
    for image, matrix in ((fixed, np.eye(4)), (moving, frame.start.matrix)):
        values = pull(image, grid, matrix, device)
        pictures.append(((values - values.mean()) / values.std().clamp_min(1e-6))[None, None])
    seen = pull_mask(None, moving.grid, grid, frame.start.matrix, device)[None, None]
    ones = torch.ones_like(seen)
    term: Term
    if similarity == "mind":
        term = SelfSimilarity(pictures[0], ones)
    else:
        radius = tuple(2 if n > 1 else 0 for n in grid.shape)
        windows = Windows(tuple(grid.shape), (radius[0], radius[1], radius[2]))
        term = LocalCorrelations(pictures[0], ones, windows, squared=True)
    k, j, i = grid.spacing[::-1]
    return Problem(
        moving=pictures[1], spacing_mm=(k, j, i), terms=[(1.0, term)], rate=rate, iterations=steps, moving_mask=seen,
        patience=20 if min(grid.size) == 1 else 10,
    )  # fmt: skip


def _joined(motion: Affine, frame: Frame) -> AffineTransform:
    """The start after the motion found in the frame's own axes."""
    axes = np.asarray(frame.box.direction)[:, ::-1]
    local = np.eye(4)
    local[:3, :3] = axes @ motion.matrix().detach().cpu().double().numpy() @ axes.T
    shift = axes @ motion.shift_mm().detach().cpu().double().numpy()
    local[:3, 3] = frame.box.center + shift - local[:3, :3] @ frame.box.center
    return AffineTransform(frame.start.matrix @ local)
