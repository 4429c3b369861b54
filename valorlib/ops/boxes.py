"""Sums over box windows, cheap on one thread: sliced adds, and a window lattice that may skip every second voxel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


def _running(x: Tensor, axis: int, width: int) -> Tensor:
    """Sums of `width` neighbors along an axis, unpadded: the axis becomes width - 1 shorter."""
    # Sums of 1, 2, 4, ... neighbors; the binary digits of the width say which of them to join.
    block, power, start, length = x, 1, 0, x.shape[axis] - width + 1
    pieces = []
    while power <= width:
        if width & power:
            pieces.append(block.narrow(axis, start, length))
            start += power
        n = block.shape[axis] - power
        if 2 * power <= width:
            block = block.narrow(axis, 0, n) + block.narrow(axis, power, n)
        power *= 2
    total = pieces[0]
    for piece in pieces[1:]:
        total = total + piece
    return total


def box_sum(x: Tensor, radius: int | Sequence[int]) -> Tensor:
    """Sum over windows of 2 radius + 1 voxels along each axis; zero outside the array.

    Args:
        x: (..., K, J, I).
        radius: voxels, one number or (k, j, i); 0 leaves an axis as it is, and so does an axis of one voxel.
    """
    radii = (radius,) * 3 if isinstance(radius, int) else tuple(radius)
    for axis, wanted in zip((-3, -2, -1), radii, strict=True):
        n = x.shape[axis]
        reach = min(wanted, n - 1)
        if reach < 1:
            continue
        shape = list(x.shape)
        shape[axis] = n + 2 * reach
        padded = x.new_zeros(shape)
        padded.narrow(axis, reach, n).copy_(x)
        x = _running(padded, x.dim() + axis, 2 * reach + 1)
    return x


def block_sum(x: Tensor) -> Tensor:
    """Sum over blocks of two voxels along each axis; an odd last voxel is its own block, one voxel stays one.

    Args:
        x: (..., K, J, I).
    """
    for axis in (-3, -2, -1):
        n = x.shape[axis]
        if n == 1:
            continue
        dim = x.dim() + axis
        even, odd = (x[(slice(None),) * dim + (slice(first, None, 2),)] for first in (0, 1))
        if n % 2:
            total = even.clone()
            total.narrow(dim, 0, n // 2).add_(odd)
        else:
            total = even + odd
        x = total
    return x


def unblock(x: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Each block's value at all its voxels: the transpose of `block_sum`.

    Args:
        x: (..., k, j, i).
        shape: (K, J, I) that `block_sum` was given.
    """
    for axis, n in zip((-1, -2, -3), shape[::-1], strict=True):
        if n > 1:
            x = x.repeat_interleave(2, dim=axis)
            if n % 2:
                x = x.narrow(axis, 0, n)
    return x


@dataclass(frozen=True)
class Windows:
    """A lattice of box windows over a volume.

    shape: (K, J, I) of the volume. radius: reach of a window along (k, j, i), voxels. stride: 1, a window at each
    voxel; 2, one at each second voxel along each axis (windows of whole blocks of two voxels), several times cheaper.
    """

    shape: tuple[int, ...]
    radius: tuple[int, int, int]
    stride: int = 1

    @property
    def _block_radius(self) -> tuple[int, ...]:
        return tuple(max(1, round(r / 2)) if r else 0 for r in self.radius)

    def sums(self, x: Tensor) -> Tensor:
        """(..., K, J, I) -> (..., k, j, i) sum over each window."""
        return box_sum(x, self.radius) if self.stride == 1 else box_sum(block_sum(x), self._block_radius)

    def spread(self, y: Tensor) -> Tensor:
        """(..., k, j, i) -> (..., K, J, I): at each voxel, the sum over the windows that hold it; transpose of sums."""
        return box_sum(y, self.radius) if self.stride == 1 else unblock(box_sum(y, self._block_radius), self.shape)
