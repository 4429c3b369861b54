"""Parts of the inverse that is nearly right: reading in blocks, one Newton step, blocks around marked cells."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField
from valorlib.ops.near_inverse import Way, bends, blocks, coarse_inverse, improve, read

GRID = Grid((30, 26, 22), (1.0, 1.2, 1.5))
WHOLE = (slice(0, 22), slice(0, 26), slice(0, 30))


def waves(mm: float) -> np.ndarray:
    away = (GRID.points() - GRID.center) / 8.0
    return (mm * np.sin(away[..., ::-1])).astype(np.float32)


def left(v: torch.Tensor, u: torch.Tensor) -> float:
    return float((v + read(u, Way(GRID, GRID).places(v, WHOLE))).square().sum(0).sqrt().max())


def test_reading_in_a_crop_gives_what_the_whole_gives_beyond_the_border_too():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(2, 7, 8, 9)).astype(np.float32))
    at = torch.from_numpy(np.random.default_rng(1).uniform(-2, 10, (3, 4, 5, 6)).astype(np.float32))
    unit = (at / torch.tensor([8.0, 7.0, 6.0]).view(3, 1, 1, 1) * 2 - 1).movedim(0, -1)
    whole = F.grid_sample(values[None], unit[None], padding_mode="border", align_corners=True)[0]
    torch.testing.assert_close(read(values, at), whole, atol=1e-5, rtol=1e-5)


def test_places_are_those_of_the_grids():
    turned = Grid((9, 8, 7), (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), ((0, 1, 0), (-1, 0, 0), (0, 0, 1)))
    moves = torch.from_numpy(waves(3.0)).movedim(-1, 0)
    found = Way(GRID, turned).places(moves, WHOLE).movedim(0, -1).numpy()
    np.testing.assert_allclose(found, turned.to_index(GRID.points() + waves(3.0)), atol=1e-4)


def test_a_newton_step_squares_what_is_left():
    u = torch.from_numpy(waves(2.0)).movedim(-1, 0).contiguous()
    v = coarse_inverse(DisplacementField(waves(2.0), GRID), GRID)
    cells = torch.ones(3, 4, 4)
    before = left(v, u)
    improve(v, u, blocks(cells, (8, 8, 8), GRID.shape), Way(GRID, GRID))
    assert before < 0.2
    assert left(v, u) < 0.25 * before


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 3, 2)])
def test_blocks_cover_the_marked_cells_once(stride):
    cells = torch.from_numpy(np.random.default_rng(2).random((20, 30, 14)) < 0.01)
    shape = tuple(n * s - 1 for n, s in zip(cells.shape, stride, strict=True))
    found = torch.zeros(shape)
    for block in blocks(cells, stride, shape):
        found[block] += 1
    wanted = cells
    for axis, s in enumerate(stride):
        wanted = wanted.repeat_interleave(s, axis)
    assert float(found.max()) == 1
    assert bool((found[wanted[: shape[0], : shape[1], : shape[2]]] == 1).all())


def test_what_is_straight_does_not_bend():
    straight = torch.arange(6.0).view(1, 6, 1, 1) + 2 * torch.arange(5.0).view(1, 1, 5, 1) + torch.zeros(1, 6, 5, 2)
    assert float(bends(straight).abs().max()) == 0
    assert float(bends(straight.square())[0, 2, 2, 0]) == pytest.approx(2 + 8)
