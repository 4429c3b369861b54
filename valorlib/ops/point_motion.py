"""The motion found by point drift: a similarity and a Gaussian process, defined at any point of any organ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valorlib.ops.pivoted_cholesky import Basis


@dataclass(frozen=True, eq=False)
class PointMotion:
    """Moving point y of organ l is carried to scale * rotation (start(y) + v_l(start(y))) + shift + center.

    Points go moving to fixed: the other way than images are pulled. All tensors float64, mm.
    start: (4, 4) moving world to the frame the process lives in (world minus center). center: (3,).
    bases: one a coherent group. weights: (r, 3) each; v = features @ weights. roots: (r, r) lower Cholesky factor of
    the posterior precision of the weights. variance: sigma^2, mm^2.
    """

    start: Tensor
    center: Tensor
    bases: tuple[Basis, ...]
    weights: tuple[Tensor, ...]
    roots: tuple[Tensor, ...]
    scale: float
    rotation: Tensor
    shift: Tensor
    variance: float
    labels: tuple[int, ...] = ()

    def organs(self, labels: NDArray[np.int64] | None, count: int) -> NDArray[np.int64]:
        """(count,) organ of each label: its place in `labels`; -1 (the similarity alone) for a label never seen."""
        if not self.labels or labels is None:
            return np.zeros(count, dtype=np.int64)
        known = np.asarray(self.labels)
        place = np.searchsorted(known, labels).clip(max=len(known) - 1)
        return np.where(known[place] == labels, place, -1)

    def enter(self, points: Tensor) -> Tensor:
        """(n, 3) moving world points in the frame of the process."""
        return points @ self.start[:3, :3].T + self.start[:3, 3] - self.center

    def displacement(self, entered: Tensor, organs: Tensor) -> Tensor:
        """(n, 3) v at points of `enter`, mm."""
        out = torch.zeros_like(entered)
        for basis, weights in zip(self.bases, self.weights, strict=True):
            rows = rows_of(basis, organs)
            if len(rows):
                out[rows] = basis.features(entered[rows], organs[rows]) @ weights
        return out

    def leave(self, displaced: Tensor) -> Tensor:
        """(n, 3) fixed world points of displaced points in the frame of the process."""
        return self.scale * displaced @ self.rotation.T + self.shift + self.center

    def _move(self, points: Tensor, organs: Tensor) -> Tensor:
        entered = self.enter(points)
        return self.leave(entered + self.displacement(entered, organs))

    def posterior(self, entered: Tensor, organs: Tensor) -> Tensor:
        """(n,) posterior variance of v along each axis, mm^2, with what the low rank left out."""
        out = entered.new_zeros(len(entered))
        for basis, root in zip(self.bases, self.roots, strict=True):
            rows = rows_of(basis, organs)
            if len(rows):
                features = basis.features(entered[rows], organs[rows])
                seen = torch.linalg.solve_triangular(root, features.T, upper=False).square().sum(0)
                out[rows] = seen + basis.left_out(entered[rows], organs[rows], features)
        return out

    def move(
        self, points: NDArray[np.float64], organs: NDArray[np.int64], *, chunk: int = 50_000
    ) -> NDArray[np.float64]:
        """(n, 3) fixed world positions of moving world points; organs counted 0 to L - 1."""
        parts = [self._move(*self._tensors(points, organs, k, chunk)) for k in range(0, max(1, len(points)), chunk)]
        return np.asarray(torch.cat(parts).cpu().numpy())

    def sigma_mm(
        self, points: NDArray[np.float64], organs: NDArray[np.int64], *, chunk: int = 50_000
    ) -> NDArray[np.float64]:
        """(n,) standard deviation along each axis of the moved points: scale^2 posterior + sigma^2."""
        parts = []
        for k in range(0, max(1, len(points)), chunk):
            at, organ = self._tensors(points, organs, k, chunk)
            parts.append((self.scale**2 * self.posterior(self.enter(at), organ) + self.variance).sqrt())
        return np.asarray(torch.cat(parts).cpu().numpy())

    def similarity(self) -> NDArray[np.float64]:
        """(4, 4) moving world to fixed world, without the displacement."""
        matrix = torch.eye(4, dtype=torch.float64)
        linear = self.scale * self.rotation.cpu()
        matrix[:3, :3] = linear @ self.start[:3, :3].cpu()
        matrix[:3, 3] = linear @ (self.start[:3, 3] - self.center).cpu() + (self.shift + self.center).cpu()
        return np.asarray(matrix.numpy())

    def _tensors(
        self, points: NDArray[np.float64], organs: NDArray[np.int64], start: int, count: int
    ) -> tuple[Tensor, Tensor]:
        device = self.start.device
        part = slice(start, start + count)
        at = torch.as_tensor(np.ascontiguousarray(points[part], dtype=np.float64), device=device)
        return at, torch.as_tensor(np.ascontiguousarray(organs[part], dtype=np.int64), device=device)


def rows_of(basis: Basis, organs: Tensor) -> Tensor:
    """Points, by their organs (n,), that the basis is for."""
    return torch.nonzero(torch.isin(organs, organs.new_tensor(basis.members))).flatten()
