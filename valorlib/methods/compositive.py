"""Fast deformable registration of any pair: brain, lung, longitudinal, multimodal."""

from __future__ import annotations

import dataclasses
import time

import torch

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import as_dict
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.methods.compositive_options import PRESETS, REASONS, CompositiveOptions
from valorlib.ops.lungs import lung_mask
from valorlib.ops.masks import both, bounding_grid, clipped, inverted, outside
from valorlib.ops.overlap import body_mask, center_of_mass_start, check_overlap, rigid_start
from valorlib.ops.plausibility import alarmed
from valorlib.ops.prepare import match_histogram
from valorlib.solve.constraints import Landmarks
from valorlib.solve.deform import Deformed, Matching, deform
from valorlib.solve.frame import Frame, joined
from valorlib.solve.linear import affine_start
from valorlib.solve.outcome import check_memory, estimate_memory_gb, free_memory_gb, one_thread, outcome_of
from valorlib.solve.schedule import Level
from valorlib.solve.symmetric import deform_symmetric


@alarmed
def register(pair: ImagePair, options: CompositiveOptions, run: Run) -> Result:
    """Register two images; the inverse comes with its residual.

    Raises:
        InputError: the bodies overlap by less than 25 %, an image without contrast, no lungs when sliding is on,
            more memory needed than is free.

    Source: Joshi, Unbiased diffeomorphic atlas construction, NeuroImage 23(S1), 2004 (greedy composition of steps).
    Differs: Adam on the smoothed force, field on a coarser grid, windows on a lattice, volume change damped on its own.
    """
    begin = time.process_time()
    with one_thread():
        levels = options.schedule(pair.fixed.grid)
        memory_gb = estimate_memory_gb(pair.fixed.grid, pair.moving.grid, levels)
        check_memory(memory_gb, free_memory_gb())
        start = _start(pair, options, run)
        overlap = check_overlap(pair.fixed, pair.moving, start)
        ready = time.process_time()
        run.progress(0.1, f"Registering; about {memory_gb:.1f} GB of memory")
        fixed, moving = (clipped(image, options.clip) for image in (pair.fixed, pair.moving))
        if "ssd" in options.similarity:
            moving = match_histogram(moving, fixed, foreground=options.look == "bright")
        exact: LabelMap | None = None
        if options.sliding:
            displacement, losses = _sliding(pair, fixed, moving, start, levels, options, run)
        else:
            look = _looks(pair, fixed, moving, options)
            exact = look[0]
            found = _region(pair, fixed, moving, start, levels, options, run, look, part(run.progress, 0.1, 0.9))
            displacement, losses = found.frame.displacement(found.u_mm, pair.fixed.grid), found.losses
        moved = time.process_time()
        run.progress(0.9, "Inverse")
        ways = outcome_of(displacement, pair.moving.grid, mend=not options.sliding, where=exact)
    run.progress(1.0, "Done")
    record = {"method": "compositive", "options": as_dict(options), "memory_estimate_gb": round(memory_gb, 2)}
    record |= {"overlap_at_start": round(overlap, 3), "similarity": round(-losses[-1], 4)}
    end = time.process_time()
    seconds = {"start": ready - begin, "motion": moved - ready, "inverse": end - moved, "whole": end - begin}
    record["cpu_seconds"] = {name: round(value, 3) for name, value in seconds.items()}
    return ways.result(start=start, losses=losses, warnings=_doubts(pair, options), **record)


def _doubts(pair: ImagePair, options: CompositiveOptions) -> list[str]:
    if options.similarity == "mind" and pair.landmarks is None:
        return ["Scans of two kinds were matched by their content alone, which often misleads; check the overlay."]
    return []


def _start(pair: ImagePair, options: CompositiveOptions, run: Run) -> AffineTransform:
    if pair.start is not None:
        if not isinstance(pair.start, AffineTransform):
            raise InputError("start: expected a linear transform, got a deformation; apply it to the moving image")
        return pair.start
    if options.start == "centers":
        return center_of_mass_start(pair.fixed, pair.moving)
    if options.start in ("rigid", "affine"):
        half = dataclasses.replace(run, progress=part(run.progress, 0.0, 0.05))
        rigid = rigid_start(pair.fixed, pair.moving, half)
        if options.start == "rigid":
            return rigid
        return affine_start(pair.fixed, pair.moving, rigid, part(run.progress, 0.05, 0.1), device=run.device)
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


def _both_sides(
    look: tuple[LabelMap | None, LabelMap | None], moving: Image, options: CompositiveOptions
) -> tuple[LabelMap | None, LabelMap | None]:
    return look[0], both(_look(moving, options), look[1])


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
    # What lies outside the mask counts nowhere, unless both images move.
    around_mm = 2.0 * max(options.window_mm) if options.symmetric else max(options.field_mm)
    box = pair.fixed.grid if look[0] is None else bounding_grid(look[0], around_mm)
    frame = Frame(box, start)
    matching = Matching(
        squared=options.similarity == "lncc_squared",
        ssd_weight={"lncc_ssd": options.ssd_weight, "ssd": 1.0}.get(options.similarity, 0.0),
        lncc_weight=0.0 if options.similarity in ("ssd", "mind") else 1.0,
        mind=options.similarity == "mind",
        both_edges=options.both_edges,
        fixed_mask=look[0],
        moving_mask=look[1],
    )
    marks = pair.landmarks if options.landmark_weight > 0 else None

    if options.symmetric:
        # What is dark in one image may be bright in the other: with black surroundings, both count everywhere.
        masks = (pair.fixed_mask, pair.moving_mask) if options.look == "bright" else _both_sides(look, moving, options)
        matching = dataclasses.replace(matching, fixed_mask=masks[0], moving_mask=masks[1])
        return deform_symmetric(
            fixed, moving, frame, levels, matching, device=run.device, progress=progress, soften=options.soften
        )

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


METHOD = Method(
    "compositive", "Fast deformable", ImagePair, CompositiveOptions, register, "Joshi 2004", PRESETS, REASONS
)
