"""Is sigma right: real CT moved by known fields, three registrations, three ways to predict their errors.

    python benchmarks/uncertainty.py [--cases hn1,th1] [--again] [--registrations demons] [--estimates anchor]
        [--later] [--write-scales]

Each case is kept in build/uncertainty/ as it finishes; all cases there are then judged together and written to
benchmarks/results/uncertainty.json (no case is done again with --cases none). With --again the cases and the other
programs' transforms are kept; our own is made anew, and all are judged anew (by the estimates named). With
--write-scales the scale table that ships is written too. The peer greedy runs where build/peers/greedy is set up
(benchmarks/peers/setup.sh).
"""

from __future__ import annotations

import argparse
import json
import pickle
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from uncertainty_cases import PLANS, Case, bspline, demons, greedy, has_greedy, make_case

from valorlib.convert.provenance import versions
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run, silent
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions, TransformUnderTest, estimate
from valorlib.metrics.calibration import LEVELS, SCALES_FILE, calibrate, known_share
from valorlib.metrics.dose import dose_at
from valorlib.metrics.dvh import Dvh, dvh_band, percentiles
from valorlib.metrics.solids import sample_labels
from valorlib.ops.resample import resample_image
from valorlib.ops.sampling import DisplacementSampler, doses_at_points
from valorlib.ops.transforms import map_points
from valorlib.solve.independent import IndependentSettings, register_independently

OUT = Path(__file__).parent / "results" / "uncertainty.json"
KEPT = Path(__file__).resolve().parents[1] / "build" / "uncertainty"
SAMPLES = 100
ESTIMATES = {
    "anchor": DirUncertaintyOptions(scale=1.0),
    "own_quick": DirUncertaintyOptions(mode="own", scale=1.0),
    "own_full": DirUncertaintyOptions(mode="own", quality="full", scale=1.0),
    "paper": DirUncertaintyOptions(mode="paper", scale=1.0, sigma_c_mm=29.3),
}
PAIRS = (
    ("demons", "anchor"),
    ("bspline", "anchor"),
    ("greedy", "anchor"),
    ("valor", "own_quick"),
    ("valor", "own_full"),
    ("demons", "paper"),
)


@dataclass
class Row:
    """One estimate on one case."""

    case: Case
    algorithm: str
    estimate: str
    transform: DisplacementField
    sigma: Image
    error: np.ndarray
    cpu_s: float
    upper_bound: bool
    seen: np.ndarray | float = 0.0
    numbers: dict = field(default_factory=dict)

    @property
    def at_mask(self) -> np.ndarray:
        return self.sigma.array[self.case.mask]


def valor(case: Case) -> DisplacementField:
    """Our own registration at the setting of the independent one."""
    start = AffineTransform.identity()
    return register_independently(
        case.fixed, case.moving, case.fixed.grid, IndependentSettings(), start=start, progress=silent
    )


def kept(name: str) -> list[Row]:
    """The rows of a case that was done."""
    with (KEPT / f"{name}.pickle").open("rb") as file:
        rows: list[Row] = pickle.load(file)
    return rows


def transforms_of(case: Case) -> dict[str, tuple[DisplacementField, float]]:
    """Each registration's transform and CPU seconds."""
    out = {}
    peers = {"demons": demons, "bspline": bspline, **({"greedy": greedy} if has_greedy() else {})}
    for name, register in {**peers, "valor": valor}.items():
        start = time.process_time()
        found = register(case)
        out[name] = (found, time.process_time() - start)
    return out


def rows_of(
    case: Case, transforms: dict[str, tuple[DisplacementField, float]], pairs: list[tuple[str, str]]
) -> list[Row]:
    """Estimates on one case, of these pairs of registration and estimate."""
    rows = []
    for algorithm, name in pairs:
        if algorithm not in transforms:
            continue
        transform, seconds = transforms[algorithm]
        start = time.process_time()
        found = estimate(
            TransformUnderTest(ImagePair(case.fixed, case.moving), transform), ESTIMATES[name], Run(seed=7)
        )
        cpu = time.process_time() - start
        error = np.linalg.norm(transform.array - case.truth.array, axis=-1)[case.mask]
        row = Row(case, algorithm, name, transform, resample_image(found.sigma, case.fixed.grid), error, cpu,
                  found.upper_bound, shares_at(found.seen, case))  # fmt: skip
        row.numbers = {
            "case": case.plan.name, "site": case.plan.site, "voxels": int(np.prod(case.fixed.grid.shape)),
            "registration": algorithm, "estimate": name, "cpu_s": cpu, "registration_cpu_s": seconds,
            "upper_bound": found.upper_bound, "motion_mm": found.record["deformation_rms_mm"],
        }  # fmt: skip
        measure(row)
        rows.append(row)
        print(json.dumps(row.numbers), flush=True)
    return rows


def shares_at(seen: Image | None, case: Case) -> np.ndarray | float:
    """The share of sigma^2 that is a difference seen, where errors are counted."""
    return 0.0 if seen is None else resample_image(seen, case.fixed.grid).array[case.mask]


