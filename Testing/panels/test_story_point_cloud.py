"""PointCloudRegistration by clicking, from the empty scene to the saved and restored one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import slicer
from host import driving, views
from host.driving import QtCore, QtTest, choose, click, spin, type_into, unfold
from vtk.util.numpy_support import vtk_to_numpy

SHOTS = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"


def load_sample():
    from VALORPanels import samples

    nodes = samples.loadOrgans()
    spin()
    return nodes


def tick(table, row, column):
    rect = table.visualItemRect(table.item(row, column))
    at = QtCore.QPoint(rect.left() + 9, rect.center().y())
    QtTest.QTest.mouseClick(table.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
    spin(0.02)


def type_in_cell(table, row, column, text):
    table.setCurrentCell(row, column)
    table.editItem(table.item(row, column))
    editor = table.viewport().findChild(driving.QtWidgets.QLineEdit)
    type_into(editor, text)


def use_quick(panel):
    unfold(panel.ui.methodCollapsible)
    choose(panel.ui.presetSelector, "quick")
    unfold(panel.ui.methodCollapsible, opened=False)


def test_the_whole_story_from_an_empty_scene_to_a_restored_one(open_panel, organs, tmp_path):
    panel = open_panel("PointCloudRegistration", height=1150)
    ui = panel.ui
    assert ui.applyButton.text == "Select fixed and moving organs"
    fixed, moving = load_sample()
    assert ui.fixedSelector.currentNode() is fixed
    assert ui.applyButton.text == "Apply: register 5 organs"

    tick(ui.organTable, 4, 0)
    assert ui.applyButton.text == "Apply: register 4 organs"
    tick(ui.organTable, 2, 1)
    tick(ui.organTable, 3, 1)
    type_in_cell(ui.organTable, 0, 2, "35")
    type_in_cell(ui.organTable, 1, 3, "4,5")
    unfold(ui.matrixCollapsible)
    assert ui.matrixTable.item(2, 3).text() == "1"
    assert ui.matrixTable.item(0, 1).text() == "0"
    choose(ui.couplingSelector, "All together")
    assert ui.matrixTable.item(0, 1).text() == "1"
    choose(ui.couplingSelector, "As ticked above")
    choose(ui.couplingSelector, "Matrix below")
    type_in_cell(ui.matrixTable, 2, 3, "0.5")
    assert ui.matrixTable.item(3, 2).text() == "0.5"
    use_quick(panel)
    options = panel.organs.options(panel.methods.options(), ["liver", "stomach", "kidney_left", "kidney_right"])
    usual = panel.methods.options().length_mm
    assert options.organ_length_mm == (35.0, usual, usual, usual)
    assert options.organ_size_mm[1] == 4.5
    assert options.coherence_matrix[2 * 4 + 3] == 0.5
    unfold(ui.matrixCollapsible, opened=False)
    ui.spacingSlider.value = 8.0

    click(ui.applyButton)
    assert panel.results.current is not None, ui.statusLabel.text
    table = ui.organsView.mrmlTableNode()
    before = [float(table.GetTable().GetValueByName(r, "Distance before (mm)").ToDouble()) for r in range(4)]
    after = [float(table.GetTable().GetValueByName(r, "Distance after (mm)").ToDouble()) for r in range(4)]
    assert np.mean(after) < 0.7 * np.mean(before)
    choose(ui.colorSelector, "Displacement (mm)")
    model = panel.results.node("model:liver")
    assert model.GetDisplayNode().GetActiveScalarName() == "displacement_mm"
    assert driving.legends() == ["Motion (mm)"]
    assert_surfaces_are_painted_by_value(panel)
    moving.SetDisplayVisibility(False)
    views.window_picture(panel.parent, str(SHOTS / "PointCloudRegistration.png"))

    # The transform carries any other node along.
    points = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Biopsie Ä")
    points.AddControlPointWorld(__import__("vtk").vtkVector3d(0, 0, 0))
    spin()
    choose(ui.targetSelector, "Biopsie Ä")
    click(ui.applyToButton)
    assert points.GetParentTransformNode() is panel.results.node("transform")
    click(ui.releaseButton)
    assert points.GetParentTransformNode() is None
    type_into(ui.folderEdit, str(tmp_path / "out"))
    click(ui.saveButton)
    assert len(list((tmp_path / "out").rglob("*moved*"))) == 4

    held, run = json.loads(panel._parameterNode.organs), panel.results.current.run
    path = driving.save_scene(tmp_path / "scene")
    driving.clear_scene()
    assert panel.results.current is None
    driving.load_scene(path)
    assert panel.results.current.run == run
    assert json.loads(panel._parameterNode.organs) == held
    assert ui.applyButton.text == "Apply: register 4 organs"
    click(ui.removeButton)
    assert panel.results.current is None
    assert not slicer.util.getNodesByClass("vtkMRMLGridTransformNode")


def assert_surfaces_are_painted_by_value(panel):
    """The 3D view shows many colors between dark and bright, which one color with its shades has not."""
    picture = slicer.app.layoutManager()._pictures(300)["1"]
    pixels = np.frombuffer(picture.constBits(), np.uint8).reshape(300, picture.bytesPerLine())[:, :900]
    red, green, blue = (pixels[:, n::3].astype(float) for n in range(3))
    warm = (red > 1.25 * blue) & (red > 60)
    share = green[warm] / red[warm]
    assert warm.sum() > 2000
    assert np.percentile(share, 95) - np.percentile(share, 5) > 0.25
    model = panel.results.node("model:liver")
    values = vtk_to_numpy(model.GetPolyData().GetPointData().GetArray("displacement_mm"))
    assert np.ptp(values) > 1.0


def test_the_transform_node_carries_points_as_the_library_does(open_panel, organs):
    panel = open_panel("PointCloudRegistration")
    load_sample()
    use_quick(panel)
    panel.ui.spacingSlider.value = 10.0
    seen = []
    inner = panel.logic.write
    panel.logic.write = lambda outcome, *rest: (seen.append(outcome), inner(outcome, *rest))[1]
    click(panel.ui.applyButton)
    from valorlib.ops.transforms import map_points

    # Points of the fixed space near the organs, pulled by the library; the node carries them back.
    at = organs.truth.fixed.points[::97]
    pulled = map_points(seen[0].transform, at)
    markups = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    slicer.util.updateMarkupsControlPointsFromArray(markups, pulled * (-1, -1, 1))
    markups.SetAndObserveTransformNodeID(panel.results.node("transform").GetID())
    moved = slicer.util.arrayFromMarkupsControlPoints(markups, world=True) * (-1, -1, 1)
    back = map_points(seen[0].transform, moved)
    np.testing.assert_allclose(back, pulled, atol=1e-3)


def add_model(name, center, radius=14.0):
    import vtk

    ball = vtk.vtkSphereSource()
    ball.SetCenter(*center)
    ball.SetRadius(radius)
    ball.SetThetaResolution(24)
    ball.SetPhiResolution(24)
    ball.Update()
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode", name)
    node.SetAndObservePolyData(ball.GetOutput())
    node.CreateDefaultDisplayNodes()
    return node


def test_several_models_a_side_are_matched_by_name_and_come_back_with_the_scene(open_panel, tmp_path):
    panel = open_panel("PointCloudRegistration")
    ui = panel.ui
    for number, (side, shift) in enumerate((("Plan", 0.0), ("Tag 2", 5.0))):
        for organ, x in (("Leber", -30.0), ("Milz", 30.0)):
            add_model(f"{organ} {side}", (x + shift, 2 * number, 0))
    spin()
    assert ui.applyButton.text == "Select fixed and moving organs"
    choose(ui.fixedSelector, "Leber Plan")
    tick_models(ui.fixedModelsSelector, "Milz Plan")
    assert ui.applyButton.text == "Select fixed and moving organs"
    tick_models(ui.movingModelsSelector, "Leber Tag 2", "Milz Tag 2")
    assert ui.applyButton.text == "Apply: register 2 organs"
    tick_models(ui.movingModelsSelector, "Milz Plan")
    assert ui.applyButton.text == "Fixed and moving organs must not be the same"
    tick_models(ui.movingModelsSelector, "Milz Plan")
    use_quick(panel)
    click(ui.applyButton)
    assert panel.results.current is not None, ui.statusLabel.text
    assert {"model:leber", "model:milz"} <= set(panel.results.current.roles)
    path = driving.save_scene(tmp_path / "scene")
    driving.clear_scene()
    driving.load_scene(path)
    assert [node.GetName() for node in ui.movingModelsSelector.checkedNodes()] == ["Leber Tag 2", "Milz Tag 2"]
    assert ui.applyButton.text == "Apply: register 2 organs"


def tick_models(box, *names):
    """Tick or clear models in the list, with the mouse."""
    inner = box._combo
    for name in names:
        click(inner)
        QtTest.QTest.qWait(20)
        view = inner.view()
        at = view.visualRect(inner.model().index(inner.findText(name), 0)).center()
        QtTest.QTest.mouseMove(view.viewport(), at)
        QtTest.QTest.mouseClick(view.viewport(), QtCore.Qt.LeftButton, QtCore.Qt.NoModifier, at)
        if view.visible:
            inner.hidePopup()
        spin(0.02)
