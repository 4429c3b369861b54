"""Make the tables of docs/methods/README.md from benchmarks/results/*.json: python benchmarks/table.py."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
COLUMNS = (
    ("error_mean_mm", "error mean, mm"),
    ("landmark_mean_mm", "landmarks mean, mm"),
    ("tumor_mean_mm", "tumor landmarks, mm"),
    ("dice", "Dice"),
    ("sd_log_jacobian", "SDlogJ"),
    ("folds", "folds"),
    ("cpu_seconds", "CPU s"),
    ("peak_memory_gb", "GB"),
)


def image_runs():
    """Case family -> run name -> list of number dictionaries."""
    found = {}
    for path in sorted((HERE / "results").glob("*.json")):
        content = json.loads(path.read_text())
        if not (isinstance(content, dict) and "case" in content and "runs" in content):
            continue
        case = content["case"]
        family = "breast (median of all)" if case.startswith("breast") else case
        for name, numbers in content["runs"].items():
            found.setdefault(family, {}).setdefault(name, []).append(numbers)
    return found


def cell(values):
    values = [v for v in values if isinstance(v, int | float)]
    if not values:
        return ""
    middle = median(values)
    return f"{middle:.0f}" if middle == int(middle) and abs(middle) >= 1 else f"{middle:.3g}"


def image_table(runs):
    keys = [(key, title) for key, title in COLUMNS if any(key in n for lists in runs.values() for n in lists)]
    lines = ["| method | cases | " + " | ".join(title for _, title in keys) + " |", "|---" * (len(keys) + 2) + "|"]
    for name, numbers in sorted(runs.items()):
        cells = [cell([n.get(key) for n in numbers]) for key, _ in keys]
        failed = sum("failed" in n for n in numbers)
        count = f"{len(numbers)}" + (f" ({failed} failed)" if failed else "")
        lines.append(f"| {name} | {count} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def results(name):
    path = HERE / "results" / name
    return json.loads(path.read_text()) if path.exists() else {}


def rows_of(header, rows):
    return "\n".join([f"| {' | '.join(header)} |", "|---" * len(header) + "|", *(f"| {' | '.join(r)} |" for r in rows)])


def method_table(method):
    """Every case this method ran on."""
    kept = {}
    for case, runs in image_runs().items():
        for name, numbers in runs.items():
            if name.split(":")[0] == method:
                kept.setdefault(f"{case}, `{name}`", []).extend(numbers)
    return image_table(kept) if kept else "Not run yet."


SHOWN = ("brain", "phantom", "lung", "t1pd", "longitudinal", "copd")
"""Cases of the page of `compositive`, by their beginning."""


def compositive_table():
    """Its rows and those of the peers: error, seconds by part, and there and back."""
    rows = []
    for case, runs in image_runs().items():
        if not case.startswith(SHOWN):
            continue
        for name, (n, *_) in runs.items():
            method, preset = name.split(":")[:2]
            plain = name.count(":") == 1 or case.startswith("copd")
            if plain and method in ("compositive", "greedy", "ants", "elastix", "demons") and "failed" not in n:
                stages = n.get("stages", {})
                parts = [f"{stages[k]:.1f}" if k in stages else "" for k in ("motion", "inverse")]
                calm, folds = (cell([n.get(k)]) for k in ("sd_log_jacobian", "folds"))
                shown = preset if method == "compositive" else f"{method}:{preset}"
                cells = (case, f"`{shown}`", told(n), f"{n['cpu_seconds']:.1f}", *parts, calm, folds, there_and_back(n))
                rows.append(cells)
    titles = ("case", "preset or peer", "result", "CPU s", "motion", "inverse", "SDlogJ", "folds")
    return rows_of((*titles, "there and back: mean / worst, mm"), rows)


def told(n):
    """Dice, or errors in mm and where they were before."""
    if "dice" in n:
        return f"Dice {n['dice']:.3f}"
    of = "landmark" if "landmark_mean_mm" in n else "error"
    words = [f"{n[f'{of}_mean_mm']:.2f} mm mean", f"{n[f'{of}_p95_mm']:.2f} p95", f"{n[f'{of}_max_mm']:.1f} worst"]
    words += [f"{n[key]:.2f} {where}" for key, where in PLACES if key in n]
    return ", ".join(words) + (f" (from {n['start_mm']:.2f})" if "start_mm" in n else "")


PLACES = (("rim_mean_mm", "in the rim"), ("near_tumor_mean_mm", "near the tumor"))


def there_and_back(n):
    found = n.get("inverse", {})
    return f"{found['body_mean_mm']:.3f} / {found['body_max_mm']:.2f}" if "body_mean_mm" in found else ""


RIGID = (
    ("median_mm", "median, mm"),
    ("median_to_nearest_optimum_mm", "to the nearest optimum, mm"),
    ("median_to_bones_optimum_mm", "bones to their own optimum, mm"),
    ("median_among_themselves_mm", "among themselves, mm"),
    ("worst_mm", "worst, mm"),
)


def rigid_table():
    titles = (title for _, title in RIGID)
    header = ("pair (reference known to)", "starts from", "method", "starts", "within 5 mm", *titles, "CPU s (median)")
    rows = []
    for file, reach in (("rigid.json", "30 degrees an axis, 40 mm"), ("rigid_any.json", "any turn, 80 mm")):
        for pair, content in results(file).items():
            for name, n in content["methods"].items():
                spread = content["reference_spread_mm"]
                known = f"{pair} ({'headers alone' if spread is None else f'{spread:.1f} mm'})"
                lengths = [f"{n[key]:.2f}" if n.get(key) is not None else "" for key, _ in RIGID]
                share, used = f"{n['within_5_mm']:.0%}", f"{n['cpu_seconds_median']:.1f}"
                rows.append((known, reach, name, str(n["starts"]), share, *lengths, used))
    return rows_of(header, rows)


def reference_table():
    """What is known of the truth of each pair of two modalities."""
    header = (
        "pair",
        "optima",
        "their spread, mm",
        "header to reference, mm",
        "bones: reference, mm",
        "bones: header, mm",
    )
    rows = []
    for pair, n in results("rigid_reference.json").items():
        bones = [f"{n['bones_mm'][k]:.1f}" for k in (n["is"], "header")] if "bones_mm" in n else ["", ""]
        known = f"{n['spread_mm']:.1f}", f"{n['reference_to_header_mm']:.1f}"
        values = [value for value in n["mutual_information"].values() if value is not None]
        votes = sum(value > 0.6 * max(values) for value in values)
        rows.append((pair, str(votes), *known, *bones))
    return rows_of(header, rows)


def valor_net_table(name):
    """Means over the cases of one size of the VALOR-Net benchmark."""
    content = results("valor_net.json").get(name)
    if content is None:
        return "Not run yet."
    mean, still = content["mean"], content["mean"]["before"]
    header = (
        "",
        "landmarks, mm",
        "tumor, mm",
        "folded, %",
        "NCC",
        "Dice of the 3T mask in the slices",
        "CPU s",
        "times the seconds of `valor`",
        "error of `valor` over this",
    )
    titles = {"before": "before", "at_truth": "true alignment", "valor_net_as_printed": "`as_printed`"}
    titles |= {"valor_net_default": "`default`", "valor": "`valor` (whole volume)"}
    keys = [
        ("landmark_mm", 2),
        ("tumor_mm", 2),
        ("folded_share", 2),
        ("ncc", 3),
        ("moving_dice_in_slices", 3),
        ("cpu_s", 1),
    ]
    keys += [("times_seconds_of_valor", 1), ("landmark_error_of_valor_over_this", 2)]
    rows = []
    for key, title in titles.items():
        row = {**mean.get(key, {})}
        if not row:
            continue
        row["folded_share"] *= 100
        rows.append((title, *(f"{row[k]:.{digits}f}" if k in row else "" for k, digits in keys)))
    size, cases = content["size"], len(content["cases"])
    text = f"{cases} case{'s' if cases > 1 else ''}, {size['slices']} slice{'s' if size['slices'] > 1 else ''} of "
    text += f"{size['pixels']} x {size['pixels']} pixels, width {size['width']}, {size['epochs']} epochs, "
    text += f"{still['landmark_mm']:.1f} mm apart"
    return f"`{content['command']}`: {text}.\n\n{rows_of(header, rows)}"


def flat_table():
    content = results("flat.json")
    header = ("histology", "mean, px", "median, px", "p90, px", "worst, px", "CPU s")
    keys = ("mean_px", "median_px", "p90_px", "worst_px", "cpu_seconds")
    first = rows_of(header, [(n, *(f"{r[k]:.2f}" for k in keys)) for n, r in content.get("histology", {}).items()])
    header = ("ITK's brain slices: fixed, moving", "turn, degrees", "shift, px")
    header += ("off ITK's optimum: degrees", "px", "off the file's name: degrees", "px")
    rows = []
    for case, found in content.items():
        if case.startswith("itk_brain"):
            for name, r in found.items():
                parts = [f"{part}_error_to_{to}" for to in ("itk", "name") for part in ("turn", "shift")]
                errors = [f"{r[f'{key}_{unit}']:.2f}" for key, unit in zip(parts, ("deg", "px") * 2, strict=True)]
                x, y = r["shift_px"]
                rows.append((f"{case.split()[1]}, {name}", f"{r['turn_deg']:.2f}", f"{x:.2f}, {y:.2f}", *errors))
    return first + "\n\n" + rows_of(header, rows)


def alarm_table(beginning=""):
    rows = []
    for case, content in results("alarms.json").items():
        if not case.startswith(beginning):
            continue
        for r in content["rows"]:
            what = "refused" if "refused" in r else str(len(r["warnings"])) if "warnings" in r else ""
            ends = [f"{r[k]:.2f}" if k in r else "" for k in ("start_mm", "end_mm")]
            rows.append((case, r["method"], *ends, what))
    return rows_of(("case", "method", "error at the start, mm", "at the end, mm", "warnings"), rows)


MEANT = {
    "brain": "brain_mr",
    "phantom": "breast_mr",
    "lung_sliding": "lung_ct_lungs",
    "lung": "lung_ct",
    "copd": "lung_ct",
    "t1pd": "multimodal",
    "longitudinal": "longitudinal",
}
"""Presets made for the cases whose names begin so; a method without it, or without a run of it, shows its default."""
TOGETHER = ("breast", "copd", "t1pd", "longitudinal")
"""Cases that share a column, by their beginning."""


def matrix_table():
    """Methods down, cases across: preset, mean error (mm) or Dice, and the CPU seconds; medians of several cases."""
    columns = {}
    for case, runs in image_runs().items():
        column = next((f"{kind} (median)" for kind in TOGETHER if case.startswith(kind)), case)
        for name, numbers in runs.items():
            method, preset, *more = name.split(":")
            if not (more and f"{method}:{preset}" in runs):  # further settings only where there is no plain run
                presets = columns.setdefault(column, {}).setdefault(method, {})
                presets.setdefault(preset, []).extend(numbers)
    rows = []
    for method in sorted({method for found in columns.values() for method in found}):
        cells = [shown(column, found.get(method, {})) for column, found in columns.items()]
        rows.append((f"`{method}`", *cells))
    titles = [f"{column}, {'Dice' if column.startswith('brain') else 'mm'}" for column in columns]
    return rows_of(("method", *titles), rows)


def shown(column, presets):
    """One cell: of the preset meant for the case, of the default, or of the first that is not for a quick look."""
    if not presets:
        return ""
    meant = next((preset for kind, preset in MEANT.items() if column.startswith(kind)), "default")
    order = [p for p in (meant, "default", "lung_ct", *presets) if p in presets]
    preset, numbers = order[0], presets[order[0]]
    goal = cell([n.get("landmark_mean_mm", n.get("error_mean_mm", n.get("dice"))) for n in numbers])
    name = "" if preset == "default" else f"{preset} "
    return f"{name}{goal} ({cell([n.get('cpu_seconds') for n in numbers])} s)" if goal else f"{name}failed"


def all_tables():
    parts = []
    for case, runs in image_runs().items():
        parts.append(f"**{case}**\n\n{image_table(runs)}")
    return "\n\n".join(parts)


def put(path, name, text):
    """Replace what stands between the two markers of `name`."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    content = path.read_text(encoding="utf-8")
    head, rest = content.split(begin)
    _, tail = rest.split(end)
    path.write_text(f"{head}{begin}\n{text}\n{end}{tail}", encoding="utf-8")