def measure(row: Row) -> None:
    """How sigma and error agree before any scale."""
    raw = calibrate(row.at_mask, row.error, known=known_share(row.seen))
    row.numbers |= {
        "rms_error_mm": raw.rms_error_mm, "spearman": raw.spearman, "raw_coverage": [raw.coverage[v] for v in LEVELS],
        "scale_needed": raw.scale, "constant_nll": raw.constant_nll,
    }  # fmt: skip


def mean_scale(rows: list[Row]) -> float:
    """Geometric mean of the scales needed."""
    return float(np.exp(np.mean([np.log(r.numbers["scale_needed"]) for r in rows])))


def judge(rows: list[Row]) -> None:
    """Coverage and likelihood with a scale from other cases of the site, and from the other sites."""
    for row in rows:
        measure(row)
    for row in rows:
        alike = [r for r in rows if r.estimate == row.estimate and r.case.plan.source != row.case.plan.source]
        groups = {
            "same_site": [r for r in alike if r.case.plan.site == row.case.plan.site],
            "other_site": [r for r in alike if r.case.plan.site != row.case.plan.site],
        }
        for name, group in groups.items():
            if not group:
                continue
            scale = mean_scale(group)
            found = calibrate(row.at_mask, row.error, scale=scale, known=known_share(row.seen))
            row.numbers[name] = {
                "scale": scale, "coverage": [found.coverage[v] for v in LEVELS], "mean_gap": found.mean_gap,
                "worst_gap": found.worst_gap, "nll": found.nll, "nll_gain": found.constant_nll - found.nll,
            }  # fmt: skip


def judge_dose(row: Row) -> None:
    """Coverage of the 90 % bands, voxel by voxel and for the DVHs, per structure."""
    case = row.case
    if case.dose is None or case.structures is None or "same_site" not in row.numbers:
        return
    sigma = Image(row.sigma.array * row.numbers["same_site"]["scale"], row.sigma.grid)
    margin = 0.001 * float(case.dose.array.max())
    found = []
    start, count = time.process_time(), 0
    for label in case.structures.labels:
        points = sample_labels(case.structures, label)
        if points.volume_cc < 1:
            continue
        points = points.thinned(4000)
        count += len(points.points)
        sampler = DisplacementSampler(sigma, points.points, samples=SAMPLES, seed=5)
        samples = doses_at_points(case.dose, row.transform, sampler, points.points)
        true = dose_at(case.dose, map_points(case.truth, points.points)).gy
        nominal = dose_at(case.dose, map_points(row.transform, points.points)).gy
        low, high = percentiles(samples, (5, 95))
        weight = points.weights_mm3 / 1000
        band = dvh_band(Dvh("", nominal, weight), samples)
        truth_dvh = Dvh("", true, weight).dose_at_pct(band.volume_pct)
        inner = (band.volume_pct >= 1) & (band.volume_pct <= 99)
        b_low, b_high = band.band(90)
        held = (truth_dvh >= b_low - margin) & (truth_dvh <= b_high + margin)
        found.append({
            "structure": case.structures.name_of(label), "target": label == 100, "volume_cc": points.volume_cc,
            "voxel_band_pct": 100 * float(np.mean((true >= low) & (true <= high))),
            "voxel_band_margin_pct": 100 * float(np.mean((true >= low - margin) & (true <= high + margin))),
            "dvh_band_pct": 100 * float(np.mean(held[inner])),
            "dvh_band_width_gy": float((b_high - b_low)[inner].mean()),
            "dvh_error_gy": float(np.abs(truth_dvh - band.nominal_gy)[inner].max()),
        })  # fmt: skip
    row.numbers["dose"] = {"structures": found, "cpu_s": time.process_time() - start, "points": count}


def dose_speed() -> dict:
    """CPU seconds of 100 sampled doses and DVH bands in ten structures of 10,000 points, one thread."""
    rng = np.random.default_rng(0)
    grid = Grid((60, 60, 60), (4.0, 4.0, 4.0))
    dose = Dose(60 * rng.random((80, 96, 96), dtype=np.float32), Grid((96, 96, 80), (2.5, 2.5, 3.0)))
    field = DisplacementField(3 * rng.standard_normal((*grid.shape, 3), dtype=np.float32), grid)
    sigma = Image(np.full(grid.shape, 3.0, dtype=np.float32), grid)
    structures = [rng.uniform(20, 70, 3) + rng.uniform(0, 100, (10_000, 3)) for _ in range(10)]
    start = time.process_time()
    sampler = DisplacementSampler(sigma, np.concatenate(structures), samples=SAMPLES, seed=5)
    for points in structures:
        nominal = dose_at(dose, map_points(field, points)).gy
        samples = doses_at_points(dose, field, sampler, points)
        dvh_band(Dvh("", nominal, np.full(len(points), 0.001)), samples)
    return {"structures": 10, "points": 100_000, "samples": SAMPLES, "cpu_s": time.process_time() - start}


