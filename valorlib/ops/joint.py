"""Clicked tumors in the other scan: clicks carried, tumors found there on their own, masks carried and compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from valorlib.core.errors import InputError
from valorlib.core.images import LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import Seeds
from valorlib.core.results import LabelResult
from valorlib.core.run import Run
from valorlib.core.transforms import DisplacementField
from valorlib.ops.agreement import carry_labels, overlap_by_label, volume_ml
from valorlib.ops.selective import SelectiveOptions, segment
from valorlib.ops.transforms import map_points

LEAST_AGREEMENT = 0.7


@dataclass(frozen=True, eq=False)
class JointTumors:
    """Tumors in both scans. warped: the moving ones carried to the fixed grid. record: agreement and volumes."""

    fixed: LabelMap
    moving: LabelMap
    warped: LabelMap
    warnings: tuple[str, ...]
    record: Mapping[str, Any]


def segment_clicked(pair: ImagePair, seeds: Seeds, options: SelectiveOptions, run: Run) -> LabelResult:
    """Tumors in the image that was clicked."""
    return segment(pair.fixed if seeds.on == "fixed" else pair.moving, seeds, options, run)


def segment_other(
    pair: ImagePair,
    seeds: Seeds,
    clicked: LabelResult,
    displacement: DisplacementField,
    inverse: DisplacementField,
    options: SelectiveOptions,
    run: Run,
) -> JointTumors:
    """Tumors in both images, after registration.

    Args:
        pair: the images.
        seeds: the clicks.
        clicked: tumors of the clicked image.
        displacement: fixed to moving.
        inverse: moving to fixed.
        options: for the clicked image; drags are carried like clicks. The other image's leak alarm is left out, since
            the agreement of both masks says more.
        run: progress.
    """
    on_fixed = seeds.on == "fixed"
    way = displacement if on_fixed else inverse
    there = map_points(way, seeds.points)
    options = _carried(options, way)
    carried = Seeds(there, seeds.tumors, "moving" if on_fixed else "fixed")
    warnings = list(clicked.warnings)
    try:
        other = segment_clicked(pair, carried, dataclasses.replace(options, check=False), run).labels
    except InputError:
        warnings.append("The clicked tumors lie outside the other scan; they were not looked for there.")
        grid = pair.moving.grid if on_fixed else pair.fixed.grid
        other = LabelMap(np.zeros(grid.shape, np.int32), grid)
    fixed, moving = (clicked.labels, other) if on_fixed else (other, clicked.labels)
    warped = carry_labels(moving, fixed.grid, displacement)
    agreement = overlap_by_label(fixed, warped)
    warnings += [
        f"{name}: the masks found independently in the two scans overlap by a Dice of {dice:.2f} only; check both."
        for name, dice in agreement.items()
        if dice < LEAST_AGREEMENT
    ]
    record = {
        "agreement_dice": agreement,
        "fixed_ml": volume_ml(fixed),
        "moving_ml": volume_ml(moving),
        "carried_seeds_mm": np.round(there, 2).tolist(),
        "clicked": dict(clicked.record),
    }
    return JointTumors(fixed, moving, warped, tuple(warnings), record)


def _carried(options: SelectiveOptions, way: DisplacementField) -> SelectiveOptions:
    """The options with the ends of the drags where they lie in the other image."""
    begin, end = (
        tuple(float(v) for v in map_points(way, np.reshape(ends, (-1, 3))).ravel()) if ends else ()
        for ends in (options.extent_at_mm, options.extent_to_mm)
    )
    return dataclasses.replace(options, extent_at_mm=begin, extent_to_mm=end)
