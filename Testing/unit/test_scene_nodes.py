"""Nodes, displays and tables that the three modules share."""

from __future__ import annotations

import numpy as np
import pytest
from unit.geometry import blobs, smooth_field, texture, turned

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.scene import comparison, display, nodes, tables

slicer = pytest.importorskip("slicer")


@pytest.fixture
def scene():
    made = slicer.vtkMRMLScene()
    for name in ("Red", "Green"):
        for kind in (slicer.vtkMRMLSliceCompositeNode, slicer.vtkMRMLSliceNode):
            node = kind()
            node.SetSingletonTag(name)
            node.SetLayoutName(name)
            made.AddNode(node)
    return made


def test_the_blend_is_set_within_its_range(scene):
    for asked, got in ((0.3, 0.3), (2.0, 1.0), (-1, 0.0)):
        nodes.set_blend(scene, asked)
        assert [v[3] for v in nodes.layers_of(scene).values()] == [got, got]


def test_slices_jump_to_a_place(scene):
    nodes.jump_to(scene, (10, 20, 30))
    for view in nodes.nodes_of(scene, "vtkMRMLSliceNode"):
        center = [view.GetSliceToRAS().GetElement(r, 3) for r in range(3)]
        np.testing.assert_allclose(center, (10, 20, 30))


def test_removing_restores_only_views_that_show_the_run(scene):
    with nodes.recording(scene, "Run") as recorder:
        volume = display.add_volume(recorder, texture(), "v", "warped")
        labels = display.add_label_volume(recorder, blobs(), "l", "labels")
        nodes.show(scene, volume, label=labels)
    other = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "other")
    changed, untouched = nodes.nodes_of(scene, "vtkMRMLSliceCompositeNode")
    untouched.SetBackgroundVolumeID(other.GetID())
    untouched.SetLabelVolumeID(None)
    nodes.remove(scene, recorder.results)
    assert changed.GetBackgroundVolumeID() is None
    assert untouched.GetBackgroundVolumeID() == other.GetID()
    nodes.remove(scene, recorder.results)
    assert recorder.results.node(scene, "warped") is None
    assert recorder.results.node(scene, "nothing") is None


def test_files_of_removed_nodes_are_forgotten_too(scene, tmp_path):
    with nodes.recording(scene, "Run") as recorder:
        volume = display.add_volume(recorder, texture(), "v", "warped")
        volume.AddDefaultStorageNode()
    nodes.remove(scene, recorder.results)
    assert nodes.nodes_of(scene, "vtkMRMLVolumeArchetypeStorageNode") == []


def test_names_stay_unique(scene):
    with nodes.recording(scene, "Run") as recorder:
        names = {display.add_volume(recorder, texture(), "same", "").GetName() for _ in range(3)}
    assert len(names) == 3


def test_linear_transforms_are_linear_nodes(scene):
    fixed = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "fixed")
    with nodes.recording(scene, "Run") as recorder:
        line = display.add_transform(recorder, turned(), "t", "transform", fixed=fixed)
        grid = display.add_transform(recorder, smooth_field(), "g", "grid", fixed=fixed)
    assert line.IsA("vtkMRMLLinearTransformNode")
    np.testing.assert_allclose(mrml.transform_from_node(line).matrix, turned().matrix)
    assert line.GetNodeReferenceID(display.FIXED) == fixed.GetID()
    ramp = grid.GetDisplayNode().GetColorMap()
    values = [0.0] * 6
    found = []
    for n in range(ramp.GetSize()):
        ramp.GetNodeValue(n, values)
        found.append(tuple(values[:4]))
    assert found == list(display.DISPLACEMENT)
    assert grid.GetDisplayNode().GetRegionNode() is fixed


def test_maps_are_colored_and_bear_a_legend_where_the_scene_knows_them(scene):
    scene.RegisterNodeClass(slicer.vtkMRMLColorLegendDisplayNode())
    with nodes.recording(scene, "Run") as recorder:
        node = display.add_map(
            recorder, texture(), "change", "jacobian", points=display.DIVERGING, low=0.0, high=2.0, unit="x"
        )
    shown = node.GetDisplayNode()
    assert (shown.GetWindowLevelMin(), shown.GetWindowLevelMax()) == (0.0, 2.0)
    white = [0.0] * 3
    shown.GetColorNode().GetColorTransferFunction().GetColor(1.0, white)
    assert min(white) > 0.9
    legends = nodes.nodes_of(scene, "vtkMRMLColorLegendDisplayNode")
    assert [legend.GetTitleText() for legend in legends] == ["change (x)"]
    nodes.remove(scene, recorder.results)
    assert nodes.nodes_of(scene, "vtkMRMLColorLegendDisplayNode") == []
    assert nodes.nodes_of(scene, "vtkMRMLProceduralColorNode") == []


def test_a_result_without_its_warped_volume_cannot_be_compared(scene):
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "fixed")
    mrml.set_image(volume, texture())
    with pytest.raises(InputError, match="expected a warped volume, found none"):
        comparison.add_difference(scene, nodes.ResultNodes("Run", {}), volume)


def test_a_checkerboard_shows_both_in_turn():
    board = comparison.checkerboard_of(texture(), texture(seed=4), 4.2)
    assert not np.allclose(board.array, texture().array)
    assert board.array[0, 0, 0] == texture().array[0, 0, 0]


def test_tables_hold_what_was_measured():
    summary = {
        "similarity": {
            "before": {"psnr_db": 20.0, "ssim": 0.5, "ncc": 0.6, "ngf": 0.1, "relative_ssd": 1.0},
            "after": {"psnr_db": 30.0, "ssim": 0.9, "ncc": 0.95, "ngf": 0.4, "relative_ssd": 0.2},
        },
        "landmarks": {"before": {"mean_mm": 5.0}, "after": {"mean_mm": 0.3, "p95_mm": 0.6, "max_mm": 0.9}},
        "structures": [{"name": "Liver", "before": {"dice": 0.5}, "after": {"dice": 0.9}}],
        "displacement": {"mean_mm": 2.0},
        "folds": {"strict_count": 0, "strict_volume_ml": 0.0, "sd_log_jacobian": 0.12},
        "inverse_consistency": {"mean_mm": 0.02},
    }
    rows = tables.metric_rows(summary)
    pairs = dict(zip(rows["Metric"], zip(rows["Before"], rows["After"], rows["Unit"], strict=True), strict=True))
    assert pairs["PSNR"] == ("20", "30", "dB")
    assert pairs["Landmark error, mean"] == ("5", "0.3", "mm")
    assert pairs["Landmark error, 95 %"][0] == "-"
    assert pairs["Dice, Liver"] == ("0.5", "0.9", "")
    assert pairs["Folded voxels"] == ("-", "0", "")
    assert pairs["Inverse consistency, mean"][1] == "0.02"
    assert tables.metric_rows({})["Metric"] == []
    assert tables.tumor_rows({}) == {}
