"""How well two masks cover each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError, check_shape
from valorlib.core.images import LabelMap


@dataclass(frozen=True)
class Overlap:
    """Scores of a mask against a reference, 0 to 1. For masks, the F1 score is the Dice coefficient."""

    dice: float
    jaccard: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def overlap(mask: NDArray[np.bool_], reference: NDArray[np.bool_]) -> Overlap:
    """Overlap of two masks of one shape; two empty masks agree fully.

    Raises:
        InputError: different shapes.
    """
    check_shape("mask", mask, " ".join(map(str, np.shape(reference))))
    both = int(np.count_nonzero(mask & reference))
    ours, theirs = int(np.count_nonzero(mask)), int(np.count_nonzero(reference))
    if ours + theirs == 0:
        return Overlap(1.0, 1.0, 1.0, 1.0)
    return Overlap(
        dice=2 * both / (ours + theirs),
        jaccard=both / (ours + theirs - both),
        precision=both / ours if ours else 0.0,
        recall=both / theirs if theirs else 0.0,
    )


def soft_dice(probability: NDArray[np.float32], reference: NDArray[np.bool_], *, smooth: float = 1.0) -> float:
    """Dice of a map of 0 to 1 against a mask, as the predecessor computes it."""
    check_shape("probability", probability, " ".join(map(str, np.shape(reference))))
    both = float((probability * reference).sum())
    return (2 * both + smooth) / (float(probability.sum()) + float(reference.sum()) + smooth)


def overlap_of_labels(labels: LabelMap, reference: LabelMap) -> dict[int, Overlap]:
    """Overlap of each label present in either map.

    Raises:
        InputError: different grids.
    """
    if not labels.grid.matches(reference.grid):
        raise InputError("labels: expected two label maps on one grid; resample one onto the other first")
    present = sorted({*labels.labels, *reference.labels})
    return {label: overlap(labels.array == label, reference.array == label) for label in present}
