"""Put the numbers of benchmarks/results/*.json into README.md: python benchmarks/readme_numbers.py."""

from __future__ import annotations

import json
from statistics import median

from table import HERE, ROOT, put, results, rows_of

KEYS = ("landmark_mean_mm", "tumor_mean_mm")
PEERS = {
    "greedy:ncc": "greedy",
    "ants:quick": "ANTs SyN",
    "elastix:16mm": "elastix",
    "demons:default": "SimpleITK demons",
}


def breast_rows():
    """A row a method, with our own numbers on the same pairs beside each peer's."""
    runs = [json.loads(path.read_text())["runs"] for path in sorted((HERE / "results").glob("breast_1*.json"))]
    for name, title in {"valor:default": "**SlicerVALOR**", **PEERS}.items():
        pairs = [r for r in runs if name in r and "failed" not in r[name]]
        if pairs:
            starts = [r[name]["start_mm"] for r in pairs]
            both = [[spread([r[n][key] for r in pairs]) for n in (name, "valor:default")] for key in KEYS]
            peer_s, our_s = (f"{median(r[n]['cpu_seconds'] for r in pairs):.1f}" for n in (name, "valor:default"))
            folds = sum(r[name]["folds"] for r in pairs)
            ours = [] if name == "valor:default" else [f"{both[0][1]} mm, {our_s} CPU s"]
            yield (
                title,
                f"{len(pairs)}, {min(starts):.1f} to {max(starts):.1f} mm apart",
                both[0][0],
                both[1][0],
                str(folds),
                peer_s,
                *(ours or [""]),
            )


def spread(values):
    return f"{median(values):.2f} / {max(values):.2f}"


def breast_table():
    header = ("method", "pairs", "landmarks, mm", "tumor landmarks, mm", "folds", "CPU s", "SlicerVALOR on the same")
    return rows_of(header, list(breast_rows()))


def one_click():
    found = results("segmentation.json").get("summary")
    if found:
        moving, fixed, alarm = found["bright_moving"], found["bright_fixed"], found["alarm"]
        yield (
            "One click in a bright tumor, Dice median / worst",
            f"3T {moving['median']:.2f} / {moving['worst']:.2f}, 7T {fixed['median']:.2f} / {fixed['worst']:.2f}; "
            f"below 0.70 without an alarm: {alarm['below_0.70_silent']} of {sum(alarm.values())}",
            "segmentation.py",
        )


def seconds(run):
    """CPU seconds of the motion, which is all that peers make, and of the whole where that is more."""
    stages = run.get("stages")
    if not isinstance(stages, dict):
        return f"{run['cpu_seconds']:.0f} CPU s"
    return f"{stages['motion']:.1f} CPU s ({run['cpu_seconds']:.0f} with the inverse)"


def deformable():
    for case, title in (("brain_forward", "Brain to brain"), ("brain_reverse", "the other way")):
        runs = results(f"{case}.json").get("runs", {})
        cells = [
            f"{name.removeprefix('compositive:')} {run['dice']:.3f} in {seconds(run)}"
            for name, run in runs.items()
            if "dice" in run and name in ("compositive:brain_mr", "compositive:brain_mr_draft", *PEERS)
        ]
        if cells:
            yield f"{title}, Dice of 30 structures (0.522 before)", "; ".join(cells), "run.py"
    for case, title in (("phantom", "Textured phantom"), ("lung_smooth", "Lung CT, known motion")):
        runs = [r for r in results(f"{case}.json").get("runs", {}).items() if r[0].startswith("compositive")]
        if runs:
            name, run = min(runs, key=lambda r: r[1]["error_mean_mm"])
            text = (
                f"{run['error_mean_mm']:.2f} / {run['error_p95_mm']:.2f} mm in {run['cpu_seconds']:.0f} CPU s ({name})"
            )
            yield f"{title}, error mean / 95th percentile", text, "run.py"


