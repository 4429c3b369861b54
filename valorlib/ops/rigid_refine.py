"""The second step of a rigid search: places climb the agreement of edges, all of them at once."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from valorlib.ops.adam import Adam
from valorlib.ops.rigid_search import Cube
from valorlib.ops.rotations import moved_rigidly, rigid_matrices


def edge_points(cube: Cube, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Up to `count` places with edges: positions (N, 3) mm and edge vectors (N, 3)."""
    strength = cube.edges.square().sum(1)[0]
    wanted = torch.nonzero(strength.flatten() > 0.1).flatten().cpu().numpy()
    if len(wanted) > count:
        wanted = np.sort(rng.choice(wanted, count, replace=False))
    k, j, i = np.unravel_index(wanted, tuple(strength.shape))
    positions = cube.grid.to_world(np.stack([i, j, k], axis=1))
    edges = cube.edges[0].flatten(1)[:, torch.from_numpy(wanted)].T
    return torch.as_tensor(positions, dtype=edges.dtype, device=edges.device), edges


def _cosines(moving: Cube, points: tuple[Tensor, Tensor], rotation: Tensor, shift: Tensor) -> tuple[Tensor, Tensor]:
    """Squared cosine at each fixed point, (B, N), and whether it lies inside the moving mask, (B, N)."""
    x, edges = points
    y = x @ rotation.mT + shift[:, None]
    origin = y.new_tensor(moving.grid.origin)
    last = y.new_tensor([max(n - 1, 1) for n in moving.grid.size])
    at = 2 * ((y - origin) / moving.spacing_mm) / last - 1
    both = torch.cat([moving.edges, moving.mask], dim=1)
    sampled = torch.nn.functional.grid_sample(both, at[None, :, None], align_corners=True)[0, :, :, 0].movedim(0, -1)
    turned = sampled[..., :3] @ rotation
    return (turned * edges).sum(-1).square(), sampled[..., 3].detach()


def similarities(
    cubes: tuple[Cube, Cube], points: tuple[Tensor, Tensor], matrices: NDArray[np.float64], *, min_overlap: float
) -> NDArray[np.float64]:
    """(B,) mean squared cosine over the overlap, 0 to 1; less when too few edge points overlap."""
    m = torch.as_tensor(matrices, dtype=points[0].dtype, device=points[0].device)
    with torch.no_grad():
        cosine, inside = _cosines(cubes[1], points, m[:, :3, :3], m[:, :3, 3])
    mean = cosine.sum(1) / inside.sum(1).clamp_min(1)
    found: NDArray[np.float64] = (mean * (inside.mean(1) / min_overlap).clamp(max=1.0)).double().cpu().numpy()
    return found


def refine(
    cubes: tuple[Cube, Cube],
    points: tuple[Tensor, Tensor],
    matrices: NDArray[np.float64],
    *,
    steps: int,
    step_mm: float,
) -> NDArray[np.float64]:
    """Climb the similarity from each of the (B, 4, 4) matrices by Adam on rotation vectors and shifts: (B, 4, 4)."""
    x = points[0]
    center = x.mean(0)
    radius_mm = float((x - center).square().sum(1).mean().sqrt())
    base = torch.as_tensor(matrices, dtype=x.dtype, device=x.device)
    scale = x.new_tensor([step_mm / radius_mm] * 3 + [step_mm] * 3)
    motion = x.new_zeros(len(base), 6, requires_grad=True)
    adam = Adam([motion], 1.0)
    for step in range(steps):
        adam.rate = 0.02 ** (step / steps)
        adam.zero_grad()
        rotation, shift = moved_rigidly(base, center, motion * scale)
        cosine, inside = _cosines(cubes[1], points, rotation, shift)
        (-cosine.sum(1) / inside.sum(1).clamp_min(1)).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    rotation, shift = moved_rigidly(base, center, motion.detach() * scale)
    return rigid_matrices(rotation, shift)
