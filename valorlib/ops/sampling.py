"""Smooth random displacements of a stated size: drawn on a coarse grid, exact in spread at every point.

Source: Smolders et al., Deformable image registration uncertainty, WBIR 2022 (samples G C epsilon).
Differs: C works on a coarse grid, and its variance is put right after interpolation, at each point.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch.nn import functional

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image
from valorlib.core.transforms import Transform
from valorlib.ops.transforms import map_points

F64 = NDArray[np.float64]
F32 = NDArray[np.float32]

CHUNK = 4096
MAX_SAMPLES = 2000


@dataclass(frozen=True, eq=False)
class NoiseLattice:
    """Coarse lattice of nodes that carries unit Gaussian noise smoothed by a Gaussian of `sigma_c_mm`.

    The correlation of two points at distance d is exp(-d^2 / (4 sigma_c^2)).
    """

    origin: F64
    step_mm: float
    counts: tuple[int, int, int]
    smoothers: tuple[F64, F64, F64]

    @classmethod
    def around(cls, points: F64, sigma_c_mm: float = 15.0) -> NoiseLattice:
        """Lattice that covers the points; spacing is half the correlation length."""
        low, high = points.min(axis=0), points.max(axis=0)
        step = max(sigma_c_mm / 2, float((high - low).max()) / 120)
        counts = np.ceil((high - low) / step).astype(int) + 2
        smoothers = tuple(_smoother(int(n), sigma_c_mm / step) for n in counts)
        i, j, k = (int(n) for n in counts)
        return cls(low - step / 2, step, (i, j, k), smoothers)  # type: ignore[arg-type]

    def draw(self, rng: np.random.Generator, count: int) -> F32:
        """(nodes, count) unit noise, smooth from node to node, variance exactly 1 at every node."""
        out = np.empty((count, int(np.prod(self.counts))), dtype=np.float32)
        si, sj, sk = (s.astype(np.float32) for s in self.smoothers)
        white = tuple(s.shape[1] for s in self.smoothers)
        for n in range(count):
            noise = rng.standard_normal(white, dtype=np.float32)
            smooth = (si @ noise.reshape(white[0], -1)).reshape(-1, *white[1:])
            out[n] = ((sj @ smooth).reshape(-1, white[2]) @ sk.T).ravel()
        return np.ascontiguousarray(out.T)

    def weights(self, points: F64) -> sparse.csr_matrix:
        """(points, nodes) matrix: linear interpolation, each row scaled so that the variance at the point is 1."""
        at = (np.asarray(points) - self.origin) / self.step_mm
        base = np.clip(np.floor(at).astype(int), 0, np.asarray(self.counts) - 2)
        share = np.clip(at - base, 0, 1)
        variance = np.ones(len(at))
        for axis, smoother in enumerate(self.smoothers):
            # Rows of a smoother have unit length; neighbors correlate by their product.
            neighbor = np.sum(smoother[:-1] * smoother[1:], axis=1)[base[:, axis]]
            t = share[:, axis]
            variance *= (1 - t) ** 2 + t**2 + 2 * t * (1 - t) * neighbor
        columns, values = [], []
        for corner in np.ndindex(2, 2, 2):
            node = base + corner
            columns.append(np.ravel_multi_index(node.T, self.counts))
            values.append(np.prod(np.where(np.asarray(corner) == 1, share, 1 - share), axis=1))
        data = (np.stack(values, axis=1) / np.sqrt(variance)[:, None]).astype(np.float32)
        rows = np.arange(0, 8 * len(at) + 1, 8)
        shape = (len(at), int(np.prod(self.counts)))
        return sparse.csr_matrix((data.ravel(), np.stack(columns, axis=1).ravel(), rows), shape=shape)


def _smoother(nodes: int, sigma: float) -> F64:
    """(nodes, nodes + padding) Gaussian rows of unit length: white noise in, unit variance out, borders included."""
    reach = int(np.ceil(3.5 * sigma))
    at = np.arange(nodes)[:, None] + reach
    rows = np.exp(-0.5 * ((np.arange(nodes + 2 * reach)[None] - at) / sigma) ** 2)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def check_samples(count: int) -> None:
    """Refuse a number of samples that cannot work."""
    if not 2 <= count <= MAX_SAMPLES:
        raise InputError(
            f"samples: expected 2 to {MAX_SAMPLES}, got {count}; 100 is usual, and 400 halves the Monte-Carlo error"
        )


class DisplacementSampler:
    """Sampled displacements: sigma(x) / sqrt(3) a component times smooth unit noise, the same field for all points.

    Over the samples drawn, mean and spread are made exact at each point (moment matching), so that the sampled errors
    have root mean square length sigma there whatever their number.
    """

    def __init__(self, sigma: Image, box: F64, *, samples: int = 100, sigma_c_mm: float = 15.0, seed: int = 0) -> None:
        """Draw the noise.

        Args:
            sigma: root mean square length of the 3D error, mm.
            box: (n, 3) points (corners will do) the samples must cover.
            samples: how many fields.
            sigma_c_mm: width of the smoothing; 29 is the paper's, and widens the bands of a DVH.
            seed: of the noise.
        """
        check_samples(samples)
        if not np.isfinite(sigma.array).all() or float(sigma.array.min()) < 0:
            raise InputError("sigma: expected finite mm of 0 or more; compute the uncertainty map again")
        self.sigma, self.samples = sigma, samples
        self._lattice = NoiseLattice.around(box, sigma_c_mm)
        self._nodes = self._lattice.draw(np.random.default_rng(seed), 3 * samples)

    def sigma_at(self, points: F64) -> F64:
        """(n,) sigma, mm, at LPS points."""
        index = self.sigma.grid.to_index(points).T[::-1]
        return np.asarray(ndimage.map_coordinates(self.sigma.array, index, order=1, mode="nearest"), dtype=np.float64)

    def components(self, points: F64) -> F32:
        """(n, 3, samples) displacements, mm, to be added to where the transform puts the points."""
        unit = (self._lattice.weights(points) @ self._nodes).reshape(len(points), 3, self.samples)
        unit -= unit.mean(axis=2, keepdims=True)
        rms = np.sqrt(np.einsum("ncs,ncs->n", unit, unit) / (3 * self.samples))
        unit *= ((self.sigma_at(points) / np.sqrt(3)) / np.maximum(rms, 1e-12)).astype(np.float32)[:, None, None]
        return np.asarray(unit, dtype=np.float32)

    def at(self, points: F64) -> F32:
        """(n, samples, 3) displacements, mm, to be added to where the transform puts the points."""
        return np.ascontiguousarray(self.components(points).transpose(0, 2, 1))


def sampled_doses(
    dose: Dose, transform: Transform, sampler: DisplacementSampler, points: F64
) -> Iterator[tuple[slice, F32]]:
    """(part of the points, (samples, n) Gy): the dose each sampled transform brings to each point, chunk by chunk."""
    to_index = np.linalg.inv(dose.grid.matrix)[:3, :3].astype(np.float32)
    volume = torch.from_numpy(np.ascontiguousarray(dose.array, dtype=np.float32))[None, None]
    for start in range(0, len(points), CHUNK):
        part = slice(start, min(start + CHUNK, len(points)))
        mapped = dose.grid.to_index(map_points(transform, points[part])).astype(np.float32)
        moved = sampler.components(points[part])
        places = np.empty((len(mapped), sampler.samples, 3), dtype=np.float32)
        outside = np.zeros(places.shape[:2], dtype=bool)
        for axis, size in enumerate(dose.grid.size):
            index = mapped[:, axis, None] + sum(
                (to_index[axis, c] * moved[:, c] for c in range(3) if to_index[axis, c] != 0), np.float32(0)
            )
            outside |= (index < -0.5) | (index > size - 0.5)
            # grid_sample's coordinate: -1 and 1 at the first and the last voxel center; any where there is but one.
            places[..., axis] = index * np.float32(2 / max(size - 1, 1)) - 1
        found = functional.grid_sample(
            volume, torch.from_numpy(places)[None, None], padding_mode="border", align_corners=True
        )
        gy = found[0, 0, 0].numpy()
        gy[outside] = 0
        yield part, gy.T


def doses_at_points(dose: Dose, transform: Transform, sampler: DisplacementSampler, points: F64) -> F32:
    """(samples, n) Gy at the points, all at once."""
    out = np.empty((sampler.samples, len(points)), dtype=np.float32)
    for part, gy in sampled_doses(dose, transform, sampler, points):
        out[:, part] = gy
    return out


def corners_of(grids: list[Grid]) -> F64:
    """Corners of several grids, for the box of a sampler."""
    return np.concatenate([grid.corners() for grid in grids])
