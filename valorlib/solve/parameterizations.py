"""What the solver changes: each parameterization gives a dense displacement, autograd follows it, and most invert.

A dense displacement is u_vox: (1, 3, K, J, I), voxels of the working grid, components (k, j, i); x goes to x + u(x).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from valorlib.ops.smooth import along_axes, resize_matrices
from valorlib.ops.warp import compose_voxels, exponential, identity, sample


class Parameterization(Protocol):
    """Parameters, and the displacement they stand for."""

    def parameters(self) -> list[Tensor]:
        """Leaf tensors that the optimizer changes."""

    def displacement(self, shape: Sequence[int]) -> Tensor:
        """(1, 3, *shape) voxels of a working grid of that shape over the same box."""


def dense(coarse: Tensor, shape: Sequence[int], *, cubic: bool = True) -> Tensor:
    """A field on a coarse grid at another resolution: interpolated, and scaled to the new voxels.

    Args:
        coarse: (1, 3, k, j, i), voxels of its own grid.
        shape: new (K, J, I) over the same box.
        cubic: cubic B-splines (coarse values are control values) in place of linear interpolation.
    """
    old = coarse.shape[2:]
    fine = along_axes(coarse[0], resize_matrices(coarse, old, shape, cubic=cubic))[None]
    factor = fine.new_tensor([new / o for new, o in zip(shape, old, strict=True)]).view(1, 3, 1, 1, 1)
    return fine * factor


class Affine:
    """x to A (x - center) + center + t in the box's unit frame, so that all parameters act alike.

    kind: "rigid" (rotation vector, shift), "similarity" (with one scale) or "affine" (a full matrix).
    """

    def __init__(self, box_mm: Sequence[float], *, kind: str = "affine", like: Tensor) -> None:
        """Prepare the identity.

        Args:
            box_mm: lengths of the box along (k, j, i).
            kind: see above.
            like: gives device and kind of number.
        """
        self._half_mm = like.new_tensor(list(box_mm)) / 2
        self._size_mm = float(self._half_mm.max())
        self._kind = kind
        count = {"rigid": 3, "similarity": 4, "affine": 9}[kind]
        self._linear = like.new_zeros(count).requires_grad_()
        self._shift = like.new_zeros(3).requires_grad_()

    def parameters(self) -> list[Tensor]:
        """Linear part, then shift in half box lengths."""
        return [self._linear, self._shift]

    def matrix(self) -> Tensor:
        """(3, 3) linear part, mm to mm, axes (k, j, i)."""
        eye = torch.eye(3, dtype=self._linear.dtype, device=self._linear.device)
        if self._kind == "affine":
            return eye + self._linear.view(3, 3)
        a, b, c = self._linear[:3]
        zero = torch.zeros_like(a)
        skew = torch.stack([zero, -c, b, c, zero, -a, -b, a, zero]).view(3, 3)
        turn: Tensor = torch.matrix_exp(skew)
        return turn * torch.exp(self._linear[3]) if self._kind == "similarity" else turn

    def shift_mm(self) -> Tensor:
        """(3,) where the middle of the box goes, mm."""
        return self._shift * self._size_mm

    def displacement(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement; see `Parameterization`."""
        spacing = 2 * self._half_mm / self._half_mm.new_tensor([float(n) for n in shape])
        at = identity(self._shift.new_zeros(1, 1, *shape))[0]
        x = (at + 0.5) * spacing.view(3, 1, 1, 1) - self._half_mm.view(3, 1, 1, 1)
        moved = torch.einsum("ac,ckji->akji", self.matrix(), x) + self.shift_mm().view(3, 1, 1, 1)
        return ((moved - x) / spacing.view(3, 1, 1, 1))[None]


