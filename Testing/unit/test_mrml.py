"""MRML nodes against Slicer's own geometry, fresh and after save and reload."""

from __future__ import annotations

import numpy as np
import pytest
import vtk
from unit.geometry import GRID, ORIENTATIONS, STRAIGHT, blobs, grid_with, smooth_field, texture, turned

from valorlib.convert import mrml
from valorlib.convert.mrml_space import apply_vtk
from valorlib.convert.transform_files import read_transform, write_transform
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, VelocityField
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.ops.transforms import inverse_of, map_points

slicer = pytest.importorskip("slicer")


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def volume(scene, image=None, name="Volümen"):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    mrml.set_image(node, image if image is not None else texture())
    return node


def transform(scene, what, kind="vtkMRMLTransformNode"):
    node = scene.AddNewNodeByClass(kind, "transform")
    mrml.set_transform(node, what)
    return node


def through_slicer(node, points):
    """World (fixed) to what lies under the node, by Slicer."""
    general = vtk.vtkGeneralTransform()
    node.GetTransformFromWorld(general)
    return apply_vtk(general, points)


@pytest.mark.parametrize("number", range(48))
def test_every_axis_orientation_survives_a_node_and_its_file(scene, number, tmp_path):
    image = texture(grid_with(ORIENTATIONS[number]))
    node = volume(scene, image)
    m = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(m)
    ras = np.asarray(m.MultiplyPoint((2, 3, 4, 1))[:3])
    np.testing.assert_allclose(ras * (-1, -1, 1), image.grid.to_world((2, 3, 4)), atol=1e-9)
    assert node.GetImageData().GetScalarComponentAsDouble(2, 3, 4, 0) == image.array[4, 3, 2]
    assert mrml.image_from_node(node).grid == image.grid
    storage = slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(tmp_path / "v.nrrd"))
    storage.SetSingleFile(True)
    assert storage.WriteData(node)
    again = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    assert storage.ReadData(again)
    back = mrml.image_from_node(again)
    # Slicer's reader turns mirrored volumes right-handed, voxels and geometry together.
    assert np.linalg.det(np.asarray(back.grid.direction)) > 0
    np.testing.assert_allclose(resample_image(back, image.grid).array, image.array, atol=1e-2)
    assert np.sort(back.array.ravel()).tolist() == np.sort(image.array.ravel()).tolist()


def test_a_grid_comes_back_to_the_last_digit(scene):
    back = mrml.image_from_node(volume(scene)).grid
    assert back.size == GRID.size
    assert back.spacing == GRID.spacing
    assert back.origin == GRID.origin
    assert back.direction == GRID.direction


@pytest.mark.parametrize("number", range(0, 48, 5))
def test_slicer_maps_points_through_our_grid_transforms_as_we_do(scene, number, tmp_path):
    grid = grid_with(ORIENTATIONS[number], size=(14, 13, 12))
    field = smooth_field(grid)
    node = transform(scene, field)
    points = grid.points().reshape(-1, 3)[::11] + 0.3
    far = grid.to_world(np.array([[-9.0, 4, 4], [5, 30, 5], [-20, -20, -20]]))
    points = np.concatenate([points, far])
    np.testing.assert_allclose(through_slicer(node, points), map_points(field, points), atol=1e-4)
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(tmp_path / "t.h5"))
    assert storage.WriteData(node)
    again = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(again)
    # Read back, Slicer interpolates with cubics: equal at the voxels, within hundredths of a millimeter between.
    at = grid.points().reshape(-1, 3)
    np.testing.assert_allclose(through_slicer(again, at), map_points(field, at), atol=1e-4)
    np.testing.assert_allclose(through_slicer(again, points), map_points(field, points), atol=0.1)
    np.testing.assert_array_equal(mrml.transform_from_node(again).array, field.array)


def test_grid_transforms_are_oriented_float_and_from_parent(scene):
    node = transform(scene, smooth_field(), "vtkMRMLGridTransformNode")
    warp = node.GetTransformFromParent()
    assert warp.IsA("vtkOrientedGridTransform")
    assert warp.GetDisplacementGrid().GetScalarType() == vtk.VTK_FLOAT


@pytest.mark.parametrize("suffix", ["h5", "tfm", "nrrd", "nii.gz", "mha"])
def test_slicer_and_the_library_read_each_others_fields(scene, suffix, tmp_path, capfd):
    field = smooth_field()
    storage = slicer.vtkMRMLTransformStorageNode()
    theirs, ours = tmp_path / f"theirs.{suffix}", tmp_path / f"ours.{suffix}"
    storage.SetFileName(str(theirs))
    assert storage.WriteData(transform(scene, field))
    np.testing.assert_array_equal(read_transform(theirs).array, field.array)
    write_transform(field, ours)
    storage.SetFileName(str(ours))
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(node)
    back = mrml.transform_from_node(node)
    np.testing.assert_array_equal(back.array, field.array)
    assert back.grid.matches(GRID)


