"""How far each voxel is from the marker when edges and foreign intensities make the way longer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError, check_shape


def edge_intensity_slowness(
    image: NDArray[np.float32],
    spacing_mm: Sequence[float],
    *,
    inside: float,
    outside: float,
    floor: float = 0.05,
    edge_weight: float = 0.5,
) -> NDArray[np.float32]:
    """Cost of one mm of way at each voxel: `floor` within the lesion, rising at edges and foreign intensities.

    With sigma = half the contrast, f = floor + w |grad I| mm / sigma + (1 - w) ((I - inside) / sigma)^2, w the edge
    weight, so that one full edge costs about as much as one mm of background, whatever the image's unit.

    Args:
        image: (K, J, I), smoothed a little.
        spacing_mm: along (k, j, i).
        inside: intensity of the lesion near the clicks.
        outside: intensity of its surroundings.
        floor: cost in plain lesion.
        edge_weight: 0 (intensity alone) to 1 (edges alone).

    Source: Roberts, Chen and Irion, A convex geodesic selective model, J. Math. Imaging Vis. 61, 2019,
    10.1007/s10851-018-0857-2. Differs: scaled by the measured contrast, not a fixed factor; an
    intensity term.
    """
    sigma = max(abs(inside - outside) / 2, 1e-6)
    slopes = [np.gradient(image, step, axis=axis) for axis, step in enumerate(spacing_mm) if image.shape[axis] > 1]
    edge = np.sqrt(sum(slope**2 for slope in slopes)) / sigma
    foreign = ((image - inside) / sigma) ** 2
    cost = floor + edge_weight * edge + (1 - edge_weight) * foreign
    return np.asarray(cost, dtype=np.float32)


def geodesic_distance(
    slowness: NDArray[np.float32], sources: NDArray[np.bool_], spacing_mm: Sequence[float], *, limit_mm: float
) -> NDArray[np.float32]:
    """Least cost of a way from the sources to each voxel, in mm-equivalents, cut off at `limit_mm`.

    Args:
        slowness: (K, J, I), cost of one mm, above zero.
        sources: (K, J, I), true at the markers.
        spacing_mm: along (k, j, i).
        limit_mm: farther is not told apart.

    Raises:
        InputError: no source, or a slowness that is not positive.
    """
    check_shape("sources", sources, "{} {} {}".format(*slowness.shape))
    if not sources.any():
        raise InputError("sources: expected at least one marker voxel, got none")
    if not float(slowness.min()) > 0:
        raise InputError(f"slowness: expected positive costs, got {float(slowness.min()):g}")
    flat = slowness.shape[0] == 1
    speed_array = (1.0 / slowness).astype(np.float64)
    speed = sitk.GetImageFromArray(speed_array[0] if flat else speed_array)
    speed.SetSpacing([float(s) for s in spacing_mm[::-1]][: speed.GetDimension()])
    march = sitk.FastMarchingImageFilter()
    # ITK needs no trial point whose neighbors are all sources: the border of the markers is enough.
    border = sources & ~ndimage.binary_erosion(sources, border_value=0)
    march.SetTrialPoints([[int(v) for v in index[::-1][: speed.GetDimension()]] for index in np.argwhere(border)])
    march.SetStoppingValue(float(limit_mm))
    times = sitk.GetArrayFromImage(march.Execute(speed))
    distance = np.minimum(times[None] if flat else times, limit_mm)
    distance[sources] = 0.0
    return np.asarray(distance, dtype=np.float32)
