"""What goes wrong in a user's day: canceling, closing, deleting, wrong inputs, doing things twice."""

from __future__ import annotations

import time

import pytest
import slicer
from host import driving
from host.driving import QtCore, QtTest, at_progress, click

from valorlib.core.errors import InputError


def test_cancel_is_answered_within_a_second_when_a_step_is_long(panel):
    panel.logic.compute = lambda *_args: time.sleep(2.5)
    at = []
    at_progress(panel, 0, lambda: (at.append(time.monotonic()), click(panel.ui.cancelButton)))
    click(panel.ui.applyButton)
    assert time.monotonic() - at[0] < 1.0
    del panel.logic.compute
    click(panel.ui.applyButton)
    assert panel.results.current is not None, "the panel must work again at once"


def test_a_run_tells_its_stage_and_the_time_left(panel):
    def slowly(*arguments):
        progress = arguments[-1]
        progress(0.1, "Aligning")
        time.sleep(1.1)
        progress(0.5, "Smoothing")
        time.sleep(0.2)
        raise InputError("enough: seen")

    seen = []
    panel.logic.compute = slowly
    shown = panel.onProgress
    panel.onProgress = lambda *args: (
        shown(*args),
        seen.append((panel.ui.progressBar.value, panel.ui.statusLabel.text)),
    )
    click(panel.ui.applyButton)
    del panel.logic.compute
    assert (10, "Aligning") in seen
    assert any(value == 50 and text.startswith("Smoothing · about ") for value, text in seen), seen
    assert panel.ui.statusLabel.text == "enough: seen"


def test_escape_cancels(panel):
    at_progress(panel, 5, lambda: QtTest.QTest.keyClick(panel.ui.cancelButton, QtCore.Qt.Key_Escape))
    click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."


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
