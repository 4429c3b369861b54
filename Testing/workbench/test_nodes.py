"""Small pieces of the scene, without views."""

import numpy as np
import pytest
import slicer

from valor_workbench import nodes, tasks
from valor_workbench.worker import Attempt, Context
from valorlib.convert.mrml import points_from_node
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointCloud

SPACING = (1.0, 2.0, 0.5)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def test_landmarks_keep_their_places_and_are_listed_apart_from_clicks(scene):
    cloud = PointCloud(np.array([[1.0, 2.0, 3.0], [-4.0, 5.5, 0.25]]))
    node = nodes.add_landmarks(scene, cloud, "fixed landmarks")
    scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Tumor 1")
    np.testing.assert_allclose(points_from_node(node).points, cloud.points)
    listed = nodes.rows(scene, "vtkMRMLMarkupsFiducialNode", attribute=nodes.LANDMARKS)
    assert [row["title"] for row in listed] == ["fixed landmarks"]
    assert node.GetLocked()


def test_markups_named_landmarks_are_no_clicks(tmp_path):
    (tmp_path / "fixed_landmarks.fcsv").write_text(
        "# Markups fiducial file version = 4.11\n# CoordinateSystem = LPS\n"
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc,associatedNodeID\n"
        "1,1.5,-2,3,0,0,0,1,1,1,0,A,,\n2,4,5,6,0,0,0,1,1,1,0,B,,\n"
    )
    context = Context(tmp_path, Attempt("cpu"), lambda fraction, message: None, lambda kind, value: None)
    opened = tasks.open_path(context, tmp_path / "fixed_landmarks.fcsv")
    assert opened.seeds is None
    np.testing.assert_allclose(opened.points.points, [[1.5, -2, 3], [4, 5, 6]])


def test_the_volume_of_a_segment_and_nodes_that_editors_do_not_see(scene):
    array = np.zeros((6, 5, 4), dtype=np.int32)
    array[1:3, 1:4, 1:3] = 1
    node = nodes.add_labels(scene, LabelMap(array, Grid((4, 5, 6), SPACING), {1: "tumor"}), "mask")
    segment = node.GetSegmentation().GetNthSegment(0)
    assert nodes.segment_ml(segment) == pytest.approx(12 * np.prod(SPACING) / 1000)
    assert len(nodes.rows(scene, "vtkMRMLSegmentationNode")) == 1
    node.SetHideFromEditors(True)
    assert nodes.rows(scene, "vtkMRMLSegmentationNode") == []
