"""Pages know no scene, logic knows no widgets, one module knows trame-slicer; its version is pinned."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WORKBENCH = ROOT / "valor_workbench"


def imports(path):
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def users_of(folder, *packages):
    paths = sorted(WORKBENCH.glob(f"{folder}*.py"))
    assert paths
    return {
        p.name for p in paths if any(name == q or name.startswith(f"{q}.") for name in imports(p) for q in packages)
    }


def test_the_page_knows_no_scene():
    assert users_of("ui/", "slicer", "vtk", "vtkmodules", "valorlib.scene", "valorlib.convert", "trame_slicer") == set()
    assert users_of("logic/", "slicer") == {"seeds.py"}, "the names of MRML's events are the only thing taken"


def test_logic_knows_no_widgets():
    assert users_of("logic/", "trame.widgets", "trame.ui", "valor_workbench.ui") == set()
    assert users_of("", "trame.widgets", "trame.ui") == set()


def test_one_module_knows_trame_slicer():
    whole = users_of("", "trame_slicer") | users_of("ui/", "trame_slicer") | users_of("logic/", "trame_slicer")
    assert whole - {"app.py"} == {"slicer_app.py"}
    lines = [line.strip() for line in (WORKBENCH / "app.py").read_text().splitlines() if "trame_slicer" in line]
    assert all(line.startswith("import trame_slicer.") for line in lines), "app.py only imports it early"


def test_versions_are_pinned():
    text = (ROOT / "pyproject.toml").read_text()
    assert re.search(r'"trame-slicer(\[\w+\])?==2\.0\.\*"', text)
    assert '"slicer-core>=5.11.0.6,<5.12"' in text
    assert '"vtk==9.6.0"' in text
