"""Real CT moved by known smooth fields, and the registrations whose errors are to be predicted."""

from __future__ import annotations

import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from valorlib.convert.files import read_dose, read_image, read_labels, write_image
from valorlib.convert.simpleitk import field_from_sitk, image_to_sitk
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import DisplacementField
from valorlib.ops.known_truth import denoised, known_pair, random_field
from valorlib.ops.resample import resample_image, resample_labels

DATA = Path(os.environ.get("VALOR_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
BORDER_MM = 12.0
GREEDY = Path(__file__).resolve().parents[1] / "build" / "peers" / "greedy" / "bin" / "python"


@dataclass(frozen=True)
class Plan:
    """What is made. stretch: factor of the x, y, z components of the motion."""

    name: str
    source: str
    site: str
    seed: int
    size_mm: float
    noise_hu: float = 20.0
    stretch: tuple[float, float, float] = (1.0, 1.0, 1.0)


PLANS = (
    Plan("hn1", "pt_1", "head_neck", 121, 8),
    Plan("hn2", "pt_18", "head_neck", 122, 12),
    Plan("hn3", "pt_15", "head_neck", 123, 6),
    Plan("hn4", "pt_160", "head_neck", 124, 10, noise_hu=35),
    Plan("th1", "popi_right", "thorax", 125, 10, stretch=(1, 1, 2)),
    Plan("th2", "popi_left", "thorax", 126, 14, stretch=(1, 1, 2)),
    Plan("th3", "popi_right", "thorax", 127, 7, noise_hu=30, stretch=(1, 1, 2)),
)
"""Seeds that no setting was chosen with."""


@dataclass(frozen=True, eq=False)
class Case:
    """A made pair. mask: where errors are counted. dose on the moving grid, structures on the fixed one."""

    plan: Plan
    fixed: Image
    moving: Image
    truth: DisplacementField
    mask: np.ndarray
    dose: Dose | None
    structures: LabelMap | None


def make_case(plan: Plan) -> Case:
    """The pair of a plan; same plan, same pair."""
    rng = np.random.default_rng(plan.seed)
    image, dose, structures = _source(plan.source)
    base = denoised(image, steps=5, conductance=1.5)
    # Widths differ from those of the self-calibration, so that it is not tested on its own kind of motion alone.
    truth = random_field(
        image.grid,
        rng,
        size_mm=plan.size_mm,
        widths_mm=(10.0, 20.0, 45.0),
        weights=(0.4, 0.8, 1.0),
        stretch=plan.stretch,
    )
    made = known_pair(base, truth, rng, noise=plan.noise_hu)
    bias = ndimage.gaussian_filter(rng.standard_normal(image.grid.shape), 10)
    gain = 1 + 0.03 * rng.standard_normal()
    moving = Image((made.moving.array * gain + 15 * bias / bias.std()).astype(np.float32), image.grid)
    return Case(plan, made.fixed, moving, truth, _mask(base), dose, structures)


def _source(name: str) -> tuple[Image, Dose | None, LabelMap | None]:
    if name.startswith("popi"):
        image = read_image(DATA / "lung" / "popi_phase00_ct.nrrd")
        nx, ny, nz = image.grid.size
        start, stop = (0, nx // 2 + 10) if name.endswith("right") else (nx // 2 - 10, nx)
        half = Image(image.array[:, :, start:stop], image.grid.cropped((start, 0, 0), (stop, ny, nz)))
        smooth = Image(ndimage.gaussian_filter(half.array, 0.8), half.grid)
        return resample_image(smooth, half.grid.resampled((4.0, 4.0, 4.0))), None, None
    folder = DATA / "rt" / "openkbp" / name
    image, dose = read_image(folder / "ct.nrrd"), read_dose(folder / "dose_gy.nrrd")
    oars, targets = read_labels(folder / "oars_label.nrrd"), read_labels(folder / "ptv_prescription_label.nrrd")
    merged = np.where(targets.array == targets.array.max(), 100, oars.array).astype(np.int32)
    grid = _central(image.grid, dose)
    if grid.size != image.grid.size:
        image = resample_image(image, grid)
    labels = resample_labels(LabelMap(merged, oars.grid, {100: "PTV"}), grid)
    return image, dose, labels


def _central(grid: Grid, dose: Dose) -> Grid:
    """At most 64 x 64 x 72 voxels around the middle of the high dose."""
    high = np.argwhere(dose.array > 0.5 * dose.array.max())[:, ::-1].mean(axis=0)
    middle = grid.to_index(dose.grid.to_world(high))
    size = np.minimum(grid.size, (64, 64, 72))
    start = np.clip(np.round(middle - size / 2), 0, np.asarray(grid.size) - size).astype(int)
    return grid.cropped(start.tolist(), (start + size).tolist())


def _mask(base: Image) -> np.ndarray:
    body = ndimage.binary_opening(base.array > -400, iterations=1)
    labels, _ = ndimage.label(body)
    body = ndimage.binary_fill_holes(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))
    body = ndimage.binary_closing(np.pad(body, 8), iterations=8)[8:-8, 8:-8, 8:-8] | body
    edge = [int(np.ceil(BORDER_MM / s)) for s in base.grid.spacing[::-1]]
    inner = np.zeros_like(body)
    cut = tuple(slice(e, -e) for e in edge)
    inner[cut] = body[cut]
    return inner


def demons(case: Case) -> DisplacementField:
    """SimpleITK's diffeomorphic demons, three levels, after histogram matching."""
    fixed, moving = image_to_sitk(case.fixed), image_to_sitk(case.moving)
    moving = sitk.HistogramMatching(moving, fixed, 256, 20, True)
    field = None
    for shrink, iterations in ((4, 40), (2, 30), (1, 15)):
        images = [fixed, moving]
        if shrink > 1:
            width = 0.5 * shrink * fixed.GetSpacing()[0]
            images = [sitk.Shrink(sitk.SmoothingRecursiveGaussian(i, width), [shrink] * 3) for i in images]
        demon = sitk.DiffeomorphicDemonsRegistrationFilter()
        demon.SetNumberOfIterations(iterations)
        demon.SetSmoothDisplacementField(True)
        demon.SetStandardDeviations(1.5)
        field = demon.Execute(*images) if field is None else demon.Execute(*images, sitk.Resample(field, images[0]))
    return field_from_sitk(sitk.Resample(field, fixed))


def bspline(case: Case) -> DisplacementField:
    """SimpleITK's B-spline transform, 20 mm mesh, correlation at half resolution, L-BFGS-B."""
    fixed, moving = image_to_sitk(case.fixed), image_to_sitk(case.moving)
    mesh = [max(2, round(e / 20)) for e in case.fixed.grid.extent_mm]
    start = sitk.BSplineTransformInitializer(fixed, mesh)
    search = sitk.ImageRegistrationMethod()
    search.SetMetricAsCorrelation()
    search.SetMetricSamplingStrategy(search.RANDOM)
    search.SetMetricSamplingPercentage(0.2, 1)
    search.SetOptimizerAsLBFGSB(numberOfIterations=20, maximumNumberOfCorrections=5)
    search.SetInterpolator(sitk.sitkLinear)
    search.SetShrinkFactorsPerLevel([4, 2])
    search.SetSmoothingSigmasPerLevel([2, 1])
    search.SetInitialTransform(start, inPlace=True)
    search.Execute(fixed, moving)
    to_field = sitk.TransformToDisplacementFieldFilter()
    to_field.SetReferenceImage(fixed)
    return field_from_sitk(to_field.Execute(start))


def has_greedy() -> bool:
    """True where greedy's own environment is set up."""
    return GREEDY.exists()


def greedy(case: Case) -> DisplacementField:
    """Greedy with normalized cross-correlation, three levels, in its own environment and process."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{part}.nii.gz" for part in ("fixed", "moving", "warp")]
        write_image(case.fixed, paths[0])
        write_image(case.moving, paths[1])
        script = Path(__file__).parent / "peers" / "run_peer.py"
        subprocess.run([GREEDY, script, "greedy", "ncc", *paths], check=True)
        return field_from_sitk(sitk.ReadImage(str(paths[2])))
