"""Where a registration may be wrong, found by registering again: anchor, ensemble, bootstrap, consistency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.run import Progress, part
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, Transform
from valorlib.ops.error_maps import (
    ErrorRegressor,
    disagreement,
    geometric_mean,
    local_correlation,
    local_features,
    root_mean_square,
    smoothed,
    squared_length,
)
from valorlib.ops.invert import invert_field
from valorlib.ops.known_truth import denoised, known_pair, noise_level, random_field
from valorlib.ops.overlap import body_mask
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import map_points, to_displacement
from valorlib.solve.independent import IndependentSettings, affine_of, register_independently

F32 = NDArray[np.float32]
Register = Callable[[Image, Image, int, Progress], DisplacementField]
"""Register(fixed, moving, member, progress): the field on the fixed grid; member 0 is the usual setting."""

MEMBERS = (
    IndependentSettings(),
    IndependentSettings(window_mm=6.0, smooth_mm=7.0, gradient_mm=6.0),
    IndependentSettings(window_mm=12.0, smooth_mm=13.0, gradient_mm=4.0),
    IndependentSettings(window_mm=8.0, smooth_mm=6.0, gradient_mm=9.0),
)
MOST_VOXELS = 400_000
MOTION_MM = 2.0
MOTION_RANGE_MM = (1.0, 6.0)
"""Our own doubt is written for a deformation of 2 mm rms and grows with it, within these bounds."""


@dataclass(frozen=True, eq=False)
class WorkingPair:
    """Both images at the working resolution.

    grid: of `fixed` and of all maps. inside: (K, J, I) the body. field: the transform that is judged.
    """

    fixed: Image
    moving: Image
    grid: Grid
    inside: NDArray[np.bool_]
    field: DisplacementField
    start: AffineTransform
    mask: LabelMap | None

    def warped(self, field: DisplacementField) -> Image:
        """The moving image at the working resolution under a field."""
        return resample_image(self.moving, self.grid, field)


def working_pair(
    fixed: Image, moving: Image, transform: Transform, *, spacing_mm: float = 4.0, mask: LabelMap | None = None
) -> WorkingPair:
    """Images and transform at a working resolution of at most 400,000 voxels."""
    spacing = max(spacing_mm, (float(np.prod(fixed.grid.extent_mm)) / MOST_VOXELS) ** (1 / 3))
    sizes = [max(spacing, s) if n > 1 else s for s, n in zip(fixed.grid.spacing, fixed.grid.size, strict=True)]
    grid = fixed.grid.resampled(sizes)
    still, moved = _averaged(fixed, spacing), _averaged(moving, spacing)
    still = resample_image(still, grid)
    field = to_displacement(transform, grid)
    inside = body_mask(still).array > 0
    if int(inside.sum()) < 100:
        inside = np.ones(grid.shape, dtype=bool)
    return WorkingPair(still, moved, grid, inside, field, affine_of(field, inside), mask)


def _averaged(image: Image, spacing: float) -> Image:
    """The image without what is finer than the working resolution."""
    sigma = [0.45 * np.sqrt(max((spacing / s) ** 2 - 1, 0)) * s for s in image.grid.spacing]
    if max(sigma) == 0:
        return image
    widths = [w / s for w, s in zip(sigma[::-1], image.grid.spacing[::-1], strict=True)]
    return Image(ndimage.gaussian_filter(image.array, widths, mode="nearest"), image.grid, image.name)


def own_register(pair: WorkingPair, device: str, squared: bool) -> Register:
    """Our independent registration of images on the pair's grid, in several settings."""

    def register(fixed: Image, moving: Image, member: int, progress: Progress) -> DisplacementField:
        settings = MEMBERS[member % len(MEMBERS)]
        settings = replace(settings, finest_mm=float(np.max(pair.grid.spacing)), squared=squared)
        return register_independently(
            fixed, moving, pair.grid, settings, start=pair.start, mask=pair.mask, device=device, progress=progress
        )

    return register


def ensemble(pair: WorkingPair, register: Register, members: int, progress: Progress) -> tuple[DisplacementField, ...]:
    """Fields of several settings."""
    return tuple(
        register(pair.fixed, pair.moving, n, part(progress, n / members, (n + 1) / members)) for n in range(members)
    )


