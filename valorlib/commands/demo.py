"""`valor demo`: generated data with a known truth, to try everything on."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valorlib.commands.common import add_common, say

if TYPE_CHECKING:
    from valorlib.core.points import Seeds
    from valorlib.demo import DemoCase


def add(commands: Any) -> None:
    """Declare the command."""
    parser = commands.add_parser(
        "demo",
        help="write generated scans with a known truth",
        description="A breast in two scans, organs on two days, and a radiotherapy case; --random-seed picks the case.",
    )
    parser.add_argument("--size", default="full", choices=("full", "small"), help="small: half the resolution")
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to make")
    parser.add_argument("--overwrite", action="store_true", help="replace former generated data")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the data, write them, say what to try."""
    from valorlib.convert.results import check_output_folder, whole_folder, write_json
    from valorlib.demo import make_pair

    output = Path(args.output)
    check_output_folder(output, overwrite=args.overwrite)
    case = make_pair(args.random_seed, size=args.size)
    with whole_folder(output, overwrite=args.overwrite) as folder:
        write_pair(case, folder)
        (folder / "organs").mkdir()
        write_organs(args.random_seed, folder / "organs", spacing_mm=2.0 if args.size == "full" else 3.0)
        (folder / "rt").mkdir()
        write_rt(args.random_seed, folder / "rt", spacing_mm=3.0 if args.size == "full" else 5.0)
        record = {
            "program": "SlicerVALOR",
            "command": "demo",
            "random_seed": args.random_seed,
            "tumors": [
                {"tumor": n, "kind": lesion.kind, "radius_mm": lesion.radius_mm}
                for n, lesion in enumerate(case.lesions, start=1)
            ],
            "start_error_mm": case.start_error_mm,
        }
        write_json(folder / "metrics.json", record)
    say(args, {**record, "output": str(output)}, lines_of(output, case.pair.seeds))


def lines_of(output: Path, seeds: Seeds | None) -> list[str]:
    """The commands to try."""
    lines = [f"generated data in {output}; try:"]
    if seeds is not None:
        x, y, z = seeds.points[0]
        lines.append(f"valor segment {output}/moving.nrrd --seed {x:.1f},{y:.1f},{z:.1f} --output tumor.seg.nrrd")
    lines += [
        f"valor register {output}/fixed.nrrd {output}/moving.nrrd --seeds {output}/seeds.csv --output result",
        f"valor evaluate result --landmarks {output}/landmarks.csv",
        "valor jacobian result/transform.h5 --reference result/warped_moving.nrrd --output jacobian.nrrd",
        f"valor points {output}/organs/fixed_labels.nrrd {output}/organs/moving_labels.nrrd --output organs",
        f"valor uncertainty {output}/rt/fixed.nrrd {output}/rt/moving.nrrd --transform {output}/rt/transform.h5 "
        f"--dose {output}/rt/dose.nrrd --structures {output}/rt/fixed_labels.nrrd --output uncertainty",
        f"valor workbench {output}/fixed.nrrd {output}/moving.nrrd",
    ]
    return lines


def write_pair(case: DemoCase, folder: Path) -> None:
    """Scans, clicks and truth of a breast pair."""
    from valorlib.convert.files import write_field, write_image, write_labels
    from valorlib.convert.landmark_files import write_landmarks

    write_image(case.pair.fixed, folder / "fixed.nrrd")
    write_image(case.pair.moving, folder / "moving.nrrd")
    write_field(case.truth, folder / "truth_displacement.nrrd")
    write_labels(case.fixed_tumors, folder / "truth_fixed_seg.nrrd")
    write_labels(case.moving_tumors, folder / "truth_moving_seg.nrrd")
    write_landmarks(case.landmarks, folder / "landmarks.csv")
    if case.pair.seeds is not None:
        write_seeds(case.pair.seeds, folder / "seeds.csv")


def write_seeds(seeds: Seeds, path: Path) -> None:
    """Clicks as x,y,z,label, LPS mm; label 0 is background."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("x", "y", "z", "label"))
        for point, tumor in zip(seeds.points, seeds.tumors, strict=True):
            table.writerow([*(f"{v:.4f}" for v in point), int(tumor)])


def write_organs(seed: int, folder: Path, *, spacing_mm: float) -> None:
    """Label maps of five organs on two days, and corresponding surface points."""
    from valorlib.convert.files import write_labels
    from valorlib.convert.landmark_files import write_landmarks
    from valorlib.demo_organs import make_organs

    case = make_organs(seed, spacing_mm=spacing_mm)
    write_labels(case.fixed, folder / "fixed_labels.nrrd")
    write_labels(case.moving, folder / "moving_labels.nrrd")
    write_landmarks(case.truth, folder / "landmarks.csv")
    for side, cloud in (("fixed", case.truth.fixed), ("moving", case.truth.moving)):
        with (folder / f"{side}.csv").open("w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(("x", "y", "z", "label"))
            for point, label in zip(cloud.points, cloud.labels if cloud.labels is not None else (), strict=True):
                table.writerow([*(f"{v:.4f}" for v in point), cloud.names[int(label)]])


def write_rt(seed: int, folder: Path, *, spacing_mm: float) -> None:
    """A radiotherapy case: CT of two days, structures, dose of the moving day, the true transform."""
    from valorlib.convert.files import write_dose, write_field, write_image, write_labels, write_transform
    from valorlib.convert.landmark_files import write_landmarks
    from valorlib.demo_rt import make_rt_case

    case = make_rt_case(seed, spacing_mm=spacing_mm)
    write_image(case.pair.fixed, folder / "fixed.nrrd")
    write_image(case.pair.moving, folder / "moving.nrrd")
    for side in ("fixed", "moving"):
        labels = getattr(case.pair, f"{side}_labels")
        write_labels(labels, folder / f"{side}_labels.nrrd")
    write_dose(case.dose, folder / "dose.nrrd")
    write_dose(case.dose_at_fixed, folder / "truth_dose_at_fixed.nrrd")
    write_field(case.truth, folder / "truth_displacement.nrrd")
    write_transform(case.truth, folder / "transform.h5")
    write_landmarks(case.landmarks, folder / "landmarks.csv")