@pytest.mark.parametrize("suffix", ["h5", "tfm", "txt", "mat"])
def test_slicer_and_the_library_read_each_others_affines(scene, suffix, tmp_path):
    storage = slicer.vtkMRMLTransformStorageNode()
    theirs, ours = tmp_path / f"theirs.{suffix}", tmp_path / f"ours.{suffix}"
    storage.SetFileName(str(theirs))
    assert storage.WriteData(transform(scene, turned(), "vtkMRMLLinearTransformNode"))
    np.testing.assert_allclose(read_transform(theirs).matrix, turned().matrix, atol=1e-12)
    write_transform(turned(), ours)
    storage.SetFileName(str(ours))
    node = scene.AddNewNodeByClass("vtkMRMLTransformNode")
    assert storage.ReadData(node)
    np.testing.assert_allclose(mrml.transform_from_node(node).matrix, turned().matrix, atol=1e-12)


def test_transforms_under_transforms_are_chained_in_slicers_order(scene):
    outer = transform(scene, turned((3, 2, 1), (1, 0, 0)))
    inner = transform(scene, smooth_field())
    inner.SetAndObserveTransformNodeID(outer.GetID())
    found = mrml.transform_from_node(inner)
    assert [type(p) for p in found.parts] == [AffineTransform, DisplacementField]
    points = GRID.points().reshape(-1, 3)[::13]
    np.testing.assert_allclose(map_points(found, points), through_slicer(inner, points), atol=1e-4)


def test_chains_and_velocities_become_one_grid(scene):
    field = smooth_field()
    chain = transform(scene, Chain((field, turned((1, 2, 3), (1, 0, 0)))))
    points = GRID.points().reshape(-1, 3)[::13]
    expected = map_points(Chain((field, turned((1, 2, 3), (1, 0, 0)))), points)
    np.testing.assert_allclose(map_points(mrml.transform_from_node(chain), points), expected, atol=1e-4)
    velocity = transform(scene, VelocityField(field.array, GRID))
    assert isinstance(mrml.transform_from_node(velocity), DisplacementField)
    straight = scene.AddNewNodeByClass("vtkMRMLTransformNode", "other grid")
    mrml.set_transform(straight, field, STRAIGHT)
    assert mrml.transform_from_node(straight).grid.matches(STRAIGHT)
    nothing = transform(scene, Chain(()))
    np.testing.assert_array_equal(mrml.transform_from_node(nothing).matrix, np.eye(4))


def test_inverse_grids_and_splines_are_sampled_where_asked(scene):
    node = transform(scene, smooth_field())
    node.Inverse()
    with pytest.raises(InputError, match="expected a grid transform; convert it"):
        mrml.transform_from_node(node)
    sampled = mrml.transform_from_node(node, GRID)
    there_and_back = map_points(smooth_field(), map_points(sampled, GRID.points().reshape(-1, 3)))
    inner = np.linalg.norm(there_and_back - GRID.points().reshape(-1, 3), axis=1).reshape(GRID.shape)[3:-3, 3:-3, 3:-3]
    assert inner.max() < 0.05


def test_a_singular_matrix_is_refused(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "flat")
    m = vtk.vtkMatrix4x4()
    m.SetElement(2, 2, 1e-12)
    node.SetMatrixTransformFromParent(m)
    with pytest.raises(InputError, match="flat: matrix: expected"):
        mrml.transform_from_node(node)


def test_a_rigid_parent_moves_the_grid_and_keeps_the_voxels(scene):
    node = volume(scene)
    node.SetAndObserveTransformNodeID(transform(scene, turned()).GetID())
    image = mrml.image_from_node(node)
    np.testing.assert_array_equal(image.array, texture().array)
    expected = map_points(inverse_of(turned()), GRID.corners())
    np.testing.assert_allclose(image.grid.corners(), expected, atol=1e-9)
    assert mrml.world_grid(node).matches(image.grid)


def test_a_shearing_parent_resamples_a_copy(scene):
    shear = np.eye(4)
    shear[0, 1] = 0.4
    node = volume(scene)
    node.SetAndObserveTransformNodeID(transform(scene, AffineTransform(shear)).GetID())
    image = mrml.image_from_node(node)
    assert image.grid.matches(mrml.world_grid(node))
    expected = resample_image(texture(), image.grid, AffineTransform(shear))
    np.testing.assert_allclose(image.array, expected.array, atol=1e-3)
    assert node.GetImageData().GetDimensions() == GRID.size


