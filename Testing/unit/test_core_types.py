"""The data types check themselves and never change what they are given."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from unit.geometry import GRID, blobs, smooth_field, texture

from valorlib.core.errors import InputError, check_finite, check_shape
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.inputs import FieldEnsemble, ImageGroup, ImagePair, ImageSeries, SliceQuery
from valorlib.core.points import PointCloud, PointPair, Seeds
from valorlib.core.results import GroupResult, LabelResult, Result
from valorlib.core.run import Run, part, silent
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField, VelocityField


def test_shapes_are_named_when_they_are_wrong():
    assert check_shape("points", np.zeros((4, 3)), "n 3") == {"n": 4}
    assert check_shape("square", np.zeros((4, 4)), "n n") == {"n": 4}
    with pytest.raises(InputError, match=r"points: expected shape \(n, 3\), got \(4, 2\)"):
        check_shape("points", np.zeros((4, 2)), "n 3")
    with pytest.raises(InputError, match="square"):
        check_shape("square", np.zeros((4, 5)), "n n")
    with pytest.raises(InputError, match=r"got \(4,\)"):
        check_shape("points", np.zeros(4), "n 3")
    check_finite("x", np.ones(3))
    with pytest.raises(InputError, match="x: expected finite numbers, got 2"):
        check_finite("x", np.array([1, np.nan, np.inf]))


def test_a_grid_maps_by_hand():
    grid = Grid((10, 20, 30), (1, 2, 3), (100, 200, 300), ((0, -1, 0), (1, 0, 0), (0, 0, 1)))
    assert grid.shape == (30, 20, 10)
    np.testing.assert_allclose(grid.to_world((1, 1, 1)), (98, 201, 303))
    np.testing.assert_allclose(grid.to_index((98, 201, 303)), (1, 1, 1))
    assert grid.voxel_volume_mm3 == 6
    assert grid.extent_mm == (10, 40, 90)
    np.testing.assert_allclose(grid.center, grid.to_world((4.5, 9.5, 14.5)))
    np.testing.assert_allclose(grid.points()[3, 2, 1], grid.to_world((1, 2, 3)))
    assert grid.contains([grid.to_world((-0.4, 0, 0)), grid.to_world((-0.6, 0, 0))]).tolist() == [True, False]
    np.testing.assert_allclose(grid.cropped((1, 2, 3), (4, 4, 4)).to_world((0, 0, 0)), grid.to_world((1, 2, 3)))
    assert grid.cropped((1, 2, 3), (4, 4, 4)).size == (3, 2, 1)
    assert Grid.from_matrix(grid.size, grid.matrix).matches(grid)


def test_grids_match_by_where_their_voxels_lie():
    moved = Grid(GRID.size, GRID.spacing, tuple(np.asarray(GRID.origin) + np.array([0, 0, 5e-4])), GRID.direction)
    assert moved.matches(GRID)
    assert not moved.matches(GRID, tolerance_mm=1e-5)
    assert not Grid((2, 2, 2)).matches(Grid((2, 2, 3)))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"size": (1, 2)}, "size: expected 3 numbers"),
        ({"size": (0, 2, 3)}, "at least one voxel"),
        ({"size": (1, 2, 3), "spacing": (1, 0, 1)}, "expected positive mm"),
        ({"size": (1, 2, 3), "spacing": (1, np.nan, 1)}, "expected positive mm"),
        ({"size": (1, 2, 3), "origin": (0, np.inf, 0)}, "expected finite mm"),
        ({"size": (1, 2, 3), "direction": ((1, 0.5, 0), (0, 1, 0), (0, 0, 1))}, "perpendicular"),
        ({"size": (1, 2, 3), "direction": ((1, 0), (0, 1))}, "perpendicular"),
    ],
)
def test_grids_that_cannot_be(arguments, words):
    with pytest.raises(InputError, match=words):
        Grid(**arguments)


def test_matrices_that_are_no_grid():
    with pytest.raises(InputError, match="three axes of positive length"):
        Grid.from_matrix((2, 2, 2), np.diag([1.0, 0, 1, 1]))


def test_images_labels_and_doses_keep_their_kind_of_number():
    grid = Grid((2, 1, 1))
    assert Image(np.array([[[1, 2]]]), grid).array.dtype == np.float32
    assert Dose(np.array([[[1, 2]]]), grid).array.dtype == np.float32
    labels = LabelMap(np.array([[[0.0, 7.0]]]), grid, {7: "seven"})
    assert labels.array.dtype == np.int32
    assert labels.labels == (7,)
    assert labels.name_of(7) == "seven"
    assert labels.name_of(8) == "8"
    assert LabelMap(np.array([[[True, False]]]), grid).labels == (1,)
    with pytest.raises(InputError, match="got fractions"):
        LabelMap(np.array([[[0.5, 1]]]), grid)
    for kind, name in ((Image, "array"), (LabelMap, "labels"), (Dose, "dose")):
        with pytest.raises(InputError, match=f"{name}: expected shape"):
            kind(np.zeros((2, 2, 2)), grid)


def test_frozen_means_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        texture().name = "other"  # type: ignore[misc]


def test_clouds_and_seeds_check_their_parts():
    cloud = PointCloud(np.zeros((2, 3), "f4"), np.array([1, 2]), np.zeros((2, 3)), {1: "a"})
    assert cloud.points.dtype == np.float64
    assert cloud.labels.dtype == np.int64
    with pytest.raises(InputError, match="labels: expected shape"):
        PointCloud(np.zeros((2, 3)), np.array([1]))
    with pytest.raises(InputError, match="normals"):
        PointCloud(np.zeros((2, 3)), None, np.zeros((1, 3)))
    with pytest.raises(InputError, match="points: expected finite"):
        PointCloud(np.array([[0, 0, np.nan]]))
    seeds = Seeds(np.zeros((3, 3)), np.array([2, 0, 2]), "fixed")
    assert seeds.tumor_numbers == (2,)
    assert seeds.of(0).shape == (1, 3)
    assert Seeds(np.zeros((0, 3)), np.zeros(0, int)).tumor_numbers == ()
    with pytest.raises(InputError, match="got a negative one"):
        Seeds(np.zeros((1, 3)), np.array([-1]))
    with pytest.raises(InputError, match="expected 'fixed' or 'moving'"):
        Seeds(np.zeros((1, 3)), np.array([1]), "left")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tumors"):
        Seeds(np.zeros((1, 3)), np.array([1, 2]))


def test_transforms_check_their_parts():
    assert np.array_equal(AffineTransform.identity().matrix, np.eye(4))
    with pytest.raises(InputError, match="last row"):
        AffineTransform(np.ones((4, 4)))
    with pytest.raises(InputError, match="flattens space"):
        AffineTransform(np.diag([1.0, 1, 0, 1]))
    with pytest.raises(InputError, match="matrix: expected finite"):
        AffineTransform(np.full((4, 4), np.nan))
    for kind, name in ((DisplacementField, "displacement"), (VelocityField, "velocity")):
        with pytest.raises(InputError, match=f"{name}: expected shape"):
            kind(np.zeros((2, 2, 2)), Grid((2, 2, 2)))
        with pytest.raises(InputError, match=f"{name}: expected finite"):
            kind(np.full((1, 1, 1, 3), np.inf), Grid((1, 1, 1)))


def test_a_matrix_is_copied():
    matrix = np.eye(4)
    transform = AffineTransform(matrix)
    matrix[0, 3] = 5
    assert transform.matrix[0, 3] == 0


@pytest.mark.parametrize("name", ["fixed_mask", "moving_mask", "fixed_labels", "moving_labels"])
def test_masks_and_labels_lie_on_their_images(name):
    image, other = texture(), blobs(Grid((4, 4, 4)))
    assert getattr(ImagePair(image, image, **{name: blobs()}), name) is not None
    with pytest.raises(InputError, match=f"{name.replace('_', ' ')}: expected the grid of its image"):
        ImagePair(image, image, **{name: other})


def test_the_other_inputs_and_results_hold_what_they_are_given():
    image, field = texture(), smooth_field()
    assert ImageGroup((image,)).images == (image,)
    assert ImageSeries((image,), (0.0,)).times_s == (0.0,)
    assert SliceQuery(image, image).volume is image
    assert FieldEnsemble((field,)).fields == (field,)
    cloud = PointCloud(np.zeros((1, 3)))
    assert PointPair(cloud, cloud).fixed is cloud
    assert Result(Chain((field,))).warnings == ()
    assert GroupResult(image, (field,)).record == {}
    assert LabelResult(blobs()).probability is None


def test_a_part_of_the_progress_covers_its_share():
    heard = []
    step = part(lambda fraction, message: heard.append((fraction, message)), 0.2, 0.6)
    step(0.0, "a")
    step(0.5, "b")
    assert heard == [(0.2, "a"), (pytest.approx(0.4), "b")]
    silent(0.5, "nobody hears this")


def test_a_run_draws_the_same_numbers_each_time():
    assert Run(seed=3).rng().random() == Run(seed=3).rng().random()
    assert Run(seed=3).rng().random() != Run(seed=4).rng().random()
