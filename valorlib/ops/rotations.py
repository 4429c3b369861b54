"""Evenly spread rotations, and rotation vectors as matrices."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def even_quaternions(count: int) -> NDArray[np.float64]:
    """(count, 4) unit quaternions (x, y, z, w), spread evenly over all rotations.

    Source: Alexa, Super-Fibonacci Spirals: Fast, Low-Discrepancy Sampling of SO(3), CVPR 2022.
    """
    phi, psi = np.sqrt(2.0), 1.533751168755204288118041
    s = np.arange(count) + 0.5
    r, big_r = np.sqrt(s / count), np.sqrt(1 - s / count)
    alpha, beta = 2 * np.pi * s / phi, 2 * np.pi * s / psi
    return np.stack([r * np.sin(alpha), r * np.cos(alpha), big_r * np.sin(beta), big_r * np.cos(beta)], axis=1)


def quaternion_matrices(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, 3, 3) rotation matrices of (N, 4) unit quaternions (x, y, z, w)."""
    x, y, z, w = np.moveaxis(quaternions, 1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def angle_deg(matrices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angle of each (N, 3, 3) rotation, 0 to 180."""
    trace = np.trace(matrices, axis1=-2, axis2=-1)
    return np.asarray(np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1))))


def rotations_within(limit_deg: float, *, spacing_deg: float) -> NDArray[np.float64]:
    """(N, 3, 3) rotations of at most `limit_deg`, about `spacing_deg` apart, the identity first."""
    # A rotation has a cell of about spacing^3 / 8 in the space of half angles, whose volume is pi^2.
    count = round(float(8 * np.pi**2 / np.radians(spacing_deg) ** 3))
    matrices = quaternion_matrices(even_quaternions(max(count, 8)))
    inside = matrices[angle_deg(matrices) <= limit_deg]
    return np.concatenate([np.eye(3)[None], inside])


def rotation_matrix(vector: Tensor) -> Tensor:
    """(..., 3, 3) of rotation vectors (..., 3), radians; smooth at zero."""
    zero = torch.zeros_like(vector[..., 0])
    x, y, z = vector.unbind(-1)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).reshape(*vector.shape[:-1], 3, 3)
    matrix: Tensor = torch.linalg.matrix_exp(skew)
    return matrix


def moved_rigidly(base: Tensor, center: Tensor, motion: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations (B, 3, 3) and shifts (B, 3) of (B, 4, 4) rigid matrices after a turn about `center` and a shift.

    motion: (B, 6) rotation vectors, radians, and shifts.
    """
    rotation = base[:, :3, :3] @ rotation_matrix(motion[:, :3])
    shift = base[:, :3, :3] @ center + base[:, :3, 3] + motion[:, 3:] - rotation @ center
    return rotation, shift


def rigid_matrices(rotation: Tensor, shift: Tensor) -> NDArray[np.float64]:
    """(B, 4, 4) of rotations (B, 3, 3), made exactly orthogonal, and shifts (B, 3)."""
    found = np.tile(np.eye(4), (len(rotation), 1, 1))
    u, _, v = np.linalg.svd(rotation.double().cpu().numpy())
    found[:, :3, :3], found[:, :3, 3] = u @ v, shift.double().cpu().numpy()
    return found


def distinct(
    matrices: list[NDArray[np.float64]], corners: NDArray[np.float64], distance_mm: float
) -> list[NDArray[np.float64]]:
    """The matrices without those that put the corners (on average) within `distance_mm` of an earlier one's."""
    kept: list[NDArray[np.float64]] = []
    placed: list[NDArray[np.float64]] = []
    for matrix in matrices:
        at = corners @ matrix[:3, :3].T + matrix[:3, 3]
        if all(np.linalg.norm(at - other, axis=1).mean() > distance_mm for other in placed):
            kept.append(matrix)
            placed.append(at)
    return kept
