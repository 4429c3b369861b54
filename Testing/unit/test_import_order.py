"""Imports point one way; methods never import each other; core, catalog and the method list need no torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYERS = [
    {"core"},
    {"ops", "metrics", "convert"},
    {"solve"},
    {"networks"},
    {"training"},
    {"methods"},
    {"catalog"},
    {"demo", "charts", "report", "points", "uncertainty", "cohort", "scene"},
    {"commands", "cli"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def part_of(module: str) -> str:
    """ops of valorlib.ops.warp; demo of valorlib.demo_rt."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in LEVEL else name.split("_")[0]


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return [name for name in found if name.startswith(("valorlib", "valor_workbench"))]


FILES = sorted((ROOT / "valorlib").rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_one_way(path):
    here = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    mine = part_of(here)
    if mine in ("", "__init__"):
        return
    assert mine in LEVEL, f"{path.name}: {mine} has no place in the import order"
    for name in imports(path):
        theirs = part_of(name)
        if theirs in ("", "__version__"):
            continue
        assert theirs in LEVEL, f"{name} has no place in the import order"
        assert LEVEL[theirs] <= LEVEL[mine], f"{here} imports {name}"
        if mine == "methods" and theirs == "methods":
            assert name.startswith(here), f"{here} imports another method: {name}"


def test_the_library_imports_no_face():
    for path in FILES:
        if path.name.startswith(("cli", "commands")) or "commands" in path.parts:
            continue
        assert not [name for name in imports(path) if name.startswith("valor_workbench")], path


def test_the_method_list_needs_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import valorlib.catalog, valorlib.core.images, valorlib.core.inputs, valorlib.core.results, valorlib.cli\n"
        "assert len(valorlib.catalog.ENTRIES) >= 8"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