def test_a_warping_parent_resamples_as_slicer_hardens(scene):
    node = volume(scene)
    parent = transform(scene, smooth_field())
    node.SetAndObserveTransformNodeID(parent.GetID())
    image = mrml.image_from_node(node)
    hardened = volume(scene, name="hardened")
    hardened.SetAndObserveTransformNodeID(parent.GetID())
    assert slicer.vtkSlicerTransformLogic.hardenTransform(hardened)
    theirs = mrml.image_from_node(hardened)
    inside = GRID.cropped((3, 3, 3), (17, 15, 13))
    ours = resample_image(image, inside).array
    np.testing.assert_allclose(ours, resample_image(theirs, inside).array, rtol=0.05, atol=3)
    exact = resample_image(texture(), image.grid, smooth_field())
    np.testing.assert_allclose(image.array, exact.array, atol=1e-3)
    labels = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    mrml.set_labels(labels, blobs())
    labels.SetAndObserveTransformNodeID(parent.GetID())
    seen = mrml.labels_from_node(labels)
    expected = resample_labels(blobs(), seen.grid, smooth_field()).array
    assert (seen.array != expected).mean() < 0.001


def test_one_slice_stays_one_slice_under_a_warping_parent(scene):
    grid = Grid((20, 18, 1))
    node = volume(scene, texture(grid))
    u = np.zeros((*grid.shape, 3), "f4")
    u[..., 0] = 1.5
    node.SetAndObserveTransformNodeID(transform(scene, DisplacementField(u, grid)).GetID())
    assert mrml.image_from_node(node).grid.size[2] == 1


def test_a_parent_that_throws_voxels_far_away_is_refused(scene):
    node = volume(scene)
    u = np.full((*GRID.shape, 3), 1e6, "f4")
    u[:, :, :8] = -1e6
    node.SetAndObserveTransformNodeID(transform(scene, DisplacementField(u, GRID)).GetID())
    with pytest.raises(InputError, match="its parent transform throws it too far"):
        mrml.image_from_node(node)


def test_label_maps_bring_their_names(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    mrml.set_labels(node, blobs())
    assert mrml.labels_from_node(node).names == {}
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "colors")
    colors.SetTypeToUser()
    colors.SetNumberOfColors(3)
    colors.SetNamesInitialised(True)
    for n, name in enumerate(("none", "shell", "Kern")):
        colors.SetColor(n, name, 0.5, 0.5, 0.5, 1)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAndObserveColorNodeID(colors.GetID())
    found = mrml.labels_from_node(node)
    assert found.names == {1: "shell", 2: "Kern"}
    np.testing.assert_array_equal(found.array, blobs().array)
    mrml.set_labels(node, LabelMap(np.full(GRID.shape, 70_000), GRID))
    assert mrml.labels_from_node(node).labels == (70_000,)


def test_dose_is_not_negative(scene):
    node = volume(scene, Image(np.full((3, 3, 3), -1e-5, "f4"), Grid((3, 3, 3))))
    assert mrml.dose_from_node(node).array.min() == 0
    mrml.set_image(node, Dose(np.full((3, 3, 3), 2.0, "f4"), Grid((3, 3, 3))))
    assert mrml.dose_from_node(node).array.max() == 2
    mrml.set_image(node, Image(np.full((3, 3, 3), -900.0, "f4"), Grid((3, 3, 3))))
    with pytest.raises(InputError, match="is this the CT"):
        mrml.dose_from_node(node)


def test_volumes_that_cannot_be_used_are_one_sentence(scene):
    with pytest.raises(InputError, match="expected a node, got none"):
        mrml.image_from_node(None)
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "hollow")
    with pytest.raises(InputError, match="hollow: expected a volume with voxels"):
        mrml.image_from_node(empty)
    color = volume(scene, name="color")
    three = vtk.vtkImageData()
    three.SetDimensions(2, 2, 2)
    three.AllocateScalars(vtk.VTK_FLOAT, 3)
    color.SetAndObserveImageData(three)
    with pytest.raises(InputError, match="color: expected one value a voxel, got 3"):
        mrml.image_from_node(color)
    holes = texture()
    holes.array[0, 0, 0] = np.nan
    with pytest.raises(InputError, match="NaN"):
        mrml.image_from_node(volume(scene, holes))
    with pytest.raises(InputError, match="expected whole-number labels"):
        mrml.labels_from_node(volume(scene, texture()))
    sheared = volume(scene, name="sheared")
    m = vtk.vtkMatrix4x4()
    m.SetElement(0, 1, 0.5)
    sheared.SetIJKToRASMatrix(m)
    with pytest.raises(InputError, match="sheared: direction"):
        mrml.image_from_node(sheared)
    with pytest.raises(InputError, match="expected a transform, got another kind"):
        mrml.transform_from_node(color)


