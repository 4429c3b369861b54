"""What methods return."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.images import Image, LabelMap
from valorlib.core.points import PointCloud
from valorlib.core.transforms import AffineTransform, DisplacementField, Transform


@dataclass(frozen=True, eq=False)
class Result:
    """A registration.

    transform: fixed to moving. inverse: moving to fixed, where the method has one.
    displacement: the whole transform as one field on the fixed grid, when images were registered.
    uncertainty: 1 sigma, mm, on the fixed grid. fixed_seg, moving_seg, warped_seg: tumors (1, 2, ...) found in each
    image, and the moving ones carried to the fixed grid. moved: the moved points, sigma_mm: (N,) theirs.
    model: what maps further points, where a method has one (`ops.point_motion.PointMotion`).
    losses: one number a step. warnings: plain sentences for the user. record: numbers of the run, ready for JSON.
    """

    transform: Transform
    inverse: Transform | None = None
    displacement: DisplacementField | None = None
    inverse_displacement: DisplacementField | None = None
    start: AffineTransform | None = None
    uncertainty: Image | None = None
    fixed_seg: LabelMap | None = None
    moving_seg: LabelMap | None = None
    warped_seg: LabelMap | None = None
    moved: PointCloud | None = None
    sigma_mm: NDArray[np.float64] | None = None
    model: Any = None
    losses: tuple[float, ...] = ()
    warnings: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class GroupResult:
    """A template, and each image's transform from the template to it."""

    template: Image
    transforms: tuple[Transform, ...]
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class LabelResult:
    """A segmentation; probability is 0 to 1 per voxel, where the method has one."""

    labels: LabelMap
    probability: Image | None = None
    warnings: tuple[str, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)
