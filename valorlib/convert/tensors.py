"""Core types to tensors and back: the one place where mm (x, y, z) become voxels (k, j, i)."""

from __future__ import annotations

import re

import numpy as np
import torch
from torch import Tensor

from valorlib.core.errors import InputError, check_shape
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.transforms import DisplacementField, VelocityField


def choose_device(name: str = "auto") -> str:
    """Device to run on: "cpu" or "cuda[:n]"; "auto" takes the first GPU that is there.

    Raises:
        InputError: no such device on this machine.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return name
    match = re.fullmatch(r"cuda(?::(\d+))?", name)
    if match is None:
        raise InputError(f"device: expected auto, cpu, cuda or cuda:n, got {name!r}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(match.group(1) or 0) >= count:
        raise InputError(f"device: expected one of {count} CUDA devices here, got {name!r}; use cpu")
    return name


def image_to_tensor(image: Image, device: str = "cpu") -> Tensor:
    """(1, 1, K, J, I) float32, a copy."""
    return torch.tensor(image.array, device=device)[None, None]


def image_from_tensor(tensor: Tensor, grid: Grid, name: str = "") -> Image:
    """Image of a (1, 1, K, J, I) or (K, J, I) tensor."""
    return Image(tensor.detach().reshape(grid.shape).cpu().numpy().astype(np.float32), grid, name)


def labels_to_tensor(labels: LabelMap, device: str = "cpu") -> Tensor:
    """(1, 1, K, J, I) int64, a copy."""
    return torch.tensor(labels.array, dtype=torch.int64, device=device)[None, None]


def labels_from_tensor(tensor: Tensor, grid: Grid, names: dict[int, str] | None = None) -> LabelMap:
    """Label map of a (1, 1, K, J, I) or (K, J, I) tensor of whole numbers."""
    return LabelMap(tensor.detach().reshape(grid.shape).cpu().numpy().astype(np.int32), grid, names or {})


def _axes(grid: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """(3, 3): mm (x, y, z) of one voxel step along (k, j, i), in its columns."""
    return np.ascontiguousarray(grid.matrix[:3, :3][:, ::-1])


def field_to_voxels(field: DisplacementField | VelocityField, device: str = "cpu") -> Tensor:
    """Displacement in voxels of its own grid: (1, 3, K, J, I) float32, components (k, j, i)."""
    to_voxels = torch.tensor(np.linalg.inv(_axes(field.grid)), dtype=torch.float32, device=device)
    array = torch.tensor(field.array, device=device)
    return torch.einsum("ac,kjic->akji", to_voxels, array)[None].contiguous()


def _mm(u_vox: Tensor, grid: Grid) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    check_shape("displacement", u_vox, "1 3 {} {} {}".format(*grid.shape))  # type: ignore[arg-type]
    to_mm = torch.tensor(_axes(grid), dtype=u_vox.dtype, device=u_vox.device)
    out = torch.einsum("ca,akji->kjic", to_mm, u_vox.detach()[0])
    return np.asarray(out.contiguous().cpu().numpy().astype(np.float32))


def field_from_voxels(u_vox: Tensor, grid: Grid) -> DisplacementField:
    """Displacement field, LPS mm, of (1, 3, K, J, I) voxels (k, j, i) of `grid`."""
    return DisplacementField(_mm(u_vox, grid), grid)


def velocity_from_voxels(v_vox: Tensor, grid: Grid) -> VelocityField:
    """Velocity field, LPS mm per unit time, of (1, 3, K, J, I) voxels (k, j, i) of `grid`."""
    return VelocityField(_mm(v_vox, grid), grid)
