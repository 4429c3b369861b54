"""Global rigid alignment from random starts: python benchmarks/rigid.py [--starts N] [--any-rotation] [--peers].

The moving image is turned and shifted through its header; a start counts as solved when the corners of the fixed image
end within 5 mm (on average) of the reference. The reference is the optimum of mutual information reached from the
median of all results by an independent refinement: headers of these pairs are not ground truth.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy.spatial.transform import Rotation

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from valorlib.convert.files import read_image  # noqa: E402
from valorlib.convert.simpleitk import image_to_sitk  # noqa: E402
from valorlib.core.grid import Grid  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.methods.ngf_rigid import METHOD  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", HERE.parents[1] / "shared" / "data"))
PAIRS = {
    "brain_t1_pd": ("brain/chris_t1.nii.gz", "brain/chris_PD.nii.gz"),
    "sarcoma_014_ct_mr": (
        "sarcoma_multimodal/STS_014_CT_image.nii.gz",
        "sarcoma_multimodal/STS_014_MR_T1_image.nii.gz",
    ),
}


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


def mutual_information(pair, start, *, shrink, iterations):
    """SimpleITK's own optimizer from `start`: (matrix, CPU seconds)."""
    begin = time.process_time()
    fixed, moving = image_to_sitk(pair.fixed), image_to_sitk(pair.moving)
    turn = sitk.Euler3DTransform()
    turn.SetCenter(pair.fixed.grid.center.tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(48)
    method.SetMetricSamplingStrategy(method.REGULAR)
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
    small = np.eye(4)
    small[:3, :3] = np.reshape(turn.GetMatrix(), (3, 3))
    center = np.asarray(turn.GetCenter())
    small[:3, 3] = center + np.asarray(turn.GetTranslation()) - small[:3, :3] @ center
    return start @ small, time.process_time() - begin


def corner_error(a, b, grid):
    corners = np.c_[grid.corners(), np.ones(8)]
    return float(np.linalg.norm((corners @ (a - b).T)[:, :3], axis=1).mean())


def run_pair(names, starts, *, any_rotation, peers):
    fixed, moving = (load(name) for name in names)
    rng = np.random.default_rng(42)
    options = METHOD.presets["any_rotation" if any_rotation else "default"]
    rows, ours, theirs, seconds, peer_seconds = [], [], [], [], []
    for _ in range(starts):
        away = random_start(rng, moving.grid.center, any_rotation=any_rotation)
        pair = ImagePair(fixed, Image(moving.array, Grid.from_matrix(moving.grid.size, away @ moving.grid.matrix)))
        begin = time.process_time()
        found = METHOD.run(pair, options, Run())
        seconds.append(time.process_time() - begin)
        ours.append(np.linalg.inv(away) @ found.transform.matrix)
        if peers:
            try:
                centers = np.eye(4)
                centers[:3, 3] = pair.moving.grid.center - pair.fixed.grid.center
                peer, used = mutual_information(pair, centers, shrink=[8, 4, 2], iterations=100)
            except RuntimeError:
                peer, used = np.eye(4), 0.0
            theirs.append(np.linalg.inv(away) @ peer)
            peer_seconds.append(used)
    center = ours[int(np.argmin([np.median([corner_error(a, b, fixed.grid) for b in ours]) for a in ours]))]
    reference, _ = mutual_information(ImagePair(fixed, moving), center, shrink=[2, 1], iterations=200)
    for name, found, used in (("ngf_rigid", ours, seconds), ("simpleitk_mutual_information", theirs, peer_seconds)):
        if found:
            errors = np.array([corner_error(m, reference, fixed.grid) for m in found])
            rows.append(
                {
                    "method": name,
                    "starts": starts,
                    "within_5_mm": float((errors < 5).mean()),
                    "median_mm": float(np.median(errors)),
                    "worst_mm": float(errors.max()),
                    "cpu_seconds_median": float(np.median(used)),
                }
            )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--any-rotation", action="store_true")
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--pairs", nargs="*", default=list(PAIRS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    name = "rigid_any" if args.any_rotation else "rigid"
    path = HERE / "results" / f"{name}.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    for pair in args.pairs:
        found[pair] = run_pair(PAIRS[pair], args.starts, any_rotation=args.any_rotation, peers=args.peers)
        print(pair, json.dumps(found[pair], indent=1))
        path.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