class DisplacementPyramid:
    """A sum of fields on finer and finer grids; the regularizer must see the sum, which alone can fold."""

    def __init__(self, shapes: Sequence[Sequence[int]], *, like: Tensor) -> None:
        """Zero fields of the given (k, j, i) shapes, coarse to fine."""
        self._fields = [like.new_zeros(1, 3, *shape).requires_grad_() for shape in shapes]

    def parameters(self) -> list[Tensor]:
        """One field a level."""
        return list(self._fields)

    def displacement(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement; see `Parameterization`."""
        total = dense(self._fields[0], shape)
        for field in self._fields[1:]:
            total = total + dense(field, shape)
        return total


class StationaryVelocity:
    """The flow of one velocity field over unit time; the flow of its negative is the inverse.

    Source: Arsigny, A log-Euclidean framework for statistics on diffeomorphisms, MICCAI 2006, 10.1007/11866565_113.
    """

    def __init__(
        self, shape: Sequence[int], *, steps: int = 6, like: Tensor, work: Sequence[int] | None = None
    ) -> None:
        """A zero velocity.

        Args:
            shape: (k, j, i) of the control grid.
            steps: squarings.
            like: gives device and kind of number.
            work: (k, j, i) of the grid on which the flow is computed; twice as fine as the control grid when None.
        """
        if steps < 1:
            # Without integration the field would be a plain displacement that can fold and has no inverse.
            raise ValueError(f"steps: expected at least 1, got {steps}")
        self._velocity = like.new_zeros(1, 3, *shape).requires_grad_()
        self._steps = steps
        self._work = tuple(work) if work is not None else tuple(2 * n if n > 1 else 1 for n in shape)

    def parameters(self) -> list[Tensor]:
        """Control values of the velocity."""
        return [self._velocity]

    def flow(self, time: float = 1.0) -> Tensor:
        """(1, 3, *work) displacement after `time`; -1 gives the inverse."""
        return exponential(dense(self._velocity, self._work) * time, self._steps)

    def displacement(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement; see `Parameterization`."""
        return dense(self.flow(), shape, cubic=False)

    def inverse(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement of the inverse, on the same box."""
        return dense(self.flow(-1.0), shape, cubic=False)


class TimeVaryingVelocity:
    """The flow of a sequence of velocities: phi after step n is (id + v_n / N) o phi before it."""

    def __init__(self, shape: Sequence[int], count: int, *, like: Tensor, work: Sequence[int] | None = None) -> None:
        """`count` zero velocities on a control grid of (k, j, i) `shape`; `work` as for `StationaryVelocity`."""
        self._velocities = [like.new_zeros(1, 3, *shape).requires_grad_() for _ in range(count)]
        self._work = tuple(work) if work is not None else tuple(2 * n if n > 1 else 1 for n in shape)

    def parameters(self) -> list[Tensor]:
        """Control values of each velocity, in time."""
        return list(self._velocities)

    def _flow(self, *, back: bool) -> Tensor:
        share = (-1.0 if back else 1.0) / len(self._velocities)
        total: Tensor | None = None
        for velocity in reversed(self._velocities) if back else self._velocities:
            # Each step is itself a short flow, so that its inverse is the flow of the negative velocity.
            step = exponential(dense(velocity, self._work) * share, 3)
            # The velocity is read where the points are by now: v o phi, never v o v.
            total = step if total is None else compose_voxels(total, step)
        if total is None:
            raise ValueError("count: expected at least one velocity")
        return total

    def displacement(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement; see `Parameterization`."""
        return dense(self._flow(back=False), shape, cubic=False)

    def inverse(self, shape: Sequence[int]) -> Tensor:
        """Dense displacement of the inverse: the velocities backward in time, each negative."""
        return dense(self._flow(back=True), shape, cubic=False)


def invert_dense(u_vox: Tensor, *, tolerance: float = 1e-3, most: int = 100) -> tuple[Tensor, float]:
    """Inverse of a dense displacement on its own grid by fixed point, and the largest residual, voxels.

    Minus u is not the inverse: it must be read at the place it comes from.
    """
    v = -u_vox
    left = float("inf")
    for _ in range(most):
        error = v + sample(u_vox, identity(v) + v)
        left = float(error.abs().max())
        if left < tolerance:
            break
        v = v - error
    return v, left
