"""Where two scans of another kind really lie on each other, by optima that share no code with ours.

    python benchmarks/rigid_reference.py [--pairs ...]

Headers of the public pairs are not ground truth. So several registrations begin at the header and climb mutual
information: SimpleITK's with two histograms, other random samples, inside the body alone, and with the two scans'
roles exchanged; and elastix's and greedy's own. Each is then settled by Powell's method on many samples, as climbs by
slope stop short of the maximum. The reference is the one with the least median distance to the others; that distance
(`spread_mm`) says how well the place is known at all. Distances are means over the corners of the fixed image. With a
CT one more climb looks around its bones alone: how far the reference puts the bones from there says how rigid the pair
is. Writes results/rigid_reference.json; `rigid.py` judges by it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from rigid import PAIRS, by_peer, corner_error, load  # noqa: E402
from run import about  # noqa: E402

from valorlib.convert.simpleitk import image_to_sitk, transform_from_sitk  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.ops.overlap import body_mask  # noqa: E402

RESULT = HERE / "results" / "rigid_reference.json"
SAMPLES = 60_000
RADIUS_MM = 60.0
"""Half the size of a body part: what turns and shifts are weighed by."""
CLIMBS = {
    "mattes, 48 bins": {},
    "mattes, 48 bins, other samples": {"seed": 2},
    "mattes, 24 bins": {"bins": 24, "seed": 3},
    "mattes, body alone": {"body": True, "seed": 6},
    "mattes, roles exchanged": {"swapped": True, "seed": 7},
    "mattes, 24 bins, roles exchanged": {"bins": 24, "swapped": True, "seed": 8},
}
KEPT = 0.6
"""Share of the best optimum's mutual information that another must reach to have a say."""


def measure(fixed, *, bins=48, seed=1, mask=None, samples=SAMPLES):
    """SimpleITK's registration with its metric set."""
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(bins)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(min(1.0, samples / fixed.array.size), seed)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    if mask is not None:
        method.SetMetricFixedMask(sitk.Cast(image_to_sitk(Image(mask.astype(np.int32), fixed.grid)), sitk.sitkUInt8))
    return method


def climb(fixed, moving, start, **metric):
    """Matrix, fixed to moving, after a climb by slope on three resolutions."""

    def by_slope(method):
        method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-3, 200, 0.7)
        method.SetOptimizerScalesFromPhysicalShift()
        method.SetShrinkFactorsPerLevel([4, 2, 1])
        method.SetSmoothingSigmasPerLevel([2.0, 1.0, 0.0])

    return executed(fixed, moving, start, by_slope, **metric)


def settled(fixed, moving, start, **metric):
    """The same by Powell's method, which needs no slope, on more samples: climbs by slope stop short."""

    def by_powell(method):
        method.SetOptimizerAsPowell(
            numberOfIterations=30, maximumLineIterations=30, stepLength=1.0, stepTolerance=1e-3, valueTolerance=1e-7
        )
        method.SetOptimizerScales([RADIUS_MM**2] * 3 + [1.0] * 3)

    return executed(fixed, moving, start, by_powell, **metric)


def executed(fixed, moving, start, optimize, *, swapped=False, body=False, **metric):
    if body:
        metric["mask"] = body_mask(fixed).array > 0
    if swapped:
        return np.linalg.inv(executed(moving, fixed, np.linalg.inv(start), optimize, **metric))
    turn = sitk.Euler3DTransform()
    turn.SetCenter(fixed.grid.center.tolist())
    method = measure(fixed, **metric)
    method.SetMovingInitialTransform(sitk.AffineTransform(start[:3, :3].ravel().tolist(), start[:3, 3].tolist()))
    method.SetInitialTransform(turn, True)
    optimize(method)
    method.Execute(image_to_sitk(fixed), image_to_sitk(moving))
    return start @ transform_from_sitk(turn).matrix


def information(fixed, moving, matrix):
    """Mattes' mutual information there, nats, by the same samples for all; minus infinity where none overlap."""
    method = measure(fixed, samples=300_000)
    method.SetInitialTransform(sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist()))
    try:
        return -method.MetricEvaluate(image_to_sitk(fixed), image_to_sitk(moving))
    except RuntimeError:
        return -np.inf


