"""Segmentation nodes: names, colors, voxels, parents, surfaces."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from unit.geometry import GRID, blobs, smooth_field, turned

from valorlib.convert import mrml
from valorlib.convert.mrml_segments import SURFACE
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import AffineTransform
from valorlib.ops.resample import resample_labels

slicer = pytest.importorskip("slicer")


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def transform(scene, what, kind="vtkMRMLTransformNode"):
    node = scene.AddNewNodeByClass(kind, "transform")
    mrml.set_transform(node, what)
    return node


def segmentation(scene, labels=None, name="S"):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    mrml.set_segmentation(node, labels if labels is not None else blobs())
    return node


def test_segmentations_keep_names_colors_and_voxels(scene, tmp_path):
    node = segmentation(scene)
    found = mrml.labels_from_segmentation(node, GRID)
    np.testing.assert_array_equal(found.array, blobs().array)
    assert found.names == {1: "shell", 2: "Kern Ö"}
    storage = slicer.vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(tmp_path / "s.seg.nrrd"))
    assert storage.WriteData(node)
    again = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "again")
    assert storage.ReadData(again)
    np.testing.assert_array_equal(mrml.labels_from_segmentation(again, GRID).array, blobs().array)
    mrml.set_segmentation(node, LabelMap((blobs().array == 2) * 9, GRID, {9: "more"}), {9: (1, 0, 0)}, keep=True)
    assert list(mrml.segment_names(node).values()) == ["shell", "Kern Ö", "more"]
    assert node.GetSegmentation().GetNthSegment(2).GetColor() == (1, 0, 0)


def test_overlapping_segments_keep_all_their_voxels(scene):
    node = segmentation(scene)
    whole = LabelMap((blobs().array > 0).astype("i4"), GRID, {1: "whole"})
    mrml.set_segmentation(node, whole, keep=True)
    masks = mrml.segments_from_node(node, GRID)
    np.testing.assert_array_equal(masks["whole"].array, whole.array)
    np.testing.assert_array_equal(masks["shell"].array, blobs().array == 1)
    flat = mrml.labels_from_segmentation(node, GRID)
    assert set(flat.labels) == {1, 2}


def test_segments_of_one_name_and_empty_ones_are_told_apart(scene):
    node = segmentation(scene, LabelMap(blobs().array, GRID, {1: "same", 2: "same", 3: "empty"}))
    assert list(mrml.segments_from_node(node, GRID)) == ["same", "same 2", "empty"]
    assert list(mrml.segments_from_node(node)) == ["same", "same 2"]
    assert not mrml.segments_from_node(node, GRID)["empty"].array.any()
    with pytest.raises(InputError, match="expected segments, found none"):
        mrml.segments_from_node(scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "none"))


def test_cropped_segments_lie_where_they_belong(scene):
    mask = np.zeros(GRID.shape, "i4")
    mask[5:9, 6:8, 7:12] = 1
    one = mrml.segments_from_node(segmentation(scene, LabelMap(mask, GRID, {1: "x"})))["x"]
    assert one.grid.size == (5, 2, 4)
    np.testing.assert_allclose(one.grid.origin, GRID.to_world((7, 6, 5)))


@pytest.mark.parametrize("kind", ["rigid", "shear", "warp"])
def test_segments_follow_their_parents(scene, kind):
    shear = np.eye(4)
    shear[0, 1] = 0.3
    what = {"rigid": turned((2, 3, 4), (1, 1, 0)), "shear": AffineTransform(shear), "warp": smooth_field()}[kind]
    node = segmentation(scene)
    node.SetAndObserveTransformNodeID(transform(scene, what).GetID())
    found = mrml.labels_from_segmentation(node, GRID).array
    expected = resample_labels(blobs(), GRID, what).array
    assert (found != expected).mean() < 0.01
    assert mrml.segments_from_node(node)["shell"].array.any()


def test_surfaces_of_segments_enclose_their_volume(scene):
    ball = LabelMap((np.linalg.norm(GRID.points() - GRID.center, axis=-1) < 7).astype("i4"), GRID, {1: "ball", 2: "no"})
    found = mrml.surfaces_from_segmentation(segmentation(scene, ball))
    assert list(found) == ["ball"]
    points, faces = found["ball"].points, found["ball"].faces
    a, b, c = (points[faces[:, n]] - GRID.center for n in range(3))
    enclosed = np.einsum("nc,nc->n", a, np.cross(b, c)).sum() / 6
    assert enclosed == pytest.approx(ball.array.sum() * GRID.voxel_volume_mm3, rel=0.1)


def test_segments_made_of_surfaces_are_filled(scene):
    sphere = vtk.vtkSphereSource()
    sphere.SetRadius(8)
    sphere.SetThetaResolution(40)
    sphere.SetPhiResolution(40)
    sphere.Update()
    for parent in (None, transform(scene, turned((0, 0, 0), (5, 0, 0)))):
        node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "surfaces")
        node.GetSegmentation().SetSourceRepresentationName(SURFACE)
        segment = slicer.vtkSegment()
        segment.SetName("ball")
        segment.AddRepresentation(SURFACE, sphere.GetOutput())
        node.GetSegmentation().AddSegment(segment)
        if parent is not None:
            node.SetAndObserveTransformNodeID(parent.GetID())
        for grid in (None, Grid((40, 40, 40), origin=(-20, -20, -20))):
            mask = mrml.segments_from_node(node, grid)["ball"]
            size = mask.array.sum() * mask.grid.voxel_volume_mm3
            assert size == pytest.approx(4 / 3 * np.pi * 512, rel=0.05)
        assert node.GetSegmentation().ContainsRepresentation("Binary labelmap") is False


def test_segments_without_voxels_at_all_count_as_empty(scene):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "S")
    node.GetSegmentation().SetSourceRepresentationName("Binary labelmap")
    segment = slicer.vtkSegment()
    segment.SetName("hollow")
    segment.AddRepresentation("Binary labelmap", slicer.vtkOrientedImageData())
    node.GetSegmentation().AddSegment(segment)
    assert mrml.segments_from_node(node) == {}
    assert not mrml.segments_from_node(node, GRID)["hollow"].array.any()


def test_segments_that_cannot_be_converted_are_refused(scene, monkeypatch):
    class Stubborn(slicer.vtkSegmentation):
        def CreateRepresentation(self, name):
            return False

    monkeypatch.setattr(slicer, "vtkSegmentation", Stubborn)
    with pytest.raises(InputError, match="S: cannot be converted to closed surface"):
        mrml.surfaces_from_segmentation(segmentation(scene))
