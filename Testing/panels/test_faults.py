"""What goes wrong in a user's day: canceling, closing, deleting, wrong inputs, doing things twice."""

from __future__ import annotations

import time

import numpy as np
import pytest
import slicer
import vtk
from host import driving
from host.driving import QtCore, QtTest, at_progress, click, spin


@pytest.fixture
def panel(open_panel, breast):
    """The registration panel with a small pair, quick options."""
    widget = open_panel("VALORRegistration")
    from VALORPanels import samples

    samples.loadBreastPair()
    spin()
    widget._parameterNode.preset = "quick"
    widget.methods.load()
    return widget


def node_names():
    nodes = slicer.mrmlScene.GetNodes()
    kept = (nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems()))
    return sorted(n.GetID() for n in kept if not n.IsA("vtkMRMLSubjectHierarchyNode"))


@pytest.mark.parametrize("percent", [1, 40, 85])
def test_cancel_at_three_stages_leaves_the_scene_as_it_was(panel, percent):
    before = node_names()
    pressed = []
    at_progress(panel, percent, lambda: (pressed.append(time.monotonic()), click(panel.ui.cancelButton)))
    click(panel.ui.applyButton)
    assert pressed, "the run was over before it could be canceled"
    assert time.monotonic() - pressed[0] < 1.2
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."
    assert node_names() == before
    assert panel.ui.applyButton.enabled
    assert not panel.ui.progressBar.visible


def test_cancel_is_answered_within_a_second_when_a_step_is_long(panel):
    panel.logic.compute = lambda *_args: time.sleep(2.5)
    at = []
    at_progress(panel, 0, lambda: (at.append(time.monotonic()), click(panel.ui.cancelButton)))
    click(panel.ui.applyButton)
    assert time.monotonic() - at[0] < 1.0
    del panel.logic.compute
    click(panel.ui.applyButton)
    assert panel.results.current is not None, "the panel must work again at once"


def test_escape_cancels(panel):
    at_progress(panel, 5, lambda: QtTest.QTest.keyClick(panel.ui.cancelButton, QtCore.Qt.Key_Escape))
    click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."


def test_closing_the_scene_during_a_run_ends_it_and_writes_nothing(panel):
    at_progress(panel, 10, driving.clear_scene)
    click(panel.ui.applyButton)
    assert not slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    assert panel.results.current is None
    assert panel.ui.applyButton.text == "Select a fixed and a moving volume"


def test_deleting_an_input_during_a_run_ends_it(panel):
    moving = panel._parameterNode.movingVolume
    at_progress(panel, 10, lambda: slicer.mrmlScene.RemoveNode(moving))
    click(panel.ui.applyButton)
    assert panel.results.current is None
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."


def test_apply_cannot_be_pressed_twice(panel):
    seen = []
    at_progress(panel, 5, lambda: (seen.append(panel.ui.applyButton.enabled), panel.onApply()))
    click(panel.ui.applyButton)
    assert seen == [False]
    assert len(panel.results._found) == 1


def test_two_runs_in_a_row_stand_side_by_side_and_go_one_by_one(panel):
    click(panel.ui.applyButton)
    click(panel.ui.applyButton)
    assert panel.ui.resultSelector.count == 2
    first, second = panel.results.node("transform"), None
    field = slicer.util.arrayFromGridTransform(first).copy()
    click(panel.ui.removeButton)
    second = panel.results.node("transform")
    assert panel.ui.resultSelector.count == 1
    np.testing.assert_array_equal(slicer.util.arrayFromGridTransform(second), field)


def test_module_switch_during_a_run_lets_it_finish(panel):
    at_progress(panel, 10, panel.parent.exit)
    click(panel.ui.applyButton)
    panel.parent.enter()
    assert panel.results.current is not None
    assert panel.ui.fixedSelector.currentNode() is panel._parameterNode.fixedVolume


def test_reload_drops_the_library_and_keeps_the_parameters(panel):
    import sys

    old = sys.modules["valorlib.core.errors"]
    kept = {n: m for n, m in sys.modules.items() if n.split(".")[0] in ("valorlib", "VALORPanels")}
    held = panel._parameterNode.fixedVolume
    panel.onReload()
    new = slicer.modules.VALORRegistrationWidget
    assert new is not panel
    assert sys.modules["valorlib.core.errors"] is not old
    assert new._parameterNode.fixedVolume is held
    assert new._parameterNode.preset == "quick"
    driving.close_panel("VALORRegistration")
    sys.modules.update(kept)
    driving.application.load_module("VALORRegistration")


