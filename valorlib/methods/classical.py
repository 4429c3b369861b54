"""Rigid, affine, B-spline and demons registration by SimpleITK, with this library's options, progress and results."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from valorlib.convert.simpleitk import field_from_sitk, image_to_sitk, labels_to_sitk, transform_from_sitk
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Progress, Run, part
from valorlib.core.transforms import AffineTransform, Chain, Transform
from valorlib.ops.contrast import intensity_range
from valorlib.ops.itk_demons import demons
from valorlib.ops.itk_threads import one_itk_thread
from valorlib.ops.plausibility import alarmed
from valorlib.ops.transforms import inverse_of, to_displacement
from valorlib.solve.outcome import outcome_of

MOST_SAMPLES = 100_000  # a level; more take minutes and change little


@dataclass(frozen=True, kw_only=True)
class ClassicalOptions(Options):
    """Options of `register`."""

    transform: str = option("bspline", "Kind of motion", choices=("rigid", "affine", "bspline", "demons"))
    metric: str = option(
        "mutual_information", "What aligned means", choices=("mutual_information", "correlation", "ssd")
    )
    start: str = option("centers", "Where the search starts", choices=("centers", "given"))
    levels: int = option(3, "Resolutions, each half as fine as the next", low=1, high=5)
    iterations: int = option(40, "Steps at each level", low=1, high=2000)
    sampling: float = option(0.2, "Share of voxels the metric looks at, at most 100,000 a level", low=0.01, high=1.0)
    grid_mm: float = option(30.0, "Distance of B-spline control points", low=3.0, high=100.0, unit="mm")
    smoothing_mm: float = option(2.0, "Smoothing of the demons field", low=0.1, high=20.0, unit="mm")


@alarmed
def register(pair: ImagePair, options: ClassicalOptions, run: Run) -> Result:
    """Register two images by SimpleITK.

    A linear stage runs first for every kind; `bspline` and `demons` refine it.

    Raises:
        InputError: images too small for the number of levels, or no overlap of what the metric sees.

    Source: Lowekamp, The Design of SimpleITK, Front. Neuroinform. 7:45, 2013, 10.3389/fninf.2013.00045.
    """
    size = pair.fixed.grid.size
    if min(size) < 4:
        raise InputError(f"fixed: expected a volume of at least 4 voxels along each axis, got {size}; choose another")
    with one_itk_thread():
        return _register(pair, options, run)


def _register(pair: ImagePair, options: ClassicalOptions, run: Run) -> Result:
    begin = time.process_time()
    losses: list[float] = []
    stop = 0.3 if options.transform in ("bspline", "demons") else 0.9
    linear = _linear(pair, options, run, part(run.progress, 0.0, stop), losses)
    transform: Transform = linear
    if options.transform == "bspline":
        transform = _bspline(pair, linear, options, run, part(run.progress, stop, 0.9), losses)
    elif options.transform == "demons":
        found = demons(
            pair, linear, levels=options.levels, iterations=options.iterations, smoothing_mm=options.smoothing_mm,
            progress=part(run.progress, stop, 0.9), losses=losses,
        )  # fmt: skip
        transform = Chain((found, linear))
    run.progress(0.92, "Displacement field and inverse")
    displacement = to_displacement(transform, pair.fixed.grid)
    if options.transform in ("rigid", "affine"):
        inverse_displacement = to_displacement(inverse_of(linear), pair.moving.grid)
        numbers, warnings = {"inverse_residual_mean_mm": 0.0, "folds": 0}, list[str]()
    else:
        done = outcome_of(displacement, pair.moving.grid, mend=False)
        inverse_displacement, numbers, warnings = done.inverse, done.numbers(), done.warnings()
    run.progress(1.0, "Done")
    return Result(
        transform,
        inverse=inverse_displacement,
        displacement=displacement,
        inverse_displacement=inverse_displacement,
        start=linear,
        losses=tuple(losses),
        warnings=tuple(warnings),
        record={"method": "classical", "options": as_dict(options), "cpu_seconds": time.process_time() - begin}
        | numbers,
    )


def _scaled(pair: ImagePair) -> tuple[sitk.Image, sitk.Image]:
    images = []
    for name, image in (("fixed", pair.fixed), ("moving", pair.moving)):
        low, high = intensity_range(name, image.array, 0.5, 99.5)
        images.append(sitk.Clamp(image_to_sitk(image), sitk.sitkFloat32, low, high))
    return images[0], images[1]


def _registration(pair: ImagePair, options: ClassicalOptions, run: Run) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    if options.metric == "mutual_information":
        method.SetMetricAsMattesMutualInformation(32)
    elif options.metric == "correlation":
        method.SetMetricAsCorrelation()
    else:
        method.SetMetricAsMeanSquares()
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    levels = min(options.levels, 1 + int(np.log2(max(1, min(n for n in pair.fixed.grid.size if n > 1) / 8))))
    factors = [2**n for n in reversed(range(levels))]
    shares = [min(options.sampling, MOST_SAMPLES * factor**3 / pair.fixed.array.size) for factor in factors]
    method.SetMetricSamplingPercentagePerLevel(shares, run.seed + 1)
    method.SetShrinkFactorsPerLevel(factors)
    method.SetSmoothingSigmasPerLevel([0.5 * 2**n if n else 0.0 for n in reversed(range(levels))])
    method.SmoothingSigmasAreSpecifiedInPhysicalUnitsOff()
    if pair.fixed_mask is not None:
        method.SetMetricFixedMask(labels_to_sitk(pair.fixed_mask) > 0)
    if pair.moving_mask is not None:
        method.SetMetricMovingMask(labels_to_sitk(pair.moving_mask) > 0)
    return method


def _execute(
    method: sitk.ImageRegistrationMethod,
    images: tuple[sitk.Image, sitk.Image],
    options: ClassicalOptions,
    progress: Progress,
    stage: str,
    losses: list[float],
) -> sitk.Transform:
    """Run, with progress; a cancel from `progress` stops the optimizer and is raised again here."""
    cancelled: list[Cancelled] = []
    total = options.iterations * options.levels
    count = [0]

    def step() -> None:
        count[0] += 1
        losses.append(float(method.GetMetricValue()))
        try:
            progress(min(1.0, count[0] / total), f"{stage}, step {count[0]}")
        except Cancelled as reason:
            cancelled.append(reason)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, step)
    progress(0.0, stage)
    try:
        found = method.Execute(*images)
    except RuntimeError as error:
        if cancelled:
            raise cancelled[0] from None
        raise InputError(_plain(str(error))) from None
    if cancelled:
        raise cancelled[0]
    return found


def _plain(error: str) -> str:
    if "outside" in error or "samples" in error:
        return "fixed and moving: too few voxels overlap at the start; align the centers or give a start transform"
    return f"registration: SimpleITK stopped ({error.strip().splitlines()[-1].strip()}); try fewer levels"


def _linear(
    pair: ImagePair, options: ClassicalOptions, run: Run, progress: Progress, losses: list[float]
) -> AffineTransform:
    images = _scaled(pair)
    kind = sitk.AffineTransform(3) if options.transform == "affine" else sitk.Euler3DTransform()
    given = isinstance(pair.start, AffineTransform)
    method = _registration(pair, options, run)
    centered = sitk.CenteredTransformInitializer(*images, kind, sitk.CenteredTransformInitializerFilter.GEOMETRY)
    if options.start == "given" or given:
        kind.SetCenter(tuple(pair.fixed.grid.center))
        centered = kind
    if isinstance(pair.start, AffineTransform):
        method.SetMovingInitialTransform(_itk(pair.start))
    method.SetInitialTransform(centered, True)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-4, options.iterations, 0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    _execute(method, images, options, progress, "Linear stage", losses)
    found = _matrix(centered)
    if isinstance(pair.start, AffineTransform):
        # ITK applies the optimized transform first, then the moving initial one.
        found = AffineTransform(pair.start.matrix @ found.matrix)
    return found


def _itk(linear: AffineTransform) -> sitk.Transform:
    return sitk.AffineTransform(linear.matrix[:3, :3].ravel().tolist(), linear.matrix[:3, 3].tolist())


def _matrix(transform: sitk.Transform) -> AffineTransform:
    found = transform_from_sitk(transform)
    if not isinstance(found, AffineTransform):
        raise InputError("registration: the linear stage gave no linear transform; choose another kind of motion")
    return found


def _bspline(
    pair: ImagePair,
    linear: AffineTransform,
    options: ClassicalOptions,
    run: Run,
    progress: Progress,
    losses: list[float],
) -> Transform:
    images = _scaled(pair)
    mesh = [max(1, round(length / options.grid_mm)) for length in pair.fixed.grid.extent_mm]
    spline = sitk.BSplineTransformInitializer(images[0], mesh, 3)
    method = _registration(pair, options, run)
    method.SetMovingInitialTransform(_itk(linear))
    method.SetInitialTransform(spline, True)
    method.SetOptimizerAsLBFGS2(numberOfIterations=options.iterations)
    _execute(method, images, options, progress, "B-spline stage", losses)
    sampler = sitk.TransformToDisplacementFieldFilter()
    sampler.SetReferenceImage(images[0])
    return Chain((field_from_sitk(sampler.Execute(spline)), linear))


METHOD = Method(
    "classical",
    "Classical (SimpleITK)",
    ImagePair,
    ClassicalOptions,
    register,
    "Lowekamp 2013",
    presets={
        "default": ClassicalOptions(),
        "quick": ClassicalOptions(transform="affine", levels=2, iterations=30, sampling=0.5),
        "rigid": ClassicalOptions(transform="rigid"),
        "affine": ClassicalOptions(transform="affine"),
        "demons": ClassicalOptions(transform="demons", metric="correlation", iterations=60),
    },
    reasons={
        "default": "A deformable baseline for images of any contrast.",
        "quick": "Scale and shear only, in a second or two.",
        "rigid": "One patient, little time between the scans, nothing that bends.",
        "affine": "Two patients, or scanners whose scale differs.",
        "demons": "Two scans of the same contrast.",
    },
)