def summary(rows: list[Row]) -> dict:
    """Means and extremes per estimate, as the goals are written."""
    out = {}
    for algorithm, name in (("all", "anchor"), *PAIRS):
        group = [r.numbers for r in rows if r.estimate == name and algorithm in (r.algorithm, "all")]
        if not group:
            continue
        one = {
            "cases": len(group), "spearman_mean": float(np.mean([g["spearman"] for g in group])),
            "spearman_min": float(min(g["spearman"] for g in group)),
            "scale_needed": [min(g["scale_needed"] for g in group), max(g["scale_needed"] for g in group)],
            "cpu_s_max": max(g["cpu_s"] for g in group),
        }  # fmt: skip
        for kind in ("same_site", "other_site"):
            some = [g[kind] for g in group if kind in g]
            if some:
                one[kind] = {
                    "coverage": np.mean([s["coverage"] for s in some], axis=0).tolist(),
                    "mean_gap": float(np.mean([s["mean_gap"] for s in some])),
                    "mean_coverage_gap": float(
                        100 * np.abs(np.mean([s["coverage"] for s in some], axis=0) - LEVELS).mean()
                    ),
                    "worst_gap": max(s["worst_gap"] for s in some),
                    "nll_gain_mean": float(np.mean([s["nll_gain"] for s in some])),
                    "nll_gain_min": float(min(s["nll_gain"] for s in some)),
                }
        doses = [s for g in group for s in g.get("dose", {}).get("structures", [])]
        if doses:
            one["dose"] = {
                key: [float(np.mean([s[key] for s in doses])), float(min(s[key] for s in doses))]
                for key in ("voxel_band_pct", "voxel_band_margin_pct", "dvh_band_pct", "dvh_band_width_gy")
            }
        out[f"{algorithm}/{name}"] = one
    return out


def scales(rows: list[Row]) -> dict:
    """The table that ships: geometric mean and largest deviation, at least that of all sites, per estimate and site."""
    table: dict = {}
    for name in ("anchor", "own_quick", "own_full"):
        groups = {"any": [r for r in rows if r.estimate == name]}
        for site in sorted({r.case.plan.site for r in rows}):
            groups[site] = [r for r in rows if r.estimate == name and r.case.plan.site == site]
        table[name] = {}
        for site, group in groups.items():
            each, motions = ([r.numbers[key] for r in group] for key in ("scale_needed", "motion_mm"))
            mean = mean_scale(group)
            spread = 100 * max(max(each) / mean - 1, mean / min(each) - 1)
            # Few cases of one site look more alike than they are.
            spread = max(spread, table[name].get("any", {}).get("spread_pct", 0))
            table[name][site] = {
                "scale": round(mean, 3), "spread_pct": round(spread), "cases": len(each),
                "motion_mm": [round(min(motions), 2), round(max(motions), 2)],
            }  # fmt: skip
    return table


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(p.name for p in PLANS))
    parser.add_argument("--again", action="store_true", help="keep the transforms, estimate their errors anew")
    parser.add_argument("--registrations", default="demons,bspline,greedy,valor", help="those to judge anew")
    parser.add_argument("--estimates", default=",".join(ESTIMATES), help="those to do anew")
    parser.add_argument("--later", action="store_true", help="keep the cases, judge them in a later run")
    parser.add_argument("--write-scales", action="store_true")
    parser.add_argument("--output", default=str(OUT))
    args = parser.parse_args()
    torch.set_num_threads(1)
    KEPT.mkdir(parents=True, exist_ok=True)
    for plan in PLANS:
        if plan.name in args.cases.split(","):
            chosen = [p for p in PAIRS if p[0] in args.registrations.split(",") and p[1] in args.estimates.split(",")]
            old = []
            if args.again:
                old = kept(plan.name)
                case = old[0].case
                transforms = {r.algorithm: (r.transform, r.numbers["registration_cpu_s"]) for r in old}
                if any(p[0] == "valor" for p in chosen):
                    start = time.process_time()
                    transforms["valor"] = (valor(case), time.process_time() - start)
            else:
                case = make_case(plan)
                transforms = transforms_of(case)
            rows = [r for r in old if (r.algorithm, r.estimate) not in chosen] + rows_of(case, transforms, chosen)
            rows.sort(key=lambda r: PAIRS.index((r.algorithm, r.estimate)))
            (KEPT / f"{plan.name}.pickle").write_bytes(pickle.dumps(rows))
    if args.later:
        return
    rows = []
    for path in sorted(KEPT.glob("*.pickle")):
        rows += kept(path.stem)
    judge(rows)
    for row in rows:
        if row.estimate in ("anchor", "own_full", "own_quick"):
            judge_dose(row)
    result = {
        "versions": versions(), "samples": SAMPLES, "cases_done": len({r.case.plan.name for r in rows}),
        "dose_speed": min((dose_speed() for _ in range(3)), key=lambda found: found["cpu_s"]),
        "summary": summary(rows), "rows": [r.numbers for r in rows],
    }  # fmt: skip
    Path(args.output).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["summary"], indent=1))
    if args.write_scales:
        table = json.loads(SCALES_FILE.read_text(encoding="utf-8"))
        table["scales"] = scales(rows)
        SCALES_FILE.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
