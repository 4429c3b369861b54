"""The frame a registration works in: a box of the fixed image, its axes, any resolution; the start is built in.

Fields inside a frame are u_mm: (3, K, J, I), mm along the box's own axes (k, j, i). The moving image is sampled once a
level on the same axes with a margin, at A(x), so that what is left to find is u in moving(A(x + u(x))).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.smooth import along_axes, gaussian, resize_matrices
from valorlib.ops.warp import sample

AXES = ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
"""Shapes that lay numbers along k, j and i."""


@dataclass(frozen=True, eq=False)
class Frame:
    """Where a registration happens.

    box: grid whose outer border bounds the work; its axes are the fixed image's. start: fixed to moving, built into
    the moving working image. margin_mm: how far the moving working image reaches over the box.
    """

    box: Grid
    start: AffineTransform
    margin_mm: float = 16.0

    def grid(self, spacing_mm: float) -> Grid:
        """The box at about `spacing_mm`; axes that are coarser by nature stay as they are."""
        return self.box.resampled(
            [max(spacing_mm, s) if n > 1 else s for s, n in zip(self.box.spacing, self.box.size, strict=True)]
        )

    def margin(self, grid: Grid) -> tuple[int, ...]:
        """Voxels along (k, j, i) that the moving working image has before the box."""
        return tuple(
            0 if n == 1 else int(np.ceil(self.margin_mm / s))
            for s, n in zip(grid.spacing[::-1], grid.shape, strict=True)
        )

    def wide(self, grid: Grid) -> Grid:
        """`grid` with the margin on each side."""
        margin = np.asarray(self.margin(grid)[::-1])
        return grid.cropped((-margin).tolist(), (np.asarray(grid.size) + margin).tolist())

    def fixed(self, image: Image, grid: Grid, device: str = "cpu") -> Tensor:
        """(K, J, I) the fixed image at the voxels of `grid`, smoothed against aliasing."""
        return pull(image, grid, np.eye(4), device)

    def moving(self, image: Image, grid: Grid, device: str = "cpu") -> Tensor:
        """(K, J, I) the moving image at A(x) for x on the wide `grid`."""
        return pull(image, self.wide(grid), self.start.matrix, device)

    def displacement(self, u_mm: Tensor, grid: Grid) -> DisplacementField:
        """The whole transform x -> A(x + u(x)) as a displacement on any grid with the frame's axes, LPS mm.

        Args:
            u_mm: (3, k, j, i) over the frame's box.
            grid: the fixed grid, or a coarser one over the same axes.
        """
        first = self.box.to_index(grid.to_world((0, 0, 0)))
        index = [first[a] + np.arange(n) * grid.spacing[a] / self.box.spacing[a] for a, n in enumerate(grid.size)]
        matrices = []
        for a, old in zip((2, 1, 0), u_mm.shape[1:], strict=True):
            # Outer borders meet: voxel centers of the box scale to voxel centers of u.
            at = (index[a] + 0.5) * old / self.box.size[a] - 0.5
            matrices.append(torch.tensor(_linear(at, old), device=u_mm.device).to(u_mm.dtype))
        axes = np.asarray(self.box.direction)[:, ::-1]
        linear = self.start.matrix[:3, :3]
        turn = torch.tensor(linear @ axes, device=u_mm.device).to(u_mm.dtype)
        out = np.empty((*grid.shape, 3), dtype=np.float32)
        moves = not np.allclose(self.start.matrix, np.eye(4))
        # Turning the coarse field is cheap, turning the fine one is not.
        u_mm = torch.einsum("ca,akji->ckji", turn, u_mm)
        for k in range(grid.shape[0]):
            slab = along_axes(u_mm, [matrices[0][k : k + 1], matrices[1], matrices[2]])
            out[k] = slab[:, 0].movedim(0, -1).cpu().numpy()
            if moves:
                points = grid.cropped((0, 0, k), (*grid.size[:2], k + 1)).points()[0]
                out[k] += points @ (linear - np.eye(3)).T + self.start.matrix[:3, 3]
        return DisplacementField(out, grid)


def _linear(at: NDArray[np.float64], old: int) -> NDArray[np.float32]:
    at = np.clip(at, 0, old - 1)
    low = np.minimum(np.floor(at).astype(int), max(old - 2, 0))
    rows = np.zeros((len(at), old), dtype=np.float32)
    rows[np.arange(len(at)), low] = 1 - (at - low)
    if old > 1:
        rows[np.arange(len(at)), low + 1] += (at - low).astype(np.float32)
    return rows


def places(grid: Grid, onto: Grid, matrix: NDArray[np.float64], like: Tensor) -> Tensor:
    """(1, 3, K, J, I) voxel indices (k, j, i) of `grid` where the voxels of `onto`, moved by `matrix`, lie."""
    step = np.linalg.inv(grid.matrix) @ matrix @ onto.matrix
    flip = step[:3, :3][::-1, ::-1]
    axes = [torch.arange(n, dtype=torch.float32, device=like.device) for n in onto.shape]
    found = []
    for row, shift in zip(flip, step[:3, 3][::-1], strict=True):
        k, j, i = (float(r) * axis for r, axis in zip(row, axes, strict=True))
        found.append((k + float(shift))[:, None, None] + j[:, None] + i)
    return torch.stack(found)[None]


def pull(image: Image, onto: Grid, matrix: NDArray[np.float64], device: str = "cpu") -> Tensor:
    """(K, J, I) values of an image at the voxels of `onto` moved by `matrix`; smoothed where `onto` is coarser."""
    turn = np.abs(np.asarray(image.grid.direction).T @ matrix[:3, :3] @ np.asarray(onto.direction))
    wanted = turn @ np.asarray(onto.spacing) / turn.sum(1)  # spacing of onto along the image's own axes
    values, grid = _halved(torch.from_numpy(image.array).to(device)[None], image.grid, wanted)
    ratio = wanted / np.asarray(grid.spacing)
    values = gaussian(values, [0.45 * float(np.sqrt(max(r * r - 1, 0.0))) for r in ratio][::-1])
    straight = _straight(grid, onto, matrix)
    if straight is not None:
        rows = [torch.from_numpy(_linear(at, n)).to(device) for at, n in zip(straight, grid.shape, strict=True)]
        return along_axes(values, rows)[0]
    return sample(values[None], places(grid, onto, matrix, values))[0, 0]


def _halved(values: Tensor, grid: Grid, wanted: NDArray[np.float64]) -> tuple[Tensor, Grid]:
    """Means of pairs of voxels along axes that are at least twice as fine as wanted, as often as that holds."""
    for axis in range(3):
        while wanted[axis] / grid.spacing[axis] >= 2 and grid.size[axis] >= 4:
            dim, half = 3 - axis, grid.size[axis] // 2
            even, odd = (values[(slice(None),) * dim + (slice(first, 2 * half, 2),)] for first in (0, 1))
            values = 0.5 * (even + odd)
            stop = list(grid.size)
            stop[axis] = 2 * half
            spacing = list(grid.spacing)
            spacing[axis] *= 2
            grid = grid.cropped((0, 0, 0), stop).resampled(spacing)
    return values, grid


def _straight(grid: Grid, onto: Grid, matrix: NDArray[np.float64]) -> list[NDArray[np.float64]] | None:
    """Voxel indices of `grid` along (k, j, i) for the rows of `onto`; None when the two have other axes."""
    step = np.linalg.inv(grid.matrix) @ matrix @ onto.matrix
    diagonal = np.diag(np.diag(step[:3, :3]))
    if not np.allclose(step[:3, :3], diagonal, atol=1e-9):
        return None
    return [step[a, 3] + step[a, a] * np.arange(onto.size[a]) for a in (2, 1, 0)]


def pull_mask(
    mask: LabelMap | None, grid: Grid, onto: Grid, matrix: NDArray[np.float64], device: str = "cpu"
) -> Tensor:
    """(K, J, I), 1 where a voxel of `onto` moved by `matrix` lies inside `grid` and its mask, 0 elsewhere."""
    # Two single slices are compared wherever their headers put them.
    open_axes = [n == 1 and m == 1 for n, m in zip(grid.shape, onto.shape, strict=True)]
    straight = _straight(grid, onto, matrix)
    at: list[Tensor] | Tensor
    if straight is not None:
        at = [torch.from_numpy(one).to(device).view(shape) for one, shape in zip(straight, AXES, strict=True)]
    else:
        at = places(grid, onto, matrix, torch.zeros(1, device=device))[0]
    inside = torch.ones(tuple(onto.shape), dtype=torch.bool, device=device)
    for one, n, free in zip(at, grid.shape, open_axes, strict=True):
        if not free:
            inside &= (one >= -0.5) & (one <= n - 0.5)
    if mask is None:
        return inside.float()
    values = torch.tensor((mask.array > 0).astype(np.float32), device=device)[None]
    if straight is None:
        return (inside & (sample(values[None], torch.as_tensor(at)[None])[0, 0] > 0.5)).float()
    rows = [torch.from_numpy(_linear(one, n)).to(device) for one, n in zip(straight, grid.shape, strict=True)]
    return (inside & (along_axes(values, rows)[0] > 0.5)).float()


def sized(u_mm: Tensor, shape: Sequence[int]) -> Tensor:
    """u_mm at another resolution over the same box; linear."""
    return along_axes(u_mm, resize_matrices(u_mm, u_mm.shape[1:], shape))


def joined(inside: DisplacementField, outside: DisplacementField, region: LabelMap) -> DisplacementField:
    """One field from two: `inside` where the region (on the same grid) is set, `outside` elsewhere."""
    array = np.where(region.array[..., None] > 0, inside.array, outside.array)
    return DisplacementField(array, inside.grid)


def to_voxels(u_mm: Tensor, grid: Grid) -> Tensor:
    """(3, K, J, I) mm along (k, j, i) to voxels of `grid`."""
    return u_mm / u_mm.new_tensor(grid.spacing[::-1]).view(3, 1, 1, 1)
