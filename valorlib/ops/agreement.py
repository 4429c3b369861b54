"""How well an outcome holds together: overlap of two independent tumors, folds, places without texture."""

from __future__ import annotations

import numpy as np

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.resample import resample_image


def carry_labels(labels: LabelMap, grid: Grid, field: DisplacementField) -> LabelMap:
    """Labels pulled onto another grid: each label's indicator is interpolated and cut at 0.5."""
    best = np.full(grid.shape, 0.5, np.float32)
    out = np.zeros(grid.shape, np.int32)
    for label in labels.labels:
        one = Image((labels.array == label).astype(np.float32), labels.grid)
        share = resample_image(one, grid, field, fill=0.0).array
        out[share >= best] = label
        best = np.maximum(best, share)
    return LabelMap(out, grid, labels.names)


def overlap_by_label(first: LabelMap, second: LabelMap) -> dict[str, float]:
    """Dice (0 to 1) of each label present in one of two maps on the same grid."""
    found = {}
    for label in sorted({*first.labels, *second.labels}):
        a, b = first.array == label, second.array == label
        found[first.name_of(label)] = float(2 * np.sum(a & b) / max(1, np.sum(a) + np.sum(b)))
    return found


def volume_ml(labels: LabelMap) -> dict[str, float]:
    """Volume of each label, ml."""
    unit = labels.grid.voxel_volume_mm3 / 1000
    return {labels.name_of(label): float(np.sum(labels.array == label) * unit) for label in labels.labels}