def presets_table():
    from valorlib.catalog import ENTRIES, load

    lines = ["| method | preset | when |", "|---|---|---|"]
    for entry in ENTRIES:
        method = load(entry.name)
        for preset in method.presets:
            if method.reasons.get(preset):
                lines.append(f"| `{entry.name}` | `{preset}` | {method.reasons[preset]} |")
    return "\n".join(lines)


def main():
    page = ROOT / "docs" / "methods" / "README.md"
    put(page, "benchmarks", all_tables())
    put(page, "matrix", matrix_table())
    put(page, "presets", presets_table())
    put(page, "rigid", rigid_table())
    put(page, "flat", flat_table())
    put(page, "alarms", alarm_table())
    put(page.parent / "compositive.md", "numbers", compositive_table())
    put(page.parent / "ngf_rigid.md", "numbers", rigid_table())
    put(page.parent / "ngf_rigid.md", "references", reference_table())
    for name in ("small", "full_1_slices"):
        put(page.parent / "valor_net.md", name, valor_net_table(name))
    put(page.parent / "convex_adam.md", "outlines", alarm_table("prostate"))
    for method in ("convex_adam", "voxelmorph_pp", "log_demons", "classical"):
        put(page.parent / f"{method}.md", "numbers", method_table(method))
    print("docs/methods: README.md and the pages written")


if __name__ == "__main__":
    main()
