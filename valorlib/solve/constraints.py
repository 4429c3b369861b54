"""What a field must keep to beside the images: landmarks, tumors that stay rigid or keep their volume."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.points import PointPair
from valorlib.ops.smooth import gaussian
from valorlib.ops.warp import identity, sample
from valorlib.solve.frame import Frame, pull_mask, to_voxels


class Landmarks:
    """Pulls the field toward given point pairs; far from them the images alone decide."""

    def __init__(self, frame: Frame, landmarks: PointPair, *, weight: float, reach_mm: float = 8.0) -> None:
        """Prepare.

        Args:
            frame: where the registration works.
            landmarks: point n of `fixed` belongs to point n of `moving`.
            weight: 0 ignores them, 1 meets them as well as a field smooth over `reach_mm` can.
            reach_mm: Gaussian reach of one landmark.
        """
        self._frame, self._weight, self._reach_mm = frame, weight, reach_mm
        back = np.linalg.inv(frame.start.matrix)
        there = landmarks.moving.points @ back[:3, :3].T + back[:3, 3]
        axes = np.asarray(frame.box.direction)[:, ::-1]
        self._points = landmarks.fixed.points
        self._wanted_mm = (there - landmarks.fixed.points) @ axes

    def __call__(self, u_mm: Tensor, grid: Grid) -> Tensor:
        """The field with its error at the landmarks taken down."""
        index = torch.tensor(grid.to_index(self._points)[:, ::-1].T.copy(), dtype=u_mm.dtype, device=u_mm.device)
        at = index.view(1, 3, 1, 1, -1)
        wanted = torch.tensor(self._wanted_mm.T.copy(), dtype=u_mm.dtype, device=u_mm.device)
        left = wanted - sample(u_mm[None], at)[0, :, 0, 0]
        splat = _splat(torch.cat([left, torch.ones_like(left[:1])]), index, grid)
        sigma = [self._reach_mm / s for s in grid.spacing[::-1]]
        spread = gaussian(splat, sigma)
        # A lone landmark reaches weight 1 at its own place and fades with the Gaussian.
        peak = float(np.prod([1 / (np.sqrt(2 * np.pi) * max(s, 0.4)) for s in sigma if s > 0]))
        return u_mm + self._weight * spread[:3] / (spread[3:] + 0.2 * peak)


def _splat(values: Tensor, index: Tensor, grid: Grid) -> Tensor:
    """(C, K, J, I) sums of values (C, N) at the nearest voxels of positions (3, N); those outside are left out."""
    size = index.new_tensor(grid.shape).view(3, 1)
    near = index.round()
    inside = ((near >= 0) & (near < size)).all(0)
    k, j, i = near[:, inside].long()
    flat = (k * grid.shape[1] + j) * grid.shape[2] + i
    out = values.new_zeros(values.shape[0], int(np.prod(grid.shape)))
    return out.index_add_(1, flat, values[:, inside]).view(-1, *grid.shape)


class TumorMotion:
    """Keeps tumors rigid, or their volume as it is, and blends into the free motion around them."""

    def __init__(
        self, frame: Frame, tumors: LabelMap, kinds: dict[int, str], *, on_fixed: bool, blend_mm: float = 4.0
    ) -> None:
        """Prepare.

        Args:
            frame: where the registration works.
            tumors: labels of the tumors, on the fixed or the moving grid.
            kinds: label to "rigid" or "volume"; labels not named move freely.
            on_fixed: true when `tumors` lie in the fixed image; else they are carried by the field at each step.
            blend_mm: over this distance outside the tumor the constraint fades.
        """
        self._frame, self._tumors, self._kinds = frame, tumors, kinds
        self._on_fixed, self._blend_mm = on_fixed, blend_mm
        self._kept: dict[tuple[int, tuple[int, ...]], Tensor] = {}

    def __call__(self, u_mm: Tensor, grid: Grid) -> Tensor:
        """The field with each named tumor's motion replaced by its nearest rigid or volume-keeping one."""
        for label, kind in self._kinds.items():
            mask = self._mask(label, u_mm, grid)
            if float(mask.sum()) >= 4:
                u_mm = self._constrained(u_mm, grid, mask, kind)
        return u_mm

    def _mask(self, label: int, u_mm: Tensor, grid: Grid) -> Tensor:
        """(K, J, I), 1 in the tumor as the fixed image sees it."""
        key = (label, grid.shape)
        if key not in self._kept:
            one = LabelMap((self._tumors.array == label).astype(np.int32), self._tumors.grid)
            onto, matrix = (grid, np.eye(4)) if self._on_fixed else (self._frame.wide(grid), self._frame.start.matrix)
            self._kept[key] = pull_mask(one, one.grid, onto, matrix, str(u_mm.device))
        mask = self._kept[key]
        if self._on_fixed:
            return mask
        at = to_voxels(u_mm, grid)[None]
        margin = at.new_tensor(self._frame.margin(grid)).view(1, 3, 1, 1, 1)
        return (sample(mask[None, None], at + identity(at) + margin, padding="zeros")[0, 0] > 0.5).to(u_mm.dtype)

    def _constrained(self, u_mm: Tensor, grid: Grid, mask: Tensor, kind: str) -> Tensor:
        spacing = u_mm.new_tensor(grid.spacing[::-1]).view(3, 1)
        inside = mask.flatten() > 0
        points = identity(u_mm[None])[0].flatten(1) * spacing
        x, y = points[:, inside], (points + u_mm.flatten(1))[:, inside]
        center, target = x.mean(1, keepdim=True), y.mean(1, keepdim=True)
        linear = _nearest(x - center, y - target, kind)
        if kind == "rigid":
            wanted = (linear @ (points - center) + target - points).view_as(u_mm)
        else:
            fitted = _affine(x - center, y - target)
            wanted = u_mm + ((linear - fitted) @ (points - center)).view_as(u_mm)
        sigma = [0.5 * self._blend_mm / s for s in grid.spacing[::-1]]
        grown = (gaussian(mask[None], sigma) > 0.02).to(u_mm.dtype)
        weight = torch.maximum(gaussian(grown, sigma), mask[None])
        return u_mm + weight * (wanted - u_mm)


def _affine(x: Tensor, y: Tensor) -> Tensor:
    """(3, 3) least-squares map of centered x to centered y, (3, N); identity along axes without extent."""
    scatter = (x @ x.T).double()
    ridge = 1e-3 * scatter.diagonal().max() * torch.eye(3, dtype=torch.float64, device=x.device)
    eye = torch.eye(3, dtype=torch.float64, device=x.device)
    found: Tensor = eye + torch.linalg.solve(scatter + ridge, (x @ (y - x).T).double()).T
    return found.to(x.dtype)


def _nearest(x: Tensor, y: Tensor, kind: str) -> Tensor:
    """(3, 3) nearest rotation ("rigid") or volume-keeping linear map ("volume") of x to y."""
    fitted = _affine(x, y).double()
    if kind == "volume":
        scale = torch.linalg.det(fitted).clamp_min(1e-3).pow(-1 / 3)
        kept: Tensor = (fitted * scale).to(x.dtype)
        return kept
    u, _, v = torch.linalg.svd(fitted)
    turn: Tensor = u @ torch.diag(u.new_tensor([1.0, 1.0, float(torch.sign(torch.linalg.det(u @ v)))])) @ v
    return turn.to(x.dtype)
