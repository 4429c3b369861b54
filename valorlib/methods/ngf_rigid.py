"""Global rigid alignment across modalities: every shift at once by FFT, rotations by search, then refinement."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from valorlib.core.inputs import ImagePair
from valorlib.core.method import Method
from valorlib.core.options import Options, as_dict, option
from valorlib.core.results import Result
from valorlib.core.run import Run, part
from valorlib.core.transforms import AffineTransform
from valorlib.ops.plausibility import alarmed
from valorlib.ops.rigid_middles import with_middles
from valorlib.ops.rigid_polish import polish
from valorlib.ops.rigid_refine import edge_points, refine, similarities
from valorlib.ops.rigid_search import Cube, cube_of, search
from valorlib.ops.rotations import distinct, rotations_within
from valorlib.ops.transforms import inverse_of, to_displacement


@dataclass(frozen=True, kw_only=True)
class NgfRigidOptions(Options):
    """Options of `register`."""

    max_rotation_deg: float = option(60.0, "Largest rotation tried; 180: any", low=0.0, high=180.0, unit="deg")
    rotation_step_deg: float = option(20.0, "Distance of the rotations tried", low=5.0, high=60.0, unit="deg")
    search_mm: float = option(12.0, "Largest voxel of the search", low=1.0, high=20.0, unit="mm")
    min_overlap: float = option(0.5, "Least share of the smaller image that must overlap", low=0.05, high=1.0)
    candidates: int = option(12, "Best places that are refined", low=1, high=100)
    edge_noise: float = option(0.3, "Edges weaker than this share of the mean gradient fade", low=1e-5, high=3.0)
    polish: bool = option(True, "Begin at the middles too, and finish with mutual information at full detail")
    keep_header: bool = option(True, "Also try the position the files' headers give")


@alarmed
def register(pair: ImagePair, options: NgfRigidOptions, run: Run) -> Result:
    """Find the rigid transform between two images that may lie anywhere.

    The similarity is the squared cosine between image gradients, averaged over the overlap: it does not mind contrast.
    All whole-voxel shifts of one rotation are scored by six FFT correlations; the best rotations are refined by
    gradient ascent on finer grids; the last step climbs mutual information.

    Source: Ofverstedt, Cross-Sim-NGF: FFT-Based Global Rigid Multimodal Alignment of Image Volumes using Normalized
    Gradient Fields, WBIR 2022, 10.1007/978-3-031-11203-4_17.
    Differs: coarse rotations spread evenly over the ball of allowed angles instead of random Euler angles; shifts are
    refined below a voxel by gradient; edge parameter relative to the image; a second list of places found by mutual
    information from the images' middles laid on each other; final mutual information.
    """
    begin = time.process_time()
    run.progress(0.0, "Preparing")
    search_mm = min(options.search_mm, min(max(g.extent_mm) for g in (pair.fixed.grid, pair.moving.grid)) / 15)
    coarse = _cubes(pair, search_mm, options, run)
    turns = rotations_within(options.max_rotation_deg, spacing_deg=options.rotation_step_deg)
    found = search(
        coarse, turns, keep=options.candidates, min_overlap=options.min_overlap, progress=part(run.progress, 0.02, 0.5)
    )
    if options.keep_header:
        found.append(np.eye(4) if not isinstance(pair.start, AffineTransform) else pair.start.matrix)
    best, score = _refined(pair, found, coarse, options, run)
    matrix = best[0]
    if options.polish:
        middles = part(run.progress, 0.8, 0.87)
        places = with_middles(pair, best[:3], turns, middles, keep=3, rng=run.rng(), device=run.device)
        matrix, _ = polish(pair, places, part(run.progress, 0.87, 0.95), rng=run.rng(), device=run.device)
    transform = AffineTransform(matrix)
    run.progress(0.96, "Displacement field")
    result = Result(
        transform,
        inverse=inverse_of(transform),
        displacement=to_displacement(transform, pair.fixed.grid),
        inverse_displacement=to_displacement(inverse_of(transform), pair.moving.grid),
        start=transform,
        losses=(-score,),
        warnings=_warnings(score),
        record={
            "method": "ngf_rigid",
            "options": as_dict(options),
            "similarity": score,
            "rotations_tried": len(turns),
            "cpu_seconds": time.process_time() - begin,
        },
    )
    run.progress(1.0, "Done")
    return result


def _cubes(pair: ImagePair, spacing_mm: float, options: NgfRigidOptions, run: Run) -> tuple[Cube, Cube]:
    return (
        cube_of(pair.fixed, pair.fixed_mask, spacing_mm, options.edge_noise, run.device),
        cube_of(pair.moving, pair.moving_mask, spacing_mm, options.edge_noise, run.device),
    )


def _refined(
    pair: ImagePair,
    found: list[NDArray[np.float64]],
    coarse: tuple[Cube, Cube],
    options: NgfRigidOptions,
    run: Run,
) -> tuple[list[NDArray[np.float64]], float]:
    """The candidates after two levels (three where no climb follows), best first, and the similarity of the best."""
    levels = [(1.0, len(found), 20, 0.5, 2000), (0.5, 6, 25, 0.62, 3000), (0.22, 3, 30, 0.72, 4000)]
    smallest = max(min(pair.fixed.grid.spacing), min(pair.moving.grid.spacing))
    for share, keep, steps, fraction, count in levels[: 2 if options.polish else 3]:
        spacing = max(coarse[0].spacing_mm * share, smallest)
        cubes = coarse if share == 1.0 else _cubes(pair, spacing, options, run)
        points = edge_points(cubes[0], count, run.rng())
        run.progress(fraction, f"Refining {min(keep, len(found))} places at {spacing:.1f} mm")
        better = refine(cubes, points, np.stack(found[:keep]), steps=steps, step_mm=spacing / 4)
        scores = similarities(cubes, points, better, min_overlap=options.min_overlap)
        order = np.argsort(scores)[::-1]
        found = distinct([better[n] for n in order], pair.fixed.grid.corners(), spacing / 2)
    return found, float(max(scores))


def _warnings(score: float) -> tuple[str, ...]:
    if score < 0.05:
        return ("The edges of the two images agree only weakly; check the alignment by eye before using it.",)
    return ()


METHOD = Method(
    "ngf_rigid",
    "Global rigid",
    ImagePair,
    NgfRigidOptions,
    register,
    "Ofverstedt 2022",
    presets={
        "default": NgfRigidOptions(),
        "quick": NgfRigidOptions(max_rotation_deg=20.0, rotation_step_deg=20.0, candidates=3, polish=False),
        "any_rotation": NgfRigidOptions(max_rotation_deg=180.0, candidates=24, min_overlap=0.35),
    },
    reasons={
        "default": "The usual case: the same body part, turned by up to 60 degrees, shifted by any amount.",
        "quick": "A few degrees and centimeters, for tests and previews.",
        "any_rotation": "Nothing is known of the orientation, for example wrong headers; some fifteen seconds.",
    },
)