def optima(fixed, moving, samples):
    """Name and matrix of each."""
    for name, settings in CLIMBS.items():
        try:
            yield name, settled(fixed, moving, climb(fixed, moving, np.eye(4), **settings), samples=samples, **settings)
        except RuntimeError as error:
            print(name, str(error).strip().splitlines()[-1])
    for name, seed in (("elastix", 4), ("greedy", 5)):
        for matrix, _ in by_peer(name, fixed, moving, [np.eye(4)]):
            if matrix is not None and np.isfinite(matrix).all():
                try:
                    yield f"mattes from {name}", settled(fixed, moving, matrix, samples=samples, seed=seed)
                except RuntimeError as error:
                    print(name, str(error).strip().splitlines()[-1])


def bones_of(ct):
    """Where the bone of a CT (cut at 300 HU) is thicker than a voxel."""
    return ndimage.binary_opening(ct.array >= 250, iterations=1)


def bone_distance(places, a, b):
    """How far two motions (4, 4) put the bones (N, 3) from each other, mean, mm."""
    return float(np.linalg.norm((np.c_[places, np.ones(len(places))] @ (a - b).T)[:, :3], axis=1).mean())


def bones(fixed, moving, told):
    """The climb around the bones of the CT (fixed) alone, and how far the others put the bones from there."""
    hard = bones_of(fixed)
    matrix = climb(fixed, moving, np.eye(4), mask=ndimage.binary_dilation(hard, iterations=6), seed=9)
    places = fixed.grid.points()[hard]
    others = told | {"header": np.eye(4)}
    return {
        "bones_optimum": matrix.tolist(),
        "bones_mm": {name: round(bone_distance(places, m, matrix), 2) for name, m in others.items()},
    }


def consensus(fixed, moving, *, ct, samples):
    found = {name: (matrix, information(fixed, moving, matrix)) for name, matrix in optima(fixed, moving, samples)}
    best = max(value for _, value in found.values())
    told = {name: matrix for name, (matrix, value) in found.items() if value > KEPT * best}
    away = {a: {b: corner_error(told[a], told[b], fixed.grid) for b in told if b != a} for a in told}
    middle = min(away, key=lambda name: np.median(list(away[name].values())))
    return {
        "reference": told[middle].tolist(),
        "is": middle,
        "samples": samples,
        "optima": {name: matrix.tolist() for name, matrix in told.items()},
        "spread_mm": float(np.median([d for row in away.values() for d in row.values()])),
        "to_reference_mm": {n: round(corner_error(m, told[middle], fixed.grid), 2) for n, (m, _) in found.items()},
        "mutual_information": {n: round(value, 4) if np.isfinite(value) else None for n, (_, value) in found.items()},
        "mutual_information_at_header": round(information(fixed, moving, np.eye(4)), 4),
        "reference_to_header_mm": corner_error(told[middle], np.eye(4), fixed.grid),
        **(bones(fixed, moving, told) if ct else {}),
        **about(),
    }


def by_way_of_ct(row, content, name, grid):
    """MR to CT to PET, where that is known better than MR to PET."""
    first, second = (content.get(name.replace("_mr_pet", end)) for end in ("_ct_mr", "_ct_pet"))
    if first is None or second is None:
        return {}
    spread = float(np.hypot(first["spread_mm"], second["spread_mm"]))
    matrix = np.array(second["reference"]) @ np.linalg.inv(first["reference"])
    away = corner_error(matrix, np.array(row["reference"]), grid)
    found = {"to_way_by_ct_mm": away, "way_by_ct_spread_mm": spread}
    if spread >= row["spread_mm"]:
        return found
    header = corner_error(matrix, np.eye(4), grid)
    return found | {
        "reference": matrix.tolist(),
        "is": "by way of the CT",
        "spread_mm": spread,
        "reference_to_header_mm": header,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS))
    parser.add_argument("--samples", type=int, default=100_000, help="when the optima settle (default: %(default)s)")
    given = parser.parse_args()
    for name in given.pairs:
        fixed, moving = (load(part) for part in PAIRS[name])
        row = consensus(fixed, moving, ct="_ct_mr" in name, samples=given.samples)
        content = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        if name.endswith("_mr_pet"):
            row |= by_way_of_ct(row, content, name, fixed.grid)
        RESULT.write_text(json.dumps(content | {name: row}, indent=1) + "\n")
        print(
            name,
            {
                k: row[k]
                for k in ("is", "spread_mm", "reference_to_header_mm", "bones_mm", "to_reference_mm")
                if k in row
            },
            flush=True,
        )


if __name__ == "__main__":
    main()
