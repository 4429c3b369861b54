"""DVH against exact shapes and planning systems, with dicompyler-core beside it.

    python benchmarks/dvh.py [--offsets 25] [--referee PYTHON]

The referee is a Python of its own environment (pip install dicompyler-core "pydicom<3" "numpy<2"); without it the other
numbers are written alone. Writes benchmarks/results/dvh.json.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]

from analytic_shapes import Shape, linear_dose, random_turn  # noqa: E402

from valorlib.convert.dicom_rt import read_rtdose, read_rtstruct  # noqa: E402
from valorlib.convert.files import read_dose, read_labels  # noqa: E402
from valorlib.convert.provenance import versions  # noqa: E402
from valorlib.core.images import LabelMap  # noqa: E402
from valorlib.metrics.contours import solid_of  # noqa: E402
from valorlib.metrics.dvh import Dvh, dvh_of  # noqa: E402
from valorlib.metrics.solids import POINT_BUDGET, sample_labels, sample_solid  # noqa: E402

DATA = Path(os.environ.get("VALOR_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "benchmarks" / "results" / "dvh.json"
SHAPES = [
    (kind, d, g) for kind in ("sphere", "cylinder", "cone") for d, g in ((10, 2.5), (20, 2.5), (40, 3.0), (3, 1.0))
]


def analytic(offsets: int) -> list[dict]:
    """Worst errors over random offsets, directions and orientations; percent of 20 Gy and of the volume."""
    rows = []
    for kind, diameter, spacing in SHAPES:
        for gradient in (5.0,):
            for oblique in (False, True):
                rng = np.random.default_rng(11)
                errors, seconds = [], 0.0
                for n in range(offsets):
                    center = rng.uniform(-1, 1, 3) * spacing
                    if not oblique:
                        center[2] = np.round(center[2] / spacing) * spacing
                    shape = Shape(kind, float(diameter), center, random_turn(rng) if oblique else np.eye(3))
                    direction = random_turn(rng)[0]
                    slope = gradient / 100 * 20
                    dose = linear_dose(center, direction, slope, spacing)
                    start = time.process_time()
                    found = dvh_of(sample_solid(shape, cell_mm=spacing, seed=n), dose)
                    seconds += time.process_time() - start
                    errors.append([
                        100 * (found.volume_cc / shape.volume_cc - 1),
                        *(5 * (float(found.dose_at_pct(p)) - 20 - slope * shape.offset_at(1 - p / 100, direction))
                          for p in (95, 2)),
                        5 * (found.mean_gy - 20 - slope * shape.mean_offset(direction)),
                    ])  # fmt: skip
                worst = np.abs(errors).max(axis=0)
                rows.append({
                    "shape": kind, "diameter_mm": diameter, "grid_mm": spacing, "gradient_pct_per_mm": gradient,
                    "oblique": oblique, "offsets": offsets, "volume_pct": worst[0], "d95_pct": worst[1],
                    "d2_pct": worst[2], "mean_pct": worst[3], "cpu_ms": 1000 * seconds / offsets,
                })  # fmt: skip
                print(rows[-1], flush=True)
    return rows


def gamma_pass(ours: Dvh, dose_gy: np.ndarray, volume_pct: np.ndarray, highest: float) -> float:
    """Share of reference points with gamma <= 1 at 1 % of the highest dose and 1 % of the volume."""
    passed = []
    for d, v in zip(dose_gy, volume_pct, strict=True):
        # Close enough that the steepest curve is not jumped over between two doses.
        near = np.linspace(max(d - 0.01 * highest, 0), d + 0.01 * highest, 401)
        passed.append(bool((((near - d) / (0.01 * highest)) ** 2 + (ours.volume_at_gy(near) - v) ** 2).min() <= 1))
    return 100 * float(np.mean(passed))


def compare(ours: Dvh, volume_cc: float, dose_gy: np.ndarray, volume_pct: np.ndarray, highest: float) -> dict:
    """Differences to a reference table."""
    differences = {}
    for p in (95, 50, 2):
        reference = float(np.interp(-p, -volume_pct, dose_gy))
        differences[f"d{p}_pct_of_max"] = 100 * (float(ours.dose_at_pct(p)) - reference) / highest
    return {
        "volume_cc": ours.volume_cc, "volume_pct": 100 * (ours.volume_cc / volume_cc - 1), **differences,
        "mean_gy": ours.mean_gy - float(np.trapezoid(volume_pct, dose_gy)) / 100,
        "gamma_pct": gamma_pass(ours, dose_gy, volume_pct, highest),
    }  # fmt: skip


PRINTED_CC = 0.05
"""Eclipse prints volumes to 0.1 cc: the one it found lies this close."""
VOLUME_GOAL_PCT = 0.25


def within_print(ours_cc: float, printed_cc: float) -> dict:
    """Difference to the volume that was printed, as an interval, and whether it may be within the goal."""
    low, high = (100 * (ours_cc / (printed_cc + step) - 1) for step in (PRINTED_CC, -PRINTED_CC))
    return {"volume_pct_interval": [low, high], "within_print": low <= VOLUME_GOAL_PCT and high >= -VOLUME_GOAL_PCT}


def over_their_volume(ours: Dvh, volume_cc: float, dose_gy: np.ndarray, volume_pct: np.ndarray) -> dict:
    """The mean once more, over the table's own volume: what we hold beyond it left out where the dose is least."""
    if ours.volume_cc <= volume_cc:
        return {}
    share = 100 * volume_cc / ours.volume_cc
    levels = (np.arange(4000) + 0.5) / 4000 * share
    mean = float(np.mean(ours.dose_at_pct(levels)))
    return {
        "left_out_cc": ours.volume_cc - volume_cc, "left_out_up_to_gy": float(ours.dose_at_pct(share)),
        "mean_gy_over_their_volume": mean - float(np.trapezoid(volume_pct, dose_gy)) / 100,
    }  # fmt: skip


