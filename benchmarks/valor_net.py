"""VALOR-Net, default and as printed, beside `valor`, on the same generated slices with a known in-plane motion.

    python benchmarks/valor_net.py [--cases 3] [--epochs 100]
    python benchmarks/valor_net.py --full [--slices 1] [--seeds 0 1 2]

Writes benchmarks/results/valor_net.json. The first command is small on purpose (96 x 96 pixels around the click,
2 slices, width 16), so that it ends within minutes; the second runs both presets as they are (whole slices of 320 x 320
pixels, width 32, 200 epochs), but for the number of slices: about seven CPU minutes a case, preset and slice; cases
done before stay in the JSON.
The motion is in-plane, which is all that VALOR-Net can follow.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
from pathlib import Path

import numpy as np
from scipy import ndimage

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from run import about  # noqa: E402

from valorlib.catalog import load  # noqa: E402
from valorlib.core.images import Image  # noqa: E402
from valorlib.core.inputs import ImagePair  # noqa: E402
from valorlib.core.run import Run  # noqa: E402
from valorlib.core.transforms import DisplacementField  # noqa: E402
from valorlib.demo import make_pair  # noqa: E402
from valorlib.methods.valor_net_options import AS_PRINTED, ValorNetOptions  # noqa: E402
from valorlib.metrics.similarity import ncc  # noqa: E402
from valorlib.ops.leak import dice  # noqa: E402
from valorlib.ops.resample import resample_image  # noqa: E402
from valorlib.ops.slice_block import block_grid  # noqa: E402
from valorlib.ops.transforms import map_points, to_displacement  # noqa: E402

SMALL = {"pixels": 96, "crop_mm": 32.0, "slices": 2, "width": 16}
NETS = {"valor_net_default": ValorNetOptions(), "valor_net_as_printed": AS_PRINTED}
PATH = ROOT / "benchmarks" / "results" / "valor_net.json"


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


def places_of(pair, truth, tumors, rng, options):
    """Points at edges and in the tumor, within the slices VALOR-Net sees: fixed places, true places, in tumor."""
    o = options
    block, _ = block_grid(pair.fixed.grid, pair.seeds.points, slices=o.slices, pixels=o.pixels, crop_mm=o.crop_mm)
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


def one_case(seed, changes, keep):
    """All methods on one case; `keep(row)` after each of them."""
    pair, truth, tumors = in_plane_pair(seed)
    nets = {name: dataclasses.replace(preset, **changes) for name, preset in NETS.items()}
    places = places_of(pair, truth, tumors, np.random.default_rng(seed), nets["valor_net_default"])
    still = DisplacementField(np.zeros((*pair.fixed.grid.shape, 3)), pair.fixed.grid)
    row = {"seed": seed, "before": judge(pair, truth, tumors, still, places)}
    row["at_truth"] = judge(pair, truth, tumors, truth, places)
    for name, options in {"valor": load("valor").presets["default"], **nets}.items():
        begin = time.process_time()
        result = load("valor" if name == "valor" else "valor_net").run(pair, options, Run())
        seconds = time.process_time() - begin
        row[name] = {
            **judge(pair, truth, tumors, result.displacement, places),
            "moving_dice_in_slices": slice_dice(result.moving_seg, tumors, places[0]),
            "cpu_s": round(seconds, 2),
        }
        print(seed, name, row[name], flush=True)
        if name != "valor":
            row[name]["metrics_by_epoch"] = result.record["metrics_by_epoch"]
            row[name]["times_seconds_of_valor"] = round(seconds / row["valor"]["cpu_s"], 1)
            row[name]["landmark_error_of_valor_over_this"] = round(
                row["valor"]["landmark_mm"] / row[name]["landmark_mm"], 3
            )
        keep(row)
    return row


def summary(rows):
    """Mean over the cases of each number of each method."""
    mean = {}
    for name in ("before", "at_truth", "valor", *NETS):
        done = [row[name] for row in rows if name in row]
        keys = [k for k, v in done[0].items() if isinstance(v, int | float)] if done else []
        mean[name] = {k: round(float(np.mean([r[k] for r in done if r.get(k) is not None])), 4) for k in keys}
    return mean


def write(name, changes, command, rows):
    content = json.loads(PATH.read_text()) if PATH.exists() else {}
    options = dataclasses.replace(ValorNetOptions(), **changes)
    size = {k: getattr(options, k) for k in ("pixels", "crop_mm", "slices", "width", "epochs")}
    content[name] = {"command": command, "size": size, **about(), "mean": summary(rows), "cases": rows}
    PATH.write_text(json.dumps(content, indent=1) + "\n")


def full(args):
    """Both presets as they are on the seeds asked, beside the cases in the JSON."""
    name, changes = f"full_{args.slices}_slices", {"slices": args.slices}
    content = json.loads(PATH.read_text()) if PATH.exists() else {}
    rows = {row["seed"]: row for row in content.get(name, {}).get("cases", [])}

    def keep(row):
        rows[row["seed"]] = row
        seeds = " ".join(str(seed) for seed in sorted(rows))
        command = f"python benchmarks/valor_net.py --full --slices {args.slices} --seeds {seeds}"
        write(name, changes, command, [rows[seed] for seed in sorted(rows)])

    for seed in args.seeds:
        one_case(seed, changes, keep)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--full", action="store_true", help="both presets as they are")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0], help="with --full: the cases")
    parser.add_argument("--slices", type=int, default=1, help="with --full; the presets say 3")
    args = parser.parse_args()
    if args.full:
        full(args)
        return
    command, rows = f"python benchmarks/valor_net.py --cases {args.cases} --epochs {args.epochs}", []
    changes = {**SMALL, "epochs": args.epochs, "metrics_every": 50}
    for seed in range(args.cases):
        rows.append(one_case(seed, changes, lambda row: write("small", changes, command, [*rows, row])))
    print(json.dumps(summary(rows), indent=1))


if __name__ == "__main__":
    main()
