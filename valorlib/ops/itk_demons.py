"""Diffeomorphic demons by SimpleITK, coarse to fine, with progress and cancel."""

from __future__ import annotations

from collections.abc import Callable

import SimpleITK as sitk

from valorlib.convert.simpleitk import field_from_sitk, image_to_sitk
from valorlib.core.errors import Cancelled
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Progress, part
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.resample import resample_image


def demons(
    pair: ImagePair,
    linear: AffineTransform,
    *,
    levels: int,
    iterations: int,
    smoothing_mm: float,
    progress: Progress,
    losses: list[float],
) -> DisplacementField:
    """The motion left after `linear`, on the fixed grid; 0 outside the fixed mask.

    Args:
        pair: the images, of one contrast; histograms are matched first.
        linear: fixed to moving.
        levels: resolutions, each half as fine as the next.
        iterations: at each.
        smoothing_mm: of the field after each step.
        progress: called each step; a cancel ends the filter.
        losses: the metric of each step is added.

    Source: Vercauteren, Diffeomorphic demons, NeuroImage 45(1), 2009, 10.1016/j.neuroimage.2008.10.040.
    """
    aligned = resample_image(pair.moving, pair.fixed.grid, linear)
    fixed, moving = image_to_sitk(pair.fixed), image_to_sitk(aligned)
    moving = sitk.HistogramMatching(moving, fixed, numberOfHistogramLevels=256, numberOfMatchPoints=12)
    field: sitk.Image | None = None
    for level in reversed(range(levels)):
        factor = [min(2**level, max(1, n // 8)) for n in fixed.GetSize()]
        small = [sitk.Shrink(sitk.SmoothingRecursiveGaussian(i, 0.5 * 2**level), factor) for i in (fixed, moving)]
        if field is not None:
            field = sitk.Resample(field, small[0], sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
        begin = (levels - 1 - level) / levels
        field = _level(small, field, iterations, smoothing_mm, part(progress, begin, begin + 1 / levels), losses)
    whole = sitk.Resample(field, fixed, sitk.Transform(), sitk.sitkLinear, 0.0, sitk.sitkVectorFloat64)
    found = field_from_sitk(whole)
    if pair.fixed_mask is None:
        return found
    return DisplacementField(found.array * (pair.fixed_mask.array > 0)[..., None], found.grid)


def _level(
    images: list[sitk.Image],
    start: sitk.Image | None,
    iterations: int,
    smoothing_mm: float,
    progress: Progress,
    losses: list[float],
) -> sitk.Image:
    method = sitk.DiffeomorphicDemonsRegistrationFilter()
    method.SetNumberOfThreads(1)
    method.SetNumberOfIterations(iterations)
    method.SetStandardDeviations([smoothing_mm / s for s in images[0].GetSpacing()])
    cancelled: list[Cancelled] = []

    def step() -> None:
        losses.append(float(method.GetMetric()))
        try:
            progress(method.GetElapsedIterations() / iterations, "Demons stage")
        except Cancelled as reason:
            cancelled.append(reason)
            method.Abort()

    method.AddCommand(sitk.sitkIterationEvent, step)
    execute: Callable[..., sitk.Image] = method.Execute
    try:
        found = execute(*images, start) if start is not None else execute(*images)
    except RuntimeError:
        if cancelled:
            raise cancelled[0] from None
        raise
    if cancelled:
        raise cancelled[0]
    return found
