"""UncertaintyViewer by clicking, from the empty scene to the saved and restored one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import slicer
from host import driving, views
from host.cases import CASES, prepare
from host.driving import choose, click, spin, type_into, unfold

SHOTS = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"
INPUTS = ("fixedSelector", "movingSelector", "doseSelector", "transformSelector", "structuresSelector")


def fill(panel):
    from VALORPanels import samples

    nodes = samples.loadRadiotherapy()
    spin()
    names = (*INPUTS, "fixedLandmarksSelector", "movingLandmarksSelector")
    for name, node in zip(names, nodes, strict=True):
        choose(getattr(panel.ui, name), node.GetName())
    unfold(panel.ui.methodCollapsible)
    choose(panel.ui.presetSelector, "quick")
    unfold(panel.ui.methodCollapsible, opened=False)
    return nodes


def test_the_whole_story_from_an_empty_scene_to_a_restored_one(open_panel, therapy, tmp_path):
    panel = open_panel("UncertaintyViewer", height=1150)
    ui = panel.ui
    assert ui.applyButton.text == "Select a transform"
    fixed, *_rest = fill(panel)
    assert ui.applyButton.text == "Apply: uncertainty and dose"
    unfold(ui.goalsCollapsible)
    ui.samplesSpinBox.value = 20
    type_into(ui.goalsEdit, "target: D95% >= 50 Gy; rectum: Dmean <= 1 Gy")
    unfold(ui.goalsCollapsible, opened=False)

    click(ui.applyButton)
    assert panel.results.current is not None, ui.statusLabel.text
    lights = [ui.checksTable.item(row, 1).toolTip() for row in range(ui.checksTable.rowCount)]
    checks = [ui.checksTable.item(row, 0).text() for row in range(ui.checksTable.rowCount)]
    assert lights[checks.index("Landmark error, mean")] == "pass"
    assert lights[checks.index("rectum Dmean <=")] == "fail"
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == fixed.GetID()
    assert composite.GetForegroundVolumeID() == panel.results.node("sigma").GetID()
    chart = panel.results.node("dvh_chart")
    assert chart.GetNumberOfPlotSeriesNodes() == 3 * 5
    assert_bands_hold_the_median(panel)
    assert driving.legends() == ["Uncertainty sigma (mm)"]
    slicer.app.layoutManager().resetSliceViews()
    look_at_structures(panel)
    views.window_picture(panel.parent, str(SHOTS / "UncertaintyViewer.png"), chart)

    click(ui.jacobianButton)
    assert composite.GetForegroundVolumeID() == panel.results.node("jacobian").GetID()
    assert driving.legends() == ["Uncertainty volume change"]
    click(ui.doseButton)
    assert composite.GetForegroundVolumeID() == panel.results.node("dose_mean").GetID()
    assert driving.legends() == ["Uncertainty dose mean (Gy)"]
    click(ui.chartButton)
    choose(ui.tableSelector, "Dose metrics")
    assert ui.tableView.mrmlTableNode() is panel.results.node("dvh_metrics")
    choose(ui.tableSelector, "Landmarks")
    index = ui.tableView.model().index(2, 0)
    ui.tableView.scrollTo(index)
    click(ui.tableView.viewport(), ui.tableView.visualRect(index).center())
    assert ui.landmarksLabel.text.startswith("3/")
    for _turn in range(2):
        click(ui.lastLandmarkButton)
    assert ui.landmarksLabel.text.startswith("1/")
    red = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode().GetSliceToRAS()
    at = np.asarray(therapy.landmarks.fixed.points[0]) * (-1, -1, 1)
    np.testing.assert_allclose([red.GetElement(n, 3) for n in range(3)], at, atol=0.01)
    type_into(ui.folderEdit, str(tmp_path / "out"))
    click(ui.saveButton)
    folder = tmp_path / "out" / panel.results.current.run
    wanted = {"report.html", "metrics.json", "checks.csv", "goals.csv", "landmarks.csv", "dvh.csv", "dvh_metrics.csv"}
    wanted |= {"registration.dcm", "dose_mean.dcm", "dose_p05.dcm", "sigma.nrrd", "jacobian.nrrd"}
    assert wanted <= {path.name for path in folder.iterdir()}
    assert len(list((folder / "nodes").glob("*.nrrd"))) >= 6
    opened = []
    panel.openUrl = opened.append
    click(ui.reportButton)
    assert "rectum" in Path(opened[0].toLocalFile()).read_text(encoding="utf-8")

    run = panel.results.current.run
    path = driving.save_scene(tmp_path / "scene")
    driving.clear_scene()
    assert panel.results.current is None
    driving.load_scene(path)
    assert panel.results.current.run == run
    assert panel._parameterNode.goals.startswith("target")
    assert [ui.checksTable.item(row, 1).toolTip() for row in range(ui.checksTable.rowCount)] == lights
    click(ui.removeButton)
    assert panel.results.current is None


def look_at_structures(panel):
    """What a user does for a picture: structures in 3D (Show 3D of the Segmentations module), landmarks hidden."""
    structures = panel._parameterNode.structures
    structures.CreateClosedSurfaceRepresentation()
    points = panel.results.node("landmark_points")
    points.SetDisplayVisibility(False)


def test_sigma_can_be_calibrated_on_this_scan_by_a_tick(open_panel, coarse_therapy):
    panel = prepare(open_panel, CASES["UncertaintyViewer"])
    panel._parameterNode.dose = None
    ui = panel.ui
    click(ui.applyButton)
    assert panel.last["outcome"].uncertainty.calibration is None
    assert "varied" in ui.statusLabel.text
    unfold(ui.methodCollapsible)
    tick = ui.optionsWidget.findChild(driving.QtWidgets.QCheckBox, "option_calibrate")
    if not tick.visible:
        unfold(ui.optionsWidget.findChild(type(ui.methodCollapsible)))
    click(tick)
    assert '"calibrate": true' in panel._parameterNode.options
    click(ui.applyButton)
    found = panel.last["outcome"].uncertainty
    assert found.calibration is not None
    assert found.calibration.scale > 0
    assert found.in_mm
    assert "varied" not in ui.statusLabel.text


def assert_bands_hold_the_median(panel):
    from valorlib.convert import mrml

    columns = mrml.table_from_node(panel.results.node("dvh"))
    low, middle, high = (np.asarray(columns[f"rectum {p} (Gy)"]) for p in ("p05", "p50", "p95"))
    assert np.all(low <= middle + 1e-6)
    assert np.all(middle <= high + 1e-6)
    assert (high - low).max() > 0.1


def test_the_map_is_the_librarys_and_a_wrong_goal_is_told_in_one_line(open_panel, therapy):
    panel = open_panel("UncertaintyViewer")
    fill(panel)
    panel._parameterNode.goals = "target: lots of dose"
    click(panel.ui.applyButton)
    assert panel.ui.statusLabel.text.startswith("goal: expected")
    panel._parameterNode.goals = ""
    panel._parameterNode.dose = None
    panel._parameterNode.movingVolume = None
    assert panel.ui.applyButton.text == "Apply: volume change only (no moving volume)"
    click(panel.ui.applyButton)
    from VALORPanels.samples import MISSED

    from valorlib.ops.jacobian import jacobian_determinant
    from valorlib.ops.transforms import to_displacement

    field = to_displacement(therapy.truth, therapy.pair.fixed.grid)
    expected = jacobian_determinant(replace(field, array=(1 - MISSED) * field.array)).array
    shown = slicer.util.arrayFromVolume(panel.results.node("jacobian"))
    np.testing.assert_allclose(shown, expected, atol=1e-3)
