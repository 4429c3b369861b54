"""ConvexAdam: all displacements of a lattice scored on self-similarity features, then refined by Adam."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.core.transforms import AffineTransform
from valorlib.ops.contrast import check_contrast
from valorlib.ops.convex import consistent, cost_volume, coupled_convex, smooth_cost
from valorlib.ops.masks import both
from valorlib.ops.mind import mind_ssc
from valorlib.ops.overlap import body_mask, label_start
from valorlib.ops.plausibility import alarmed
from valorlib.ops.warp import resize_field
from valorlib.solve.feature_adam import refine_on_features
from valorlib.solve.frame import Frame, pull_mask
from valorlib.solve.outcome import linear_start, one_thread, outcome


@dataclass(frozen=True, kw_only=True)
class ConvexAdamOptions(Options):
    """Options of `register`."""

    working_mm: float = option(2.0, "Voxel size of the features", low=0.3, high=10.0, unit="mm")
    lattice_mm: float = option(8.0, "Step of the discrete search", low=1.0, high=40.0, unit="mm")
    reach: int = option(4, "Steps searched each way: reach x step is the largest motion found", low=1, high=8)
    soft: bool = option(False, "Soft choice among displacements (differentiable)", advanced=True)
    temperature: float = option(150.0, "Sharpness of the soft choice", low=0.1, high=1e4, advanced=True)
    both_ways: bool = option(True, "Search both directions and make them agree")
    start: str = option(
        "headers",
        "Where to start: the headers, or middle on middle of structures in both images",
        choices=("headers", "labels"),
    )
    look: str = option(
        "everywhere",
        "What counts: everything, or the body alone, where air around it is noise",
        choices=("everywhere", "body"),
    )
    label_weight: float = option(1.0, "Weight of structures as features, where both images have them", low=0, high=10)
    iterations: int = option(50, "Steps of the refinement; 0: discrete search alone", low=0, high=1000)
    smoothness: float = option(1.25, "Weight of smoothness in the refinement", low=0.0, high=100.0)
    control_mm: float = option(4.0, "Distance of control points in the refinement", low=0.5, high=40.0, unit="mm")


@alarmed
def register(pair: ImagePair, options: ConvexAdamOptions, run: Run) -> Result:
    """Register images with large motion, of one or two contrasts.

    Source: Siebert, Fast 3D Registration with Accurate Optimisation and Little Learning for Learn2Reg 2021, 2022,
    10.1007/978-3-030-97281-3_25; soft form: Siebert, WBIR 2022, 10.1007/978-3-031-11203-4_13.
    Differs: lengths in mm; masks; the moving image keeps a margin, so that motion can leave the fixed image's box.
    """
    begin = time.process_time()
    check_contrast(pair)
    with one_thread():
        frame = Frame(pair.fixed.grid, _start(pair, options), margin_mm=options.lattice_mm * options.reach)
        grid = frame.grid(options.working_mm)
        run.progress(0.0, "Features")
        fixed, moving, weight = _features(pair, frame, grid, options, run.device)
        offset = frame.margin(grid)
        u_vox = _search(fixed, moving, offset, grid, options, part(run.progress, 0.1, 0.5))
        losses: list[float] = []
        if options.iterations:
            stride = max(1, round(options.control_mm / options.working_mm))
            u_vox, losses = refine_on_features(
                fixed, moving, u_vox, offset=offset, stride=stride, smoothness=options.smoothness,
                steps=options.iterations, rate=1.0, weight=weight, progress=part(run.progress, 0.5, 0.92),
            )  # fmt: skip
        run.progress(0.93, "Displacement field and inverse")
        u_mm = (u_vox * u_vox.new_tensor(grid.spacing[::-1]).view(1, 3, 1, 1, 1))[0]
        done = outcome(u_mm, frame, pair.fixed.grid, pair.moving.grid)
    run.progress(1.0, "Done")
    return done.result(
        start=frame.start,
        losses=losses,
        method="convex_adam",
        options=as_dict(options),
        cpu_seconds=time.process_time() - begin,
    )


def _start(pair: ImagePair, options: ConvexAdamOptions) -> AffineTransform:
    if pair.start is not None or options.start != "labels":
        return linear_start(pair)
    if pair.fixed_labels is None or pair.moving_labels is None:
        raise InputError("labels: expected structures in both images for start=labels, got none; add them")
    return label_start(pair.fixed_labels, pair.moving_labels)


def _features(
    pair: ImagePair, frame: Frame, grid: Grid, options: ConvexAdamOptions, device: str
) -> tuple[Tensor, Tensor, Tensor]:
    """Features on `grid` and on the wide grid, and where the fixed ones count."""
    wide = frame.wide(grid)
    fixed = mind_ssc(frame.fixed(pair.fixed, grid, device)[None, None])
    moving = mind_ssc(frame.moving(pair.moving, grid, device)[None, None])
    masks = pair.fixed_mask, pair.moving_mask
    if options.look == "body":
        masks = both(body_mask(pair.fixed), masks[0]), both(body_mask(pair.moving), masks[1])
    weight = pull_mask(masks[0], pair.fixed.grid, grid, torch.eye(4).numpy(), device)[None, None]
    inside = pull_mask(masks[1], pair.moving.grid, wide, frame.start.matrix, device)[None, None]
    if pair.fixed_labels is not None and pair.moving_labels is not None and options.label_weight > 0:
        shared = sorted(set(pair.fixed_labels.labels) & set(pair.moving_labels.labels))
        if not shared:
            raise InputError("labels: expected structures present in both images, got none; leave the labels out")
        fixed = torch.cat([fixed, options.label_weight * _one_hot(pair.fixed_labels, shared, frame, grid, device)], 1)
        other = _one_hot(pair.moving_labels, shared, frame, grid, device, moving=True)
        moving = torch.cat([moving, options.label_weight * other], 1)
    return fixed * weight, moving * inside, weight


def _one_hot(
    labels: LabelMap, shared: list[int], frame: Frame, grid: Grid, device: str, *, moving: bool = False
) -> Tensor:
    maps = []
    for label in shared:
        indicator = Image((labels.array == label).astype("float32"), labels.grid)
        maps.append(frame.moving(indicator, grid, device) if moving else frame.fixed(indicator, grid, device))
    return torch.stack(maps)[None]


def _search(
    fixed: Tensor,
    moving: Tensor,
    offset: tuple[int, ...],
    grid: Grid,
    options: ConvexAdamOptions,
    progress: Progress,
) -> Tensor:
    """Coupled convex search: (1, 3, K, J, I) voxels of the feature grid."""
    k, j, i = fixed.shape[2:]
    inner = moving[:, :, offset[0] : offset[0] + k, offset[1] : offset[1] + j, offset[2] : offset[2] + i]
    ck, cj, ci = (max(1, round(length / options.lattice_mm)) for length in grid.extent_mm[::-1])
    small_fixed = F.adaptive_avg_pool3d(fixed, (ck, cj, ci))
    small_moving = F.adaptive_avg_pool3d(inner, (ck, cj, ci))
    temperature = options.temperature if options.soft else None

    def one_way(a: Tensor, b: Tensor) -> Tensor:
        return coupled_convex(smooth_cost(cost_volume(a, b, options.reach)), options.reach, temperature=temperature)

    progress(0.0, "Discrete search")
    u = one_way(small_fixed, small_moving)
    if options.both_ways:
        progress(0.45, "Discrete search, the other way")
        u, _ = consistent(u, one_way(small_moving, small_fixed))
    progress(1.0, "Discrete search")
    return resize_field(u, fixed.shape[2:])


METHOD = Method(
    "convex_adam",
    "ConvexAdam",
    ImagePair,
    ConvexAdamOptions,
    register,
    "Siebert 2022",
    presets={
        "default": ConvexAdamOptions(),
        "quick": ConvexAdamOptions(working_mm=3.0, lattice_mm=9.0, reach=2, iterations=50, control_mm=6.0),
        "lung_ct": ConvexAdamOptions(working_mm=2.5, lattice_mm=10.0, reach=4, iterations=60, look="body"),
        "smooth": ConvexAdamOptions(smoothness=4.0),
        "outlines": ConvexAdamOptions(
            start="labels", working_mm=0.8, lattice_mm=3.2, reach=2, label_weight=10.0, smoothness=4.0, control_mm=3.2
        ),
    },
    reasons={
        "default": "Large motion, up to 32 mm, of one or two contrasts.",
        "quick": "Small volumes and previews.",
        "lung_ct": "Inhale and exhale, motion up to 40 mm.",
        "smooth": "When the default shows folds.",
        "outlines": "MR and ultrasound of one organ outlined in both: the outlines lead, the images hardly matter.",
    },
)
