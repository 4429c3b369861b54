"""Where the body lies in each image, how much two bodies overlap, and coarse starts from that."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform, Transform
from valorlib.ops.itk_threads import one_itk_thread
from valorlib.ops.resample import block_means
from valorlib.ops.rigid_polish import polish
from valorlib.ops.transforms import map_points

LEAST_OVERLAP = 0.25
"""Share of the smaller body that must be covered by the other before a registration starts."""


def _air_level(values: NDArray[np.float32]) -> float:
    """The intensity below which a voxel is air; minus infinity when the image shows no air."""
    low, high = np.percentile(values, [0.5, 95])
    if not high > low:
        return -np.inf
    if low < -300:
        return -500.0  # HU
    return float(low + min(threshold_otsu(values.ravel()) - low, 0.15 * (high - low)))


def body_mask(image: Image) -> LabelMap:
    """1 in the body, 0 in air around it (cavities inside count as body). CT by HU, anything else by its histogram."""
    working = block_means(image, 2.0)
    smooth = ndimage.gaussian_filter(working.array, [min(0.5, 1.0 / s) for s in working.grid.spacing[::-1]])
    inside = smooth > _air_level(smooth)
    parts, count = ndimage.label(inside)
    if count > 1:
        sizes = np.bincount(parts.ravel())[1:]
        inside = np.isin(parts, 1 + np.flatnonzero(sizes >= 0.1 * sizes.max()))
    filled = np.stack([ndimage.binary_fill_holes(one) for one in inside])
    return LabelMap(_nearest(filled, working.grid, image.grid).astype(np.int32), image.grid)


def _nearest(array: NDArray[np.bool_], grid: Grid, onto: Grid) -> NDArray[np.bool_]:
    """Values of a coarse array (same axes) at the voxels of the finer grid."""
    first, last = grid.to_index(onto.to_world((0, 0, 0))), grid.to_index(onto.to_world(np.asarray(onto.size) - 1))
    picks = [
        np.clip(np.round(np.linspace(a, b, n)).astype(int), 0, m - 1)
        for a, b, n, m in zip(first, last, onto.size, grid.size, strict=True)
    ]
    return array[np.ix_(picks[2], picks[1], picks[0])]


def signal_drop_mask(image: Image, body: LabelMap, *, share: float = 0.3, radius_mm: float = 4.0) -> LabelMap:
    """1 where the signal can be used; 0 in air and where the local mean is below `share` of the body's median.

    Meant for the dark areas of 7T images. The local mean has a Gaussian radius of `radius_mm` and sees body only.
    """
    inside = body.array > 0
    if not inside.any():
        raise InputError("body: expected a mask with voxels in it, got an empty one")
    sigma = [radius_mm / s for s in image.grid.spacing[::-1]]
    weight = ndimage.gaussian_filter(inside.astype(np.float32), sigma)
    local = ndimage.gaussian_filter(image.array * inside, sigma) / np.maximum(weight, 1e-3)
    usable = inside & (local >= share * np.median(image.array[inside]))
    return LabelMap(usable.astype(np.int32), image.grid)


def _body_points(image: Image) -> tuple[Image, NDArray[np.bool_], NDArray[np.float64]]:
    coarse = block_means(image, 3.0)
    inside = body_mask(coarse).array > 0
    return coarse, inside, coarse.grid.points()[inside]


def overlap_fraction(fixed: Image, moving: Image, transform: Transform | None = None) -> float:
    """Share (0 to 1) of the smaller body that lies in the other one, in world space.

    Args:
        fixed: image.
        moving: image.
        transform: fixed to moving; None compares them where their headers put them.
    """
    _, _, points = _body_points(fixed)
    other, other_inside, _ = _body_points(moving)
    if not len(points) or not other_inside.any():
        return 0.0
    fixed_mm3 = len(points) * block_means(fixed, 3.0).grid.voxel_volume_mm3
    moving_mm3 = int(other_inside.sum()) * other.grid.voxel_volume_mm3
    there = points if transform is None else map_points(transform, points)
    index = np.round(other.grid.to_index(there)).astype(int)
    within = other.grid.contains(there)
    i, j, k = np.clip(index[within], 0, np.asarray(other.grid.size) - 1).T
    both_mm3 = other_inside[k, j, i].sum() * fixed_mm3 / len(points)
    return float(min(1.0, both_mm3 / min(fixed_mm3, moving_mm3)))


def check_overlap(fixed: Image, moving: Image, transform: Transform | None = None) -> float:
    """The overlap fraction.

    Raises:
        InputError: below 25 %, with a sentence naming what to do.
    """
    found = overlap_fraction(fixed, moving, transform)
    if found < LEAST_OVERLAP:
        raise InputError(
            f"images: expected the two bodies to overlap by at least {LEAST_OVERLAP:.0%}, got {found:.0%}; "
            "start from the centers of mass (option start=centers), give a start transform, or check that both scans "
            "show the same side"
        )
    return found


def center_of_mass_start(fixed: Image, moving: Image) -> AffineTransform:
    """The shift that puts the middle of the fixed body on the middle of the moving body."""
    matrix = np.eye(4)
    middles = []
    for image in (fixed, moving):
        _, inside, points = _body_points(image)
        middles.append(points.mean(0) if inside.any() else image.grid.center)
    matrix[:3, 3] = middles[1] - middles[0]
    return AffineTransform(matrix)


def label_start(fixed: LabelMap, moving: LabelMap) -> AffineTransform:
    """The shift that puts the middles of the structures both have on each other, on average.

    Raises:
        InputError: no structure in both.
    """
    shared = sorted(set(fixed.labels) & set(moving.labels))
    if not shared:
        raise InputError("labels: expected structures present in both images, got none; leave the labels out")
    ways = []
    for label in shared:
        middles = [one.grid.to_world(np.argwhere(one.array == label).mean(0)[::-1]) for one in (fixed, moving)]
        ways.append(middles[1] - middles[0])
    matrix = np.eye(4)
    matrix[:3, 3] = np.mean(ways, axis=0)
    return AffineTransform(matrix)


def rigid_start(fixed: Image, moving: Image, run: Run) -> AffineTransform:
    """Rotation and shift found by mutual information, coarse to fine, from the headers' or the centers' position.

    Gives the centers' shift alone when just one of the images is a single slice. Same inputs, same answer.

    Source: Mattes, PET-CT image registration in the chest, IEEE Trans. Med. Imaging 22(1), 2003,
    10.1109/TMI.2003.809072 (by SimpleITK).
    """
    starts = [AffineTransform.identity(), center_of_mass_start(fixed, moving)]
    flat = [image.grid.size[2] == 1 for image in (fixed, moving)]
    if any(flat) and not all(flat):
        return starts[1]
    frames = [_frame(image.grid, flat=flat[0]) for image in (fixed, moving)]
    pictures = [_picture(image, flat=flat[0]) for image in (fixed, moving)]
    local = [np.linalg.inv(frames[1]) @ start.matrix @ frames[0] for start in starts]
    # The metric adds up what its threads find in no fixed order; one thread makes the answer repeat itself.
    with one_itk_thread():
        found = _optimize(pictures[0], pictures[1], local, run)
    matrix = frames[1] @ found @ np.linalg.inv(frames[0])
    if all(flat):  # a slice has few pixels: the search above ends early
        matrix, _ = polish(
            ImagePair(fixed, moving), matrix[None], part(run.progress, 0.95, 1.0), rng=run.rng(), device=run.device
        )
    return AffineTransform(matrix)


def _frame(grid: Grid, *, flat: bool) -> NDArray[np.float64]:
    """(4, 4) frame of the picture to world: the slice's own plane for one slice, else the world itself."""
    frame = np.eye(4)
    if flat:
        frame[:3, :3], frame[:3, 3] = grid.direction, grid.origin
    return frame


