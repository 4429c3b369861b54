"""What happens to a pair before a method looks at it, each step on or off by the method's options."""

from __future__ import annotations

import dataclasses

import numpy as np

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform
from valorlib.ops.overlap import center_of_mass_start, check_overlap, rigid_start
from valorlib.ops.prepare import correct_bias, equalize, match_histogram
from valorlib.ops.transforms import inverse_of, map_points

STARTS = ("headers", "centers", "rigid")


def find_start(pair: ImagePair, choice: str, run: Run) -> AffineTransform:
    """The pair's own start, or else the one chosen: as the headers say, centers on each other, or a rigid search.

    Raises:
        InputError: the pair starts with a deformation.
    """
    if pair.start is not None:
        if not isinstance(pair.start, AffineTransform):
            raise InputError("start: expected a linear transform, got a deformation; apply it to the moving image")
        return pair.start
    if choice == "centers":
        return center_of_mass_start(pair.fixed, pair.moving)
    if choice == "rigid":
        return rigid_start(pair.fixed, pair.moving, dataclasses.replace(run, progress=part(run.progress, 0.02, 0.08)))
    return AffineTransform.identity()


def prepare_images(
    fixed: Image, moving: Image, *, bias_correction: bool, match_histograms: bool, equalized: bool
) -> tuple[Image, Image]:
    """Both images after N4, the moving one with the fixed one's histogram, both equalized (CLAHE), as asked."""
    if bias_correction:
        fixed, moving = correct_bias(fixed), correct_bias(moving)
    if match_histograms:
        moving = match_histogram(moving, fixed)
    if equalized:
        fixed, moving = equalize(fixed), equalize(moving)
    return fixed, moving


def prepare_pair(pair: ImagePair, run: Run, *, start: str, bias_correction: bool) -> ImagePair:
    """The pair with a start that was looked for and, as asked, without slow shading.

    Raises:
        InputError: the bodies overlap by less than 25 % at the start.
    """
    found = find_start(pair, start, run)
    check_overlap(pair.fixed, pair.moving, found)
    fixed, moving = prepare_images(
        pair.fixed, pair.moving, bias_correction=bias_correction, match_histograms=False, equalized=False
    )
    return dataclasses.replace(pair, fixed=fixed, moving=moving, start=found)


def crop_mask(pair: ImagePair, start: AffineTransform, crop_mm: float) -> LabelMap | None:
    """The fixed voxels within a cube of half side `crop_mm` around the clicks; None without clicks or with 0."""
    seeds = pair.seeds
    if crop_mm <= 0 or seeds is None or not np.any(seeds.tumors > 0):
        return None
    points = seeds.points[seeds.tumors > 0]
    points = map_points(inverse_of(start), points) if seeds.on == "moving" else points
    grid = pair.fixed.grid
    index, reach = grid.to_index(points), crop_mm / np.asarray(grid.spacing)
    first = np.clip(np.floor(index.min(0) - reach), 0, np.asarray(grid.size) - 1).astype(int)
    last = np.clip(np.ceil(index.max(0) + reach) + 1, first + 1, grid.size).astype(int)
    inside = np.zeros(grid.shape, np.int32)
    inside[tuple(slice(a, b) for a, b in zip(first[::-1], last[::-1], strict=True))] = 1
    return LabelMap(inside, grid)
