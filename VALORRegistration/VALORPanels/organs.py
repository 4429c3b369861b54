"""The organ table of PointCloudRegistration: which organs take part, how each moves, which move together."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from valorlib.core.errors import InputError

BY_TABLE, TOGETHER, MATRIX = "table", "together", "matrix"


class OrganSection:
    """Two tables: one row an organ, and the matrix of what moves together; kept in the parameter node."""

    def __init__(self, ui: Any, parameters: Callable[[], Any]) -> None:
        self._ui, self._parameters = ui, parameters
        self.names: list[str] = []
        self._quiet = False
        table = ui.organTable
        table.setColumnCount(4)
        table.setHorizontalHeaderLabels([_("Organ"), _("By itself"), _("Reach (mm)"), _("Motion (mm)")])
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("itemChanged(QTableWidgetItem*)", self._edited)
        ui.includeAllButton.connect("clicked(bool)", lambda: self._include(True))
        ui.includeNoneButton.connect("clicked(bool)", lambda: self._include(False))
        kinds = {BY_TABLE: _("As ticked above"), TOGETHER: _("All together"), MATRIX: _("Matrix below")}
        for kind, text in kinds.items():
            ui.couplingSelector.addItem(text, kind)
        ui.couplingSelector.connect("currentIndexChanged(int)", self._couplingChosen)
        ui.matrixTable.connect("itemChanged(QTableWidgetItem*)", self._matrixEdited)

    def show(self, names: list[str]) -> None:
        """Show these organs with what the parameter node holds of them."""
        self.names = list(names)
        held = self._held()
        self._quiet = True
        table = self._ui.organTable
        table.setRowCount(len(names))
        for row, name in enumerate(names):
            kept = held.get(name, {})
            organ = self._item(name, checked=kept.get("include", True))
            organ.setToolTip(_("Ticked organs take part"))
            alone = self._item("", checked=kept.get("alone", True))
            alone.setToolTip(_("Ticked: moves independently of the other organs"))
            table.setItem(row, 0, organ)
            table.setItem(row, 1, alone)
            table.setItem(row, 2, self._item(kept.get("length", ""), editable=True))
            table.setItem(row, 3, self._item(kept.get("size", ""), editable=True))
            table.item(row, 2).setToolTip(_("B: how far motion stays coherent; empty: as in the options"))
            table.item(row, 3).setToolTip(_("Lambda: how far this organ may move; empty: as in the options"))
        for column in range(3):
            table.resizeColumnToContents(column)
        parameters = self._parameters()
        kind = json.loads(parameters.matrix).get("kind", BY_TABLE) if parameters and parameters.matrix else BY_TABLE
        kinds = [BY_TABLE, TOGETHER, MATRIX]
        self._ui.couplingSelector.currentIndex = kinds.index(kind) if kind in kinds else 0
        self._quiet = False
        self._showMatrix()

    def included(self) -> list[str]:
        """Names of the organs that take part."""
        return [name for row, name in enumerate(self.names) if self._ticked(row, 0)]

    def options(self, options: Any, order: list[str]) -> Any:
        """The options with what the tables say of each organ.

        Args:
            options: of the method.
            order: names of the organs, by rising label.

        Raises:
            InputError: a field that is no number.
        """
        reach, motion = self._numbers(2, order, options.length_mm), self._numbers(3, order, options.size_mm)
        changes: dict[str, Any] = {}
        if any(v != options.length_mm for v in reach):
            changes["organ_length_mm"] = reach
        if any(v != options.size_mm for v in motion):
            changes["organ_size_mm"] = motion
        kind = self._coupling()
        if kind == TOGETHER:
            changes["between_organs"] = 1.0
        elif kind == MATRIX or not all(self._ticked(self.names.index(name), 1) for name in order):
            matrix = self.matrix()
            rows = [self.names.index(name) for name in order]
            changes["coherence_matrix"] = tuple(matrix[a][b] for a in rows for b in rows)
        return dataclasses.replace(options, **changes)

    def matrix(self) -> list[list[float]]:
        """S: how strongly two organs move together, 0 to 1."""
        count = len(self.names)
        if self._coupling() == MATRIX:
            held = self._storedMatrix()
            if len(held) == count:
                return held
        together = self._coupling() == TOGETHER
        alone = [self._ticked(row, 1) for row in range(count)]
        return [
            [1.0 if a == b or together or not (alone[a] or alone[b]) else 0.0 for b in range(count)]
            for a in range(count)
        ]

    def _numbers(self, column: int, order: list[str], default: float) -> tuple[float, ...]:
        values = []
        for name in order:
            text = self._ui.organTable.item(self.names.index(name), column).text().strip().replace(",", ".")
            try:
                values.append(float(text) if text else default)
            except ValueError:
                raise InputError(f"{name}: expected a number of mm, got {text!r}; correct the organ table") from None
        return tuple(values)

    def _item(self, text: str, *, checked: bool | None = None, editable: bool = False) -> Any:
        item = qt.QTableWidgetItem(text)
        flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
        if checked is not None:
            item.setFlags(flags | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Checked if checked else qt.Qt.Unchecked)
        else:
            item.setFlags(flags | qt.Qt.ItemIsEditable if editable else flags)
        return item

    def _ticked(self, row: int, column: int) -> bool:
        item = self._ui.organTable.item(row, column)
        return item is not None and item.checkState() == qt.Qt.Checked

    def _held(self) -> dict[str, Any]:
        parameters = self._parameters()
        return json.loads(parameters.organs) if parameters is not None and parameters.organs else {}

    def _edited(self) -> None:
        parameters = self._parameters()
        if self._quiet or parameters is None:
            return
        table = self._ui.organTable
        rows = {
            name: {
                "include": self._ticked(row, 0),
                "alone": self._ticked(row, 1),
                "length": table.item(row, 2).text(),
                "size": table.item(row, 3).text(),
            }
            for row, name in enumerate(self.names)
        }
        parameters.organs = json.dumps({**self._held(), **rows})
        self._showMatrix()

    def _include(self, wanted: bool) -> None:
        for row in range(len(self.names)):
            self._ui.organTable.item(row, 0).setCheckState(qt.Qt.Checked if wanted else qt.Qt.Unchecked)

    def _coupling(self) -> str:
        return str(self._ui.couplingSelector.itemData(self._ui.couplingSelector.currentIndex))

    def _couplingChosen(self) -> None:
        if not self._quiet:
            self._store(self.matrix())
            self._showMatrix()

    def _storedMatrix(self) -> list[list[float]]:
        parameters = self._parameters()
        held = json.loads(parameters.matrix) if parameters is not None and parameters.matrix else {}
        return held.get("values", []) if held.get("names") == self.names else []

    def _store(self, values: list[list[float]]) -> None:
        parameters = self._parameters()
        if parameters is not None:
            parameters.matrix = json.dumps({"kind": self._coupling(), "names": self.names, "values": values})

    def _showMatrix(self) -> None:
        table, values = self._ui.matrixTable, self.matrix()
        self._quiet = True
        table.setRowCount(len(self.names))
        table.setColumnCount(len(self.names))
        table.setHorizontalHeaderLabels(self.names)
        table.setVerticalHeaderLabels(self.names)
        for a, row in enumerate(values):
            for b, value in enumerate(row):
                editable = self._coupling() == MATRIX and a != b
                table.setItem(a, b, self._item(f"{value:g}", editable=editable))
        self._quiet = False

    def _matrixEdited(self, item: Any) -> None:
        if self._quiet:
            return
        values = self.matrix()
        try:
            value = min(1.0, max(0.0, float(item.text().replace(",", "."))))
        except ValueError:
            value = values[item.row()][item.column()]
        values[item.row()][item.column()] = values[item.column()][item.row()] = value
        self._store(values)
        self._showMatrix()