def rigid():
    """Pairs run from many starts; those with PET in one row."""
    for file, reach in (("rigid.json", "30 degrees and 40 mm"), ("rigid_any.json", "any turn and 80 mm")):
        for pair, content in results(file).items():
            n, spread = content["methods"].get("ngf_rigid"), content.get("reference_spread_mm")
            if n and spread and n["starts"] >= 20:
                peer = content["methods"].get("elastix")
                beside = f"; elastix {peer['within_5_mm']:.0%} of {peer['starts']}" if peer else ""
                text = (
                    f"{n['within_5_mm']:.0%} of {n['starts']} starts within 5 mm, median {n['median_mm']:.2f} mm "
                    f"(independent optima differ by {spread:.2f}), {n['cpu_seconds_median']:.1f} CPU s{beside}"
                )
                yield f"Rigid from {reach}, {pair}", text, "rigid.py"
    pet = {pair: c for pair, c in results("rigid.json").items() if pair.endswith("_pet")}
    cells = []
    for pair, content in pet.items():
        n, peer = content["methods"]["ngf_rigid"], content["methods"].get("elastix")
        beside = f", elastix {peer['within_5_mm']:.0%}" if peer else ""
        known = f"known to {content['reference_spread_mm']:.1f} mm"
        cells.append(f"{pair.removeprefix('sarcoma_')} ({known}) {n['within_5_mm']:.0%}{beside}")
    if cells:
        yield "Rigid to PET, starts within 5 mm of the reference", "; ".join(cells), "rigid.py"


def organs():
    found = results("points_openkbp.json").get("numbers", {})
    cells = [
        f"{name.upper()} {n['surface_mean_mm']:.2f} / {n['hd95_mm']:.2f} / {n['dice']:.2f}"
        + ("" if n["pairs"] == found["omc"]["pairs"] else f" ({n['pairs']} of the pairs)")
        for name in ("omc", "gmc", "bcpd")
        if (n := found.get(name))
    ]
    if cells:
        pairs = found["omc"]["pairs"]
        title = f"Organs of {pairs} pairs of patients, surface distance mm / HD95 mm / Dice"
        yield title, "; ".join(cells), "points.py"


def dose():
    shapes = results("dvh.json").get("analytic")
    if shapes:
        shapes = [s for s in shapes if s["diameter_mm"] >= 10]
        worst = {k: max(abs(s[k]) for s in shapes) for k in ("volume_pct", "d95_pct", "mean_pct")}
        yield (
            "DVH against analysis, shapes of 10 mm and up, worst error",
            f"volume {worst['volume_pct']:.2f} %, D95 {worst['d95_pct']:.2f} %, mean {worst['mean_pct']:.3f} %",
            "dvh.py",
        )


def trust():
    found = results("uncertainty.json").get("summary", {})
    for key, title in (("all/anchor", "any tool's field"), ("valor/own_full", "our own field")):
        n = found.get(key)
        if n:
            yield (
                f"Predicted against true error, {title}",
                f"rank correlation {n['spearman_mean']:.2f} (mean of {n['cases']} registrations)",
                "uncertainty.py",
            )


def faces():
    panels = results("panels.json").get("longest_stall_of_a_run")
    if panels:
        worst = max(part["worst"] for run in panels.values() for part in run.values())
        yield "Slicer panels: longest stall during a run", f"{worst:.0f} ms", "panels.py"
    page = results("workbench.json").get("numbers")
    if page:
        yield (
            "Workbench: start, first picture, wheel to new slice, longest stall, cancel",
            f"{page['start_to_port_s']:.1f} s, {page['page_to_painted_views_s']:.1f} s, "
            f"{page['wheel_to_slice_median_ms']:.0f} ms, "
            f"{max(page['longest_stall_in_a_run_ms'], page['longest_stall_when_the_result_comes_ms']):.0f} ms, "
            f"{page['cancel_s']:.1f} s",
            "workbench.py",
        )


def main():
    rows = [row for part in (one_click, deformable, rigid, organs, dose, trust, faces) for row in part()]
    rows = [(what, text, f"`benchmarks/{command}`") for what, text, command in rows]
    table = f"{breast_table()}\n\n{rows_of(('what', 'measured', 'by'), rows)}"
    put(ROOT / "README.md", "numbers", table)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
