"""Keypoints matched one by one through heat maps of displacements, a spline between them, then refinement."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.ops.contrast import check_contrast
from valorlib.ops.convex import lattice
from valorlib.ops.keypoints import agree_on_graph, displacement_costs, foerstner_keypoints, spread_by_spline
from valorlib.ops.mind import mind_ssc
from valorlib.ops.overlap import body_mask
from valorlib.ops.plausibility import alarmed
from valorlib.ops.smooth import gaussian
from valorlib.solve.feature_adam import refine_on_features
from valorlib.solve.frame import Frame, pull_mask, sized
from valorlib.solve.outcome import linear_start, one_thread, outcome

COUPLING = (0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True, kw_only=True)
class VoxelMorphPPOptions(Options):
    """Options of `register`."""

    working_mm: float = option(2.0, "Voxel size of the features", low=0.3, high=10.0, unit="mm")
    keypoints: int = option(1500, "Most points that are matched", low=20, high=10000)
    range_mm: float = option(24.0, "Largest motion searched", low=2.0, high=80.0, unit="mm")
    search_steps: int = option(6, "Steps searched each way", low=2, high=12)
    neighbors: int = option(12, "Neighbors that a point listens to", low=2, high=50, advanced=True)
    spline_smoothing: float = option(0.1, "Smoothness of the spline between points", low=0.0, high=100.0)
    iterations: int = option(50, "Steps of the refinement; 0: spline alone", low=0, high=1000)
    smoothness: float = option(1.5, "Weight of smoothness in the refinement", low=0.0, high=100.0)
    control_mm: float = option(6.0, "Distance of control points in the refinement", low=0.5, high=40.0, unit="mm")


@alarmed
def register(pair: ImagePair, options: VoxelMorphPPOptions, run: Run) -> Result:
    """Register images with large motion by distinct points.

    Source: Heinrich, Voxelmorph++: Going Beyond the Cranial Vault with Keypoint Supervision and Multi-channel Instance
    Optimisation, WBIR 2022, 10.1007/978-3-031-11203-4_10.
    Differs: no trained network: the heat map of each keypoint is the softmax of self-similarity costs that neighbors
    agree on, in two passes (whole range, then a fifth of it around what was found).
    """
    begin = time.process_time()
    check_contrast(pair)
    start = linear_start(pair)
    if min(pair.fixed.grid.size) < 8:
        raise InputError(f"fixed: expected at least 8 voxels along each axis, got {pair.fixed.grid.size}; use a volume")
    with one_thread():
        frame = Frame(pair.fixed.grid, start, margin_mm=options.range_mm)
        grid = frame.grid(options.working_mm)
        run.progress(0.0, "Features and keypoints")
        image = frame.fixed(pair.fixed, grid, run.device)
        fixed = mind_ssc(image[None, None])
        moving = mind_ssc(frame.moving(pair.moving, grid, run.device)[None, None])
        mask = pull_mask(
            pair.fixed_mask or body_mask(pair.fixed), pair.fixed.grid, grid, torch.eye(4).numpy(), run.device
        )
        points = foerstner_keypoints(image, mask, count=options.keypoints)
        if len(points) < 20:
            raise InputError(f"fixed: expected 20 distinct points, found {len(points)}; widen the mask or use another")
        moved_mm = _matched(fixed, moving, points, frame, grid, options, part(run.progress, 0.1, 0.5))
        u_mm = _dense(points, moved_mm, grid, options)
        losses: list[float] = []
        if options.iterations:
            size = u_mm.new_tensor(grid.spacing[::-1]).view(1, 3, 1, 1, 1)
            stride = max(1, round(options.control_mm / options.working_mm))
            u_vox, losses = refine_on_features(
                fixed, moving, u_mm[None] / size, offset=frame.margin(grid), stride=stride,
                smoothness=options.smoothness, steps=options.iterations, rate=0.5, weight=mask[None, None],
                progress=part(run.progress, 0.5, 0.92),
            )  # fmt: skip
            u_mm = (u_vox * size)[0]
        run.progress(0.93, "Displacement field and inverse")
        done = outcome(u_mm, frame, pair.fixed.grid, pair.moving.grid)
    run.progress(1.0, "Done")
    return done.result(
        start=frame.start,
        losses=losses,
        method="voxelmorph_pp",
        options=as_dict(options),
        keypoints=len(points),
        cpu_seconds=time.process_time() - begin,
    )


def _matched(
    fixed: Tensor,
    moving: Tensor,
    points: Tensor,
    frame: Frame,
    grid: Grid,
    options: VoxelMorphPPOptions,
    progress: Progress,
) -> Tensor:
    """(N, 3) displacement of each keypoint, mm along (k, j, i)."""
    spacing = points.new_tensor(grid.spacing[::-1])
    at_mm = (points * spacing).double().cpu().numpy()
    offset = points.new_tensor(frame.margin(grid))
    u_mm = points.new_zeros(len(points), 3)
    # Costs of neighboring lattice steps must overlap, so features are smoothed to the step of each pass.
    for number, share in enumerate((1.0, 0.2)):
        progress(number / 2, f"Matching {len(points)} keypoints")
        step_mm = options.range_mm * share / options.search_steps
        sigma = [max(0.0, 0.35 * step_mm / float(s) - 0.3) for s in spacing]
        a, b = gaussian(fixed[0], sigma)[None], gaussian(moving[0], sigma)[None]
        steps_mm = lattice(options.search_steps, points) * step_mm
        costs = displacement_costs(a, b, points, points + offset + u_mm / spacing, steps_mm / spacing)
        found, _ = agree_on_graph(costs, steps_mm, at_mm, neighbors=options.neighbors, coupling=COUPLING)
        u_mm = u_mm + found
    progress(1.0, "Keypoints matched")
    return u_mm


def _dense(points: Tensor, u_mm: Tensor, grid: Grid, options: VoxelMorphPPOptions) -> Tensor:
    """(3, K, J, I) mm along (k, j, i) on `grid`, by a spline on a coarser lattice."""
    spacing = np.asarray(grid.spacing[::-1])
    coarse = [max(2, round(n * s / 10.0)) for n, s in zip(grid.shape, spacing, strict=True)]
    axes = [(np.arange(c) + 0.5) * n / c - 0.5 for c, n in zip(coarse, grid.shape, strict=True)]
    onto = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3) * spacing
    at = points.double().cpu().numpy() * spacing
    found = spread_by_spline(at, u_mm.double().cpu().numpy(), onto, smoothing=options.spline_smoothing)
    field = torch.as_tensor(found.T.reshape(3, *coarse), dtype=u_mm.dtype, device=u_mm.device)
    return sized(field, grid.shape)


METHOD = Method(
    "voxelmorph_pp",
    "Keypoints + heat map",
    ImagePair,
    VoxelMorphPPOptions,
    register,
    "Heinrich 2022",
    presets={
        "default": VoxelMorphPPOptions(),
        "quick": VoxelMorphPPOptions(keypoints=300, range_mm=10.0, search_steps=4, iterations=30),
        "lung_ct": VoxelMorphPPOptions(range_mm=36.0, search_steps=7, keypoints=2000),
    },
    reasons={
        "default": "Large motion of textured tissue, up to 24 mm.",
        "quick": "Small volumes and previews.",
        "lung_ct": "Inhale and exhale with a lung mask, motion up to 36 mm.",
    },
)
