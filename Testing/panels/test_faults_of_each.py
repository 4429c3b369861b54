"""What goes wrong in a user's day, for each of the three modules alike."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest
import slicer
import vtk
from host import driving
from host.cases import CASES, prepare
from host.driving import QtCore, QtTest, QtWidgets, at_progress, click

CANCELED = "Canceled; the scene is as it was."
SHIFT_MM = 4.0


@pytest.fixture(params=list(CASES))
def case(request, breast, organs, coarse_therapy):
    """A module."""
    return CASES[request.param]


@pytest.fixture
def panel(case, open_panel):
    """Its panel with small inputs and quick settings."""
    return prepare(open_panel, case)


def node_ids():
    nodes = slicer.mrmlScene.GetNodes()
    kept = (nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems()))
    return sorted(n.GetID() for n in kept if not n.IsA("vtkMRMLSubjectHierarchyNode"))


def test_the_tabulator_reaches_every_control(panel):
    frame = panel.parent
    wanted = {
        widget.objectName
        for kind in (QtWidgets.QAbstractButton, QtWidgets.QComboBox, QtWidgets.QAbstractSpinBox, QtWidgets.QLineEdit)
        for widget in frame.findChildren(kind)
        if widget.visible and widget.enabled and widget.objectName and not widget.objectName.startswith("qt_")
    }
    frame.activateWindow()
    driving.spin()
    panel.ui.fixedSelector.setFocus()
    reached = set()
    for _press in range(120):
        widget = QtWidgets.QApplication.focusWidget()
        while widget is not None and widget is not frame:
            reached.add(widget.objectName)
            widget = widget.parentWidget()
        QtTest.QTest.keyClick(QtWidgets.QApplication.focusWidget(), QtCore.Qt.Key_Tab)
    assert len(wanted) >= 8
    assert wanted - reached == set()


def test_cancel_at_three_stages_leaves_the_scene_as_it_was(panel):
    before = node_ids()
    for percent in (1, 30, 60):
        pressed = []
        timer = at_progress(
            panel, percent, lambda at=pressed: (at.append(time.monotonic()), click(panel.ui.cancelButton))
        )
        click(panel.ui.applyButton)
        timer.stop()
        assert pressed, f"the run was over before {percent} %"
        assert time.monotonic() - pressed[0] < 1.2
        assert panel.ui.statusLabel.text == CANCELED
        assert node_ids() == before
        assert panel.ui.applyButton.enabled
        assert not panel.ui.progressBar.visible


def test_closing_the_scene_during_a_run_ends_it_and_writes_nothing(case, panel):
    at_progress(panel, 5, driving.clear_scene)
    click(panel.ui.applyButton)
    for kind in ("ScalarVolume", "Transform", "Model", "Table", "Segmentation"):
        found = slicer.util.getNodesByClass(f"vtkMRML{kind}Node")
        assert not [node for node in found if not node.GetHideFromEditors()], kind
    assert panel.results.current is None
    assert panel.ui.applyButton.text == case.nothing


def test_deleting_an_input_during_a_run_ends_it(case, panel):
    gone = getattr(panel._parameterNode, case.deleted)
    before = set(node_ids())
    at_progress(panel, 5, lambda: slicer.mrmlScene.RemoveNode(gone))
    click(panel.ui.applyButton)
    assert panel.results.current is None
    assert panel.ui.statusLabel.text == CANCELED
    assert set(node_ids()) < before


def test_apply_cannot_be_pressed_twice_and_another_module_does_not_end_the_run(case, panel):
    seen = []

    def again():
        seen.append(panel.ui.applyButton.enabled)
        panel.onApply()
        panel.parent.exit()

    at_progress(panel, 5, again)
    click(panel.ui.applyButton)
    panel.parent.enter()
    assert seen == [False]
    assert [run.run for run in panel.results._found] == [panel.results.current.run]
    assert panel.results.node(case.role) is not None
    assert all(getattr(panel._parameterNode, field) is not None for field in case.fields)


def test_two_runs_in_a_row_with_names_in_any_script_stand_side_by_side_and_are_undone_one_by_one(case, panel, tmp_path):
    before = node_ids()
    for number, field in enumerate(case.fields):
        getattr(panel._parameterNode, field).SetName(f'{number} Größe/乳房: צילום "{field}"')
    click(panel.ui.applyButton)
    first = panel.results.current
    click(panel.ui.applyButton)
    assert panel.results.current.run != first.run
    assert panel.ui.resultSelector.count == 2
    panel.ui.folderEdit.currentPath = str(tmp_path / "画像 ä")
    click(panel.ui.saveButton)
    assert len([path for path in (tmp_path / "画像 ä").rglob("*") if path.stat().st_size]) >= 4
    click(panel.ui.removeButton)
    assert panel.results.current.run == first.run
    assert set(first.ids) <= set(node_ids())
    click(panel.ui.removeButton)
    assert panel.results.current is None
    assert [n for n in node_ids() if n not in before and "Storage" not in n] == []


def test_reload_drops_the_library_and_keeps_the_parameters(case, panel):
    old = sys.modules["valorlib.core.errors"]
    kept = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("valorlib", "VALORPanels")}
    held = [getattr(panel._parameterNode, field) for field in case.fields]
    panel.onReload()
    new = getattr(slicer.modules, f"{case.name}Widget")
    assert new is not panel
    assert sys.modules["valorlib.core.errors"] is not old
    assert [getattr(new._parameterNode, field) for field in case.fields] == held
    assert new._parameterNode.preset == "quick"
    driving.close_panel(case.name)
    sys.modules.update(kept)
    driving.application.load_module(case.name)


def test_wrong_inputs_are_told_before_or_in_one_line(case, panel):
    held, (first, second, sentence) = panel._parameterNode, case.same
    right = getattr(held, second)
    setattr(held, second, getattr(held, first))
    assert panel.ui.applyButton.text == sentence
    assert not panel.ui.applyButton.enabled
    empty = slicer.mrmlScene.AddNewNodeByClass(right.GetClassName(), "Empty")
    setattr(held, second, empty)
    if panel.ui.applyButton.enabled:
        click(panel.ui.applyButton)
        assert panel.ui.statusLabel.text.startswith("Empty")
        assert "\n" not in panel.ui.statusLabel.text
    else:
        assert panel.ui.applyButton.text == "No organ has the same name on both sides"
    assert panel.results.current is None
    setattr(held, second, right)
    assert panel.ui.applyButton.enabled


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "non-linear"])
def test_an_input_under_a_parent_transform_counts_where_it_is_seen(case, panel, linear):
    # What is seen under a parent is what Slicer makes of the node when the parent is hardened.
    carried = [getattr(panel._parameterNode, field) for field in case.carried]
    parent = add_parent(linear)
    click(panel.ui.applyButton)
    unmoved = numbers_of(panel, case)
    for node in carried:
        node.SetAndObserveTransformNodeID(parent.GetID())
    click(panel.ui.applyButton)
    assert panel.results.current is not None, panel.ui.statusLabel.text
    seen = numbers_of(panel, case)
    for node in carried:
        assert node.HardenTransform()
        assert node.GetParentTransformNode() is None
    click(panel.ui.applyButton)
    hardened = numbers_of(panel, case)
    assert np.abs(seen - unmoved).max() > 0.5, "the parent changed nothing, so the comparison shows nothing"
    np.testing.assert_allclose(seen, hardened, atol=0.3, rtol=0.02)
    if linear and case.name == "VALORRegistration":
        np.testing.assert_allclose(seen - unmoved, (SHIFT_MM, 0, 0), atol=0.5)


def add_parent(linear):
    """A transform that carries everything about SHIFT_MM to the right."""
    if linear:
        parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, SHIFT_MM)
        parent.SetMatrixTransformToParent(matrix)
        return parent
    parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
    spline = vtk.vtkThinPlateSplineTransform()
    corners = [(x, y, z) for x in (-250, 250) for y in (-250, 250) for z in (-200, 200)]
    for to, moved in ((spline.SetSourceLandmarks, False), (spline.SetTargetLandmarks, True)):
        points = vtk.vtkPoints()
        for number, (x, y, z) in enumerate(corners):
            points.InsertNextPoint(x + moved * (SHIFT_MM + 0.5 * (number % 3)), y, z)
        to(points)
    spline.SetBasisToR()
    parent.SetAndObserveTransformToParent(spline)
    return parent


def numbers_of(panel, case):
    """Numbers of a result that change with the place of its inputs."""
    if case.name == "UncertaintyViewer":
        rows = panel.logic.rows(panel.results.node("checks"))
        value = next(name for name in rows[0] if name.startswith("Value"))
        found = [float(row[value]) for row in rows if row["Check"].startswith("Landmark")]
        dose = slicer.util.arrayFromVolume(panel.results.node("dose_mean"))
        left = [np.argwhere(dose > 0.5 * dose.max())[:, 2].mean()]
        return np.asarray(found + left)
    if case.name == "VALORRegistration":
        field = slicer.util.arrayFromGridTransform(panel.results.node("transform"))
        middle = tuple(slice(n // 3, -(n // 3)) for n in field.shape[:3])
        return field[middle].reshape(-1, 3).mean(axis=0)
    table = panel.results.node("organs")
    column = table.GetTable().GetColumnByName("Distance before (mm)")
    return np.asarray([column.GetValue(n) for n in range(column.GetNumberOfTuples())])
