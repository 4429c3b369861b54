"""Parts of the global rigid search: cubes of edges, FFT scores of all shifts, gradient refinement, final polish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from valorlib.convert.simpleitk import image_to_sitk, labels_to_sitk
from valorlib.core.errors import Cancelled
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Progress
from valorlib.ops.contrast import intensity_range
from valorlib.ops.itk_threads import one_itk_thread
from valorlib.ops.ngf import normalized_gradient, squared_products
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.ops.rotations import rotation_matrix


@dataclass(frozen=True, eq=False)
class Cube:
    """An image on an isotropic grid with world-aligned axes, and its edges.

    image, mask: (1, 1, K, J, I). edges: (1, 3, K, J, I), components (x, y, z). center: (3,) mm.
    """

    image: Tensor
    mask: Tensor
    edges: Tensor
    grid: Grid
    center: NDArray[np.float64]
    noise: float

    @property
    def spacing_mm(self) -> float:
        """Voxel size."""
        return self.grid.spacing[0]


def cube_of(image: Image, mask: LabelMap | None, spacing_mm: float, noise: float, device: str) -> Cube:
    """`image`, smoothed to its new voxel size, on a world-aligned isotropic grid around its own box."""
    low, high = intensity_range(image.name, image.array, 0.5, 99.5, most=200_000)
    values = (np.clip(image.array, low, high) - low) / (high - low)
    sigma = [
        0.5 * spacing_mm / s if n > 1 and s < spacing_mm else 0.0
        for s, n in zip(image.grid.spacing[::-1], image.grid.shape, strict=True)
    ]
    smooth = Image(ndimage.gaussian_filter(values.astype(np.float32), sigma, mode="nearest"), image.grid)
    corners = image.grid.corners()
    start, stop = corners.min(0) + spacing_mm / 2, corners.max(0)
    size = np.maximum(1, np.ceil((stop - start) / spacing_mm)).astype(int)
    grid = Grid(tuple(size), (spacing_mm,) * 3, tuple(start))
    inside = LabelMap(
        np.ones(image.grid.shape, np.int32) if mask is None else (mask.array > 0).astype(np.int32), image.grid
    )
    tensor = torch.from_numpy(resample_image(smooth, grid).array)[None, None].to(device)
    weight = torch.from_numpy((resample_labels(inside, grid).array > 0).astype(np.float32))[None, None].to(device)
    # A gradient at the border of the image or mask is not an edge of the body.
    inner = -torch.nn.functional.max_pool3d(-weight, 3, 1, 1) if min(grid.size) > 4 else weight
    edges = normalized_gradient(tensor, inner, spacing_mm, noise=noise)
    return Cube(tensor, inner, edges, grid, image.grid.center, noise)


def search(
    cubes: tuple[Cube, Cube],
    rotations: NDArray[np.float64],
    *,
    keep: int,
    min_overlap: float,
    progress: Progress,
) -> list[NDArray[np.float64]]:
    """The `keep` best of all (rotation, shift) pairs as (4, 4) fixed-to-moving matrices, at most one a rotation.

    Args:
        cubes: fixed and moving, same spacing.
        rotations: (N, 3, 3) tried around the middle of the images.
        keep: how many.
        min_overlap: least overlap, as a share of the smaller mask.
        progress: called once a rotation.
    """
    fixed, moving = cubes
    h = fixed.spacing_mm
    reach = int(np.ceil(np.linalg.norm(moving.grid.size)))
    shape = [_fast(n + reach) for n in fixed.grid.shape]
    axes = (-3, -2, -1)
    a = torch.fft.rfftn(squared_products(fixed.edges)[0], shape, dim=axes).conj()
    a[3:] *= 2
    am = torch.fft.rfftn(fixed.mask[0, 0], shape, dim=axes).conj()
    total = min(float(fixed.mask.sum()), float(moving.mask.sum()))
    scores, matrices = [], []
    for number, turn in enumerate(rotations):
        progress(number / len(rotations), f"Trying rotation {number + 1} of {len(rotations)}")
        image, mask = _turned(moving, turn, reach)
        edges = normalized_gradient(image, mask, h, noise=moving.noise)
        b = torch.fft.rfftn(squared_products(edges)[0], shape, dim=axes)
        similar = torch.fft.irfftn((a * b).sum(0), shape, dim=axes)
        overlap = torch.fft.irfftn(am * torch.fft.rfftn(mask[0, 0], shape, dim=axes), shape, dim=axes)
        score = torch.where(overlap >= min_overlap * total, similar / overlap.clamp_min(1), similar.new_tensor(-1.0))
        best = int(score.argmax())
        scores.append(float(score.flatten()[best]))
        matrices.append(_matrix(fixed, moving, turn, np.unravel_index(best, shape), shape, reach))
    order = np.argsort(scores)[::-1][:keep]
    return [matrices[n] for n in order if scores[n] > 0]


def _fast(n: int) -> int:
    """Next size with small prime factors."""
    while True:
        rest = n
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return n
        n += 1


def _turned(moving: Cube, turn: NDArray[np.float64], reach: int) -> tuple[Tensor, Tensor]:
    """Moving image and mask on a cube of `reach` voxels around its center, axes turned."""
    offset = (reach - 1) / 2
    # world = center + turn @ (h * (p - offset)); p are (x, y, z) voxels of the new cube.
    to_index = turn
    shift = moving.grid.to_index(moving.center) - to_index @ np.full(3, offset)
    size = np.asarray(moving.grid.size)
    scale = 2 / np.maximum(size - 1, 1)
    # affine_grid works in [-1, 1] on both sides (align_corners), components (x, y, z).
    half = (reach - 1) / 2
    linear = scale[:, None] * to_index * half
    constant = scale * (to_index @ np.full(3, half) + shift) - 1
    theta = torch.tensor(np.c_[linear, constant][None], dtype=moving.image.dtype, device=moving.image.device)
    grid = torch.nn.functional.affine_grid(theta, [1, 1, reach, reach, reach], align_corners=True)
    both = torch.cat([moving.image, moving.mask], dim=1)
    turned = torch.nn.functional.grid_sample(both, grid, align_corners=True)
    return turned[:, :1], (turned[:, 1:] > 0.99).to(turned.dtype)


def _matrix(
    fixed: Cube, moving: Cube, turn: NDArray[np.float64], peak: tuple[np.intp, ...], shape: list[int], reach: int
) -> NDArray[np.float64]:
    """Fixed voxel y meets turned moving voxel y + d at the peak d."""
    d = np.array([p if p < reach else p - n for p, n in zip(peak, shape, strict=True)], dtype=float)[::-1]
    h, offset = fixed.spacing_mm, (reach - 1) / 2
    m = np.eye(4)
    m[:3, :3] = turn
    m[:3, 3] = moving.center + turn @ (d * h - h * offset - np.asarray(fixed.grid.origin))
    return m


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


def _cosines(
    cubes: tuple[Cube, Cube], points: tuple[Tensor, Tensor], rotation: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """Squared cosine at each fixed point, and whether it lies inside the moving mask."""
    moving = cubes[1]
    x, edges = points
    y = x @ rotation.T + shift
    origin = y.new_tensor(moving.grid.origin)
    last = y.new_tensor([max(n - 1, 1) for n in moving.grid.size])
    at = 2 * ((y - origin) / moving.spacing_mm) / last - 1
    both = torch.cat([moving.edges, moving.mask], dim=1)
    sampled = torch.nn.functional.grid_sample(both, at[None, None, None], align_corners=True)[0, :, 0, 0].T
    turned = sampled[:, :3] @ rotation
    return (turned * edges).sum(1).square(), sampled[:, 3].detach()


def similarity(
    cubes: tuple[Cube, Cube], points: tuple[Tensor, Tensor], matrix: NDArray[np.float64], *, min_overlap: float
) -> float:
    """Mean squared cosine over the overlap, 0 to 1; less when too few edge points overlap."""
    m = torch.as_tensor(matrix, dtype=points[0].dtype, device=points[0].device)
    with torch.no_grad():
        cosine, inside = _cosines(cubes, points, m[:3, :3], m[:3, 3])
    share = float(inside.mean())
    return float(cosine.sum() / inside.sum().clamp_min(1)) * min(1.0, share / min_overlap)


def refine(
    cubes: tuple[Cube, Cube],
    points: tuple[Tensor, Tensor],
    matrix: NDArray[np.float64],
    *,
    steps: int,
    step_mm: float,
) -> NDArray[np.float64]:
    """Climb the similarity from `matrix` by Adam on a rotation vector and a shift around the fixed center."""
    x = points[0]
    center = x.mean(0)
    radius_mm = float((x - center).square().sum(1).mean().sqrt())
    base = torch.as_tensor(matrix, dtype=x.dtype, device=x.device)
    turn = x.new_zeros(3, requires_grad=True)
    move = x.new_zeros(3, requires_grad=True)
    adam = torch.optim.Adam([{"params": [turn], "lr": step_mm / radius_mm}, {"params": [move], "lr": step_mm}])
    fade = torch.optim.lr_scheduler.LambdaLR(adam, lambda n: 0.02 ** (n / steps))
    for _ in range(steps):
        adam.zero_grad()
        rotation, shift = _moved(base, center, turn, move)
        cosine, inside = _cosines(cubes, points, rotation, shift)
        (-cosine.sum() / inside.sum().clamp_min(1)).backward()  # type: ignore[no-untyped-call]
        adam.step()
        fade.step()
    rotation, shift = _moved(base, center, turn.detach(), move.detach())
    found = np.eye(4)
    found[:3, :3], found[:3, 3] = rotation.double().cpu().numpy(), shift.double().cpu().numpy()
    u, _, v = np.linalg.svd(found[:3, :3])
    found[:3, :3] = u @ v
    return found


def _moved(base: Tensor, center: Tensor, turn: Tensor, move: Tensor) -> tuple[Tensor, Tensor]:
    rotation = base[:3, :3] @ rotation_matrix(turn)
    shift = base[:3, :3] @ center + base[:3, 3] + move - rotation @ center
    return rotation, shift


def _shrunk(image: sitk.Image, *, voxels: int = 1_500_000) -> sitk.Image:
    """Halved along its finest axes until it has at most so many voxels."""
    while np.prod(image.GetSize()) > voxels:
        finest = min(image.GetSpacing())
        factor = [2 if s < 1.5 * finest else 1 for s in image.GetSpacing()]
        image = sitk.BinShrink(image, factor)
    return image


def mutual_information_polish(
    pair: ImagePair, matrix: NDArray[np.float64], progress: Progress, *, seed: int
) -> tuple[NDArray[np.float64], float]:
    """Climb mutual information from `matrix` on two resolutions.

    Returns the matrix and the mutual information reached; `matrix` itself and 0 when the climb walks off.
    """
    fixed, moving = _shrunk(image_to_sitk(pair.fixed)), _shrunk(image_to_sitk(pair.moving))
    kind = sitk.Euler3DTransform()
    kind.SetCenter([float(v) for v in pair.fixed.grid.center])
    before = sitk.AffineTransform(matrix[:3, :3].ravel().tolist(), matrix[:3, 3].tolist())
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    count = int(np.prod(fixed.GetSize()))
    method.SetMetricSamplingStrategy(method.REGULAR)
    method.SetMetricSamplingPercentage(min(1.0, max(0.005, 40_000 / count)), seed + 1)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetNumberOfThreads(1)
    method.SetMovingInitialTransform(before)
    method.SetInitialTransform(kind, True)
    method.SetOptimizerAsRegularStepGradientDescent(2.0, 1e-2, 40, 0.6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.SetShrinkFactorsPerLevel([2, 1])
    method.SetSmoothingSigmasPerLevel([2.0, 0.0])
    if pair.fixed_mask is not None:
        method.SetMetricFixedMask(labels_to_sitk(pair.fixed_mask) > 0)
    cancelled: list[Cancelled] = []

    def step() -> None:
        try:
            progress(0.5, f"Mutual information, step {method.GetOptimizerIteration()}")
        except Cancelled as reason:
            cancelled.append(reason)
            method.StopRegistration()

    method.AddCommand(sitk.sitkIterationEvent, step)
    try:
        with one_itk_thread():
            method.Execute(fixed, moving)
    except RuntimeError:
        if not cancelled:
            return matrix, 0.0
    if cancelled:
        raise cancelled[0]
    small = np.eye(4)
    small[:3, :3] = np.reshape(kind.GetMatrix(), (3, 3))
    center = np.asarray(kind.GetCenter())
    small[:3, 3] = center + np.asarray(kind.GetTranslation()) - small[:3, :3] @ center
    found = matrix @ small
    corners = np.c_[pair.fixed.grid.corners(), np.ones(8)]
    moved = np.linalg.norm(((found - matrix) @ corners.T)[:3], axis=0).mean()
    return (found, -float(method.GetMetricValue())) if moved < 25 else (matrix, 0.0)
