"""Core types to tensors and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from unit.geometry import GRID, blobs, smooth_field, texture

from valorlib.convert.tensors import (
    choose_device,
    field_from_voxels,
    field_to_voxels,
    image_from_tensor,
    image_to_tensor,
    labels_from_tensor,
    labels_to_tensor,
    velocity_from_voxels,
)
from valorlib.core.errors import InputError


def test_images_and_labels_come_back():
    image, labels = texture(), blobs()
    tensor = image_to_tensor(image)
    assert tensor.shape == (1, 1, *GRID.shape)
    np.testing.assert_array_equal(image_from_tensor(tensor, GRID).array, image.array)
    np.testing.assert_array_equal(labels_from_tensor(labels_to_tensor(labels), GRID).array, labels.array)
    tensor.zero_()
    assert image.array.any()


def test_a_voxel_step_along_each_axis_is_one_voxel():
    u_vox = torch.zeros(1, 3, *GRID.shape)
    for axis, column in ((0, 2), (1, 1), (2, 0)):
        u_vox.zero_()
        u_vox[:, axis] = 1
        mm = field_from_voxels(u_vox, GRID).array[3, 4, 5]
        np.testing.assert_allclose(mm, GRID.matrix[:3, column], rtol=1e-6)


def test_fields_come_back():
    field = smooth_field()
    np.testing.assert_allclose(field_from_voxels(field_to_voxels(field), GRID).array, field.array, atol=1e-5)
    velocity = velocity_from_voxels(field_to_voxels(field), GRID)
    np.testing.assert_allclose(velocity.array, field.array, atol=1e-5)
    with pytest.raises(InputError, match="displacement: expected shape"):
        field_from_voxels(torch.zeros(1, 3, 2, 2, 2), GRID)


def test_devices_are_chosen_or_refused(monkeypatch):
    assert choose_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(InputError, match="use cpu"):
        choose_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device() == "cuda"
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(InputError, match="one of 2 CUDA devices"):
        choose_device("cuda:2")
    with pytest.raises(InputError, match="expected auto, cpu, cuda"):
        choose_device("gpu")
