"""VALORRegistration's nodes: what is read, what is written, taken back, saved and reopened."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.results import Result
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.scene import comparison, nodes, valor_registration
from valorlib.scene.display import FIXED, MOVING

slicer = pytest.importorskip("slicer")

AXES = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()
GRID = Grid((24, 20, 16), (0.9, 1.3, 2.1), (-30.0, 12.0, 55.0), tuple(map(tuple, AXES)))


def texture(seed, grid=GRID):
    rng = np.random.default_rng(seed)
    return Image(100 + 60 * gaussian_filter(rng.normal(size=grid.shape), 1.5).astype("f4"), grid, "texture")


def smooth_field(seed, size_mm=3.0, grid=GRID):
    rng = np.random.default_rng(seed)
    parts = [gaussian_filter(rng.normal(size=grid.shape), 4) for _ in range(3)]
    u = np.stack(parts, -1)
    return DisplacementField((u / np.abs(u).max() * size_mm).astype("f4"), grid)


def ball(grid=GRID, radius_mm=7.0, label=1):
    distance = np.linalg.norm(grid.points() - grid.center, axis=-1)
    return LabelMap(label * (distance < radius_mm).astype(int), grid, {label: f"Tumor {label}"})


@pytest.fixture
def scene():
    made = slicer.vtkMRMLScene()
    for name in ("Red", "Green"):
        composite = slicer.vtkMRMLSliceCompositeNode()
        composite.SetSingletonTag(name)
        composite.SetLayoutName(name)
        made.AddNode(composite)
    return made


@pytest.fixture
def volumes(scene):
    made = []
    for seed, name in ((1, "Fixiert Brüst 3T"), (2, "移動 7T")):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        mrml.set_image(node, texture(seed))
        node.CreateDefaultDisplayNodes()
        made.append(node)
    return made


@pytest.fixture
def outcome(volumes, scene):
    pair = valor_registration.read_inputs(scene, *volumes)
    field, sigma = smooth_field(3), Image(np.full(GRID.shape, 0.5, "f4"), GRID)
    warped = resample_labels(ball(), GRID, field)
    result = Result(
        field,
        displacement=field,
        inverse_displacement=DisplacementField(-field.array, GRID),
        uncertainty=sigma,
        fixed_seg=ball(radius_mm=6),
        moving_seg=ball(),
        warped_seg=warped,
    )
    return pair, valor_registration.measure(pair, result)


def layers(scene):
    return sorted(nodes.layers_of(scene).values())


def test_inputs_come_in_world_coordinates(scene, volumes):
    parent = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "parent")
    shift = np.eye(4)
    shift[:3, 3] = (5, -7, 11)
    mrml.set_transform(parent, AffineTransform(shift))
    volumes[1].SetAndObserveTransformNodeID(parent.GetID())
    pair = valor_registration.read_inputs(scene, *volumes)
    # A from-parent shift of +t puts the volume at -t.
    np.testing.assert_allclose(pair.moving.grid.origin, np.asarray(GRID.origin) - (5, -7, 11))
    np.testing.assert_array_equal(pair.fixed.array, texture(1).array)


def test_the_result_is_written_shown_and_taken_back(scene, volumes, outcome):
    pair, measured = outcome
    nodes.show(scene, volumes[0])
    before, count = layers(scene), scene.GetNumberOfNodes()
    results = valor_registration.write_result(scene, pair, measured, *volumes)
    wanted = {"warped", "transform", "jacobian", "sigma", "fixed_seg", "moving_seg", "warped_seg", "metrics", "tumors"}
    assert wanted <= set(results.roles)
    warped, transform = results.node(scene, "warped"), results.node(scene, "transform")
    assert layers(scene)[0][:2] == (volumes[0].GetID(), warped.GetID())
    assert layers(scene)[0][3] == 0.5
    assert transform.GetNodeReferenceID(FIXED) == volumes[0].GetID()
    assert transform.GetNodeReferenceID(MOVING) == volumes[1].GetID()
    assert transform.GetTransformFromParent().IsA("vtkOrientedGridTransform")
    table = mrml.table_from_node(results.node(scene, "tumors"))
    assert table["Tumor"] == ["Tumor 1"]
    assert table["Moving (ml)"][0] == pytest.approx(ball().array.sum() * GRID.voxel_volume_mm3 / 1000, abs=1e-3)
    nodes.remove(scene, results)
    assert scene.GetNumberOfNodes() == count
    assert layers(scene) == before


def test_the_transform_carries_volumes_as_the_library_does(scene, volumes, outcome):
    pair, measured = outcome
    results = valor_registration.write_result(scene, pair, measured, *volumes)
    volumes[1].SetAndObserveTransformNodeID(results.node(scene, "transform").GetID())
    seen = mrml.image_from_node(volumes[1])
    expected = resample_image(pair.moving, seen.grid, measured.displacement)
    np.testing.assert_allclose(seen.array, expected.array, atol=1e-3)


def test_writing_that_fails_leaves_nothing_behind(scene, volumes, outcome, monkeypatch):
    pair, measured = outcome
    count = scene.GetNumberOfNodes()
    monkeypatch.setattr(valor_registration, "metric_rows", lambda summary: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        valor_registration.write_result(scene, pair, measured, *volumes)
    assert scene.GetNumberOfNodes() == count


def test_two_runs_keep_apart(scene, volumes, outcome):
    pair, measured = outcome
    first = valor_registration.write_result(scene, pair, measured, *volumes)
    second = valor_registration.write_result(scene, pair, measured, *volumes)
    assert first.run != second.run
    nodes.remove(scene, first)
    assert second.node(scene, "warped") is not None
    assert [r.run for r in nodes.find_results(scene)] == [second.run]


def test_folds_become_points_to_jump_to(scene, volumes):
    pair = valor_registration.read_inputs(scene, *volumes)
    field = DisplacementField(np.zeros((*GRID.shape, 3), "f4"), GRID)
    field.array[8, 10, 12] = 6 * AXES[:, 0]
    measured = valor_registration.measure(pair, Result(field, displacement=field))
    results = valor_registration.write_result(scene, pair, measured.result, *volumes)
    folds = mrml.points_from_node(results.node(scene, "folds"))
    assert np.linalg.norm(folds.points - GRID.to_world((12, 10, 8)), axis=1).min() < 3
    nodes.jump_to(scene, results.node(scene, "folds").GetNthControlPointPositionWorld(0))


def test_seeds_follow_the_naming_rule(scene):
    lists = {}
    for name, attribute in (("Clicks", ""), ("second", "2"), ("My Background", ""), ("outside", "0")):
        node = lists[name] = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        mrml.set_points(node, np.asarray([[1.0, 2, 3], [4, 5, 6]]), ["F-1", "-"])
        if attribute:
            node.SetAttribute(valor_registration.TUMOR, attribute)
    seeds = valor_registration.read_seeds(list(lists.values()), "fixed")
    assert seeds.tumors.tolist() == [1, 0, 2, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(seeds.points[0], (1, 2, 3))
    assert valor_registration.read_seeds([]) is None
    assert valor_registration.read_seeds([None]) is None
    lists["outside"].SetAttribute(valor_registration.TUMOR, "Background")
    assert valor_registration.read_seeds([lists["outside"]]).tumors.tolist() == [0, 0]
    lists["second"].SetAttribute(valor_registration.TUMOR, "left")
    with pytest.raises(InputError, match="expected a tumor's number or 0"):
        valor_registration.read_seeds([lists["second"]])


def test_a_region_crops_both_images(scene, volumes):
    roi = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "region")
    roi.SetCenter(*(float(v) for v in mrml.flip(GRID.center)))
    roi.SetSize(8.0, 8.0, 8.0)
    pair = valor_registration.read_inputs(scene, *volumes, roi=roi)
    assert pair.fixed.grid.size < GRID.size
    corner = pair.fixed.grid.to_world((0, 0, 0))
    i, j, k = np.round(GRID.to_index(corner)).astype(int)
    assert pair.fixed.array[0, 0, 0] == texture(1).array[k, j, i]
    roi.SetCenter(900.0, 0.0, 0.0)
    with pytest.raises(InputError, match="expected a region inside the volume"):
        valor_registration.read_inputs(scene, *volumes, roi=roi)


def test_wrong_nodes_are_one_sentence(scene, volumes):
    table = scene.AddNewNodeByClass("vtkMRMLTableNode", "numbers")
    with pytest.raises(InputError, match="expected a node, got none"):
        valor_registration.read_inputs(scene, None, volumes[1])
    with pytest.raises(InputError, match="numbers: expected a moving volume"):
        valor_registration.read_inputs(scene, volumes[0], table)
    with pytest.raises(InputError, match="the same one twice"):
        valor_registration.read_inputs(scene, volumes[0], volumes[0])
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    mrml.set_points(points, np.zeros((2, 3)))
    with pytest.raises(InputError, match="expected a list in both images"):
        valor_registration.read_inputs(scene, *volumes, fixed_landmarks=points)


def test_structures_and_landmarks_are_read_onto_their_images(scene, volumes):
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "organs")
    mrml.set_segmentation(segmentation, ball(label=3))
    label_map = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    mrml.set_labels(label_map, ball(label=2))
    points = []
    for shift in (0.0, 1.0):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "L")
        mrml.set_points(node, np.asarray([[0.0, 0, 0], [5, 5, 5]]) + shift)
        points.append(node)
    pair = valor_registration.read_inputs(
        scene,
        *volumes,
        fixed_segmentation=segmentation,
        moving_segmentation=label_map,
        fixed_landmarks=points[0],
        moving_landmarks=points[1],
    )
    np.testing.assert_array_equal(pair.fixed_labels.array > 0, ball().array > 0)
    assert pair.moving_labels.labels == (2,)
    np.testing.assert_allclose(pair.landmarks.moving.points - pair.landmarks.fixed.points, 1.0)
    points[0].RemoveNthControlPoint(0)
    with pytest.raises(InputError, match="as many points in both lists, got 1 and 2"):
        valor_registration.read_landmarks(*points)


def test_a_preview_is_replaced_in_place(scene, volumes):
    node = valor_registration.write_preview(scene, volumes[0], ball())
    again = valor_registration.write_preview(scene, volumes[0], ball(radius_mm=4), node)
    assert again is node
    np.testing.assert_array_equal(mrml.labels_from_segmentation(node, GRID).array, ball(radius_mm=4).array)


def test_difference_and_checkerboard_compare_the_two(scene, volumes, outcome):
    pair, measured = outcome
    results = valor_registration.write_result(scene, pair, measured, *volumes)
    with_both = comparison.add_checkerboard(
        scene, comparison.add_difference(scene, results, volumes[0]), volumes[0], square_mm=6
    )
    difference = mrml.image_from_node(with_both.node(scene, "difference"))
    assert np.abs(difference.array).max() <= 1
    board = mrml.image_from_node(with_both.node(scene, "checkerboard"))
    same = np.isclose(board.array, pair.fixed.array)
    assert 0.3 < same.mean() < 0.8
    same_image = comparison.difference_of(pair.fixed, pair.fixed)
    assert not same_image.array.any()
    with pytest.raises(InputError, match="square_mm"):
        comparison.add_checkerboard(scene, with_both, volumes[0], square_mm=0.1)
    count = len(nodes.find_results(scene)[0].ids)
    assert count == len(with_both.ids)
    nodes.remove(scene, with_both)
    assert nodes.find_results(scene) == []


def test_a_saved_scene_reopens_with_its_results(scene, volumes, outcome, tmp_path):
    pair, measured = outcome
    results = valor_registration.write_result(scene, pair, measured, *volumes)
    field = mrml.transform_from_node(results.node(scene, "transform"))
    bundle = tmp_path / "bündel"
    bundle.mkdir()
    assert scene.SaveSceneToSlicerDataBundleDirectory(str(bundle))
    again = slicer.vtkMRMLScene()
    again.SetURL(str(next(bundle.glob("*.mrml"))))
    assert again.Connect()
    found = nodes.find_results(again)
    assert len(found) == 1
    assert set(found[0].roles) == set(results.roles)
    back = mrml.transform_from_node(found[0].node(again, "transform"))
    np.testing.assert_allclose(back.array, field.array, atol=1e-5)
    assert back.grid.matches(field.grid)
    warped = mrml.image_from_node(found[0].node(again, "warped"))
    np.testing.assert_allclose(warped.array, measured.warped.array, atol=1e-3)
    labels = mrml.labels_from_segmentation(found[0].node(again, "fixed_seg"), GRID)
    np.testing.assert_array_equal(labels.array, ball(radius_mm=6).array)
    nodes.remove(again, found[0])
    assert nodes.find_results(again) == []