def _picture(image: Image, *, flat: bool) -> sitk.Image:
    """The image at about 1.5 mm as SimpleITK takes it, 2D (in its own plane) when flat."""
    coarse = block_means(image, 1.5)
    if flat:
        picture = sitk.GetImageFromArray(coarse.array[0])
        picture.SetSpacing(coarse.grid.spacing[:2])
        picture.SetOrigin(image.grid.to_index(coarse.grid.origin)[:2] * np.asarray(image.grid.spacing[:2]))
        return picture
    picture = sitk.GetImageFromArray(coarse.array)
    picture.SetSpacing(coarse.grid.spacing)
    picture.SetOrigin(coarse.grid.origin)
    picture.SetDirection(np.asarray(coarse.grid.direction).ravel().tolist())
    return picture


def _to_euler(matrix: NDArray[np.float64], dimension: int, center: NDArray[np.float64]) -> sitk.Transform:
    euler = sitk.Euler2DTransform() if dimension == 2 else sitk.Euler3DTransform()
    euler.SetCenter(center.tolist())
    rotation, shift = matrix[:dimension, :dimension], matrix[:dimension, 3]
    euler.SetMatrix(rotation.ravel().tolist(), 1e-4)
    euler.SetTranslation((rotation @ center + shift - center).tolist())
    return euler