def test_points_come_in_world_coordinates(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    points = np.array([[1.0, 2, 3], [-4, 5, -6]])
    mrml.set_points(node, points, ["a", "b"], ["first", "second"])
    np.testing.assert_allclose(mrml.points_from_node(node).points, points)
    np.testing.assert_allclose(node.GetNthControlPointPosition(0), (-1, -2, 3))
    assert node.GetNthControlPointDescription(1) == "second"
    node.SetAndObserveTransformNodeID(transform(scene, turned()).GetID())
    np.testing.assert_allclose(mrml.points_from_node(node).points, map_points(inverse_of(turned()), points), atol=1e-9)
    node.UnsetNthControlPointPosition(0)
    assert mrml.defined_points(node) == [1]
    node.RemoveAllControlPoints()
    with pytest.raises(InputError, match="F: expected points, found none"):
        mrml.points_from_node(node)


def test_regions_are_boxes_in_the_world(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "R")
    node.SetCenter(10.0, 20.0, 30.0)
    node.SetSize(2.0, 4.0, 6.0)
    box = mrml.box_from_roi(node)
    np.testing.assert_allclose(box.min(axis=0), (-11, -22, 27))
    np.testing.assert_allclose(box.max(axis=0), (-9, -18, 33))
    node.SetSize(0.0, 4.0, 6.0)
    with pytest.raises(InputError, match="R: expected a box with a size"):
        mrml.box_from_roi(node)


def test_surfaces_keep_points_faces_and_arrays(scene):
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "M")
    surface = mrml.Triangles(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]), np.array([[0, 1, 2], [0, 2, 3]]))
    mrml.set_model(node, surface, {"sigma_mm": np.arange(4.0)})
    back = mrml.triangles_from_node(node)
    np.testing.assert_allclose(back.points, surface.points)
    np.testing.assert_array_equal(back.faces, surface.faces)
    assert node.GetPolyData().GetPointData().GetArray("sigma_mm").GetValue(3) == 3
    node.SetAndObserveTransformNodeID(transform(scene, smooth_field()).GetID())
    moved = mrml.triangles_from_node(node).points
    np.testing.assert_allclose(map_points(smooth_field(), moved), surface.points, atol=1e-2)
    cloud = scene.AddNewNodeByClass("vtkMRMLModelNode", "cloud")
    mrml.set_model(cloud, mrml.Triangles(surface.points, np.zeros((0, 3), int)))
    assert cloud.GetPolyData().GetNumberOfVerts() == 4
    with pytest.raises(InputError, match="cloud: expected a surface with faces"):
        mrml.triangles_from_node(cloud)
    with pytest.raises(InputError, match="expected a surface, got an empty model"):
        mrml.triangles_from_node(scene.AddNewNodeByClass("vtkMRMLModelNode", "nothing"))


def test_tables_keep_texts_and_numbers(scene, tmp_path):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "T")
    columns = {"Name": ["a", None, "ü"], "Value": [1.5, None, np.int64(3)]}
    mrml.set_table(node, columns)
    back = mrml.table_from_node(node)
    assert back["Name"] == ["a", "", "ü"]
    assert back["Value"][0] == 1.5
    assert np.isnan(back["Value"][1])
    storage = slicer.vtkMRMLTableStorageNode()
    storage.SetFileName(str(tmp_path / "t.tsv"))
    assert storage.WriteData(node)
    assert "Name" in (tmp_path / "t.tsv").read_text(encoding="utf-8")


def test_plain_grids_without_directions_lie_along_the_world(scene):
    node = transform(scene, smooth_field(STRAIGHT))
    with_directions = node.GetTransformFromParent()
    bare = vtk.vtkGridTransform()
    image = vtk.vtkImageData()
    image.DeepCopy(with_directions.GetDisplacementGrid())
    # Slicer is RAS: along its own axes the straight LPS grid runs backwards; a bare grid cannot say so.
    image.SetOrigin(0.0, 0.0, 0.0)
    bare.SetDisplacementGridData(image)
    node.SetAndObserveTransformFromParent(bare)
    found = mrml.transform_from_node(node)
    points = found.grid.to_world(np.random.default_rng(0).random((20, 3)) * (np.asarray(STRAIGHT.size) - 1))
    np.testing.assert_allclose(map_points(found, points), through_slicer(node, points), atol=1e-4)
