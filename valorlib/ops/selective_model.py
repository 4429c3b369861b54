"""The convex selective model: the smoothest set that follows a fitting term and an edge map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def edge_map(image: NDArray[np.float32], contrast: float, *, strength: float = 4.0) -> NDArray[np.float32]:
    """G in (0, 1]: small where the image has an edge of about `contrast` (per voxel), so that borders settle there."""
    slope2 = np.zeros_like(image)
    for axis in range(image.ndim):
        if image.shape[axis] > 1:
            slope2 += np.gradient(image, axis=axis) ** 2
    return np.asarray(1.0 / (1.0 + strength * slope2 / max(contrast, 1e-6) ** 2), dtype=np.float32)


def minimize(
    cost: NDArray[np.float32],
    weight: NDArray[np.float32],
    *,
    iterations: int = 100,
    start: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Theta in [0, 1] that minimizes sum(weight |grad theta|) + sum(cost theta), voxels being cubes (or squares).

    Primal-dual iteration; thresholding theta at any level in (0, 1) gives a minimal set.

    Args:
        cost: (K, J, I); negative where a voxel should belong to the set.
        weight: (K, J, I); price of border at each voxel.
        iterations: steps; about as many as the set is voxels wide.
        start: first theta; None starts at the sign of the cost.

    Source: Chambolle and Pock, A first-order primal-dual algorithm, J. Math. Imaging Vis. 40, 2011,
    10.1007/s10851-010-0251-1, Algorithm 1; set theorem: Chan, Esedoglu and Nikolova, SIAM J. Appl. Math. 66(5), 2006.
    """
    axes = [axis for axis in range(cost.ndim) if cost.shape[axis] > 1]
    step = np.float32(1.0 / np.sqrt(4.0 * max(1, len(axes))))
    theta = (cost < 0).astype(np.float32) if start is None else start.astype(np.float32)
    ahead = theta.copy()
    dual = [np.zeros_like(theta) for _ in axes]
    heads = [tuple(slice(0, -1) if a == axis else slice(None) for a in range(cost.ndim)) for axis in axes]
    tails = [tuple(slice(1, None) if a == axis else slice(None) for a in range(cost.ndim)) for axis in axes]
    drop, norm = step * cost.astype(np.float32), np.empty_like(theta)
    for _ in range(iterations):
        norm.fill(1e-12)
        for p, head, tail in zip(dual, heads, tails, strict=True):
            p[head] += step * (ahead[tail] - ahead[head])
            norm += p * p
        np.sqrt(norm, out=norm)
        np.minimum(np.float32(1.0), weight / norm, out=norm)
        before = theta.copy()
        theta -= drop
        for p, head, tail in zip(dual, heads, tails, strict=True):
            p *= norm
            theta[head] += step * p[head]
            theta[tail] -= step * p[head]
        np.clip(theta, 0.0, 1.0, out=theta)
        ahead = 2 * theta - before
    return theta


def energy(theta: NDArray[np.float32], cost: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
    """Value of what `minimize` minimizes."""
    slope2 = np.zeros_like(theta)
    for axis in range(theta.ndim):
        if theta.shape[axis] > 1:
            head = tuple(slice(0, -1) if a == axis else slice(None) for a in range(theta.ndim))
            slope2[head] += np.diff(theta, axis=axis) ** 2
    return float(np.sum(weight * np.sqrt(slope2)) + np.sum(cost * theta))
