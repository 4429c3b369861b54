"""Two-dimensional pairs: python benchmarks/flat.py; results/flat.json.

Histology: two stains of neighboring sections of a rat kidney, 69 landmarks, inverted so that the glass is dark. ITK's
brain slices: the file names tell the turn (about the middle of the picture) and the shift. Where they really are
is found by ITK itself: least mean squares of the pair of one contrast, no code of ours. Lengths in pixels. Settings of
the histology preset came from trials on this histology pair; the brain slices were used for no setting.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from run import about  # noqa: E402

from valorlib.catalog import load  # noqa: E402
from valorlib.convert.files import read_image  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run, silent  # noqa: E402
from valorlib.core.transforms import AffineTransform  # noqa: E402
from valorlib.ops.overlap import rigid_start  # noqa: E402
from valorlib.ops.resample import resample_image  # noqa: E402
from valorlib.ops.transforms import map_points  # noqa: E402
from valorlib.solve.linear import affine_start  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", HERE.parents[1] / "shared" / "data")) / "2d"
RESULT = HERE / "results" / "flat.json"
SAME_CONTRAST = "BrainProtonDensitySliceBorder20"
SLICES = {  # moving file: turn (degrees), shift (x, y)
    "BrainProtonDensitySliceShifted13x17y": (0.0, (13.0, 17.0)),
    "BrainProtonDensitySliceRotated10": (10.0, (0.0, 0.0)),
    "BrainProtonDensitySliceR10X13Y17": (10.0, (13.0, 17.0)),
}


def marks(name):
    table = np.genfromtxt(DATA / "histology" / f"{name}.csv", delimiter=",", skip_header=1)
    return np.c_[table[:, 1:3], np.zeros(len(table))]


def spread(errors):
    return {
        "mean_px": float(errors.mean()),
        "median_px": float(np.median(errors)),
        "p90_px": float(np.percentile(errors, 90)),
        "worst_px": float(errors.max()),
    }


def histology():
    names = "Rat-Kidney_HE", "Rat-Kidney_PanCytokeratin"
    images = [read_image(DATA / "histology" / f"{name}.jpg") for name in names]
    images = [Image(255 - image.array, image.grid) for image in images]
    a, b = (marks(name) for name in names)
    count = min(len(a), len(b))
    a, b = a[:count], b[:count]

    def row(found, seconds, **more):
        return {**spread(np.linalg.norm((map_points(found, a) - b)[:, :2], axis=1)), "cpu_seconds": seconds, **more}

    rows = {"start": row(AffineTransform.identity(), 0.0)}
    fit = np.linalg.lstsq(np.c_[a[:, :2], np.ones(count)], b[:, :2], rcond=None)[0]
    best = np.linalg.norm(np.c_[a[:, :2], np.ones(count)] @ fit - b[:, :2], axis=1)
    rows["affine fitted to the landmarks"] = {**spread(best), "cpu_seconds": 0.0}
    begin = time.process_time()
    rigid = rigid_start(*images, Run())
    rows["rigid"] = row(rigid, time.process_time() - begin)
    affine = affine_start(*images, rigid, silent)
    rows["affine"] = row(affine, time.process_time() - begin)
    method = load("compositive")
    begin = time.process_time()
    result = method.run(ImagePair(*images), method.presets["histology_2d"], Run())
    rows["compositive:histology_2d"] = row(
        result.transform, time.process_time() - begin, warnings=list(result.warnings)
    )
    return rows


def named(center, turn_deg, shift):
    """What the file's name says: a turn about the middle, then a shift."""
    c, s = np.cos(np.radians(turn_deg)), np.sin(np.radians(turn_deg))
    matrix = np.eye(4)
    matrix[:2, :2] = [[c, -s], [s, c]]
    matrix[:2, 3] = center[:2] + shift - (matrix[:3, :3] @ center)[:2]
    return matrix


def least_squares(moving_name, turn_deg, shift):
    """Turn (degrees) and shift of the middle at ITK's least mean squares, from what the file's name says."""
    paths = [str(DATA / "itk_brain" / f"{name}.png") for name in (SAME_CONTRAST, moving_name)]
    fixed, moving = (sitk.ReadImage(path, sitk.sitkFloat32) for path in paths)
    turn = sitk.Euler2DTransform()
    turn.SetCenter([(n - 1) / 2 for n in fixed.GetSize()])
    turn.SetAngle(float(np.radians(turn_deg)))
    turn.SetTranslation(shift)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMeanSquares()
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    method.SetInitialTransform(turn, True)
    method.SetOptimizerAsRegularStepGradientDescent(1.0, 1e-5, 500, 0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([4, 2, 1])
    method.SetSmoothingSigmasPerLevel([4.0, 2.0, 0.0])
    method.Execute(fixed, moving)
    return float(np.degrees(turn.GetAngle())), np.array(turn.GetTranslation())


def difference(fixed, moving, matrix):
    """Mean squared difference of gray values; means something within one contrast."""
    return float(((resample_image(moving, fixed.grid, AffineTransform(matrix)).array - fixed.array) ** 2).mean())


def brain(fixed_name):
    fixed = read_image(DATA / "itk_brain" / f"{fixed_name}.png")
    rows = {}
    for name, (turn_deg, shift) in SLICES.items():
        moving = read_image(DATA / "itk_brain" / f"{name}.png")
        begin = time.process_time()
        found = rigid_start(fixed, moving, Run()).matrix
        seconds = time.process_time() - begin
        angle = np.degrees(np.arctan2(found[1, 0], found[0, 0]))
        center = fixed.grid.center
        there = (found[:3, :3] @ center + found[:3, 3] - center)[:2]
        best_deg, best_shift = least_squares(name, turn_deg, shift)
        rows[name] = {
            "turn_deg": float(angle),
            "shift_px": there.tolist(),
            "turn_error_to_name_deg": float(abs(angle - turn_deg)),
            "shift_error_to_name_px": float(np.linalg.norm(there - shift)),
            "turn_error_to_itk_deg": float(abs(angle - best_deg)),
            "shift_error_to_itk_px": float(np.linalg.norm(there - best_shift)),
            "itk": {"turn_deg": best_deg, "shift_px": best_shift.tolist()},
            "squared_difference": {
                "found": difference(fixed, moving, found),
                "named": difference(fixed, moving, named(center, turn_deg, shift)),
                "itk": difference(fixed, moving, named(center, best_deg, best_shift)),
            },
            "cpu_seconds": seconds,
        }
    return rows


def main():
    torch.set_num_threads(1)
    content = {"histology": histology()}
    for fixed in (SAME_CONTRAST, "BrainT1SliceBorder20"):
        content[f"itk_brain {fixed}"] = brain(fixed)
    RESULT.write_text(json.dumps(content | about(), indent=1) + "\n")
    for case, rows in content.items():
        for name, row in rows.items():
            print(case, name, {k: np.round(v, 2).tolist() for k, v in row.items() if not isinstance(v, dict | list)})


if __name__ == "__main__":
    main()
