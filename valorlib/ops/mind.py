"""Self-similarity descriptors that do not mind contrast."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

# The six face neighbors, and the twelve pairs of them that are sqrt(2) steps apart.
_FACES = torch.tensor([[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, -1], [0, 0, 1]])
_PAIRS = [(a, b) for a in range(6) for b in range(a + 1, 6) if int((_FACES[a] - _FACES[b]).square().sum()) == 2]


def mind_ssc(image: Tensor, *, radius: int = 1, step: int = 2) -> Tensor:
    """Self-similarity context: (B, 12, K, J, I), 0 to 1, of (B, 1, K, J, I).

    Args:
        image: any intensities; the descriptor does not change with brightness or contrast.
        radius: voxels; patches are boxes of 2 radius + 1.
        step: voxels between the center and its six neighbors.

    Source: Heinrich, Towards Realtime Multimodal Fusion for Image-Guided Interventions Using Self-similarities,
    MICCAI 2013, 10.1007/978-3-642-40811-3_24.
    """
    padded = F.pad(image, (step,) * 6, mode="replicate")
    shape = image.shape[2:]

    def neighbor(n: int) -> Tensor:
        k, j, i = (int(step * v) + step for v in _FACES[n])
        return padded[:, :, k : k + shape[0], j : j + shape[1], i : i + shape[2]]

    faces = [neighbor(n) for n in range(6)]
    distances = torch.cat([_box((faces[a] - faces[b]).square(), radius) for a, b in _PAIRS], dim=1)
    distances = distances - distances.amin(1, keepdim=True)
    variance = distances.mean(1, keepdim=True)
    typical = float(variance.detach().mean())
    variance = variance.clamp(typical * 1e-3, typical * 1e3).clamp_min(1e-12)
    return torch.exp(-distances / variance)


def _box(x: Tensor, radius: int) -> Tensor:
    size = 2 * radius + 1
    return F.avg_pool3d(F.pad(x, (radius,) * 6, mode="replicate"), size, stride=1)
