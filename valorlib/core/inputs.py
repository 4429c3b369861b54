"""What methods take. Optional fields are optional inputs."""

from __future__ import annotations

from dataclasses import dataclass

from valorlib.core.errors import InputError
from valorlib.core.images import Image, LabelMap
from valorlib.core.points import PointPair, Seeds
from valorlib.core.transforms import DisplacementField, Transform


def _same_grid(name: str, labels: LabelMap | None, image: Image) -> None:
    if labels is not None and not labels.grid.matches(image.grid):
        raise InputError(f"{name}: expected the grid of its image; resample it onto that image first")


@dataclass(frozen=True, eq=False)
class ImagePair:
    """Two scans of one patient.

    seeds: clicks in the tumors. *_mask: 1 where the image may be used for registration. *_labels: structures.
    landmarks: corresponding points, a soft constraint. start: transform to start from.
    """

    fixed: Image
    moving: Image
    seeds: Seeds | None = None
    fixed_mask: LabelMap | None = None
    moving_mask: LabelMap | None = None
    fixed_labels: LabelMap | None = None
    moving_labels: LabelMap | None = None
    landmarks: PointPair | None = None
    start: Transform | None = None

    def __post_init__(self) -> None:
        _same_grid("fixed mask", self.fixed_mask, self.fixed)
        _same_grid("fixed labels", self.fixed_labels, self.fixed)
        _same_grid("moving mask", self.moving_mask, self.moving)
        _same_grid("moving labels", self.moving_labels, self.moving)


@dataclass(frozen=True, eq=False)
class ImageGroup:
    """Images of one group, for a template."""

    images: tuple[Image, ...]


@dataclass(frozen=True, eq=False)
class ImageSeries:
    """Images in time; times in seconds."""

    images: tuple[Image, ...]
    times_s: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class SliceQuery:
    """A slice to be found in a volume."""

    slice: Image
    volume: Image


@dataclass(frozen=True, eq=False)
class FieldEnsemble:
    """Several displacement fields of the same pair, on one grid."""

    fields: tuple[DisplacementField, ...]