def _to_matrix(euler: sitk.Transform, dimension: int) -> NDArray[np.float64]:
    matrix = np.eye(4)
    zero = np.asarray(euler.TransformPoint([0.0] * dimension))
    for axis in range(dimension):
        matrix[:dimension, axis] = np.asarray(euler.TransformPoint(np.eye(dimension)[axis].tolist())) - zero
    matrix[:dimension, 3] = zero
    return matrix


def _optimize(
    fixed: sitk.Image, moving: sitk.Image, starts: list[NDArray[np.float64]], run: Run
) -> NDArray[np.float64]:
    """Best of the starts, improved; (4, 4) in the pictures' frame."""
    dimension = fixed.GetDimension()
    middle = np.asarray(fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()]))
    search = sitk.ImageRegistrationMethod()
    search.SetNumberOfThreads(1)
    search.SetMetricAsMattesMutualInformation(32)
    search.SetMetricSamplingStrategy(search.REGULAR)
    search.SetMetricSamplingPercentage(0.25 if dimension == 3 else 1.0, 1)
    search.SetInterpolator(sitk.sitkLinear)
    search.SetOptimizerAsRegularStepGradientDescent(2.0, 0.02, 60, 0.6)
    search.SetOptimizerScalesFromPhysicalShift()
    shrinks = [s for s in (4, 2, 1) if min(fixed.GetSize() + moving.GetSize()) // s >= 6] or [1]
    search.SetShrinkFactorsPerLevel(shrinks)
    search.SetSmoothingSigmasPerLevel([1.5 * (s > 1) * s / 2 for s in shrinks])
    search.SmoothingSigmasAreSpecifiedInPhysicalUnitsOn()
    eulers = [_to_euler(start, dimension, middle) for start in starts]
    scores = []
    for euler in eulers:
        search.SetInitialTransform(euler, False)
        scores.append(_score(search, fixed, moving))
    search.SetInitialTransform(eulers[int(np.argmin(scores))], False)
    stopped: list[BaseException] = []
    _report(search, run, stopped)
    found = search.Execute(fixed, moving)
    if stopped:
        raise stopped[0]
    return _to_matrix(found, dimension)


def _score(search: sitk.ImageRegistrationMethod, fixed: sitk.Image, moving: sitk.Image) -> float:
    """The metric at the start, infinity where the images do not touch (ITK raises)."""
    try:
        return float(search.MetricEvaluate(fixed, moving))
    except RuntimeError:
        return float(np.inf)


def _report(search: sitk.ImageRegistrationMethod, run: Run, stopped: list[BaseException]) -> None:
    """Progress after each iteration; what it raises is kept and ends the search (C++ would swallow it)."""

    def tell() -> None:
        try:
            run.progress(min(0.95, 0.3 * search.GetCurrentLevel() + 0.005 * search.GetOptimizerIteration()), "Rigid")
        except BaseException as error:
            stopped.append(error)
            search.StopRegistration()

    search.AddCommand(sitk.sitkIterationEvent, tell)