def eclipse(cap: str) -> list[dict]:
    """The prostate phantom against Eclipse's own table."""
    folder = DATA / "rt" / "slicerrt_EclipseProstate"
    dose, structures = read_dose(folder / "EclipseProstate_Dose.nrrd"), read_rtstruct(folder / "RTSTRUCT.dcm")
    with (folder / "EclipseProstate_DvhTable_Eclipse.csv").open() as file:
        table = list(csv.reader(file))
    reference = {}
    for column in range(0, len(table[0]) - 1, 2):
        name = table[0][column].split("_DvhArray")[0].lower().replace(" ", "")
        volume = float(table[0][column + 1].split("% of ")[1].split(" cc")[0])
        points = np.asarray([[float(v) for v in row[column : column + 2]] for row in table[1:] if row[column]])
        reference[name] = (volume, points)
    highest = max(points[points[:, 1] > 0, 0].max() for _, points in reference.values())
    rows = []
    for contours in structures.structures:
        volume, points = reference[contours.name.lower().replace(" ", "")]
        start = time.process_time()
        # Organs four times finer than usual: the rules are compared, not chance and the raster of the outlines.
        organ = volume < 1000
        solid = solid_of(contours, cap=cap, pixel_mm=0.1 if organ else None)
        fine = {"budget": 4 * POINT_BUDGET, "cell_mm": 1.25} if organ else {}
        ours = dvh_of(sample_solid(solid, **fine), dose)
        cpu = time.process_time() - start
        rows.append({"structure": contours.name, "cap": cap, "reference_cc": volume, "cpu_s": cpu,
                     **compare(ours, volume, points[:, 0], points[:, 1], highest),
                     **within_print(ours.volume_cc, volume)})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def breast(cap: str) -> list[dict]:
    """The breast boost against the DVHs its planning system stored with the dose."""
    folder = DATA / "rt" / "breast_boost_dicom"
    dose, structures = read_rtdose(folder / "rtdose.dcm", prescription_gy=14.0), read_rtstruct(folder / "rtss.dcm")
    rows = []
    for contours in structures.structures:
        stored = next(v for v in dose.dvhs if v.roi == structures.numbers[contours.name])
        start = time.process_time()
        ours = dvh_of(sample_solid(solid_of(contours, cap=cap)), dose.dose)
        cpu = time.process_time() - start
        volume = float(stored.volume_cc[0])
        percent = 100 * np.maximum(stored.volume_cc, 0) / volume
        rows.append({"structure": contours.name, "cap": cap, "reference_cc": volume, "cpu_s": cpu,
                     **compare(ours, volume, stored.dose_gy, percent, float(dose.dose.array.max())),
                     **over_their_volume(ours, volume, stored.dose_gy, percent)})  # fmt: skip
        print(rows[-1], flush=True)
    return rows


