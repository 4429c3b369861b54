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
    put(page, "presets", presets_table())
    print("docs/methods/README.md written")


if __name__ == "__main__":
    main()
