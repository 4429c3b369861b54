"""VALORRegistration by clicking, from the empty scene to the saved and restored one."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import slicer
import vtk
from host import driving, views
from host.driving import choose, click, click_in_slice, spin, type_into, unfold, wait_for

SHOTS = Path(__file__).resolve().parents[2] / "Resources" / "Screenshots"


def ras(point_lps):
    return np.asarray(point_lps) * (-1, -1, 1)


def load_sample(panel):
    import SampleData
    from host import application

    application.finish_startup()
    nodes = SampleData.downloadSample("VALORBreastPair")
    spin()
    return nodes


def use_quick(panel):
    unfold(panel.ui.methodCollapsible)
    choose(panel.ui.presetSelector, "quick")
    unfold(panel.ui.methodCollapsible, opened=False)


def test_the_whole_story_from_an_empty_scene_to_a_restored_one(open_panel, breast, tmp_path):
    panel = open_panel("VALORRegistration", height=1150)
    ui = panel.ui
    assert ui.applyButton.text == "Select a fixed and a moving volume"
    assert not ui.applyButton.enabled

    fixed, moving, *_landmarks = load_sample(panel)
    assert ui.fixedSelector.currentNode() is fixed
    assert ui.movingSelector.currentNode() is moving
    assert ui.applyButton.text == "Apply: register (no tumor clicked)"

    # The tumor is clicked in the moving scan, and shows at once; a click is taken back and made again.
    click(ui.addTumorButton)
    assert ui.seedPlaceWidget.placeModeEnabled
    slicer.util.setSliceViewerLayers(background=moving, foreground=None, fit=True)
    where = ras(breast.pair.seeds.points[0])
    click_in_slice(where)
    wait_for(lambda: ui.seedTable.item(0, 2).text().endswith("ml"))
    shown = panel.seeds._volumes_ml[1]
    true_ml = (breast.moving_tumors.array == 1).sum() * breast.moving_tumors.grid.voxel_volume_mm3 / 1000
    assert 0.5 * true_ml < shown < 2.0 * true_ml
    preview = slicer.mrmlScene.GetNodeByID(panel.preview._node_id)
    assert preview.GetSegmentation().GetNumberOfSegments() == 1
    click(ui.undoClickButton)
    assert ui.seedTable.item(0, 1).text() == "0"
    wait_for(lambda: slicer.mrmlScene.GetNodeByID(panel.preview._node_id or "none") is None)
    spent = time.process_time()
    click_in_slice(where)
    assert ui.seedTable.item(0, 1).text() == "1"
    wait_for(lambda: ui.seedTable.item(0, 2).text().endswith("ml"))
    assert time.process_time() - spent < 3.0
    click(ui.addTumorButton)
    click_in_slice(ras(breast.pair.seeds.points[1]))
    click(ui.backgroundButton)
    assert [ui.seedTable.item(row, 0).text() for row in range(3)] == [
        "Background clicks",
        "Tumor 1 clicks",
        "Tumor 2 clicks",
    ]
    assert ui.applyButton.text == "Apply: segment and register"

    # What is known of a tumor: the second one keeps its shape, the first reaches 6 mm.
    box = ui.seedTable.cellWidget(2, 3)
    driving.press(box, driving.QtCore.Qt.Key_End)
    ui.seedTable.setCurrentCell(1, 4)
    ui.seedTable.editItem(ui.seedTable.item(1, 4))
    type_into(ui.seedTable.viewport().findChild(driving.QtWidgets.QLineEdit), "6")
    from VALORPanels import seeds, tumors

    use_quick(panel)
    options = tumors.withTumors(panel.methods.options(), seeds.clickedTumors())
    assert options.tumor_motion == ("free", "rigid")
    assert options.extent_mm == (6.0, 0.0)
    line = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsLineNode", "Longest axis")
    away = where + np.array([0, 3, 4])
    for at in (where, away):
        line.AddControlPointWorld(vtk.vtkVector3d(*at))
    first = seeds.clickedTumors()[0]
    tumors.setExtent(first, "Longest axis")
    dragged = tumors.withTumors(panel.methods.options(), seeds.clickedTumors())
    assert dragged.extent_mm == ()
    assert np.allclose(dragged.extent_at_mm, (*ras(where), 0, 0, 0))
    assert np.allclose(dragged.extent_to_mm, (*ras(away), 0, 0, 0))
    tumors.setExtent(first, "6")
    slicer.mrmlScene.RemoveNode(line)
    click(ui.applyButton)
    results = panel.results.current
    assert results is not None, ui.statusLabel.text
    transform, warped = panel.results.node("transform"), panel.results.node("warped")
    kind = slicer.vtkMRMLTransformNode
    assert transform.GetNodeReference(kind.GetFixedNodeReferenceRole()) is fixed
    assert transform.GetNodeReference(kind.GetMovingNodeReferenceRole()) is moving
    assert panel.results.node("fixed_seg").GetSegmentation().GetNumberOfSegments() == 2
    assert ui.metricsView.mrmlTableNode() is panel.results.node("metrics")
    assert ui.tumorsView.visible
    assert_headers_whole(ui.seedTable)
    assert_headers_whole(ui.tumorsView)
    header = ui.seedTable.horizontalHeader()
    assert header.sectionPosition(4) + header.sectionSizeHint(4) <= ui.seedTable.viewport().width
    composite = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")[0]
    assert composite.GetBackgroundVolumeID() == fixed.GetID()
    assert composite.GetForegroundVolumeID() == warped.GetID()
    slicer.app.layoutManager().resetSliceViews()
    from valorlib.scene.nodes import jump_to

    jump_to(slicer.mrmlScene, ras(breast.landmarks.fixed.points[breast.landmarks.fixed.labels == 1].mean(axis=0)))
    views.window_picture(panel.parent, str(SHOTS / "VALORRegistration.png"))

    look_at_the_result(panel, composite, fixed, warped)
    output = write_it_out(panel, tmp_path)
    assert (output / "displacement.nrrd").exists()
    restore(panel, tmp_path / "scene")


def assert_headers_whole(table):
    header = table.horizontalHeader()
    for column in range(header.count()):
        assert header.sectionSize(column) >= header.sectionSizeHint(column), column


def look_at_the_result(panel, composite, fixed, warped):
    ui = panel.ui
    ui.blendSlider._spin.setFocus()
    type_into(ui.blendSlider._spin.findChild(driving.QtWidgets.QLineEdit), "80")
    assert composite.GetForegroundOpacity() == 0.8
    click(ui.checkerboardButton)
    assert composite.GetForegroundVolumeID() == panel.results.node("checkerboard").GetID()
    views.window_picture(panel.parent, str(SHOTS / "VALORRegistration-checkerboard.png"))
    click(ui.differenceButton)
    assert composite.GetForegroundVolumeID() == panel.results.node("difference").GetID()
    click(ui.flickerButton)
    assert panel.flicker.running
    opacities = set()
    wait_for(lambda: opacities.add(composite.GetForegroundOpacity()) or opacities >= {0.0, 1.0})
    click(ui.blendButton)
    assert not panel.flicker.running
    assert composite.GetForegroundVolumeID() == warped.GetID()


def write_it_out(panel, tmp_path):
    ui, opened = panel.ui, []
    panel.openUrl = opened.append
    click(ui.reportButton)
    assert opened, ui.statusLabel.text
    assert "VALOR" in Path(opened[0].toLocalFile()).read_text(encoding="utf-8")
    type_into(ui.folderEdit, str(tmp_path / "Ergebnis Ü"))
    click(ui.saveButton)
    folder = tmp_path / "Ergebnis Ü" / panel.results.current.run
    wanted = {"transform.h5", "inverse_displacement.nrrd", "warped_moving.nrrd", "fixed_seg.nrrd", "moving_seg.nrrd"}
    assert wanted <= {path.name for path in folder.iterdir()}
    return folder


def restore(panel, folder):
    ui = panel.ui
    run, warped = panel.results.current.run, panel.results.node("warped")
    voxels = slicer.util.arrayFromVolume(warped).copy()
    path = driving.save_scene(folder)
    driving.clear_scene()
    assert panel.results.current is None
    assert ui.applyButton.text == "Select a fixed and a moving volume"
    assert ui.seedTable.rowCount == 0
    driving.load_scene(path)
    assert panel.results.current.run == run
    assert ui.fixedSelector.currentNode().GetName() == "Breast 7T (fixed)"
    assert panel._parameterNode.preset == "quick"
    assert ui.seedTable.rowCount == 3
    np.testing.assert_allclose(slicer.util.arrayFromVolume(panel.results.node("warped")), voxels, atol=1e-3)
    click(ui.removeButton)
    assert panel.results.current is None
    assert not slicer.util.getNodesByClass("vtkMRMLGridTransformNode")


def test_the_result_agrees_with_the_library_by_slicers_own_geometry(open_panel, breast):
    panel = open_panel("VALORRegistration")
    _fixed, moving, *_landmarks = load_sample(panel)
    use_quick(panel)
    click(panel.ui.applyButton)
    outcome, transform = panel.last["result"], panel.results.node("transform")

    # A markup under the transform moves from the moving to the fixed scan: the inverse of the library's pull.
    from valorlib.ops.transforms import map_points, to_displacement

    grid = breast.pair.fixed.grid
    inside = grid.to_world(np.random.default_rng(0).uniform(0.3, 0.7, (20, 3)) * (np.asarray(grid.size) - 1))
    field = outcome.displacement or to_displacement(outcome.transform, grid)
    expected = map_points(field, inside)
    markups = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode")
    slicer.util.updateMarkupsControlPointsFromArray(markups, ras(expected))
    markups.SetAndObserveTransformNodeID(transform.GetID())
    moved = slicer.util.arrayFromMarkupsControlPoints(markups, world=True)
    np.testing.assert_allclose(moved, ras(inside), atol=1e-3)

    # Slicer's own resampling of the moving volume under the transform, against the warped volume.
    reslice = vtk.vtkImageReslice()
    to_moving, ijk = vtk.vtkMatrix4x4(), vtk.vtkMatrix4x4()
    moving.GetRASToIJKMatrix(to_moving)
    panel.results.node("warped").GetIJKToRASMatrix(ijk)
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(ijk)
    chain.Concatenate(transform.GetTransformFromParent())
    chain.Concatenate(to_moving)
    reslice.SetInputData(moving.GetImageData())
    reslice.SetResliceTransform(chain)
    reslice.SetInterpolationModeToLinear()
    size = panel.results.node("warped").GetImageData().GetDimensions()
    reslice.SetOutputExtent(0, size[0] - 1, 0, size[1] - 1, 0, size[2] - 1)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.Update()
    from vtk.util.numpy_support import vtk_to_numpy

    theirs = vtk_to_numpy(reslice.GetOutput().GetPointData().GetScalars()).reshape(size[::-1])
    ours = slicer.util.arrayFromVolume(panel.results.node("warped"))
    middle = tuple(slice(n // 4, -(n // 4)) for n in ours.shape)
    scale = float(np.ptp(ours))
    assert np.abs(theirs[middle] - ours[middle]).max() / scale < 1e-3


def test_a_volume_hardened_by_slicer_equals_the_one_that_the_library_warps(open_panel, breast):
    from valorlib.convert import mrml
    from valorlib.ops.resample import resample_image
    from valorlib.ops.transforms import map_points

    panel = open_panel("VALORRegistration")
    _fixed, moving, *_landmarks = load_sample(panel)
    use_quick(panel)
    click(panel.ui.applyButton)
    transform, field = panel.results.node("transform"), panel.last["result"].displacement
    plain = mrml.image_from_node(moving)

    # What a user does in the Data module: put the volume under the transform and harden it.
    moving.SetAndObserveTransformNodeID(transform.GetID())
    assert moving.HardenTransform()
    assert moving.GetParentTransformNode() is None
    hardened = mrml.image_from_node(moving)

    # Slicer chooses the voxels of what it hardens; the library warps the scan onto the same ones.
    grid, fixed = hardened.grid, breast.pair.fixed.grid
    ours = resample_image(plain, grid, field).array
    at = grid.points().reshape(-1, 3)
    index = plain.grid.to_index(map_points(field, at))
    inside = np.all((index >= 0) & (index <= np.asarray(plain.grid.size) - 1), axis=1) & fixed.contains(at)
    inside = inside.reshape(grid.shape)
    difference = np.abs(ours - hardened.array)[inside]
    unmoved = resample_image(plain, grid).array
    assert inside.mean() > 0.3
    assert np.abs(unmoved - ours)[inside].mean() > 5.0, "the transform moves nothing, so the comparison shows nothing"
    assert difference.max() < 1e-4 * np.ptp(ours)
    assert difference.mean() < 1e-3
