from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from valorlib.ops.boxes import Windows, block_sum, box_sum, unblock


@pytest.mark.parametrize("radius", [1, 2, 3, 4])
def test_box_sums_agree_with_a_convolution_of_ones(radius):
    x = torch.randn(2, 11, 9, 10, generator=torch.Generator().manual_seed(radius), dtype=torch.float64)
    kernel = torch.ones(1, 1, *(2 * radius + 1,) * 3, dtype=torch.float64)
    expected = F.conv3d(x[:, None], kernel, padding=radius)[:, 0]
    torch.testing.assert_close(box_sum(x, radius), expected)


def test_an_axis_of_one_voxel_is_left_alone():
    x = torch.arange(12.0).view(1, 3, 4)
    assert box_sum(x, (2, 0, 0)).equal(x)
    assert box_sum(x, (2, 0, 1))[0, 0].tolist() == [1, 3, 6, 5]


def test_blocks_add_pairs_and_keep_an_odd_last_voxel():
    assert block_sum(torch.arange(5.0).view(1, 1, 5)).flatten().tolist() == [1, 5, 4]
    assert unblock(torch.tensor([1.0, 2, 3]).view(1, 1, 3), (1, 1, 5)).flatten().tolist() == [1, 1, 2, 2, 3]


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("shape", [(9, 8, 7), (1, 8, 7), (6, 6, 6)])
def test_spread_is_the_transpose_of_sums(shape, stride):
    windows = Windows(shape, (2, 2, 3), stride)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=random, dtype=torch.float64)
    sums = windows.sums(x)
    y = torch.randn(sums.shape, generator=random, dtype=torch.float64)
    torch.testing.assert_close((sums * y).sum(), (x * windows.spread(y)).sum())
