"""When does the library doubt a registration? python benchmarks/alarms.py [--cases PREFIX ...]; results/alarms.json.

Registrations of known quality, good and bad, with the sentences of the shared check (`valorlib.ops.plausibility`) and
the error. Its thresholds were chosen by looking at the prostate and sarcoma cases and at breasts 1000, 1005, 1015 and
1018; the others are a test.
Prostate: two landmarks a case inside the gland; MR carried onto ultrasound, scales as the files have them.
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
sys.path[:0] = [str(HERE.parent), str(HERE)]

from cases import image_cases  # noqa: E402
from run import about  # noqa: E402

from valorlib.catalog import load  # noqa: E402
from valorlib.convert.files import read_image  # noqa: E402
from valorlib.core.errors import InputError  # noqa: E402
from valorlib.core.grid import Grid  # noqa: E402
from valorlib.core.images import Image, LabelMap  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.core.transforms import AffineTransform  # noqa: E402
from valorlib.metrics.folding import fold_summary  # noqa: E402
from valorlib.ops.overlap import label_start  # noqa: E402
from valorlib.ops.transforms import map_points  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", HERE.parents[1] / "shared" / "data"))
RESULT = HERE / "results" / "alarms.json"


def prostate(number):
    """Ultrasound (fixed) and MR with their gland; a function from transform to landmark errors, mm."""
    stem = DATA / "prostate_mr_us" / f"case{number}"
    images, glands, marks = [], [], []
    for kind in ("us", "mr"):
        image = read_image(Path(f"{stem}_{kind}_images.nii.gz"))
        labels = sitk.GetArrayFromImage(sitk.ReadImage(f"{stem}_{kind}_labels.nii.gz")) > 0.5
        images.append(image)
        glands.append(LabelMap(labels[0].astype(np.int32), image.grid))
        marks.append(np.array([image.grid.to_world(np.argwhere(one).mean(0)[::-1]) for one in labels[1:]]))
    pair = ImagePair(*images, fixed_labels=glands[0], moving_labels=glands[1])
    return pair, lambda transform: np.linalg.norm(map_points(transform, marks[0]) - marks[1], axis=1)


def sarcoma(number):
    """MR (fixed) and CT of one patient, CT turned by 3 degrees and shifted by 8.8 mm; errors against the headers."""
    stem = str(DATA / "sarcoma_multimodal" / f"STS_{number}")
    mr, ct = read_image(f"{stem}_MR_T1_image.nii.gz"), read_image(f"{stem}_CT_image.nii.gz")
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [1.5, -2.0, 1.7], degrees=True).as_matrix()
    motion[:3, 3] = mr.grid.center - motion[:3, :3] @ mr.grid.center + (6.0, -5.0, 4.0)
    moved = Image(np.clip(ct.array, -200, 300), Grid.from_matrix(ct.grid.size, motion @ ct.grid.matrix), "CT")
    points = mr.grid.points()[::6, ::12, ::12].reshape(-1, 3)
    truth = map_points(AffineTransform(motion), points)
    return ImagePair(mr, moved), lambda transform: np.linalg.norm(map_points(transform, points) - truth, axis=1)


def brain_t1_pd():
    """T1 and PD of one brain; no truth here (rigid.json has it for the same pair)."""
    pair = ImagePair(read_image(DATA / "brain" / "chris_t1.nii.gz"), read_image(DATA / "brain" / "chris_PD.nii.gz"))
    return pair, None


def row(pair, error, method_name, preset, score=None):
    """Of one run; `error` tells the distances of a transform at the marks, `score` numbers of a displacement."""
    method = load(method_name)
    begin = time.process_time()
    try:
        result = method.run(pair, method.presets[preset], Run())
    except InputError as refusal:
        return {"method": f"{method_name}:{preset}", "refused": str(refusal)}
    found = {
        "method": f"{method_name}:{preset}",
        "cpu_seconds": time.process_time() - begin,
        "warnings": list(result.warnings),
        "evidence": result.record["evidence"],
        "folds": fold_summary(result.displacement).strict_count,
    }
    if error is not None:
        start = pair.start or AffineTransform.identity()
        found |= {"start_mm": float(error(start).mean()), "end_mm": float(error(result.transform).mean())}
    if score is not None:
        told = score(result.displacement)
        found |= {SCORES[key]: value for key, value in told.items() if key in SCORES}
    return found


IMAGE_ONLY = [("compositive", "mr_ultrasound"), ("compositive", "multimodal"), ("ngf_rigid", "default"),
              ("convex_adam", "default"), ("valor", "multimodal")]  # fmt: skip


def prostate_rows(number):
    pair, error = prostate(number)
    centers = np.eye(4)
    centers[:3, 3] = pair.moving.grid.center - pair.fixed.grid.center
    start = AffineTransform(centers)
    plain = ImagePair(pair.fixed, pair.moving, start=start)
    rows = [row(plain, error, *what) for what in IMAGE_ONLY]
    guided = ImagePair(
        pair.fixed, pair.moving, fixed_labels=pair.fixed_labels, moving_labels=pair.moving_labels, start=None
    )
    middle = label_start(pair.fixed_labels, pair.moving_labels)
    rows.append({"method": "middles of the outlines alone", "start_mm": float(error(start).mean()),
                 "end_mm": float(error(middle).mean())})  # fmt: skip
    rows.append(row(guided, error, "convex_adam", "outlines") | {"start_mm": float(error(start).mean())})
    return rows


SCORES = {"error_mean_mm": "end_mm", "landmark_mean_mm": "end_mm", "start_mm": "start_mm", "dice": "dice"}


def made_rows(name, *methods):
    case = image_cases()[name]()
    return [row(case.pair, None, *method.split(":"), case.score) for method in methods]


CASES = {f"prostate_{n}": (lambda n=n: prostate_rows(n)) for n in ("00", "01", "03")}
CASES |= {
    f"sarcoma_{n}_mr_ct": (lambda n=n: [row(*sarcoma(n), *what) for what in (("ngf_rigid", "default"),
                                                                            ("valor", "multimodal"))])
    for n in ("003", "006", "014")
}  # fmt: skip
CASES["brain_t1_pd"] = lambda: [row(*brain_t1_pd(), "ngf_rigid", "default")]
MADE = {  # what ran on pairs with a known answer; log_demons is led astray by the shading of the breast pairs
    "phantom": ("compositive:default", "log_demons:default"),
    "breast_1000": ("valor:quick", "convex_adam:default", "voxelmorph_pp:default", "log_demons:default"),
    "breast_1005": ("valor:quick", "log_demons:default"),
    "breast_1015": ("valor:quick", "log_demons:default"),
    "breast_1018": ("valor:quick", "log_demons:default"),
    "breast_1003": ("valor:quick", "log_demons:default"),
    "breast_1009": ("valor:quick", "convex_adam:default", "log_demons:default"),
    "breast_1012": ("valor:quick", "voxelmorph_pp:default", "log_demons:default"),
    "lung_smooth": ("compositive:lung_ct_lungs",),
    "brain_forward": ("compositive:brain_mr_draft",),
}
CASES |= {name: (lambda name=name, methods=methods: made_rows(name, *methods)) for name, methods in MADE.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="*", default=[""], help="names or beginnings of names")
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name, make in CASES.items():
        if not name.startswith(tuple(given.cases)):
            continue
        rows = make()
        content = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        content[name] = {"rows": rows, **about()}
        RESULT.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
        for one in rows:
            ends = {k: round(v, 2) for k, v in one.items() if isinstance(v, float)}
            print(name, one["method"], ends, len(one.get("warnings", [])), one.get("refused", ""), flush=True)


if __name__ == "__main__":
    main()
