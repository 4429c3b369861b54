"""The table of checks: tolerances and dose goals with their lights."""

from __future__ import annotations

from typing import Any

import qt
from slicer.i18n import tr as _

LIGHTS = {"pass": "#2e9e4f", "check": "#e0a100", "fail": "#c0392b"}


def prepare(table: Any) -> None:
    """Columns of the table."""
    table.setColumnCount(4)
    table.setHorizontalHeaderLabels([_("Check"), _("Value"), _("Limit"), _("Note")])
    table.horizontalHeader().setStretchLastSection(True)


def show(table: Any, rows: list[dict[str, Any]]) -> None:
    """One line a check, its value in the color of its light."""
    table.setRowCount(len(rows))
    for index, row in enumerate(rows):
        value = row["Value"] if abs(row["Value"]) >= 5e-3 else 0.0
        texts = (row["Check"], f"{value:.3g} {row['Unit']}", str(row["Limit"]), str(row["Note"]))
        for column, text in enumerate(texts):
            item = qt.QTableWidgetItem(text)
            item.setFlags(qt.Qt.ItemIsSelectable | qt.Qt.ItemIsEnabled)
            if column == 1 and row["Light"] in LIGHTS:
                item.setBackground(qt.QBrush(qt.QColor(LIGHTS[row["Light"]])))
                item.setForeground(qt.QBrush(qt.QColor("white")))
                item.setToolTip(row["Light"])
            table.setItem(index, column, item)
    table.resizeColumnsToContents()
    table.resizeRowsToContents()
