"""The host is no kinder than Slicer, and the panels use nothing that Slicer lacks."""

from __future__ import annotations

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from host import facts_reader, lint

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("VALORRegistration", "PointCloudRegistration", "UncertaintyViewer")
UI = [ROOT / name / "Resources" / "UI" / f"{name}.ui" for name in MODULES]
SOURCES = sorted(path for name in MODULES for path in (ROOT / name).rglob("*.py"))


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
    extra = {cls.__name__: lint.extra_names(cls) for cls in stand_ins()}
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
    assert lint.wrong_in_ui(ET.parse(path).getroot()) == []


def ui_classes():
    found: dict[str, set[str]] = {}
    for path in UI:
        for widget in ET.parse(path).getroot().iter("widget"):
            found.setdefault(widget.get("name"), set()).add(widget.get("class"))
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_panels_use_no_attribute_signal_or_function_that_slicer_lacks(path):
    text = path.read_text(encoding="utf-8")
    assert lint.wrong_attributes(text, ui_classes()) == []
    assert lint.wrong_signals(text) == []
    assert lint.unknown_util(text) == []


PLANTED = {
    "self.ui.applyButton.caption = 'x'": lint.wrong_attributes,
    "self.ui.applyButon.text": lint.wrong_attributes,
    "self._ui.organTable.setCaption('x')": lint.wrong_attributes,
    "b.connect('clicked(int, bool)', f)".replace("'", '"'): lint.wrong_signals,
    "print(self.ui.applyButton.text())": lint.wrong_signals,
    "b.clicked.connect(self.onApply)": lint.wrong_signals,
    "slicer.util.getNodeByMagic('x')": lint.unknown_util,
}


@pytest.mark.parametrize("text", PLANTED)
def test_what_slicer_lacks_is_found_in_a_source(text):
    find = PLANTED[text]
    given = (text, ui_classes()) if find is lint.wrong_attributes else (text,)
    assert find(*given)
    right = text.replace("caption", "text").replace("applyButon", "applyButton").replace("setCaption", "setRowCount")
    right = right.replace("(int, bool)", "(bool)").replace("text()", "text").replace("getNodeByMagic", "getNode")
    right = right.replace("b.clicked.connect(", 'b.connect("clicked(bool)", ')
    given = (right, ui_classes()) if find is lint.wrong_attributes else (right,)
    assert find(*given) == []


def test_what_slicer_lacks_is_found_in_a_ui_file():
    def ui(kind="QPushButton", name="text", signal="clicked(bool)", slot="setEnabled(bool)"):
        return ET.fromstring(
            f'<ui><widget class="{kind}" name="a"><property name="{name}"><string>x</string></property></widget>'
            f'<widget class="QLabel" name="b"/><connections><connection><sender>a</sender><signal>{signal}</signal>'
            f"<receiver>b</receiver><slot>{slot}</slot></connection></connections></ui>"
        )

    assert lint.wrong_in_ui(ui()) == []
    assert "class qMRMLMagicButton" in lint.wrong_in_ui(ui(kind="qMRMLMagicButton"))
    assert lint.wrong_in_ui(ui(name="caption")) == ["property QPushButton.caption"]
    assert lint.wrong_in_ui(ui(signal="clickedTwice()")) == ["signal QPushButton.clickedTwice()"]
    assert lint.wrong_in_ui(ui(slot="setCaption(QString)")) == ["slot QLabel.setCaption(QString)"]


WIDGETS_WITH_TIPS = ("Button", "ComboBox", "Slider", "SpinBox", "LineEdit", "CheckBox", "Table", "PlaceWidget")


@pytest.mark.parametrize("path", UI, ids=MODULES)
def test_each_control_of_a_panel_has_a_tool_tip(path):
    without = [
        widget.get("name")
        for widget in ET.parse(path).getroot().iter("widget")
        if any(word in widget.get("class") for word in WIDGETS_WITH_TIPS)
        and widget.get("class") != "ctkCollapsibleButton"
        and not any(item.get("name") == "toolTip" for item in widget.findall("property"))
    ]
    assert without == []


def test_a_stand_in_that_is_kinder_than_slicer_is_found():
    kind = type("ctkSliderWidget", (), {"value": 1, "setValueSafely": lambda self: None})
    assert lint.extra_names(kind) == ["setValueSafely"]


def test_the_host_refuses_what_pythonqt_refuses(app):
    import qt

    label = qt.QLabel()
    label.text = "x"
    assert label.text == "x"
    with pytest.raises(TypeError):
        label.text()
    with pytest.raises(AttributeError):
        label.caption = "x"
    with pytest.raises(AttributeError):
        _ = label.caption
    with pytest.raises(ValueError, match="no signal"):
        label.connect("clickedTwice()", print)


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


def test_cmake_copies_every_kind_of_file_of_the_library():
    text = (ROOT / "valorlib" / "CMakeLists.txt").read_text()
    copied = set(re.findall(r"/\*(\.\w+)", text))
    tree = [p for p in (ROOT / "valorlib").rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {p.suffix for p in tree if p.name not in ("CMakeLists.txt", "py.typed")} <= copied


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
