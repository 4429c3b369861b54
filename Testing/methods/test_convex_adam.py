"""Outlines as features, and the hard and the soft choice."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import ndimage

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run
from valorlib.methods.convex_adam import METHOD
from valorlib.methods.voxelmorph_pp import METHOD as KEYPOINTS
from valorlib.metrics.folding import fold_summary
from valorlib.ops.transforms import map_points
from valorlib.solve import feature_adam

GRID = Grid((40, 36, 32), (2.0, 2.0, 2.0))


def ball(center, radius):
    points = GRID.points()
    return (np.linalg.norm((points - np.asarray(center)) / radius, axis=-1) < 1).astype(np.int32)


@pytest.fixture(scope="module")
def outlined():
    """Two images of noise that share nothing but an outlined organ, which moved by (10, -6, 4) mm and grew."""
    rng = np.random.default_rng(2)
    noise = [Image(rng.normal(size=GRID.shape).astype(np.float32), GRID) for _ in range(2)]
    fixed, moving = ball((36, 36, 32), (16, 14, 12)), ball((46, 30, 36), (18, 15, 13))
    return ImagePair(*noise, fixed_labels=LabelMap(fixed, GRID), moving_labels=LabelMap(moving, GRID))


def test_outlines_lead_where_images_say_nothing(outlined):
    options = dataclasses.replace(METHOD.presets["outlines"], working_mm=2.0, lattice_mm=6.0, control_mm=6.0)
    result = METHOD.run(outlined, options, Run())
    landmarks = np.array([[36.0, 36, 32], [42, 36, 32], [36, 30, 32], [36, 36, 38]])
    truth = np.array([46.0, 30, 36]) + (landmarks - [36, 36, 32]) * np.array([18 / 16, 15 / 14, 13 / 12])
    error = np.linalg.norm(map_points(result.displacement, landmarks) - truth, axis=1)
    assert error.max() < 2.5
    assert fold_summary(result.displacement).strict_count == 0


def test_start_by_outlines_needs_outlines(outlined):
    bare = ImagePair(outlined.fixed, outlined.moving)
    with pytest.raises(InputError, match="labels: expected structures in both images"):
        METHOD.run(bare, METHOD.presets["outlines"], Run())


@pytest.fixture(scope="module")
def shifted():
    rng = np.random.default_rng(3)
    texture = sum(ndimage.gaussian_filter(rng.normal(size=GRID.shape), s) * s**1.5 for s in (1.5, 3.0))
    array = np.where(ball((39, 35, 31), (36, 32, 28)), 100 + 40 * texture, 0).astype(np.float32)
    moved = ndimage.shift(array, (2, -3, 4), order=1)  # voxels (k, j, i): (8, -6, 4) mm
    return ImagePair(Image(array, GRID), Image(moved.astype(np.float32), GRID))


@pytest.mark.parametrize("soft", [False, True])
def test_both_choices_find_a_large_shift(shifted, soft):
    options = dataclasses.replace(METHOD.presets["quick"], lattice_mm=6.0, soft=soft, iterations=30)
    result = METHOD.run(shifted, options, Run())
    inner = (slice(8, -8),) * 3
    assert np.linalg.norm(result.displacement.array[inner] - [8.0, -6.0, 4.0], axis=-1).mean() < 1.5


def test_keypoints_do_not_fold(shifted):
    result = KEYPOINTS.run(shifted, KEYPOINTS.presets["quick"], Run())
    inner = (slice(8, -8),) * 3
    assert np.linalg.norm(result.displacement.array[inner] - [8.0, -6.0, 4.0], axis=-1).mean() < 1.0
    assert fold_summary(result.displacement).strict_count == 0


def test_an_eighth_of_the_voxels_a_step_finds_the_same_motion(monkeypatch):
    torch.manual_seed(0)
    noise = torch.nn.functional.pad(torch.rand(1, 4, 16, 20, 18), (2,) * 6, mode="replicate")
    fixed = 4 * torch.nn.functional.avg_pool3d(noise, 5, 1)
    moving = torch.nn.functional.pad(torch.roll(fixed, (1, -1), (3, 4)), (4,) * 6)
    for most in (10**9, 10):
        monkeypatch.setattr(feature_adam, "MANY", most)
        u, losses = feature_adam.refine_on_features(
            fixed, moving, torch.zeros(1, 3, 16, 20, 18), offset=(4, 4, 4), stride=2, smoothness=0.3, steps=40,
            rate=0.3, weight=None, progress=lambda share, text: None,
        )  # fmt: skip
        found = u[0, :, 5:-5, 5:-5, 5:-5].mean((1, 2, 3))
        torch.testing.assert_close(found, torch.tensor([0.0, 1.0, -1.0]), atol=0.25, rtol=0)
        assert losses[-1] < 0.5 * losses[0]
