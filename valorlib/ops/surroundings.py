"""What a mask and its surroundings say of each voxel near it, for the convex model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.ops.fitting import smoothed
from valorlib.ops.geodesic import edge_intensity_slowness, geodesic_distance
from valorlib.ops.selective_model import edge_map

Mask = NDArray[np.bool_]
Field = NDArray[np.float32]
LARGEST_STEP_MM = 3.0
NO_WAY = 1e3
"""Cost of a mm that no shortest way takes."""


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What a mask and its surroundings say, before any setting; arrays cover the box.

    box: around the mask, wider by all that a pass looks at. far: where the border may not go in one pass.
    fit: (k, j, i) below 0 for what looks like the mask's inside. contrast: between inside and outside. feature,
    marker: those of the start. inner, outer: mean feature at the marker and around the mask.
    """

    box: tuple[slice, slice, slice]
    spacing: tuple[float, ...]
    feature: Field
    marker: Mask
    far: Mask
    fit: Field
    contrast: float
    inner: float
    outer: float

    @cached_property
    def edges(self) -> Field:
        """Price of border, below 1 at edges."""
        return edge_map(self.feature, self.contrast)

    @cached_property
    def distance(self) -> Field:
        """From the marker, edges and foreign intensities being a longer way; no way leads through what is too far."""
        slowness = edge_intensity_slowness(self.feature, self.spacing, inside=self.inner, outside=self.outer)
        slowness[self.far] = NO_WAY
        return geodesic_distance(slowness, self.marker, self.spacing, limit_mm=20.0)


def box_around(mask: Mask, spacing: tuple[float, ...]) -> tuple[slice, slice, slice]:
    """The slices of the smallest box around the mask, wider by all that a pass looks at."""
    sides = []
    for axis in range(3):
        where = np.flatnonzero(mask.any(tuple(a for a in range(3) if a != axis)))
        margin = max(7, int(LARGEST_STEP_MM / spacing[axis]) + 3)
        sides.append(slice(max(0, int(where[0]) - margin), int(where[-1]) + margin + 1))
    return sides[0], sides[1], sides[2]


def look(
    image: Field, clicked: Mask, whole: Mask, spacing: tuple[float, ...], outside_level: float, noise: float
) -> Surroundings:
    """Local intensities in and around a mask, and which of them each voxel is nearer to.

    Args:
        image: (K, J, I), high in the tumor.
        clicked: (K, J, I), the marker.
        whole: (K, J, I), the mask.
        spacing: mm along (k, j, i).
        outside_level: taken for the outside where there is none in reach.
        noise: standard deviation of the image's.
    """
    box = box_around(whole | clicked, spacing)
    feature, marker, mask = image[box], clicked[box], whole[box]
    around = ndimage.binary_dilation(mask, iterations=5) & ~ndimage.binary_dilation(mask, iterations=1)
    core = ndimage.binary_erosion(mask) | marker
    inner = float(feature[core].mean())
    inside = _local_mean(feature, core, 5.0, spacing, inner)
    outer = float(feature[around].mean()) if around.any() else outside_level
    outside = _local_mean(feature, around, 3.0, spacing, outer)
    contrast = max(inner - outer, 2 * noise, 1e-3)
    half = np.maximum((inside - outside) / 2, 0.3 * contrast / 2)
    fit = np.clip(((inside + outside) / 2 - feature) / half, -2.0, 2.0).astype(np.float32)
    far = ndimage.distance_transform_edt(~mask, sampling=spacing) > LARGEST_STEP_MM
    return Surroundings(box, spacing, feature, marker, far, fit, contrast, float(feature[marker].mean()), outer)


def _local_mean(values: Field, where: Mask, sigma_mm: float, spacing: tuple[float, ...], fallback: float) -> Field:
    """Mean of the values near each voxel, over `where`; the fallback counts like a little bit of far voxels."""
    weight = smoothed(where.astype(np.float32), sigma_mm, spacing)
    total = smoothed(np.where(where, values, 0).astype(np.float32), sigma_mm, spacing)
    return np.asarray((total + 0.02 * fallback) / (weight + 0.02), dtype=np.float32)
