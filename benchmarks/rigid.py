"""Global rigid alignment from random starts: python benchmarks/rigid.py [--methods ...] [--pairs ...] [--starts N].

The moving image is turned and shifted through its header: up to 30 degrees an axis and 40 mm, or with --any-rotation
any turn and 80 mm. A start counts as solved when the corners of the fixed image end within 5 mm (on average) of the
reference. Headers of these pairs are not ground truth; the reference is the middle of eight optima of other programs,
made by `rigid_reference.py`, which must run first; pairs it did not run on are judged by their headers. Results are
merged into results/rigid.json (rigid_any.json).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

from run import about, one_thread  # noqa: E402

from valorlib.convert.files import read_image, write_image  # noqa: E402
from valorlib.convert.simpleitk import image_to_sitk, transform_from_sitk  # noqa: E402
from valorlib.core.grid import Grid  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.methods.ngf_rigid import METHOD  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", HERE.parents[1] / "shared" / "data"))
PAIRS = {"brain_t1_pd": ("brain/chris_t1.nii.gz", "brain/chris_PD.nii.gz")}
for _number in ("014", "003", "006"):
    _stem = f"sarcoma_multimodal/STS_{_number}"
    for _first, _second in (("CT", "MR_T1"), ("CT", "PET"), ("MR_T1", "PET")):
        _name = f"sarcoma_{_number}_{_first}_{_second}".lower().replace("_t1", "")
        PAIRS[_name] = (f"{_stem}_{_first}_image.nii.gz", f"{_stem}_{_second}_image.nii.gz")
SEED = 42  # settings were chosen with seed 7 on brain_t1_pd, sarcoma_003_ct_mr and sarcoma_006_ct_mr


def load(name):
    image = read_image(DATA / name)
    return Image(np.clip(image.array, -200, 300), image.grid, image.name) if "_CT_" in name else image


def random_start(rng, center, *, any_rotation):
    """A rigid motion about `center`: 30 degrees and 40 mm each axis, or any rotation and 80 mm."""
    m = np.eye(4)
    if any_rotation:
        m[:3, :3] = Rotation.random(random_state=rng).as_matrix()
    else:
        m[:3, :3] = Rotation.from_euler("xyz", rng.uniform(-30, 30, 3), degrees=True).as_matrix()
    reach = 80 if any_rotation else 40
    m[:3, 3] = center + rng.uniform(-reach, reach, 3) - m[:3, :3] @ center
    return m


def moved(image, away):
    return Image(image.array, Grid.from_matrix(image.grid.size, away @ image.grid.matrix), image.name)


def mutual_information(pair, start, *, shrink, iterations):
    """SimpleITK's own optimizer from `start`: the matrix."""
    fixed, moving = image_to_sitk(pair.fixed), image_to_sitk(pair.moving)
    turn = sitk.Euler3DTransform()
    turn.SetCenter(pair.fixed.grid.center.tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.RANDOM)
    method.SetMetricSamplingPercentage(0.1, 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    method.SetMovingInitialTransform(sitk.AffineTransform(start[:3, :3].ravel().tolist(), start[:3, 3].tolist()))
    method.SetInitialTransform(turn, True)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-3, iterations, 0.7)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel(shrink)
    method.SetSmoothingSigmasPerLevel([float(s) / 2 if s > 1 else 0.0 for s in shrink])
    method.Execute(fixed, moving)
    return start @ transform_from_sitk(turn).matrix


def corner_error(a, b, grid):
    corners = np.c_[grid.corners(), np.ones(8)]
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).mean())


def by_ngf(fixed, moving, starts, options):
    for away in starts:
        begin = time.process_time()
        found = METHOD.run(ImagePair(fixed, moved(moving, away)), options, Run())
        yield found.transform.matrix, time.process_time() - begin


def by_simpleitk(fixed, moving, starts):
    for away in starts:
        pair = ImagePair(fixed, moved(moving, away))
        begin = time.process_time()
        centers = np.eye(4)
        centers[:3, 3] = pair.moving.grid.center - pair.fixed.grid.center
        try:
            found = mutual_information(pair, centers, shrink=[8, 4, 2], iterations=100)
        except RuntimeError:
            found = None
        yield found, time.process_time() - begin


def by_peer(name, fixed, moving, starts):
    with tempfile.TemporaryDirectory() as folder:
        paths = [str(Path(folder) / part) for part in ("fixed.nii", "moving.nii", "starts.json", "found.json")]
        write_image(fixed, Path(paths[0]))
        write_image(moving, Path(paths[1]))
        Path(paths[2]).write_text(json.dumps([away.tolist() for away in starts]))
        python = HERE.parent / "build" / "peers" / name / "bin" / "python"
        subprocess.run([python, HERE / "peers" / "rigid_peer.py", name, *paths], check=True, env=one_thread())
        for row in json.loads(Path(paths[3]).read_text()):
            yield (np.array(row["matrix"]) if row["matrix"] else None), row["cpu_seconds"]