def openkbp() -> list[dict]:
    """Values by voxel counting: ours (interpolated dose), and our arithmetic on the same counted voxels."""
    rows = []
    for folder in sorted((DATA / "rt" / "openkbp").glob("pt_*")):
        reference = json.loads((folder / "dvh_reference.json").read_text())
        dose, labels = read_dose(folder / "dose_gy.nrrd"), read_labels(folder / "oars_label.nrrd")
        for name, label in reference["label_values"].items():
            expected = reference["structures"][name]
            if not (labels.array == label).any():
                continue
            one = LabelMap((labels.array == label).astype(np.int32), labels.grid, {1: name})
            ours = dvh_of(sample_labels(one, 1), dose)
            held = labels.array == label
            counted = Dvh(name, dose.array[held], np.ones(int(held.sum())))
            rows.append({
                "case": folder.name, "structure": name, "volume_cc": ours.volume_cc - expected["volume_cc"],
                "mean_gy": ours.mean_gy - expected["mean_gy"],
                "d50_gy": float(ours.dose_at_pct(50)) - expected["D50_gy"],
                "d5_gy": float(ours.dose_at_pct(5)) - expected["D5_gy"],
                "counted_mean_gy": counted.mean_gy - expected["mean_gy"],
                "counted_d50_gy": float(counted.dose_at_pct(50)) - expected["D50_gy"],
            })  # fmt: skip
    return rows


REFEREE = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from dicompylercore import dvhcalc, dicomparser
structures, dose = sys.argv[1], sys.argv[2]
rt = dicomparser.DicomParser(structures)
out = []
for number, one in sorted(rt.GetStructures().items()):
    start = time.process_time()
    try:
        found = dvhcalc.get_dvh(structures, dose, number)
        c = found.relative_volume
        out.append({"structure": one["name"], "volume_cc": float(found.volume), "mean_gy": float(found.mean),
                    "dose_gy": [float(v) for v in c.bins[:-1]], "volume_pct": [float(v) for v in c.counts],
                    "cpu_s": time.process_time() - start})
    except Exception as error:
        out.append({"structure": one["name"], "error": str(error)})
