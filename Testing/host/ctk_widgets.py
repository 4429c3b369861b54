"""Stand-ins for the ctk widgets that the panels use: the public names of the real ones, nothing more."""

from __future__ import annotations

from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

Property, Signal, Slot = QtCore.Property, QtCore.Signal, QtCore.Slot


def held(kind: Any, name: str, default: Any, after: str = "") -> Any:
    """A Qt property kept in `_name`; `after` is a method called when it changes."""
    key = f"_{name}"

    def read(self: Any) -> Any:
        return getattr(self, key, default)

    def write(self: Any, value: Any) -> None:
        changed = value != getattr(self, key, default)
        setattr(self, key, value)
        if after and changed:
            getattr(self, after)()

    return Property(kind, read, write)


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """A header that folds its contents away; as in ctk, the contents keep the button's own children and layout."""

    contentsCollapsed = Signal(bool)

    def __init__(self, text: Any = None, parent: Any = None) -> None:
        if isinstance(text, QtWidgets.QWidget):
            text, parent = None, text
        super().__init__(parent)
        self._collapsed = False
        self._hidden: list[Any] = []
        self.text = text or ""
        self.checkable = True
        self.checked = True
        self.setFocusPolicy(QtCore.Qt.StrongFocus)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.setContentsMargins(0, 26, 0, 0)
        self.toggled.connect(lambda on: self._fold(not on))

    def _get_collapsed(self) -> bool:
        return self._collapsed

    def _set_collapsed(self, value: bool) -> None:
        self.checked = not value
        self._fold(value)

    collapsed = Property(bool, _get_collapsed, _set_collapsed, notify=contentsCollapsed)
    flat = held(bool, "flat", False)
    collapsedHeight = held(int, "collapsedHeight", 10)
    contentsLineWidth = held(int, "contentsLineWidth", 1)

    def _fold(self, value: bool) -> None:
        if value == self._collapsed:
            return
        self._collapsed = value
        if value:
            self._hidden = [c for c in self.children() if isinstance(c, QtWidgets.QWidget) and not c.isHidden()]
        for child in self._hidden:
            child.setVisible(not value)
        self.setMaximumHeight(26 if value else 16777215)
        self.updateGeometry()
        self.contentsCollapsed.emit(value)

    def sizeHint(self) -> Any:
        if self._collapsed or self.layout() is None:
            return QtCore.QSize(120, 26)
        return self.layout().totalSizeHint().expandedTo(QtCore.QSize(120, 26))

    minimumSizeHint = sizeHint

    def hitButton(self, position: Any) -> bool:
        return position.y() < 26

    def paintEvent(self, event: Any) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, 24)
        option.text = ("▸ " if self._collapsed else "▾ ") + self.text
        self.style().drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option, painter, self)
        painter.drawText(option.rect.adjusted(8, 0, 0, 0), QtCore.Qt.AlignVCenter, option.text)
        painter.end()


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider and a spin box that hold one floating-point value."""

    valueChanged = Signal(float)
    valueIsChanging = Signal(float)
    decimalsChanged = Signal(int)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal)
        self._slider.maximum = 1000
        self._spin = QtWidgets.QDoubleSpinBox()
        self._spin.setRange(0.0, 99.0)
        self._spin.setKeyboardTracking(False)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._spin)
        self.setFocusProxy(self._spin)
        self._silent = False
        self._slider.valueChanged.connect(self._from_slider)
        self._spin.valueChanged.connect(self._from_spin)

    def _span(self) -> float:
        return float(self._spin.maximum - self._spin.minimum) or 1.0

    def _from_slider(self, at: int) -> None:
        if not self._silent:
            self._spin.value = self._spin.minimum + at / 1000.0 * self._span()

    def _from_spin(self, value: float) -> None:
        self._silent = True
        self._slider.value = round(1000 * (value - self._spin.minimum) / self._span())
        self._silent = False
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _forward(name: str, kind: Any) -> Any:
        return Property(kind, lambda self: getattr(self._spin, name), lambda self, v: setattr(self._spin, name, v))

    value = _forward("value", float)
    minimum = _forward("minimum", float)
    maximum = _forward("maximum", float)
    singleStep = _forward("singleStep", float)
    decimals = _forward("decimals", int)
    suffix = _forward("suffix", str)
    prefix = _forward("prefix", str)
    pageStep = held(float, "pageStep", 10.0)
    tracking = held(bool, "tracking", True)
    spinBoxVisible = held(bool, "spinBoxVisible", True, after="_show_spin")
    del _forward

    def _show_spin(self) -> None:
        self._spin.setVisible(self._spinBoxVisible)

    def setValue(self, value: float) -> None:
        self._spin.value = value

    def setDecimals(self, decimals: int) -> None:
        self._spin.decimals = decimals


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for no choice."""

    defaultText = held(str, "defaultText", "")

    def paintEvent(self, event: Any) -> None:
        if self.currentIndex >= 0 or not self.defaultText:
            super().paintEvent(event)
            return
        painter = QtWidgets.QStylePainter(self)
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = self.defaultText
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path that is typed or browsed for."""

    currentPathChanged = Signal(str)
    validInputChanged = Signal(bool)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._edit = QtWidgets.QLineEdit()
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._edit)
        self.setFocusProxy(self._edit)
        self._edit.textChanged.connect(self.currentPathChanged.emit)

    currentPath = Property(str, lambda self: self._edit.text, lambda self, v: setattr(self._edit, "text", v))
    nameFilters = held("QStringList", "nameFilters", [])
    label = held(str, "label", "")

    def setCurrentPath(self, path: str) -> None:
        self._edit.text = path


class ctkMessageBox(QtWidgets.QMessageBox):
    """The message box of slicer.util."""

    dontShowAgain = held(bool, "dontShowAgain", False)
    dontShowAgainSettingsKey = held(str, "dontShowAgainSettingsKey", "")


CLASSES = (ctkCollapsibleButton, ctkSliderWidget, ctkComboBox, ctkPathLineEdit, ctkMessageBox)
