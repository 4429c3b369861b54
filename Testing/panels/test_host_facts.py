"""The host is no kinder than Slicer, and the panels use nothing that Slicer lacks."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from host import facts_reader

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("VALORRegistration", "PointCloudRegistration", "UncertaintyViewer")
UI = [ROOT / name / "Resources" / "UI" / f"{name}.ui" for name in MODULES]
SOURCES = sorted(path for name in MODULES for path in (ROOT / name).rglob("*.py"))
QT_EVENTS = {"paintEvent", "sizeHint", "minimumSizeHint", "hitButton", "staticMetaObject"}


def stand_ins():
    from host import application, ctk_widgets, install, mrml_widgets, views

    install.install()
    own = [*ctk_widgets.CLASSES, *mrml_widgets.CLASSES]
    app = [application.qSlicerApplication, application.qSlicerModuleManager, application.qSlicerScriptedLoadableModule]
    return [
        *own,
        *app,
        application.qSlicerScriptedLoadableModuleWidget,
        views.qSlicerLayoutManager,
        views.qMRMLSliceWidget,
    ]


def test_each_public_name_of_a_stand_in_exists_in_slicer():
    extra = {}
    for cls in stand_ins():
        names = {n for n in vars(cls) if not n.startswith("_")} - QT_EVENTS
        # `start` is the host's own, called before Slicer's code sees the widget; connect is PythonQt's on every object.
        names -= {"start", "connect", "disconnect", "widgetRepresentation", "enter", "exit", "isEntered"}
        extra[cls.__name__] = sorted(names - facts_reader.public_names(cls.__name__))
    assert {name: found for name, found in extra.items() if found} == {}


def test_the_python_stand_ins_have_slicers_signatures():
    from host import parameter_node, sample_data, scripted

    facts = facts_reader.python()
    for module, source in (("slicer.ScriptedLoadableModule", scripted), ("SampleData", sample_data)):
        for name, cls in facts[module]["classes"].items():
            own = getattr(source, name, None)
            if own is None:
                continue
            methods = {n for n in vars(own) if not n.startswith("_") and callable(getattr(own, n))}
            assert methods <= set(cls["methods"]), name
    for name in ("WithinRange", "Choice"):
        assert name in facts["slicer.parameterNodeWrapper.validators"]["classes"]
        assert hasattr(parameter_node, name)
    given = set(facts["slicer.i18n"]["functions"])
    assert {"tr", "translate", "getContext"} <= given


@pytest.mark.parametrize("path", UI, ids=MODULES)
def test_each_class_property_and_connection_of_a_ui_file_exists(path):
    root = ET.parse(path).getroot()
    classes = {widget.get("name"): widget.get("class") for widget in root.iter("widget")}
    for widget in root.iter("widget"):
        kind = widget.get("class")
        assert facts_reader.is_known(kind), kind
        known = facts_reader.members(kind, "properties")
        for item in widget.findall("property"):
            if item.get("stdset") != "0":
                assert item.get("name") in known, f"{kind}.{item.get('name')}"
    for connection in root.iter("connection"):
        sender, receiver = classes[connection.findtext("sender")], classes[connection.findtext("receiver")]
        assert connection.findtext("signal") in facts_reader.signatures(sender, "signals")
        assert connection.findtext("slot") in facts_reader.signatures(receiver, "slots")


def ui_classes():
    found: dict[str, set[str]] = {}
    for path in UI:
        for widget in ET.parse(path).getroot().iter("widget"):
            found.setdefault(widget.get("name"), set()).add(widget.get("class"))
    return found


def test_each_attribute_that_the_panels_use_of_a_widget_exists():
    classes, wrong = ui_classes(), []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
                continue
            owner = node.value.value
            is_ui = isinstance(owner, ast.Attribute | ast.Name) and getattr(
                owner, "attr", getattr(owner, "id", "")
            ) in ("ui", "_ui")
            if not is_ui:
                continue
            for kind in classes.get(node.value.attr, {"missing"}):
                if node.attr not in facts_reader.public_names(kind) | {
                    "connect",
                    "disconnect",
                    "objectName",
                    "setParent",
                }:
                    wrong.append(f"{path.name}:{node.lineno} {node.value.attr} ({kind}).{node.attr}")
    assert wrong == []


def test_each_signal_that_the_panels_connect_exists_and_no_property_is_called():
    every = set()
    for name in [*facts_reader.widgets(), *facts_reader.qt()]:
        every |= facts_reader.signatures(name, "signals")
    called = re.compile(r"_?ui\.\w+\.(text|value|checked|enabled|visible|currentIndex|currentText|collapsed|toolTip)\(")
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        for signature in re.findall(r'\.connect\(\s*"([^"]+)"', text):
            assert signature in every, f"{path.name}: {signature}"
        assert not called.search(text), path.name
        assert ".connect(self" not in text.replace("addObserver", ""), f"{path.name}: connect by signature"


def test_panels_use_only_functions_of_slicer_util_that_exist():
    known = set(facts_reader.python()["slicer.util"]["functions"]) | set(
        facts_reader.python()["slicer.util"]["classes"]
    )
    for path in SOURCES:
        used = set(re.findall(r"slicer\.util\.(\w+)", path.read_text(encoding="utf-8")))
        assert used <= known, f"{path.name}: {sorted(used - known)}"


@pytest.mark.parametrize("name", MODULES)
def test_cmake_lists_every_file_of_the_module(name):
    text = (ROOT / name / "CMakeLists.txt").read_text()
    lists = re.findall(r"set\(MODULE_PYTHON_(?:SCRIPTS|RESOURCES)\n(.*?)\)", text, re.DOTALL)
    listed = sorted(line.strip() for block in lists for line in block.splitlines() if line.strip())
    tree = [p for p in (ROOT / name).rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    wanted = sorted(
        str(p.relative_to(ROOT / name)) for p in tree if p.suffix not in {".svg", ".pyc"} and p.name != "CMakeLists.txt"
    )
    assert listed == wanted


def test_resources_have_names_of_their_own_over_all_modules():
    names = [p.name for n in MODULES for p in (ROOT / n / "Resources").rglob("*") if p.is_file() and p.suffix != ".svg"]
    assert len(names) == len(set(names))


def test_no_translated_text_is_an_f_string_and_french_has_each_of_them():
    strings = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "_" and node.args:
                assert isinstance(node.args[0], ast.Constant), f"{path.name}:{node.lineno}"
                strings.add(node.args[0].value)
    for path in ROOT.glob("*/Resources/UI/*.ui"):
        for owner in ET.parse(path).getroot().iter():
            for text in owner.findall("string"):
                if text.text and "true" not in (owner.get("notr"), text.get("notr")):
                    strings.add(text.text)
    assert "Undo click" in strings
    assert "vtkMRMLSegmentationNode" not in strings
    french = ET.parse(ROOT / "Resources" / "Translations" / "SlicerVALOR_fr.ts").getroot()
    assert strings <= {message.findtext("source") for message in french.iter("message")}
    for message in french.iter("message"):
        source, translation = message.findtext("source"), message.findtext("translation")
        assert translation, f"no French for {source!r}"
        assert set(re.findall(r"{\w+}", source)) == set(re.findall(r"{\w+}", translation)), source


def test_the_index_entry_agrees_with_cmake():
    import json

    entry = json.loads((ROOT / "SlicerVALOR.json").read_text())
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert f'EXTENSION_DEPENDS "{" ".join(entry["build_dependencies"])}"' in cmake
    assert entry["scm_url"].removesuffix(".git") in cmake
