"""Fast deformable registration of any pair: brain, lung, longitudinal, multimodal."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

import torch

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.lungs import lung_mask
from valorlib.ops.masks import both, bounding_grid, clipped, inverted, outside
from valorlib.ops.overlap import body_mask, center_of_mass_start, check_overlap, rigid_start
from valorlib.ops.prepare import match_histogram
from valorlib.solve.constraints import Landmarks
from valorlib.solve.deform import Deformed, Matching, deform
from valorlib.solve.frame import Frame, joined
from valorlib.solve.outcome import estimate_memory_gb, one_thread, outcome_of
from valorlib.solve.schedule import Level

PER_LEVEL = ("iterations", "field_mm", "force_mm", "smooth_mm", "volume_mm", "step_mm", "window_mm")


@dataclass(frozen=True, kw_only=True)
class CompositiveOptions(Options):
    """Options of `register`; tuples hold one number a level, coarse to fine."""

    similarity: str = option(
        "lncc",
        "Local correlation (squared: contrast may turn over), with squared difference, that alone, or MIND",
        choices=("lncc", "lncc_squared", "lncc_ssd", "ssd", "mind"),
    )
    levels_mm: tuple[float, ...] = option((4.0, 2.0, 1.0), "Voxels of each level", low=0.2, high=40.0, unit="mm")
    iterations: tuple[int, ...] = option((25, 16, 8), "Most steps at each level", low=1, high=1000)
    field_mm: tuple[float, ...] = option((4.0, 2.0, 2.0), "Voxels of the field", low=0.2, high=80.0, unit="mm")
    force_mm: tuple[float, ...] = option((4.0, 3.0, 3.0), "Smoothing of each step", low=0.0, high=80.0, unit="mm")
    smooth_mm: tuple[float, ...] = option((3.0, 1.4, 1.0), "Smoothing of the motion", low=0.0, high=80.0, unit="mm")
    volume_mm: tuple[float, ...] = option(
        (0.0, 0.0, 0.0), "Smoothing of volume change alone", low=0.0, high=40.0, unit="mm"
    )
    step_mm: tuple[float, ...] = option((1.0, 0.5, 0.5), "Longest step", low=0.01, high=20.0, unit="mm")
    window_mm: tuple[float, ...] = option((8.0, 4.0, 3.0), "Reach of a window", low=0.5, high=80.0, unit="mm")
    lattice: bool = option(True, "Windows at each second voxel of the finest level: faster", advanced=True)
    soften: float = option(0.4, "Higher leaves regions without texture alone", low=0.0, high=10.0, advanced=True)
    start: str = option("headers", "Where to start", choices=("headers", "centers", "rigid"))
    look: str = option(
        "body",
        "Where images are compared: body, not black, lungs, everywhere",
        choices=("body", "bright", "lungs", "all"),
    )
    clip: tuple[float, ...] = option((), "Lowest and highest intensity looked at (HU for CT); empty: all")
    sliding: bool = option(False, "Lungs slide along the chest wall: two motions, one on each side (CT)")
    ignore_mm: float = option(
        -1.0,
        "Leave labelled tumors and this margin out of the comparison (below 0: keep)",
        low=-1.0,
        high=50.0,
        unit="mm",
    )
    landmark_weight: float = option(0.5, "How strongly landmarks pull, where given", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in PER_LEVEL:
            if len(getattr(self, name)) != len(self.levels_mm) or not self.levels_mm:
                raise InputError(f"{name}: expected one number per level of levels_mm ({len(self.levels_mm)})")

    def schedule(self, fixed: Grid) -> list[Level]:
        """The levels, without those much finer than the image."""
        columns = zip(self.levels_mm, *(getattr(self, name) for name in PER_LEVEL), strict=True)
        levels = [
            Level(
                image_mm=mm,
                iterations=steps,
                field_mm=field,
                gradient_mm=force,
                total_mm=smooth,
                volume_mm=volume,
                step_mm=step,
                window_mm=window,
                stride=2 if self.lattice and n == len(self.levels_mm) - 1 and n > 0 else 1,
            )
            for n, (mm, steps, field, force, smooth, volume, step, window) in enumerate(columns)
        ]
        return [level for level in levels if level.image_mm >= 0.7 * min(fixed.spacing)] or levels[:1]


def register(pair: ImagePair, options: CompositiveOptions, run: Run) -> Result:
    """Register two images; the inverse comes with its residual.

    Raises:
        InputError: the bodies overlap by less than 25 %, an image without contrast, no lungs when sliding is on.

    Source: Joshi, Unbiased diffeomorphic atlas construction, NeuroImage 23(S1), 2004 (greedy composition of steps).
    Differs: Adam on the smoothed force, field on a coarser grid, windows on a lattice, volume change damped on its own.
    """
    begin = time.process_time()
    with one_thread():
        start = _start(pair, options, run)
        overlap = check_overlap(pair.fixed, pair.moving, start)
        levels = options.schedule(pair.fixed.grid)
        memory_gb = estimate_memory_gb(pair.fixed.grid, pair.moving.grid, levels)
        run.progress(0.1, f"Registering; about {memory_gb:.1f} GB of memory")
        fixed, moving = (clipped(image, options.clip) for image in (pair.fixed, pair.moving))
        if "ssd" in options.similarity:
            moving = match_histogram(moving, fixed)
        if options.sliding:
            displacement, losses = _sliding(pair, fixed, moving, start, levels, options, run)
        else:
            look = _looks(pair, fixed, moving, options)
            found = _region(pair, fixed, moving, start, levels, options, run, look, part(run.progress, 0.1, 0.9))
            displacement, losses = found.frame.displacement(found.u_mm, pair.fixed.grid), found.losses
        run.progress(0.9, "Inverse")
        ways = outcome_of(displacement, pair.moving.grid)
    run.progress(1.0, "Done")
    record = {"method": "compositive", "options": as_dict(options), "memory_estimate_gb": round(memory_gb, 2)}
    record |= {"overlap_at_start": round(overlap, 3), "similarity": round(-losses[-1], 4), **ways.numbers()}
    record["cpu_seconds"] = {"whole": round(time.process_time() - begin, 3)}
    return Result(
        ways.displacement,
        inverse=ways.inverse,
        displacement=ways.displacement,
        inverse_displacement=ways.inverse,
        start=start,
        losses=losses,
        warnings=tuple(ways.warnings()),
        record=record,
    )


def _start(pair: ImagePair, options: CompositiveOptions, run: Run) -> AffineTransform:
    if pair.start is not None:
        if not isinstance(pair.start, AffineTransform):
            raise InputError("start: expected a linear transform, got a deformation; apply it to the moving image")
        return pair.start
    if options.start == "centers":
        return center_of_mass_start(pair.fixed, pair.moving)
    if options.start == "rigid":
        return rigid_start(pair.fixed, pair.moving, dataclasses.replace(run, progress=part(run.progress, 0.0, 0.1)))
    return AffineTransform.identity()


def _look(image: Image, options: CompositiveOptions) -> LabelMap | None:
    if options.look == "body":
        return body_mask(image)
    if options.look == "lungs":
        return lung_mask(image)
    if options.look == "bright":
        return LabelMap((image.array > image.array.min()).astype("int32"), image.grid)
    return None


def _looks(
    pair: ImagePair, fixed: Image, moving: Image, options: CompositiveOptions
) -> tuple[LabelMap | None, LabelMap | None]:
    """Where the fixed and the moving image count. The moving one counts everywhere unless masked or tumorous."""
    first, second = both(_look(fixed, options), pair.fixed_mask), pair.moving_mask
    if options.ignore_mm >= 0:
        first = both(first, outside(pair.fixed_labels, options.ignore_mm)) if pair.fixed_labels else first
        second = both(second, outside(pair.moving_labels, options.ignore_mm)) if pair.moving_labels else second
    return first, second


def _region(
    pair: ImagePair,
    fixed: Image,
    moving: Image,
    start: AffineTransform,
    levels: list[Level],
    options: CompositiveOptions,
    run: Run,
    look: tuple[LabelMap | None, LabelMap | None],
    progress: Progress,
) -> Deformed:
    box = pair.fixed.grid if look[0] is None else bounding_grid(look[0], 2.0 * max(options.window_mm))
    frame = Frame(box, start)
    matching = Matching(
        squared=options.similarity == "lncc_squared",
        ssd_weight=2.0 if "ssd" in options.similarity else 0.0,
        lncc_weight=0.0 if options.similarity in ("ssd", "mind") else 1.0,
        mind=options.similarity == "mind",
        fixed_mask=look[0],
        moving_mask=look[1],
    )
    marks = pair.landmarks if options.landmark_weight > 0 else None

    def show(u_mm: torch.Tensor, frame: Frame) -> None:
        if run.preview is not None:
            run.preview(Result(frame.displacement(u_mm, frame.grid(4.0))))

    return deform(
        fixed,
        moving,
        frame,
        levels,
        matching,
        device=run.device,
        progress=progress,
        soften=options.soften,
        constraints=[Landmarks(frame, marks, weight=options.landmark_weight)] if marks else [],
        after_level=show,
    )


def _sliding(
    pair: ImagePair,
    fixed: Image,
    moving: Image,
    start: AffineTransform,
    levels: list[Level],
    options: CompositiveOptions,
    run: Run,
) -> tuple[DisplacementField, tuple[float, ...]]:
    """Lungs and the rest each on their own, joined at the pleura of the fixed image."""
    lungs = lung_mask(pair.fixed), lung_mask(pair.moving)
    fields, losses = [], []
    for n, (first, second) in enumerate((lungs, tuple(inverted(one) for one in lungs))):
        sides = both(first, pair.fixed_mask), both(second, pair.moving_mask)
        sides = (sides[0] if n == 0 else both(sides[0], body_mask(fixed))), sides[1]
        progress = part(run.progress, 0.1 + 0.4 * n, 0.5 + 0.4 * n)
        found = _region(pair, fixed, moving, start, levels, options, run, sides, progress)
        fields.append(found.frame.displacement(found.u_mm, pair.fixed.grid))
        losses += list(found.losses)
    return joined(fields[0], fields[1], lungs[0]), tuple(losses)


def _preset(like: CompositiveOptions, **changes: object) -> CompositiveOptions:
    return dataclasses.replace(like, **changes)  # type: ignore[arg-type]


BRAIN = CompositiveOptions(
    similarity="lncc_ssd", look="bright", force_mm=(4.0, 2.0, 2.0), smooth_mm=(3.0, 1.4, 1.0), soften=1.0
)
LUNG = CompositiveOptions(
    levels_mm=(8.0, 4.0, 2.0),
    iterations=(25, 25, 8),
    field_mm=(8.0, 4.0, 4.0),
    force_mm=(8.0, 6.0, 5.0),
    smooth_mm=(6.0, 4.0, 3.0),
    step_mm=(2.0, 1.0, 1.0),
    window_mm=(16.0, 8.0, 6.0),
    clip=(-1000.0, 250.0),
    soften=0.3,
)
MULTIMODAL = CompositiveOptions(
    similarity="lncc_squared",
    levels_mm=(8.0, 4.0, 1.8),
    iterations=(25, 25, 10),
    field_mm=(8.0, 8.0, 8.0),
    force_mm=(12.0, 10.0, 10.0),
    smooth_mm=(10.0, 8.0, 6.0),
    step_mm=(2.0, 1.0, 1.0),
    window_mm=(16.0, 8.0, 5.0),
    start="rigid",
)
PRESETS = {
    "default": CompositiveOptions(),
    "quick": CompositiveOptions(levels_mm=(6.0, 3.0, 2.0), iterations=(15, 8, 2)),
    "brain_mr": BRAIN,
    "brain_mr_bias": _preset(BRAIN, similarity="lncc", soften=0.3),
    "brain_mr_smooth": _preset(BRAIN, smooth_mm=(3.0, 2.0, 1.6)),
    "lung_ct": LUNG,
    "lung_ct_lungs": _preset(LUNG, look="lungs"),
    "lung_ct_sliding": _preset(LUNG, sliding=True),
    "longitudinal": CompositiveOptions(
        start="rigid", ignore_mm=5.0, force_mm=(8.0, 6.0, 6.0), smooth_mm=(5.0, 4.0, 3.0), iterations=(25, 20, 8)
    ),
    "multimodal": MULTIMODAL,
    "ct_mr": _preset(MULTIMODAL, clip=()),
    "mr_ultrasound": _preset(MULTIMODAL, similarity="mind", start="headers", levels_mm=(4.0, 2.0, 1.0)),
    "histology_2d": _preset(MULTIMODAL, similarity="mind", look="all"),
}
REASONS = {
    "default": "Any two scans of like contrast; shading does not matter.",
    "quick": "A first look in seconds.",
    "brain_mr": "Two subjects, same contrast, no shading: gray values are compared too, after histogram matching.",
    "brain_mr_bias": "Two subjects whose contrast or shading differs: local correlation alone.",
    "brain_mr_smooth": "As brain_mr with a gentler motion, where volume change is what is studied.",
    "lung_ct": "Inhale and exhale: the whole body moves smoothly.",
    "lung_ct_lungs": "Inhale and exhale, lungs only: fastest, and right where only the lungs matter.",
    "lung_ct_sliding": "Inhale and exhale with lungs that slide along the chest wall: two motions, joined there.",
    "longitudinal": "Two visits: rigid first; labelled tumors, which changed, are left out with 5 mm around them.",
    "multimodal": "Contrast may turn over, such as T1 and PD: squared local correlation, a very smooth motion.",
    "ct_mr": "CT and MR of one patient: as multimodal; check the overlay, bone and air look alike in MR.",
    "mr_ultrasound": "Weak: image content alone seldom suffices; give landmarks or outlines and check the overlay.",
    "histology_2d": "Neighboring sections: coarse self-similarity; the affine start does most of the work.",
}
METHOD = Method(
    "compositive", "Fast deformable", ImagePair, CompositiveOptions, register, "Joshi 2004", PRESETS, REASONS
)