@dataclass(frozen=True, eq=False)
class Anchored:
    """sigma: (K, J, I) mm. upper_bound: the second registration fits the images worse than the one judged.

    middle: the second registration.
    """

    sigma: F32
    difference: F32
    upper_bound: bool
    likeness: tuple[float, float]
    middle: DisplacementField


def anchored(pair: WorkingPair, fields: tuple[DisplacementField, ...], back: DisplacementField) -> Anchored:
    """The difference to an independent registration, plus that one's own doubt.

    The independent registration is the mean of the one there and the inverse of the one back, whose errors are partly
    their own: the mean has fewer. sigma^2 = smooth(|u - mean|^2) + own^2, and own^2 = (spread of the settings^2 +
    |half their distance|^2) x `motion_factor`^2.

    Args:
        pair: images and the field judged.
        fields: of our own registration, the usual setting first.
        back: of `backward`.
    """
    there, again = fields[0], inverse_of(pair, back)
    middle = DisplacementField(np.asarray((there.array + again.array) / 2, dtype=np.float32), pair.grid)
    difference = pair.field.array - middle.array
    half = root_mean_square([(there.array - again.array) / 2], pair.grid, smooth_mm=8.0)
    own = (disagreement(fields) ** 2 + half**2) * np.float32(motion_factor(motion_size(pair, middle)) ** 2)
    sigma = np.sqrt(smoothed(squared_length(difference), pair.grid, 2.0) + own).astype(np.float32)
    likeness = [float(local_correlation(pair.fixed, pair.warped(f))[pair.inside].mean()) for f in (pair.field, middle)]
    return Anchored(sigma, difference, likeness[1] < likeness[0] - 0.01, (likeness[0], likeness[1]), middle)


def backward(pair: WorkingPair, register: Register, progress: Progress) -> DisplacementField:
    """Registration in the other direction, from the moving image after the affine start to the fixed one."""
    aligned = resample_image(pair.moving, pair.grid, pair.start)
    return _without_start(pair, register)(aligned, pair.fixed, 0, progress)


def inverse_of(pair: WorkingPair, back: DisplacementField) -> DisplacementField:
    """What the registration back says of the way there."""
    return to_displacement(Chain((invert_field(back, pair.grid)[0], pair.start)), pair.grid)