def numbers(found, seconds, known, grid):
    """Of one method: `found` are fixed to unmoved moving, None where it gave up; `known`: the pair's reference."""

    def errors_to(matrices):
        """Of each to the nearest of these."""
        return np.array([np.inf if m is None else min(corner_error(m, t, grid) for t in matrices) for m in found])

    errors, header = errors_to([np.array(known["reference"])]), errors_to([np.eye(4)])
    nearest = errors_to([np.array(m) for m in known.get("optima", {"reference": known["reference"]}).values()])
    among = [errors_to([m]) for m in found if m is not None]
    used = [s for s in seconds if s is not None]
    return {
        "starts": len(found),
        "within_5_mm": float((errors < 5).mean()),
        "within_10_mm": float((errors < 10).mean()),
        "median_mm": float(np.median(errors)),
        "worst_mm": float(errors.max()) if np.isfinite(errors).all() else None,
        "median_to_header_mm": float(np.median(header)),
        "median_to_nearest_optimum_mm": float(np.median(nearest)),
        "median_among_themselves_mm": float(np.median(among)) if among else None,
        "errors_mm": [round(float(e), 2) if np.isfinite(e) else None for e in errors],
        "cpu_seconds_median": float(np.median(used)),
        "cpu_seconds_worst": float(max(used)),
        **about(),
    }


def to_bones(found, known, fixed):
    """Median distance of the bones from where the climb around them alone puts them, mm."""
    from rigid_reference import bone_distance, bones_of

    places, best = fixed.grid.points()[bones_of(fixed)], np.array(known["bones_optimum"])
    return float(np.median([np.inf if m is None else bone_distance(places, m, best) for m in found]))


def run_pair(name, method, count, content, *, any_rotation):
    fixed, moving = (load(part) for part in PAIRS[name])
    rng = np.random.default_rng(SEED)
    starts = [random_start(rng, moving.grid.center, any_rotation=any_rotation) for _ in range(count)]
    if method == "ngf_rigid":
        runs = by_ngf(fixed, moving, starts, METHOD.presets["any_rotation" if any_rotation else "default"])
    elif method == "simpleitk":
        runs = by_simpleitk(fixed, moving, starts)
    else:
        runs = by_peer(method, fixed, moving, starts)
    found, seconds = [], []
    for away, (matrix, used) in zip(starts, runs, strict=True):
        found.append(None if matrix is None else np.linalg.inv(away) @ matrix)
        seconds.append(used)
    header = np.eye(4).tolist()
    unknown = {"reference": header, "optima": {"header": header}, "spread_mm": None, "reference_to_header_mm": 0.0}
    known = json.loads((HERE / "results" / "rigid_reference.json").read_text()).get(name, unknown)
    here = content.setdefault(name, {"methods": {}})
    here |= {"reference_spread_mm": known["spread_mm"], "reference_to_header_mm": known["reference_to_header_mm"]}
    here["methods"][method] = numbers(found, seconds, known, fixed.grid)
    if "bones_optimum" in known:
        here["methods"][method]["median_to_bones_optimum_mm"] = to_bones(found, known, fixed)
    return here


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=60)
    parser.add_argument("--any-rotation", action="store_true")
    parser.add_argument("--methods", nargs="*", default=["ngf_rigid", "elastix", "greedy", "simpleitk"])
    parser.add_argument("--pairs", nargs="*", default=["brain_t1_pd", "sarcoma_014_ct_mr"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    path = HERE / "results" / ("rigid_any.json" if args.any_rotation else "rigid.json")
    for pair in args.pairs:
        for method in args.methods:
            content = json.loads(path.read_text()) if path.exists() else {}
            here = run_pair(pair, method, args.starts, content, any_rotation=args.any_rotation)
            # Another process may have written meanwhile: only this method's entry is ours.
            now = json.loads(path.read_text()) if path.exists() else {}
            row = here.pop("methods")[method]
            now[pair] = {**here, "methods": {**now.get(pair, {}).get("methods", {}), method: row}}
            path.write_text(json.dumps(now, indent=1) + "\n")
            shown = {k: row[k] for k in ("within_5_mm", "median_mm", "worst_mm", "cpu_seconds_median")}
            print(pair, method, shown, flush=True)


if __name__ == "__main__":
    main()
