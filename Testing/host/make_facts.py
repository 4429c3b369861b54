"""Write the compact extract of Slicer's API that the host, its guard test and the lint read.

Usage: python Testing/host/make_facts.py FOLDER, where FOLDER holds widgets.json, qt.json and python.json.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

FACTS = Path(__file__).parent / "facts"
WIDGETS = [
    "ctkCollapsibleButton",
    "ctkSliderWidget",
    "ctkComboBox",
    "ctkMessageBox",
    "ctkDoubleSpinBox",
    "ctkRangeWidget",
    "ctkPathLineEdit",
    "ctkCheckBox",
    "ctkCollapsibleGroupBox",
    "ctkErrorLogWidget",
    "ctkPushButton",
    "ctkExpandableWidget",
    "ctkDirectoryButton",
    "ctkDoubleSlider",
    "ctkCoordinatesWidget",
    "qMRMLWidget",
    "qMRMLNodeComboBox",
    "qMRMLCheckableNodeComboBox",
    "qMRMLSegmentSelectorWidget",
    "qMRMLTableView",
    "qMRMLSliderWidget",
    "qMRMLSpinBox",
    "qMRMLLayoutManager",
    "qMRMLSliceWidget",
    "qMRMLSliceView",
    "qMRMLThreeDWidget",
    "qMRMLThreeDView",
    "qMRMLPlotWidget",
    "qMRMLPlotView",
    "qMRMLSliceControllerWidget",
    "qMRMLThreeDViewControllerWidget",
    "qMRMLTableWidget",
    "qMRMLPlotViewControllerWidget",
    "qSlicerWidget",
    "qSlicerMarkupsPlaceWidget",
    "qSlicerSimpleMarkupsWidget",
    "qSlicerApplication",
    "qSlicerCoreApplication",
    "qSlicerLayoutManager",
    "qSlicerModuleManager",
    "qSlicerAbstractModuleFactoryManager",
    "qSlicerAbstractCoreModule",
    "qSlicerAbstractModule",
    "qSlicerLoadableModule",
    "qSlicerScriptedLoadableModule",
    "qSlicerScriptedLoadableModuleWidget",
    "qSlicerAbstractModuleWidget",
    "qSlicerAbstractModuleRepresentation",
    "qSlicerCoreIOManager",
    "qSlicerIOManager",
    "qSlicerMainWindow",
    "qSlicerModuleSelectorToolBar",
]
QT = [
    "QObject",
    "QWidget",
    "QFrame",
    "QLabel",
    "QAbstractButton",
    "QPushButton",
    "QToolButton",
    "QCheckBox",
    "QRadioButton",
    "QButtonGroup",
    "QComboBox",
    "QAbstractSpinBox",
    "QSpinBox",
    "QDoubleSpinBox",
    "QLineEdit",
    "QTextEdit",
    "QTextBrowser",
    "QPlainTextEdit",
    "QAbstractScrollArea",
    "QScrollArea",
    "QAbstractItemView",
    "QTableView",
    "QTableWidget",
    "QTableWidgetItem",
    "QListView",
    "QListWidget",
    "QListWidgetItem",
    "QTreeView",
    "QTreeWidget",
    "QTreeWidgetItem",
    "QHeaderView",
    "QProgressBar",
    "QSlider",
    "QAbstractSlider",
    "QScrollBar",
    "QGroupBox",
    "QTabWidget",
    "QStackedWidget",
    "QSplitter",
    "QLayout",
    "QLayoutItem",
    "QBoxLayout",
    "QVBoxLayout",
    "QHBoxLayout",
    "QFormLayout",
    "QGridLayout",
    "QSpacerItem",
    "QSizePolicy",
    "QStyle",
    "QStyleOption",
    "QDialog",
    "QMessageBox",
    "QFileDialog",
    "QProgressDialog",
    "QMainWindow",
    "QMenu",
    "QMenuBar",
    "QToolBar",
    "QStatusBar",
    "QAction",
    "QShortcut",
    "QKeySequence",
    "QIcon",
    "QPixmap",
    "QImage",
    "QColor",
    "QBrush",
    "QPen",
    "QPainter",
    "QFont",
    "QPalette",
    "QCursor",
    "QTimer",
    "QUrl",
    "QDesktopServices",
    "QSettings",
    "QApplication",
    "QGuiApplication",
    "QCoreApplication",
    "QEvent",
    "QItemSelectionModel",
    "QAbstractItemModel",
    "QDir",
    "QFile",
    "QIODevice",
    "QFileDevice",
    "QUiLoader",
    "QSize",
    "QPoint",
    "QRect",
    "QStandardPaths",
    "QSignalBlocker",
    "QLocale",
    "QTranslator",
    "QToolTip",
    "QCompleter",
    "QAbstractListModel",
    "QAbstractTableModel",
    "QModelIndex",
    "QClipboard",
]
MODULES = [
    "slicer.ScriptedLoadableModule",
    "slicer.i18n",
    "slicer.packaging",
    "slicer.util",
    "SampleData",
    "slicer.parameterNodeWrapper.wrapper",
    "slicer.parameterNodeWrapper.default",
    "slicer.parameterNodeWrapper.types",
    "slicer.parameterNodeWrapper.validators",
    "slicer.parameterNodeWrapper.guiConnectors",
    "slicer.parameterNodeWrapper.parameterPack",
]


def _names(members: list[object]) -> list[str]:
    return [m["sig"] if isinstance(m, dict) else str(m) for m in members]


def widget_facts(classes: dict) -> dict:
    """Base, properties, signals, slots and methods of each kept class, with the bases of all."""
    kept: dict = {}
    wanted = list(WIDGETS)
    while wanted:
        name = wanted.pop()
        if name in kept or name not in classes:
            continue
        c = classes[name]
        kept[name] = {
            "module": c["module"],
            "base": c["base"],
            "properties": sorted(c["properties"]),
            "readonly": sorted(k for k, v in c["properties"].items() if v.get("readonly")),
            "signals": _names(c["signals"]),
            "slots": _names(c["slots"]) + _names(c["methods"]),
            "enums": sorted(v for values in c.get("enums", {}).values() for v in values),
        }
        wanted.append(c["base"])
    return dict(sorted(kept.items()))


def qt_facts(classes: dict, bases: set[str]) -> dict:
    """The same of the plain Qt classes."""
    kept: dict = {}
    wanted = [*QT, *bases]
    while wanted:
        name = wanted.pop()
        if not name or name in kept or name not in classes:
            continue
        c = classes[name]
        enums = c.get("enums", {})
        values = enums.values() if isinstance(enums, dict) else []
        methods = [*_names(c.get("slots", [])), *c.get("wrapper_methods", []), *c.get("static_methods", [])]
        kept[name] = {
            "base": c.get("base") or "",
            "properties": sorted(c.get("properties", {})),
            "signals": _names(c.get("signals", [])),
            "slots": methods,
            "enums": sorted({v for vs in values for v in vs}),
        }
        wanted.append(c.get("base") or "")
    return dict(sorted(kept.items()))


def python_facts(modules: dict) -> dict:
    """Function signatures and class members of the Python modules."""
    kept = {}
    for name in MODULES:
        m = modules[name]
        classes = {
            c: {"methods": {k: v["sig"] for k, v in d["methods"].items()}, "attributes": d["attributes"]}
            for c, d in m["classes"].items()
        }
        kept[name] = {"functions": {k: v["sig"] for k, v in m["functions"].items()}, "classes": classes}
    return kept


def main() -> None:
    folder = Path(sys.argv[1])
    widgets = widget_facts(json.loads((folder / "widgets.json").read_text())["classes"])
    bases = {w["base"] for w in widgets.values()}
    qt = qt_facts(json.loads((folder / "qt.json").read_text())["classes"], bases)
    python = python_facts(json.loads((folder / "python.json").read_text())["modules"])
    for name, data in (("widgets", widgets), ("qt", qt), ("python", python)):
        lines = ",\n".join(f"{json.dumps(key)}: {json.dumps(value, sort_keys=True)}" for key, value in data.items())
        (FACTS / f"{name}.json").write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    main()