@pytest.mark.parametrize("linear", [True, False], ids=["linear", "non-linear"])
def test_an_input_under_a_parent_transform_is_registered_where_it_is_seen(panel, linear):
    moving = panel._parameterNode.movingVolume
    if linear:
        parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        matrix.SetElement(0, 3, 4.0)
        parent.SetMatrixTransformToParent(matrix)
    else:
        parent = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTransformNode")
        spline = vtk.vtkThinPlateSplineTransform()
        corners = np.asarray([(x, y, z) for x in (-150, 0) for y in (-50, 120) for z in (-60, 90)], dtype=float)
        for to, shift in ((spline.SetSourceLandmarks, 0.0), (spline.SetTargetLandmarks, 4.0)):
            points = vtk.vtkPoints()
            for corner in corners:
                points.InsertNextPoint(corner[0] + shift, *corner[1:])
            to(points)
        spline.SetBasisToR()
        parent.SetAndObserveTransformToParent(spline)
    moving.SetAndObserveTransformNodeID(parent.GetID())
    click(panel.ui.applyButton)
    assert panel.results.current is not None, panel.ui.statusLabel.text
    field = slicer.util.arrayFromGridTransform(panel.results.node("transform"))
    moving.SetAndObserveTransformNodeID(None)
    click(panel.ui.applyButton)
    plain = slicer.util.arrayFromGridTransform(panel.results.node("transform"))
    # Seen 4 mm further to the right, the same tissue is found 4 mm further along R.
    middle = tuple(slice(n // 3, -(n // 3)) for n in field.shape[:3])
    np.testing.assert_allclose((field - plain)[middle].reshape(-1, 3).mean(axis=0), (4, 0, 0), atol=0.5)


def test_names_in_any_script_go_through(panel, tmp_path):
    panel._parameterNode.fixedVolume.SetName("Brust ä 乳房 7T")
    panel._parameterNode.movingVolume.SetName('צילום/3T: "b"')
    click(panel.ui.applyButton)
    assert "乳房" in panel.results.node("warped").GetName()
    panel.last = {}
    panel.ui.folderEdit.currentPath = str(tmp_path / "画像")
    click(panel.ui.saveButton)
    assert len(list((tmp_path / "画像").rglob("*.nrrd"))) >= 2


def test_wrong_inputs_are_told_before_or_in_one_line(panel):
    held = panel._parameterNode
    fixed, moving = held.fixedVolume, held.movingVolume
    held.movingVolume = fixed
    assert panel.ui.applyButton.text == "Fixed and moving volume must not be the same"
    assert not panel.ui.applyButton.enabled
    held.movingVolume = moving
    held.fixedLandmarks = slicer.util.getNodesByClass("vtkMRMLMarkupsFiducialNode")[0]
    assert panel.ui.applyButton.text == "Select landmarks of both volumes, or of neither"
    held.fixedLandmarks = None
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "Empty")
    held.movingVolume = empty
    click(panel.ui.applyButton)
    assert panel.results.current is None
    assert panel.ui.statusLabel.text.startswith("Empty")
    assert "\n" not in panel.ui.statusLabel.text
    assert panel.ui.applyButton.enabled


def test_a_fault_of_the_program_is_told_and_the_panel_goes_on(panel):
    def broken(*_args):
        raise RuntimeError("disk on fire")

    panel.logic.compute = broken
    click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "The run failed: disk on fire. The log has the details."
    del panel.logic.compute
    assert panel.ui.applyButton.enabled


def test_without_torch_each_panel_opens_and_says_so_in_one_line(open_panel, monkeypatch):
    open_panel("VALORRegistration")
    from VALORPanels import dependencies

    monkeypatch.setattr(dependencies, "missing", lambda: ["torch"])
    for name in driving.MODULES:
        widget = open_panel(name)
        assert widget.ui.missingFrame.visible
        assert widget.ui.missingLabel.text.startswith("torch must be installed")
        assert not widget.ui.applyButton.enabled
    click(widget.ui.installButton)
    assert "PyTorch" in widget.ui.statusLabel.text


def test_opening_the_panels_and_loading_sample_data_imports_no_torch():
    import subprocess
    import sys

    code = (
        "import sys, time; sys.path[:0] = ['Testing', '.']\n"
        "from host import install, driving\n"
        "install.install()\n"
        "[driving.application.load_module(n) for n in driving.MODULES]\n"
        "for name in driving.MODULES:\n"
        "    start = time.process_time(); driving.open_panel(name)\n"
        "    assert time.process_time() - start < 1.0, name\n"
        "from VALORPanels import samples\n"
        "samples.loadBreastPair(size='small'); samples.loadOrgans(spacing_mm=6.0)\n"
        "samples.loadRadiotherapy(spacing_mm=8.0)\n"
        "assert 'torch' not in sys.modules\n"
    )
    root = driving.application.ROOT
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", driving.MODULES)
def test_the_self_test_that_a_person_runs_in_slicer_passes(open_panel, name, breast, organs, therapy):
    import sys

    open_panel(name)
    getattr(sys.modules[name], f"{name}Test")().runTest()
