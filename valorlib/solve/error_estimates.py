"""Where a registration may be wrong, found by registering again: anchor, ensemble, bootstrap, consistency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from valorlib.core.errors import InputError
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
    IndependentSettings(mind=True, iterations=(40, 20)),
)
THERE = (2, 4)
BACK = (0, 3)
"""Members of `looks`: a stiffer one and one of another similarity there; the usual one and a softer one back."""
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


def own_register(pair: WorkingPair, device: str, squared: bool, *, aligned: bool = False) -> Register:
    """Our independent registration of images on the pair's grid, in several settings.

    aligned: the images are aligned already; do not start from the pair's start.
    """
    start = AffineTransform.identity() if aligned else pair.start

    def register(fixed: Image, moving: Image, member: int, progress: Progress) -> DisplacementField:
        settings = MEMBERS[member % len(MEMBERS)]
        settings = replace(settings, finest_mm=float(np.max(pair.grid.spacing)), squared=squared)
        return register_independently(
            fixed, moving, pair.grid, settings, start=start, mask=pair.mask, device=device, progress=progress
        )

    return register


@dataclass(frozen=True, eq=False)
class Looks:
    """What several registrations say of the way from the fixed to the moving image.

    there: of that direction. back: inverses of registrations in the other direction.
    """

    there: tuple[DisplacementField, ...]
    back: tuple[DisplacementField, ...]

    @property
    def middle(self) -> DisplacementField:
        """The anchor: mean of the inverses.

        The image that is warped loses noise by interpolation and the other does not, which pulls fields towards half
        voxels. On the way back both images are interpolated, and the error was seen to be a tenth smaller.
        """
        mean = np.mean([field.array for field in self.back], axis=0)
        return DisplacementField(np.asarray(mean, dtype=np.float32), self.back[0].grid)


def aligned_moving(pair: WorkingPair) -> Image:
    """The moving image after the affine start, on the pair's grid.

    Raises:
        InputError: the transform leads past the moving image.
    """
    aligned = resample_image(pair.moving, pair.grid, pair.start)
    if not aligned.array.max() > aligned.array.min():
        raise InputError(
            "transform: expected one that leads from the fixed scan into the moving one, got one that misses it; "
            "check its direction and that it belongs to these scans"
        )
    return aligned


def looks(pair: WorkingPair, register: Register, again: Register, progress: Progress) -> Looks:
    """Four registrations that differ in direction, stiffness and similarity.

    Args:
        pair: images and the field judged.
        register: starts from the pair's affine start.
        again: the same for images that are aligned already (`aligned_register`).
        progress: called each step.
    """
    aligned = aligned_moving(pair)
    total = len(THERE) + len(BACK)
    steps = [part(progress, n / total, (n + 1) / total) for n in range(total)]
    there = tuple(register(pair.fixed, pair.moving, n, step) for n, step in zip(THERE, steps, strict=False))
    found = [again(aligned, pair.fixed, n, step) for n, step in zip(BACK, steps[len(THERE) :], strict=True)]
    return Looks(there, tuple(inverse_of(pair, field) for field in found))


@dataclass(frozen=True, eq=False)
class Anchored:
    """sigma: (K, J, I) mm. upper_bound: the second registration fits the images worse than the one judged.

    seen: (K, J, I) share of sigma^2 that is a difference seen. middle: the second registration.
    """

    sigma: F32
    seen: F32
    difference: F32
    upper_bound: bool
    likeness: tuple[float, float]
    middle: DisplacementField


def anchored(pair: WorkingPair, found: Looks) -> Anchored:
    """The difference to an independent registration, plus that one's own doubt.

    sigma^2 = smooth(|u - middle|^2) + (spread of the registrations x `motion_factor`)^2.

    Args:
        pair: images and the field judged.
        found: our own registrations.
    """
    middle = found.middle
    difference = pair.field.array - middle.array
    seen = smoothed(squared_length(difference), pair.grid, 2.0)
    own = disagreement(found.there + found.back) * np.float32(motion_factor(motion_size(pair, middle)))
    square = seen + own**2
    likeness = [float(local_correlation(pair.fixed, pair.warped(f))[pair.inside].mean()) for f in (pair.field, middle)]
    upper = likeness[1] < likeness[0] - 0.01
    share = np.asarray(seen / square, dtype=np.float32)
    return Anchored(
        np.asarray(np.sqrt(square), dtype=np.float32), share, difference, upper, (likeness[0], likeness[1]), middle
    )


def inverse_of(pair: WorkingPair, back: DisplacementField) -> DisplacementField:
    """What the registration back says of the way there."""
    return to_displacement(Chain((invert_field(back, pair.grid)[0], pair.start)), pair.grid)


@dataclass(frozen=True, eq=False)
class Bootstrapped:
    """Fields and errors of registrations whose truth is known."""

    bases: tuple[Image, ...]
    fields: tuple[DisplacementField, ...]
    errors: tuple[F32, ...]


def bootstrap(
    pair: WorkingPair, field: DisplacementField, again: Register, repeats: int, seed: int, progress: Progress
) -> Bootstrapped:
    """Known fields on the strongly denoised fixed image with fresh noise, registered again (aligned images)."""
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
        found = again(known.fixed, known.moving, 0, step)
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


def aligned_register(pair: WorkingPair, register: Register) -> Register:
    """A registration for images that are aligned, by moving one so that the pair's start, which is built in, cancels.

    It interpolates once more than `own_register` of a pair whose start is the identity, which is better where possible.
    """
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


def quick_estimate(pair: WorkingPair, found: Looks) -> F32:
    """Root of the summed squares of the spread of all registrations and of the way to their middle and back, mm."""
    around = squared_length(pair.field.array - found.middle.array)
    loop = squared_length(pair.field.array - found.back[0].array)
    spread = disagreement((pair.field, *found.there, *found.back))
    return np.asarray(np.sqrt(smoothed(around + loop / 2, pair.grid, 2.0) + spread**2), dtype=np.float32)


def _covering(pair: WorkingPair) -> Grid:
    """The moving image's own box at the working resolution."""
    return pair.moving.grid.resampled(
        [max(s, w) for s, w in zip(pair.moving.grid.spacing, pair.grid.spacing, strict=True)]
    )


