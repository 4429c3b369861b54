"""Surfaces and points of organs, from every kind of file, in mm and honoring the grid's direction."""

from __future__ import annotations

import numpy as np
import pytest

from valorlib.convert.files import write_labels
from valorlib.convert.surfaces import (
    Surface,
    cloud_of,
    match_names,
    organs_of_labels,
    read_organs,
    sample_surface,
    surface_of_mask,
    write_surface,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap

TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, -1.0))
OBLIQUE = Grid((40, 36, 20), (1.0, 1.2, 2.5), (-30.0, 12.0, 70.0), TURN)
CENTER = OBLIQUE.to_world((20, 18, 10))


def ball(grid=OBLIQUE, center=CENTER, radius=12.0):
    return np.linalg.norm(grid.points() - center, axis=-1) < radius


@pytest.fixture
def labels():
    array = ball().astype(np.int32)
    array[ball(center=CENTER, radius=5.0)] = 4
    return LabelMap(array, OBLIQUE, {1: "liver", 4: "left kidney"})


def test_a_surface_lies_where_the_voxels_are_on_an_oblique_grid():
    surface = surface_of_mask(ball(), OBLIQUE)
    radius = np.linalg.norm(surface.points - CENTER, axis=1)
    assert abs(radius.mean() - 12.0) < 0.5
    assert np.abs(surface.points.mean(0) - CENTER).max() < 0.3


def test_faces_look_outward_on_a_mirrored_grid_too():
    surface = surface_of_mask(ball(), OBLIQUE)
    points, normals = sample_surface(surface, 300, np.random.default_rng(0))
    outward = np.einsum("nc,nc->n", points - CENTER, normals)
    assert (outward > 0).all()
    assert np.linalg.norm(normals, axis=1) == pytest.approx(1)


def test_points_are_even_seeded_and_about_as_many_as_asked():
    surface = surface_of_mask(ball(), OBLIQUE)
    first, second = (sample_surface(surface, 400, np.random.default_rng(3))[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert 300 <= len(first) <= 400
    half = (first[:, 0] > CENTER[0]).mean()
    assert 0.4 < half < 0.6


def test_a_structure_one_voxel_thick_survives():
    mask = np.zeros(OBLIQUE.shape, dtype=bool)
    mask[10, 5:30, 18] = True
    assert len(surface_of_mask(mask, OBLIQUE).faces) > 20


@pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".mha"])
def test_label_files_become_organs(labels, tmp_path, suffix):
    path = tmp_path / f"organs{suffix}"
    write_labels(labels, path)
    organs = read_organs(path)
    assert set(organs.surfaces) == {1, 4}
    if suffix == ".seg.nrrd":
        assert organs.names == {1: "liver", 4: "left kidney"}
    cloud = cloud_of(organs, 200, 0)
    assert set(np.unique(cloud.labels)) == {1, 4}


@pytest.mark.parametrize("suffix", [".vtk", ".vtp", ".stl", ".ply", ".obj"])
def test_meshes_are_read_back_in_place(tmp_path, suffix):
    import vtk

    surface = surface_of_mask(ball(), OBLIQUE)
    path = tmp_path / f"organ{suffix}"
    write_surface(surface, tmp_path / "first.vtk")
    if suffix == ".vtk":
        path = tmp_path / "first.vtk"
    else:
        reader = vtk.vtkPolyDataReader()
        reader.SetFileName(str(tmp_path / "first.vtk"))
        writer = {
            ".vtp": vtk.vtkXMLPolyDataWriter,
            ".stl": vtk.vtkSTLWriter,
            ".ply": vtk.vtkPLYWriter,
            ".obj": vtk.vtkOBJWriter,
        }[suffix]()
        writer.SetInputConnection(reader.GetOutputPort())
        writer.SetFileName(str(path))
        writer.Write()
    found = read_organs(path).surfaces[1]
    assert np.abs(found.points.mean(0) - surface.points.mean(0)).max() < 0.2
    assert len(found.faces) == pytest.approx(len(surface.faces), rel=0.02)


def test_a_mesh_in_ras_is_flipped(tmp_path):
    surface = surface_of_mask(ball(), OBLIQUE)
    write_surface(Surface(surface.points * (-1, -1, 1), surface.faces), tmp_path / "organ.vtk")
    text = (tmp_path / "organ.vtk").read_bytes().replace(b"SPACE=LPS", b"SPACE=RAS")
    (tmp_path / "organ.vtk").write_bytes(text)
    assert np.abs(read_organs(tmp_path / "organ.vtk").surfaces[1].points.mean(0) - CENTER).max() < 0.3


def test_a_folder_of_meshes_is_one_organ_a_file(tmp_path):
    for name in ("liver", "spleen"):
        write_surface(surface_of_mask(ball(), OBLIQUE), tmp_path / f"{name}.vtk")
    assert dict(read_organs(tmp_path).names) == {1: "liver", 2: "spleen"}


def test_points_of_a_csv_stay_as_they_are(tmp_path):
    (tmp_path / "p.csv").write_text("x,y,z,label\n1,2,3,7\n4,5,6,7\n")
    organs = read_organs(tmp_path / "p.csv")
    np.testing.assert_array_equal(cloud_of(organs, 10, 0).points, [[1, 2, 3], [4, 5, 6]])


def test_organs_meet_by_name_whatever_their_numbers(labels):
    other = LabelMap(np.where(labels.array == 4, 1, 2 * labels.array), OBLIQUE, {1: "Left Kidney", 2: "liver"})
    fixed, moving = match_names(organs_of_labels(labels), organs_of_labels(other))
    by_name = {name.lower(): label for label, name in moving.names.items()}
    assert by_name == {name.lower(): label for label, name in fixed.names.items()}


def test_empty_organs_are_refused(labels):
    with pytest.raises(InputError, match="got none in spleen"):
        organs_of_labels(LabelMap(labels.array, OBLIQUE, {1: "liver", 4: "kidney", 9: "spleen"}))
    with pytest.raises(InputError, match="empty label map"):
        organs_of_labels(LabelMap(np.zeros(OBLIQUE.shape, dtype=np.int32), OBLIQUE))