print("RESULT" + json.dumps(out))
"""


def referee(python: str) -> dict:
    """dicompyler-core on the breast boost and on exact shapes drawn as contours, beside ours on the same contours."""
    folder = DATA / "rt" / "breast_boost_dicom"
    theirs = _ask(python, folder / "rtss.dcm", folder / "rtdose.dcm")
    dose, structures = read_rtdose(folder / "rtdose.dcm", prescription_gy=14.0), read_rtstruct(folder / "rtss.dcm")
    rows = []
    for one in theirs:
        number = structures.numbers.get(one["structure"])
        stored = next((v for v in dose.dvhs if v.roi == number), None)
        if stored is None or "error" in one:
            continue
        rows.append({"structure": one["structure"], "cpu_s": one["cpu_s"],
                     "volume_pct": 100 * (one["volume_cc"] / float(stored.volume_cc[0]) - 1),
                     "mean_gy": one["mean_gy"] - stored.mean_gy})  # fmt: skip
        print("dicompyler", rows[-1], flush=True)
    return {"breast": rows, "shapes": _drawn_shapes(python)}


def _ask(python: str, structures: Path, dose: Path) -> list[dict]:
    done = subprocess.run(
        [python, "-c", REFEREE, str(structures), str(dose)], capture_output=True, text=True, check=True
    )
    line = next(x for x in done.stdout.splitlines() if x.startswith("RESULT"))
    return json.loads(line.removeprefix("RESULT"))


def _drawn_shapes(python: str) -> list[dict]:
    from drawn_shapes import write_drawn_shape

    rows = []
    for kind in ("sphere", "cylinder", "cone"):
        with tempfile.TemporaryDirectory() as folder:
            shape, direction, slope = write_drawn_shape(Path(folder), kind)
            theirs = _ask(python, Path(folder) / "rs.dcm", Path(folder) / "rd.dcm")[0]
            start = time.process_time()
            structure = read_rtstruct(Path(folder) / "rs.dcm").structures[0]
            ours = dvh_of(sample_solid(solid_of(structure, cap="half")), read_rtdose(Path(folder) / "rd.dcm").dose)
            cpu = time.process_time() - start
        exact = {p: 20 + slope * shape.offset_at(1 - p / 100, direction) for p in (95, 2)}
        found = [("ours", ours.volume_cc, ours.mean_gy, {p: float(ours.dose_at_pct(p)) for p in (95, 2)}, cpu)]
        if "error" in theirs:
            rows.append({"shape": kind, "program": "dicompyler-core", "error": theirs["error"]})
        else:
            other = {p: float(np.interp(-p, -np.asarray(theirs["volume_pct"]), theirs["dose_gy"])) for p in (95, 2)}
            found.append(("dicompyler-core", theirs["volume_cc"], theirs["mean_gy"], other, theirs["cpu_s"]))
        for name, volume, mean, doses, seconds in found:
            rows.append({
                "shape": kind, "diameter_mm": 24.0, "slice_mm": 2.0, "program": name,
                "volume_pct": 100 * (volume / shape.volume_cc - 1), "d95_pct": 5 * (doses[95] - exact[95]),
                "d2_pct": 5 * (doses[2] - exact[2]),
                "mean_pct": 5 * (mean - 20 - slope * shape.mean_offset(direction)), "cpu_s": seconds,
            })  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--offsets", type=int, default=25)
    parser.add_argument("--referee", default=os.environ.get("VALOR_DICOMPYLER"))
    parser.add_argument("--parts", default="analytic,eclipse_prostate,breast_boost,openkbp,dicompyler")
    parser.add_argument("--caps", default="rounded,quarter,third,half", help="end caps; rows of the others stay")
    args = parser.parse_args()
    caps = args.caps.split(",")
    jobs = {
        "analytic": lambda: analytic(args.offsets),
        "eclipse_prostate": lambda: by_cap("eclipse_prostate", eclipse, caps),
        "breast_boost": lambda: by_cap("breast_boost", breast, [c for c in caps if c in ("rounded", "quarter")]),
        "openkbp": openkbp_summary,
        "dicompyler": lambda: referee(args.referee) if args.referee else None,
    }
    for name in args.parts.split(","):
        if name == "analytic" or DATA.is_dir():
            write_part(name, jobs[name]())


def by_cap(part: str, run: Callable[[str], list[dict]], caps: list[str]) -> list[dict]:
    """Rows of these end caps, and those of the others that the result file holds."""
    found = [row for cap in caps for row in run(cap)]
    held = json.loads(OUT.read_text(encoding="utf-8")).get(part, []) if OUT.exists() else []
    return found + [row for row in held if row["cap"] not in caps]


def openkbp_summary() -> dict:
    """All rows and the largest differences."""
    rows = openkbp()
    keys = ("volume_cc", "mean_gy", "d50_gy", "d5_gy", "counted_mean_gy", "counted_d50_gy")
    return {"structures": len(rows), "rows": rows, "largest": {k: max(abs(r[k]) for r in rows) for k in keys}}


def write_part(name: str, found: list | dict | None) -> None:
    """Put one part into the result file; the others stay as they are."""
    if found is None:
        return
    result = json.loads(OUT.read_text(encoding="utf-8")) if OUT.exists() else {}
    result["versions"], result[name] = versions(), found
    OUT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