def full_estimate(
    pair: WorkingPair,
    found: Looks,
    registers: tuple[Register, Register],
    *,
    repeats: int,
    seed: int,
    progress: Progress,
) -> F32:
    """Geometric mean of bootstrap regressor, re-registration consistency, and the quick estimate (twice), mm."""
    parts = _full_parts(pair, registers, repeats=repeats, seed=seed, progress=progress)
    quick = quick_estimate(pair, found)
    return geometric_mean([*parts, quick, quick])


def _full_parts(
    pair: WorkingPair, registers: tuple[Register, Register], *, repeats: int, seed: int, progress: Progress
) -> tuple[F32, F32]:
    """What registering again under known motion says: bootstrap regressor and re-registration consistency, mm."""
    half = max(1, repeats - 1)
    register, again = registers
    usual = register(pair.fixed, pair.moving, 0, part(progress, 0.0, 0.1))
    made = bootstrap(pair, usual, again, repeats, seed, part(progress, 0.1, 0.55))
    moved = consistency(pair, usual, register, half, seed, part(progress, 0.55, 0.95))
    progress(0.96, "Fitting the error regressor")
    features, sizes = [], []
    for base, field, error in zip(made.bases, made.fields, made.errors, strict=True):
        features.append(local_features(base, field)[pair.inside])
        sizes.append(np.linalg.norm(error[pair.inside], axis=-1).astype(np.float32))
    regressor = ErrorRegressor(np.concatenate(features), np.concatenate(sizes), seed=seed)
    return regressor.sigma(local_features(pair.fixed, usual)), root_mean_square(moved, pair.grid)


def mapped_error(first: Transform, second: Transform, points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) distance of where two transforms put points, mm."""
    return np.asarray(np.linalg.norm(map_points(first, points) - map_points(second, points), axis=-1))
