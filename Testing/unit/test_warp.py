"""Warping tensors in voxels, by hand and against scipy."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import map_coordinates
from unit.geometry import GRID, smooth_field, texture

from valorlib.convert.tensors import field_to_voxels, image_to_tensor
from valorlib.core.grid import Grid
from valorlib.core.images import Image
from valorlib.ops.resample import resample_image
from valorlib.ops.warp import compose_voxels, exponential, identity, resize, resize_field, sample, warp


def test_identity_counts_voxels():
    at = identity(torch.zeros(1, 3, 2, 3, 4))
    assert at.shape == (1, 3, 2, 3, 4)
    assert at[0, :, 1, 2, 3].tolist() == [1, 2, 3]


def test_components_are_k_j_i():
    image = torch.arange(24.0).reshape(1, 1, 2, 3, 4)
    u_vox = torch.zeros(1, 3, 2, 3, 4)
    u_vox[:, 2] = 1
    assert warp(image, u_vox)[0, 0, 0, 0].tolist() == [1, 2, 3, 3]
    assert warp(image, u_vox, padding="zeros")[0, 0, 0, 0].tolist() == [1, 2, 3, 0]


def test_warp_agrees_with_scipy():
    image, field = texture(), smooth_field()
    u_vox = field_to_voxels(field)
    at = (identity(u_vox) + u_vox)[0].double().numpy()
    for order, mode in ((1, "bilinear"), (0, "nearest")):
        expected = map_coordinates(image.array.astype(float), at, order=order, mode="nearest")
        ours = warp(image_to_tensor(image), u_vox, mode=mode)[0, 0].numpy()
        assert (np.abs(ours - expected) > 1e-3).mean() < 0.001


def test_an_axis_of_one_voxel_reads_that_voxel():
    image = torch.rand(1, 1, 1, 4, 5)
    at = torch.full((1, 3, 1, 4, 5), 7.0)
    at[:, 1:] = identity(torch.zeros(1, 1, 1, 4, 5))[:, 1:]
    torch.testing.assert_close(sample(image, at), image)


def test_composition_in_voxels_is_a_warp_of_a_warp():
    u = torch.randn(1, 3, 6, 7, 8) * 0.3
    v = torch.full((1, 3, 6, 7, 8), 0.5)
    image = torch.rand(1, 1, 6, 7, 8)
    smooth = resize(torch.rand(1, 1, 2, 2, 2), (6, 7, 8))
    inside = (..., slice(2, -2), slice(2, -2), slice(2, -2))
    twice = warp(warp(smooth, v), u * 0)
    torch.testing.assert_close(warp(smooth, compose_voxels(u * 0, v))[inside], twice[inside])
    assert warp(image, compose_voxels(u, v)).shape == image.shape


def test_no_squarings_give_the_velocity_itself():
    v = torch.randn(1, 3, 3, 4, 5)
    torch.testing.assert_close(exponential(v, 0), v)


def test_resize_lays_voxels_as_the_grid_does():
    image = texture()
    grid = GRID.resampled((1.8, 2.6, 4.2))
    ours = resize(image_to_tensor(image), grid.shape)[0, 0].numpy()
    np.testing.assert_allclose(ours, resample_image(image, grid).array, atol=2e-3)


def test_a_resized_field_means_the_same_millimeters():
    grid = Grid((8, 6, 4), (1, 2, 3))
    u_vox = torch.ones(1, 3, 4, 6, 8)
    new = resize_field(u_vox, (2, 3, 4))
    assert new.shape == (1, 3, 2, 3, 4)
    torch.testing.assert_close(new, torch.full_like(new, 0.5))
    assert Image(new[0, 0].numpy(), grid.resampled((2, 4, 6))).grid.spacing == (2, 4, 6)


def test_gradients_flow_through_a_warp():
    u_vox = torch.zeros(1, 3, 4, 5, 6, requires_grad=True)
    warp(torch.rand(1, 1, 4, 5, 6), u_vox).sum().backward()
    assert u_vox.grad is not None
    assert float(u_vox.grad.abs().sum()) > 0
