"""Slice views, a 3D view and a plot beside the panel, drawn offscreen: what a user would see."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from PySide6 import QtCore, QtGui
from vtk.util.numpy_support import vtk_to_numpy

SLICES = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
FRAME = {"Red": "#f34a33", "Green": "#6eb04b", "Yellow": "#edd54c", "1": "#7a84c8", "Plot": "#888888"}


def _picture(window: Any) -> Any:
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)[::-1, :, :3]
    pixels = np.ascontiguousarray(pixels)
    return QtGui.QImage(pixels.tobytes(), width, height, 3 * width, QtGui.QImage.Format_RGB888).copy()


class qMRMLSliceWidget:
    """One slice view."""

    def __init__(self, name: str) -> None:
        from trame_slicer.views import SliceView

        self.name = name
        self._view = SliceView(slicer.mrmlScene, slicer.app.applicationLogic(), name)
        self._view.render_window().SetOffScreenRendering(1)
        self._view.set_scheduled_render(None)
        self._view._scheduled_render = None
        self._view.set_orientation(SLICES[name])

    def mrmlSliceNode(self) -> Any:
        return self._view._logic.GetSliceNode()

    def sliceLogic(self) -> Any:
        return self._view._logic


class qSlicerLayoutManager(QtCore.QObject):
    """Owns the views; draws them when a picture is asked for."""

    def __init__(self, size: int = 300) -> None:
        super().__init__()
        from trame_slicer.views import ThreeDView

        self._slices = {name: qMRMLSliceWidget(name) for name in SLICES}
        self._three = ThreeDView(slicer.mrmlScene, slicer.app.applicationLogic(), "1")
        self._three.set_background_gradient_color([156, 160, 200], [193, 195, 232])
        self._three.render_window().SetOffScreenRendering(1)
        self._three._scheduled_render = None
        self._layout_node = slicer.vtkMRMLLayoutNode()
        for view in [s._view for s in self._slices.values()] + [self._three]:
            view.render_window().SetSize(size, size)
            view.interactor().SetSize(size, size)
        for widget in self._slices.values():
            widget.sliceLogic().ResizeSliceNode(size, size)

    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    def sliceWidget(self, name: str) -> Any:
        return self._slices[name]

    def mrmlSliceLogics(self) -> Any:
        return slicer.app.applicationLogic().GetSliceLogics()

    def setLayout(self, layout: int) -> None:
        self._layout_node.SetViewArrangement(layout)

    layout = QtCore.Property(int, lambda self: self._layout_node.GetViewArrangement(), setLayout)

    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.sliceLogic().FitSliceToBackground()

    def resetThreeDViews(self) -> None:
        self._three.reset_camera()

    def _resize(self, side: int) -> None:
        for view in [s._view for s in self._slices.values()] + [self._three]:
            view.render_window().SetSize(side, side)
            view.interactor().SetSize(side, side)
        for widget in self._slices.values():
            logic = widget.sliceLogic()
            center = [logic.GetSliceNode().GetSliceToRAS().GetElement(n, 3) for n in range(3)]
            logic.ResizeSliceNode(side, side)
            if logic.GetSliceCompositeNode().GetBackgroundVolumeID():
                logic.FitSliceToBackground()
            logic.GetSliceNode().JumpSliceByCentering(*center)

    def _pictures(self, side: int, plot: Any = None) -> dict[str, Any]:
        """Each view as an image, the plot of a chart node too."""
        found = {}
        self._resize(side)
        for name, widget in self._slices.items():
            widget._view._update_image_data_connection()
            widget._view.render_window().Render()
            found[name] = _picture(widget._view.render_window())
        node = self._three._view_node
        node.SetBoxVisible(0)
        node.SetAxisLabelsVisible(0)
        self._three.render_window().Render()
        self._three.renderer().ResetCamera()
        self._three.renderer().GetActiveCamera().Zoom(1.1)
        self._three.render_window().Render()
        found["1"] = _picture(self._three.render_window())
        if plot is not None:
            found["Plot"] = _draw_chart(plot, (2 * side + 4, side))
        return found


def _draw_chart(chart: Any, size: tuple[int, int]) -> Any:
    """A plot chart node drawn with VTK's charts, as Slicer's plot view does."""
    view = vtk.vtkContextView()
    view.GetRenderWindow().SetOffScreenRendering(1)
    view.GetRenderWindow().SetSize(*size)
    view.GetRenderer().SetBackground(1, 1, 1)
    plot = vtk.vtkChartXY()
    view.GetScene().AddItem(plot)
    plot.SetTitle(chart.GetTitle() or "")
    plot.SetShowLegend(bool(chart.GetLegendVisibility()))
    plot.GetAxis(vtk.vtkAxis.BOTTOM).SetTitle(chart.GetXAxisTitle() or "")
    plot.GetAxis(vtk.vtkAxis.LEFT).SetTitle(chart.GetYAxisTitle() or "")
    for axis, auto, limits in (
        (vtk.vtkAxis.BOTTOM, chart.GetXAxisRangeAuto(), chart.GetXAxisRange()),
        (vtk.vtkAxis.LEFT, chart.GetYAxisRangeAuto(), chart.GetYAxisRange()),
    ):
        if not auto:
            plot.GetAxis(axis).SetBehavior(vtk.vtkAxis.FIXED)
            plot.GetAxis(axis).SetRange(*limits)
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        table = series.GetTableNode().GetTable()
        line = plot.AddPlot(vtk.vtkChart.LINE)
        line.SetInputData(table, series.GetXColumnName(), series.GetYColumnName())
        line.SetColorF(*series.GetColor())
        line.SetWidth(series.GetLineWidth())
        line.SetLabel(series.GetName())
        line.GetPen().SetLineType(max(1, series.GetLineStyle()))
    view.GetRenderWindow().Render()
    return _picture(view.GetRenderWindow())


def window_picture(panel: Any, path: str, plot: Any = None) -> None:
    """Save the panel with its views beside it as one PNG."""
    panel.resize(panel.width, panel.minimumSizeHint().height())
    slicer.app.processEvents()
    side = (panel.height - 6) // 2
    images = slicer.app.layoutManager()._pictures(side, plot)
    order = ["Red", "1", "Green", "Yellow"]
    if plot is not None:
        order = ["Red", "1", "Plot"]
    height = max(panel.height, 2 * side + 6)
    canvas = QtGui.QPixmap(panel.width + 2 * side + 12, height)
    canvas.fill(QtGui.QColor("#2b2b2b"))
    painter = QtGui.QPainter(canvas)
    painter.drawPixmap(0, 0, panel.grab())
    for index, name in enumerate(order):
        x = panel.width + 4 + (index % 2) * (side + 4)
        y = 2 + (index // 2) * (side + 4)
        painter.drawImage(x, y, images[name])
        painter.fillRect(x, y, images[name].width(), 4, QtGui.QColor(FRAME[name]))
    painter.end()
    if _differs(canvas, path):
        canvas.save(path)


def _differs(canvas: Any, path: str) -> bool:
    """True when the file is not there or shows something else; anti-aliasing and a clock do not count."""
    new, old = canvas.toImage(), QtGui.QImage(path)
    if old.isNull() or old.size() != new.size():
        return True
    pixels = [
        np.frombuffer(image.convertToFormat(QtGui.QImage.Format_RGBX8888).constBits(), np.uint8).astype(np.int16)
        for image in (new, old)
    ]
    return bool((np.abs(pixels[0] - pixels[1]) > 24).mean() > 0.0003)
