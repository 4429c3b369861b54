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
    rest: int = 8,
    start: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Theta in [0, 1] that minimizes sum(weight |grad theta|) + sum(cost theta), voxels being cubes (or squares).

    Primal-dual iteration; thresholding theta at any level in (0, 1) gives a minimal set. The dual ends at most at the
    weight, so its step is half the largest weight: then it settles as fast as theta does, in about 20 steps.

    Args:
        cost: (K, J, I); negative where a voxel should belong to the set.
        weight: (K, J, I); price of border at each voxel.
        iterations: most steps.
        rest: it ends when the set theta >= 0.5 has stayed the same for this many steps.
        start: first theta; None starts at the sign of the cost.

    Source: Chambolle and Pock, A first-order primal-dual algorithm, J. Math. Imaging Vis. 40, 2011,
    10.1007/s10851-010-0251-1, Algorithm 1; set theorem: Chan, Esedoglu and Nikolova, SIAM J. Appl. Math. 66(5), 2006.
    """
    axes = [axis for axis in range(cost.ndim) if cost.shape[axis] > 1]
    rise = float(np.clip(0.5 * weight.max(), 1e-3, 1e3))
    step = 1.0 / (4.0 * max(1, len(axes)) * rise)
    # Both steps at once: the dual is kept as theta takes it, times its step.
    climb, drop, bound = np.float32(rise * step), np.float32(step) * cost, np.float32(step) * weight
    theta = (cost < 0).astype(np.float32) if start is None else start.astype(np.float32)
    ahead, before, square, norm = theta.copy(), theta.copy(), np.empty_like(theta), np.empty_like(theta)
    heads = [tuple(slice(0, -1) if a == axis else slice(None) for a in range(cost.ndim)) for axis in axes]
    tails = [tuple(slice(1, None) if a == axis else slice(None) for a in range(cost.ndim)) for axis in axes]
    dual = [np.zeros_like(theta) for _ in axes]
    inside, same = theta >= 0.5, 0
    for _ in range(iterations):
        norm.fill(1e-12)
        for p, head, tail in zip(dual, heads, tails, strict=True):
            slope = ahead[tail] - ahead[head]
            slope *= climb
            p[head] += slope
            norm += np.multiply(p, p, out=square)
        np.sqrt(norm, out=norm)
        np.minimum(np.float32(1.0), np.divide(bound, norm, out=norm), out=norm)
        before[...] = theta
        theta -= drop
        for p, head, tail in zip(dual, heads, tails, strict=True):
            p *= norm
            theta[head] += p[head]
            theta[tail] -= p[head]
        np.clip(theta, 0.0, 1.0, out=theta)
        np.subtract(theta + theta, before, out=ahead)
        now = theta >= 0.5
        same = same + 1 if np.array_equal(now, inside) else 0
        if same >= rest:
            break
        inside = now
    return theta


def energy(theta: NDArray[np.float32], cost: NDArray[np.float32], weight: NDArray[np.float32]) -> float:
    """Value of what `minimize` minimizes."""
    slope2 = np.zeros_like(theta)
    for axis in range(theta.ndim):
        if theta.shape[axis] > 1:
            head = tuple(slice(0, -1) if a == axis else slice(None) for a in range(theta.ndim))
            slope2[head] += np.diff(theta, axis=axis) ** 2
    return float(np.sum(weight * np.sqrt(slope2)) + np.sum(cost * theta))
