"""PointCloudRegistration's nodes: organs read, carried, written and taken back."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from unit.geometry import OBLIQUE, turned

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.results import Result
from valorlib.core.run import Run
from valorlib.methods.mo_bcpd import METHOD
from valorlib.ops.transforms import inverse_of, map_points
from valorlib.scene import nodes, point_cloud_registration
from valorlib.scene.organ_names import matched
from valorlib.scene.point_cloud_run import sample_surface

slicer = pytest.importorskip("slicer")

GRID = Grid((60, 50, 40), (2.0, 2.0, 2.5), (-60.0, -40.0, 5.0), tuple(map(tuple, OBLIQUE)))
CENTERS = {1: GRID.to_world((18, 20, 18)), 2: GRID.to_world((42, 28, 22))}


def organs(shift=(0.0, 0.0, 0.0)):
    points = GRID.points()
    array = np.zeros(GRID.shape, "i4")
    array[np.linalg.norm((points - CENTERS[1] - shift) / (1, 1.3, 1), axis=-1) < 15] = 1
    array[np.linalg.norm((points - CENTERS[2] - shift) / (1.4, 1, 1), axis=-1) < 12] = 2
    return LabelMap(array, GRID, {1: "Liver", 2: "Niere ß"})


def segmentation(scene, labels, name):
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    mrml.set_segmentation(node, labels)
    return node


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


@pytest.fixture
def sides(scene):
    return segmentation(scene, organs(), "fixed"), segmentation(scene, organs((6.0, -4.0, 3.0)), "moving")


def test_organs_are_read_matched_and_sampled_evenly(scene, sides):
    assert point_cloud_registration.organs_of(sides) == ["Liver", "Niere ß"]
    found = point_cloud_registration.read_inputs(scene, [sides[0]], [sides[1]], spacing_mm=5)
    assert found.names == {1: "Liver", 2: "Niere ß"}
    for cloud in (found.pair.fixed, found.pair.moving):
        assert set(cloud.labels) == {1, 2}
        np.testing.assert_allclose(np.linalg.norm(cloud.normals, axis=1), 1, atol=1e-6)
    liver = found.pair.fixed.points[found.pair.fixed.labels == 1]
    np.testing.assert_allclose(liver.mean(axis=0), CENTERS[1], atol=1.0)
    out = liver - CENTERS[1]
    outward = (out * found.pair.fixed.normals[found.pair.fixed.labels == 1]).sum(axis=1)
    assert (outward > 0).mean() > 0.99
    again = point_cloud_registration.read_inputs(scene, [sides[0]], [sides[1]], spacing_mm=5)
    np.testing.assert_array_equal(again.pair.fixed.points, found.pair.fixed.points)


def test_a_known_motion_is_found_written_and_taken_back(scene, sides):
    found = point_cloud_registration.read_inputs(scene, [sides[0]], [sides[1]], spacing_mm=5)
    result = METHOD.run(found.pair, METHOD.presets["quick"], Run())
    outcome = point_cloud_registration.measure(found, result)
    before = scene.GetNumberOfNodes()
    results = point_cloud_registration.write_result(scene, outcome, fixed=sides[0], moving=sides[1])
    assert {"transform", "organs", "model:Liver", "model:Niere ß"} <= set(results.roles)
    table = mrml.table_from_node(results.node(scene, "organs"))
    assert table["Organ"] == ["Liver", "Niere ß"]
    assert max(table["Distance after (mm)"]) < 0.6 * min(table["Distance before (mm)"])
    moved = mrml.triangles_from_node(results.node(scene, "model:Liver"))
    np.testing.assert_allclose(moved.points.mean(axis=0), CENTERS[1], atol=0.7)
    # The transform, put over a point of the moving set, carries it as the models were carried.
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "P")
    start = found.moving[1].points[::200]
    mrml.set_points(points, start)
    points.SetAndObserveTransformNodeID(results.node(scene, "transform").GetID())
    off = np.linalg.norm(mrml.points_from_node(points).points - outcome.surfaces[1].points[::200], axis=1)
    assert off.mean() < 0.5
    nodes.remove(scene, results)
    points.SetAndObserveTransformNodeID(None)
    assert scene.GetNumberOfNodes() == before + 1


def test_models_are_colored_by_what_is_asked(scene, sides):
    found = point_cloud_registration.read_inputs(scene, [sides[0]], [sides[1]], spacing_mm=8)
    shift = turned((0, 0, 0), (6.0, -4.0, 3.0))
    outcome = point_cloud_registration.measure(found, Result(shift, inverse=inverse_of(shift)))
    np.testing.assert_allclose(outcome.displacement_mm[1], np.sqrt(61), atol=1e-6)
    at = organs().grid.points().reshape(-1, 3)[::5000]
    inside = outcome.transform.grid.contains(at)
    np.testing.assert_allclose(map_points(outcome.transform, at[inside]), at[inside] + (6, -4, 3), atol=0.02)
    results = point_cloud_registration.write_result(scene, outcome, color_by="displacement_mm")
    display = results.node(scene, "model:Liver").GetDisplayNode()
    assert display.GetActiveScalarName() == "displacement_mm"
    assert display.GetScalarVisibility()
    point_cloud_registration.color_models(scene, results, "organ")
    assert not display.GetScalarVisibility()
    with pytest.raises(InputError, match="color_by"):
        point_cloud_registration.color_models(scene, results, "taste")


def test_models_serve_as_organs(scene):
    made = []
    for name, shift in (("Ball", 0.0), ("Ball", 5.0)):
        ball = vtk.vtkSphereSource()
        ball.SetRadius(15 + shift / 10)
        ball.SetThetaResolution(30)
        ball.SetPhiResolution(30)
        ball.Update()
        node = scene.AddNewNodeByClass("vtkMRMLModelNode", name)
        node.SetAndObservePolyData(ball.GetOutput())
        made.append(node)
    found = point_cloud_registration.read_inputs(scene, made[:1], made[1:])
    radius = np.linalg.norm(found.pair.fixed.points, axis=1)
    assert abs(radius - 15).max() < 0.3
    assert point_cloud_registration.organs_of(made[:1]) == ["Ball"]


def test_points_lie_about_as_far_apart_as_asked(scene, sides):
    surface = point_cloud_registration.surfaces_of([sides[0]])["Liver"]
    few = sample_surface(surface, 8.0, np.random.default_rng(0))[0]
    many = sample_surface(surface, 4.0, np.random.default_rng(0))[0]
    assert 2.5 < len(many) / len(few) < 5.5


def test_wrong_organs_are_one_sentence(scene, sides):
    read = point_cloud_registration.read_inputs
    with pytest.raises(InputError, match="Spleen: expected in both sets, the fixed one lacks it"):
        read(scene, [sides[0]], [sides[1]], organs=["Spleen"])
    other = segmentation(scene, LabelMap(organs().array, GRID, {1: "A", 2: "B"}), "other")
    with pytest.raises(InputError, match="expected at least one name in both sets"):
        read(scene, [sides[0]], [other])
    with pytest.raises(InputError, match="expected each organ once"):
        read(scene, [sides[0], sides[0]], [sides[1]])
    with pytest.raises(InputError, match="expected a segmentation or models, got none"):
        read(scene, [], [sides[1]])
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    with pytest.raises(InputError, match="numbers: expected a segmentation or a model"):
        read(scene, [table], [sides[1]])
    with pytest.raises(InputError, match="spacing_mm"):
        read(scene, [sides[0]], [sides[1]], spacing_mm=0)


@pytest.mark.parametrize(
    ("fixed", "moving", "expected"),
    [
        (["Liver", "Spleen"], ["Spleen", "Liver"], {"Liver": ("Liver", "Liver"), "Spleen": ("Spleen", "Spleen")}),
        (["Liver fixed"], ["Liver moving", "Spleen moving"], {"liver": ("Liver fixed", "Liver moving")}),
        (["A"], ["B"], {"A": ("A", "B")}),
        (
            ["P07_Liver", "P07_Kidney left"],
            ["liver_1", "kidney left_1"],
            {"liver": ("P07_Liver", "liver_1"), "kidney left": ("P07_Kidney left", "kidney left_1")},
        ),
        (["lung left", "lung right"], ["lung left 2", "heart"], {"lung left": ("lung left", "lung left 2")}),
        (["A", "B"], ["C", "D"], {}),
        (["Liver 1", "Liver 2"], ["liver"], {}),
    ],
)
def test_organs_match_though_names_differ(fixed, moving, expected):
    assert matched(fixed, moving) == expected
