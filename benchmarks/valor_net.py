"""VALOR-Net, default and as printed, beside `valor`, on the same generated slices with a known in-plane motion.

    python benchmarks/valor_net.py [--cases 2] [--epochs 100]
    python benchmarks/valor_net.py --paper-epochs 3

Writes benchmarks/results/valor_net.json. Small on purpose (96 x 96 pixels, 2 slices, width 16), so that it ends within
five minutes on one core; the paper trains 320 x 320 pixels at width 32 for 200 epochs. The second command runs a few
epochs at that size, one slice, and says what 200 would cost by the seconds an epoch takes. The motion is in-plane,
which is all that VALOR-Net can follow.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from valorlib.catalog import load  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.core.transforms import DisplacementField  # noqa: E402
from valorlib.demo import make_pair  # noqa: E402
from valorlib.methods.valor_net import AS_PRINTED, ValorNetOptions  # noqa: E402
from valorlib.metrics.similarity import ncc  # noqa: E402
from valorlib.ops.leak import dice  # noqa: E402
from valorlib.ops.resample import resample_image  # noqa: E402
from valorlib.ops.slice_block import block_grid  # noqa: E402
from valorlib.ops.transforms import map_points, to_displacement  # noqa: E402

CROP_MM, PIXELS, SLICES = 32.0, 96, 2


def in_plane_pair(seed):
    """The 3T scan, and a scan of it moved within its slices, with another contrast, shading and noise of its own."""
    case = make_pair(seed, lesions=1, kind="bright")
    moving, rng = case.pair.moving, np.random.default_rng([seed, 5])
    grid = moving.grid
    waves = ndimage.gaussian_filter(rng.standard_normal((2, *grid.shape)), (0, 6, 12, 12))
    waves *= 3.0 / np.sqrt((waves**2).sum(0).mean())
    axes = np.asarray(grid.direction)
    u_mm = waves[0][..., None] * axes[:, 0] + waves[1][..., None] * axes[:, 1]
    truth = DisplacementField(u_mm, grid)
    calm = Image(ndimage.gaussian_filter(moving.array, 0.5), grid)
    moved = resample_image(calm, grid, truth).array / 1000
    shading = np.exp(0.4 * ndimage.gaussian_filter(rng.standard_normal(grid.shape), 25) * 25)
    noisy = np.hypot(
        moved**0.8 * shading + 0.02 * rng.standard_normal(grid.shape), 0.02 * rng.standard_normal(grid.shape)
    )
    return ImagePair(Image(1000 * noisy, grid, "fixed"), moving, case.pair.seeds), truth, case.moving_tumors


def places_of(pair, truth, tumors, rng):
    """Points at edges and in the tumor, within the slices VALOR-Net sees: fixed places, true places, in tumor."""
    block, _ = block_grid(pair.fixed.grid, pair.seeds.points, slices=SLICES, pixels=PIXELS, crop_mm=CROP_MM)
    grid = pair.fixed.grid
    slope = ndimage.gaussian_gradient_magnitude(pair.fixed.array, 1.0)
    points = grid.points().reshape(-1, 3)
    index = block.to_index(points)
    margin = (index >= 4) & (index <= np.asarray(block.size) - 5)
    near = margin[:, 0] & margin[:, 1] & (index[:, 2] > -0.5) & (index[:, 2] < block.size[2] - 0.5)
    edges = near & (slope.ravel() > np.percentile(slope.ravel()[near], 85))
    chosen = points[edges][rng.permutation(int(edges.sum()))[:300]]
    there = map_points(truth, chosen)
    at = np.clip(
        np.round(tumors.grid.to_index(map_points(truth, points[near]))).astype(int), 0, np.asarray(grid.size) - 1
    )
    inner = points[near][tumors.array[at[:, 2], at[:, 1], at[:, 0]] > 0]
    return block, chosen, there, inner


def judge(pair, truth, tumors, transform, places):
    block, here, there, inner = places
    field = to_displacement(transform, block)
    warped = resample_image(pair.moving, block, transform)
    fixed = resample_image(pair.fixed, block)
    u = field.array @ np.asarray(block.direction) / np.asarray(block.spacing)
    jj, ji = (np.gradient(u[..., 1], axis=axis) for axis in (1, 2))
    ij, ii = (np.gradient(u[..., 0], axis=axis) for axis in (1, 2))
    tumor = np.linalg.norm(map_points(transform, inner) - map_points(truth, inner), axis=1)
    return {
        "landmark_mm": round(float(np.linalg.norm(map_points(transform, here) - there, axis=1).mean()), 3),
        "tumor_mm": round(float(tumor.mean()), 3),
        "folded_share": round(float(np.mean((1 + jj) * (1 + ii) - ji * ij <= 0)), 5),
        "ncc": round(ncc(fixed.array, warped.array), 4),
    }


def slice_dice(labels, tumors, block):
    """Dice of the moving mask in the slices alone."""
    if labels is None:
        return None
    seen = resample_image(Image(np.ones(block.shape), block), tumors.grid, fill=0.0).array > 0.5
    return round(dice((labels.array > 0) & seen, (tumors.array > 0) & seen), 3)


def one_case(seed, epochs):
    pair, truth, tumors = in_plane_pair(seed)
    places = places_of(pair, truth, tumors, np.random.default_rng(seed))
    small = {"pixels": PIXELS, "crop_mm": CROP_MM, "slices": SLICES, "width": 16, "epochs": epochs, "metrics_every": 50}
    still = DisplacementField(np.zeros((*pair.fixed.grid.shape, 3)), pair.fixed.grid)
    row = {"seed": seed, "before": judge(pair, truth, tumors, still, places)}
    row["at_truth"] = judge(pair, truth, tumors, truth, places)
    valor = load("valor")
    runs = {
        "valor_net_default": ("valor_net", ValorNetOptions(**small)),
        "valor_net_as_printed": ("valor_net", dataclasses.replace(AS_PRINTED, **small)),
        "valor": ("valor", valor.presets["default"]),
    }
    for name, (method, options) in runs.items():
        begin = time.process_time()
        result = load(method).run(pair, options, Run())
        seconds = time.process_time() - begin
        row[name] = {
            **judge(pair, truth, tumors, result.displacement, places),
            "moving_dice_in_slices": slice_dice(result.moving_seg, tumors, places[0]),
            "cpu_s": round(seconds, 2),
        }
        if method == "valor_net":
            row[name]["metrics_by_epoch"] = result.record["metrics_by_epoch"]
        print(seed, name, {k: v for k, v in row[name].items() if k != "metrics_by_epoch"}, flush=True)
    return row


def paper_size(epochs, seed=0):
    """CPU seconds of `epochs` epochs at the paper's size, of 200 by extrapolation, and of `valor` on the same pair."""
    pair, _, _ = in_plane_pair(seed)
    begin = time.process_time()
    load("valor").run(pair, load("valor").presets["default"], Run())
    valor_s = time.process_time() - begin
    rows = {"epochs_run": epochs, "valor_whole_volume_cpu_s": round(valor_s, 2)}
    for name, preset in (("valor_net_default", ValorNetOptions()), ("valor_net_as_printed", AS_PRINTED)):
        at = []
        run = Run(progress=lambda fraction, message, at=at: at.append((message, time.process_time())))
        begin = time.process_time()
        load("valor_net").run(pair, dataclasses.replace(preset, slices=1, epochs=epochs, metrics_every=1000), run)
        whole = time.process_time() - begin
        clock = [seconds for message, seconds in at if message.startswith("Epoch")]
        # The first epoch warms up; the others are what 200 are made of.
        each = (clock[-1] - clock[0]) / (len(clock) - 1)
        total = whole + (preset.epochs - epochs) * each
        rows[name] = {
            "pixels": preset.pixels,
            "slices": 1,
            "width": preset.width,
            "epochs": preset.epochs,
            "cpu_s_an_epoch": round(each, 2),
            "cpu_s_extrapolated": round(total, 1),
            "times_valor": round(total / valor_s, 1),
        }
        print(name, rows[name], flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--paper-epochs", type=int, default=0, help="run that many epochs at the paper's size instead")
    args = parser.parse_args()
    path = ROOT / "benchmarks" / "results" / "valor_net.json"
    old = json.loads(path.read_text()) if path.exists() else {}
    ask = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(ask, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    if args.paper_epochs:
        command = f"python benchmarks/valor_net.py --paper-epochs {args.paper_epochs}"
        old["paper_size"] = {**paper_size(args.paper_epochs), "command": command, "commit": commit}
        path.write_text(json.dumps(old, indent=1) + "\n")
        return
    rows = [one_case(seed, args.epochs) for seed in range(args.cases)]
    mean = {}
    for name in ("before", "at_truth", "valor_net_default", "valor_net_as_printed", "valor"):
        keys = [k for k in rows[0][name] if k != "metrics_by_epoch"]
        mean[name] = {
            k: round(float(np.mean([row[name][k] for row in rows])), 4) for k in keys if rows[0][name][k] is not None
        }
    out = {
        "command": f"python benchmarks/valor_net.py --cases {args.cases} --epochs {args.epochs}",
        "commit": commit,
        "device": "cpu, 1 thread",
        "size": "96 x 96 pixels, 2 slices, width 16: small, so that it ends in minutes",
        "mean": mean,
        "cases": rows,
        "paper_size": old.get("paper_size"),
    }
    path.write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps(mean, indent=1))


if __name__ == "__main__":
    main()