def there_and_back(pair: WorkingPair, field: DisplacementField, back: DisplacementField) -> F32:
    """How far a point lands from where it began after the field and the registration in the other direction."""
    undo = AffineTransform(np.asarray(np.linalg.inv(pair.start.matrix), dtype=np.float64))
    return np.asarray(to_displacement(Chain((field, undo, back)), pair.grid).array, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """Fields and errors of registrations whose truth is known."""

    bases: tuple[Image, ...]
    fields: tuple[DisplacementField, ...]
    errors: tuple[F32, ...]


def bootstrap(
    pair: WorkingPair, field: DisplacementField, register: Register, repeats: int, seed: int, progress: Progress
) -> Bootstrapped:
    """Known fields on the strongly denoised fixed image with fresh noise, registered again."""
    rng = np.random.default_rng(seed)
    base = denoised(pair.fixed)
    noise = noise_level(pair.fixed, pair.inside)
    size = max(6.0, 1.2 * float(np.percentile(np.linalg.norm(_nonaffine(field, pair)[pair.inside], axis=-1), 95)))
    bases, fields, errors = [], [], []
    for n in range(repeats):
        factor = 0.35 + 0.9 * (n + 0.5) / repeats
        motion = random_field(pair.grid, rng, size_mm=factor * size)
        known = known_pair(base, DisplacementField(motion.array, pair.grid), rng, noise=noise)
        step = part(progress, n / repeats, (n + 1) / repeats)
        found = _without_start(pair, register)(known.fixed, known.moving, 0, step)
        bases.append(known.fixed)
        fields.append(found)
        errors.append(np.asarray(found.array - known.truth.array, dtype=np.float32))
    return Bootstrapped(tuple(bases), tuple(fields), tuple(errors))


def motion_size(pair: WorkingPair, field: DisplacementField) -> float:
    """Root mean square, mm, of what a field does in the body beyond its affine part: how large the deformation is."""
    rest = field.array - to_displacement(affine_of(field, pair.inside), pair.grid).array
    return float(np.sqrt(squared_length(rest)[pair.inside].mean()))


def motion_factor(motion_mm: float) -> float:
    """How our own doubt grows with the deformation.

    What all our registrations of a pair miss alike shows in no difference between them. On pairs of known motion it was
    seen to grow as the motion does, with the same factor in both sites.
    """
    return float(np.clip(motion_mm, *MOTION_RANGE_MM) / MOTION_MM)


def _nonaffine(field: DisplacementField, pair: WorkingPair) -> F32:
    return np.asarray(field.array - to_displacement(pair.start, pair.grid).array)


def _without_start(pair: WorkingPair, register: Register) -> Register:
    """For made pairs the start is the identity: shift the moving image so that the built-in start cancels."""
    if np.allclose(pair.start.matrix, np.eye(4)):
        return register
    back = AffineTransform(np.asarray(np.linalg.inv(pair.start.matrix), dtype=np.float64))

    def shifted(fixed: Image, moving: Image, member: int, progress: Progress) -> DisplacementField:
        found = register(fixed, resample_image(moving, moving.grid, back), member, progress)
        return to_displacement(Chain((found, back)), pair.grid)

    return shifted


def consistency(
    pair: WorkingPair, field: DisplacementField, register: Register, repeats: int, seed: int, progress: Progress
) -> tuple[F32, ...]:
    """Differences after moving the moving image by a known field, registering again and taking the field back."""
    rng = np.random.default_rng(seed + 1)
    found = []
    moving = resample_image(pair.moving, _covering(pair))
    for n in range(repeats):
        motion = random_field(moving.grid, rng, size_mm=6.0)
        step = part(progress, n / repeats, (n + 1) / repeats)
        again = register(pair.fixed, resample_image(moving, moving.grid, motion), 0, step)
        there = to_displacement(Chain((again, motion)), pair.grid)
        found.append(np.asarray(there.array - field.array, dtype=np.float32))
    return tuple(found)


def quick_estimate(
    pair: WorkingPair, fields: tuple[DisplacementField, ...], register: Register, progress: Progress
) -> F32:
    """Root of the summed squares of the spread of several settings and of the way there and back, mm."""
    loop = there_and_back(pair, fields[0], backward(pair, register, progress))
    around = root_mean_square([loop], pair.grid, smooth_mm=2.0)
    return np.asarray(np.hypot(disagreement(fields), around), dtype=np.float32)


def _covering(pair: WorkingPair) -> Grid:
    """The moving image's own box at the working resolution."""
    return pair.moving.grid.resampled(
        [max(s, w) for s, w in zip(pair.moving.grid.spacing, pair.grid.spacing, strict=True)]
    )


def full_estimate(
    pair: WorkingPair,
    fields: tuple[DisplacementField, ...],
    register: Register,
    *,
    repeats: int,
    seed: int,
    progress: Progress,
) -> F32:
    """Geometric mean of bootstrap regressor, re-registration consistency, and the quick estimate (twice), mm."""
    half = max(1, repeats - 1)
    made = bootstrap(pair, fields[0], register, repeats, seed, part(progress, 0.0, 0.5))
    moved = consistency(pair, fields[0], register, half, seed, part(progress, 0.5, 0.87))
    quick = quick_estimate(pair, fields, register, part(progress, 0.87, 0.95))
    progress(0.96, "Fitting the error regressor")
    features, sizes = [], []
    for base, field, error in zip(made.bases, made.fields, made.errors, strict=True):
        features.append(local_features(base, field)[pair.inside])
        sizes.append(np.linalg.norm(error[pair.inside], axis=-1).astype(np.float32))
    regressor = ErrorRegressor(np.concatenate(features), np.concatenate(sizes), seed=seed)
    predicted = regressor.sigma(local_features(pair.fixed, fields[0]))
    return geometric_mean([predicted, root_mean_square(moved, pair.grid), quick, quick])


def mapped_error(first: Transform, second: Transform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) distance of where two transforms put points, mm."""
    return np.asarray(np.linalg.norm(map_points(first, points) - map_points(second, points), axis=-1))
