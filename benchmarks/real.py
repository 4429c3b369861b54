"""What `valor` reaches on real scans: tumor Dice, error at known points, volume change; written to results/real.json.

python benchmarks/real.py [DATA FOLDER] [--by-hand]: with --by-hand only the masks from a click and a drag,
merged into the JSON that is there.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import torch
from run import about
from scipy.ndimage import distance_transform_edt
from scipy.spatial.transform import Rotation

from valorlib.catalog import load
from valorlib.convert.files import read_image, read_labels
from valorlib.convert.provenance import versions
from valorlib.convert.results import complete, plain
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.points import Seeds
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.demo_fields import spline_displacement
from valorlib.metrics.folding import fold_summary
from valorlib.metrics.overlap import overlap
from valorlib.metrics.volume import volume_ml
from valorlib.ops.overlap import body_mask
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.ops.selective import SelectiveOptions, segment
from valorlib.ops.transforms import map_points

WORDS = [word for word in sys.argv[1:] if not word.startswith("-")]
DATA = Path(WORDS[0] if WORDS else os.environ.get("VALOR_DATA", "../shared/data"))
PIXEL_MM = 0.66  # the slices carry no spacing; a 340 mm field of view in 512 pixels
RESULT = Path(__file__).parent / "results" / "real.json"


def dice(a: LabelMap, b: LabelMap) -> float:
    return overlap(a.array > 0, b.array > 0).dice


def deepest(mask: LabelMap) -> Seeds:
    """One click in the innermost voxel of a mask."""
    depth = distance_transform_edt(mask.array > 0, sampling=mask.grid.spacing[::-1])
    at = np.unravel_index(int(depth.argmax()), depth.shape)[::-1]
    return Seeds(mask.grid.to_world([at]), np.array([1]), "moving")


def found_by_hand(image: Image, mask: LabelMap) -> dict:
    """Dice and alarm of one click, and of one drag from the middle of the outline to its farthest point."""
    points = mask.grid.to_world(np.argwhere(mask.array > 0)[:, ::-1])
    middle = points.mean(axis=0)
    end = points[np.linalg.norm(points - middle, axis=1).argmax()]
    drag = SelectiveOptions(extent_at_mm=tuple(map(float, middle)), extent_to_mm=tuple(map(float, end)))
    found = {}
    for name, options in (("click", SelectiveOptions()), ("drag", drag)):
        result = segment(image, deepest(mask), options, Run())
        tumor = result.record["tumors"]["1"]
        found[name] = {"dice": round(dice(result.labels, mask), 3), "alarm": tumor["leak_alarm"]}
    return found


def progression_by_hand(number: str) -> dict:
    stem = str(DATA / "brain" / "tumor_progression" / f"case{number}")
    return {
        visit: found_by_hand(read_image(f"{stem}_{visit}_Scan_T1.nii.gz"), read_labels(f"{stem}_{visit}_Mask.nii.gz"))
        for visit in ("Pre", "Post")
    }


def sarcoma_by_hand(number: str) -> dict:
    stem = str(DATA / "sarcoma_multimodal" / f"STS_{number}")
    return {"MR": found_by_hand(read_image(f"{stem}_MR_T1_image.nii.gz"), read_labels(f"{stem}_MR_T1_mask.nii.gz"))}


def errors(found, truth, points):
    """Distances between mapped points, mm: before, after."""
    there = truth(points)
    before, after = np.linalg.norm(points - there, axis=1), np.linalg.norm(map_points(found, points) - there, axis=1)
    names = ("mean", "median", "p95")
    measures = (np.mean, np.median, lambda e: np.percentile(e, 95))
    return {f"{when}_{n}_mm": float(m(e)) for when, e in (("before", before), ("after", after))
            for n, m in zip(names, measures, strict=True)}  # fmt: skip


def register(pair, preset):
    method = load("valor")
    start = time.process_time()
    result = method.run(pair, method.presets[preset], Run())
    seconds = time.process_time() - start
    folds = fold_summary(complete(pair, result).displacement)
    return result, {
        "preset": preset,
        "cpu_s": round(seconds, 2),
        "folds": folds.strict_count,
        "sd_log_jacobian": folds.sd_log_jacobian,
        "warnings": list(result.warnings),
    }


def progression(number: str) -> dict:
    """Two visits; the tumor grew or shrank, so the carried mask cannot reach 1."""
    folder = DATA / "brain" / "tumor_progression"
    scans = {v: read_image(folder / f"case{number}_{v}_Scan_T1.nii.gz") for v in ("Pre", "Post")}
    masks = {v: read_labels(folder / f"case{number}_{v}_Mask.nii.gz") for v in ("Pre", "Post")}
    seeds = deepest(masks["Pre"])
    result, row = register(ImagePair(scans["Post"], scans["Pre"], seeds), "longitudinal")
    carried = resample_labels(masks["Pre"], masks["Post"].grid, result.transform)
    volumes = [volume_ml(masks[v], masks[v].labels[0]) for v in ("Pre", "Post")]
    row.update(
        true_mask_dice_before=dice(resample_labels(masks["Pre"], masks["Post"].grid), masks["Post"]),
        true_mask_dice_after=dice(carried, masks["Post"]),
        segmented_dice_pre=dice(result.moving_seg, masks["Pre"]),
        segmented_dice_post=dice(result.fixed_seg, masks["Post"]),
        true_change_pct=100 * (volumes[1] / volumes[0] - 1),
        found_change_pct=100 * (volume_ml(result.fixed_seg, 1) / max(volume_ml(result.moving_seg, 1), 1e-6) - 1),
    )
    row["segmented"] = progression_by_hand(number)
    return {"case": f"tumor_progression_{number}", **row}


def sarcoma(number: str) -> dict:
    """MR and CT of one patient, aligned in the source; the CT is turned by 3 degrees and shifted by 8.8 mm."""
    stem = str(DATA / "sarcoma_multimodal" / f"STS_{number}")
    mr, ct = read_image(f"{stem}_MR_T1_image.nii.gz"), read_image(f"{stem}_CT_image.nii.gz")
    mr_mask, ct_mask = read_labels(f"{stem}_MR_T1_mask.nii.gz"), read_labels(f"{stem}_CT_mask.nii.gz")
    motion = np.eye(4)
    motion[:3, :3] = Rotation.from_euler("xyz", [1.5, -2.0, 1.7], degrees=True).as_matrix()
    motion[:3, 3] = mr.grid.center - motion[:3, :3] @ mr.grid.center + (6.0, -5.0, 4.0)
    moved = Grid.from_matrix(ct.grid.size, motion @ ct.grid.matrix)
    ct, ct_mask = Image(ct.array, moved, "CT"), LabelMap(ct_mask.array, moved)
    result, row = register(ImagePair(mr, ct), "multimodal")
    rng = np.random.default_rng(0)
    truth = AffineTransform(motion)
    for name, mask in (("tumor", mr_mask.array > 0), ("body", body_mask(mr).array > 0)):
        voxels = np.argwhere(mask)
        points = mr.grid.to_world(voxels[rng.permutation(len(voxels))[:300], ::-1])
        row[f"{name}_points"] = errors(result.transform, lambda p: map_points(truth, p), points)
    row["true_mask_dice_before"] = dice(resample_labels(ct_mask, mr.grid), mr_mask)
    row["true_mask_dice_after"] = dice(resample_labels(ct_mask, mr.grid, result.transform), mr_mask)
    row["true_mask_dice_at_truth"] = dice(resample_labels(ct_mask, mr.grid, truth), mr_mask)
    row["segmented"] = sarcoma_by_hand(number)
    return {"case": f"sarcoma_{number}_mr_ct", **row}


def duke(name: str, seed: int) -> dict:
    """A slice before contrast against the slice after contrast, pulled through a known field in the plane."""
    scans = [read_image(DATA / "breast" / f"{name}_{phase}.png") for phase in ("pre", "post1")]
    grid = Grid(scans[0].grid.size, (PIXEL_MM, PIXEL_MM, 1.0))
    before, after = (Image(scan.array, grid) for scan in scans)
    tumor = LabelMap(read_labels(DATA / "breast" / f"{name}_tumour.png").array, grid)
    rng = np.random.default_rng(seed)
    u = spline_displacement(before.grid, rng, 60.0)
    u[..., 2] = 0
    u *= 5.0 / np.linalg.norm(u, axis=-1).mean()
    truth = DisplacementField(u.astype(np.float32), before.grid)
    fixed = resample_image(after, before.grid, truth)
    fixed_tumor = resample_labels(tumor, before.grid, truth)
    result, row = register(ImagePair(fixed, before, deepest(tumor)), "default")
    for label, mask in (("tumor", fixed_tumor.array > 0), ("body", body_mask(fixed).array > 0)):
        voxels = np.argwhere(mask)
        points = before.grid.to_world(voxels[rng.permutation(len(voxels))[:300], ::-1])
        row[f"{label}_points"] = errors(result.transform, lambda p: map_points(truth, p), points)
    row["true_mask_dice_before"] = dice(tumor, fixed_tumor)
    row["true_mask_dice_after"] = dice(resample_labels(tumor, before.grid, result.transform), fixed_tumor)
    return {"case": name, "note": f"pixels taken as {PIXEL_MM} mm", **row}


def by_hand() -> None:
    """Masks from a click and a drag, merged into the JSON."""
    record = json.loads(RESULT.read_text(encoding="utf-8"))
    for row in record["cases"]:
        for start, work in (("tumor_progression_", progression_by_hand), ("sarcoma_", sarcoma_by_hand)):
            if row["case"].startswith(start):
                row["segmented"] = work(row["case"].removeprefix(start).split("_")[0])
                row["segmented"]["commit"] = about()["commit"]
                print(row["case"], row["segmented"], flush=True)
    RESULT.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    torch.set_num_threads(1)
    if "--by-hand" in sys.argv:
        by_hand()
        return
    jobs = [(duke, n, s) for s, n in enumerate(("duke041_ax85", "duke045_ax119", "duke228_ax"))]
    jobs += [(progression, n) for n in ("01", "04", "05", "07")] + [(sarcoma, n) for n in ("003", "006", "014")]
    rows = []
    for job, *words in jobs:
        try:
            rows.append(job(*words))
        except Exception as error:
            rows.append({"case": f"{job.__name__}_{words[0]}", "failed": f"{type(error).__name__}: {error}"})
        print(json.dumps(plain(rows[-1])), flush=True)
        about_it = {"command": "python benchmarks/real.py", "commit": about()["commit"], "versions": versions()}
        record = {**about_it, "cases": rows}
        RESULT.write_text(json.dumps(plain(record), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
