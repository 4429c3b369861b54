"""Slow multiplicative shading in a region, from the slopes inside of tissue; the shading leaves no edge."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from valorlib.ops.fitting import smoothed

Field = NDArray[np.float32]
Power = tuple[int, ...]
DEGREE, STRIDE, ROUNDS, ROWS = 3, 2, 6, 256


def local_shading(array: Field, spacing: Sequence[float]) -> Field:
    """(K, J, I) factor that varies slowly over the region, its logarithm 0 on average; all 1 where none is found.

    The logarithm of the factor is the cubic polynomial whose slopes fit those of the logarithm of the image best. Edges
    of tissue are steeper than shading and point both ways; they lose their say round by round.

    Args:
        array: (K, J, I) not negative; where a value is negative (CT) there is no shading to find.
        spacing: mm along (k, j, i).

    Source: Zheng, IEEE Trans. Med. Imaging 28(12), 2009 (slopes of the image reveal the shading).
    """
    ones = np.ones_like(array)
    level = float(np.percentile(array, 90))
    if array.min() < 0 or level <= 0:
        return ones
    calm = smoothed(array, 1.0, spacing)
    log = np.log(np.maximum(calm, 0.05 * level))
    axes = [axis for axis in range(3) if array.shape[axis] > 1]
    powers = [p for p in product(range(DEGREE + 1), repeat=3) if 0 < sum(p) <= DEGREE]
    powers = [p for p in powers if all(p[axis] == 0 for axis in range(3) if axis not in axes)]
    places = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) for n in array.shape]
    step = (slice(None, None, STRIDE),) * 3
    seen = (calm > 0.15 * level)[step].ravel()
    if seen.sum() < 20 * len(powers):
        return ones
    rows, slopes = [], []
    for axis in axes:
        slopes.append((np.gradient(log, axis=axis)[step].ravel() * (array.shape[axis] - 1) / 2)[seen])
        rows.append(np.stack([_slope(places, power, axis)[step].ravel()[seen] for power in powers], axis=1))
    found = _robust_fit(np.concatenate(rows), np.concatenate(slopes))
    total = np.zeros(array.shape)
    for value, power in zip(found, powers, strict=True):
        total += value * _product(places, power)
    return np.asarray(np.exp(np.clip(total - total.mean(), -1.5, 1.5)), dtype=np.float32)


def _robust_fit(matrix: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients by weighted least squares; a row far off loses weight (Cauchy)."""
    # Blocks of few rows keep these products on one thread: small ones are slower on two, and waste the others' time.
    count, many = matrix.shape[1], -len(wanted) % ROWS
    blocks = np.pad(matrix, ((0, many), (0, 0))).reshape(-1, ROWS, count)
    values = np.pad(wanted, (0, many)).reshape(-1, ROWS, 1)
    ridge = 1e-3 * len(wanted) * np.eye(count)
    weight, found = np.ones_like(values), np.zeros((count, 1))
    for _ in range(ROUNDS):
        weighted = np.swapaxes(blocks * weight, 1, 2)
        found = np.linalg.solve((weighted @ blocks).sum(0) + ridge, (weighted @ values).sum(0))
        left = values - blocks @ found
        scale = 1.4826 * float(np.median(np.abs(left.ravel()[: len(wanted)]))) + 1e-9
        weight = 1.0 / (1.0 + (left / scale) ** 2)
    return np.asarray(found[:, 0], dtype=np.float64)


def _product(places: list[NDArray[np.float64]], power: Power) -> NDArray[np.float64]:
    a, b, c = (place**n for place, n in zip(places, power, strict=True))
    return np.asarray(a[:, None, None] * b[None, :, None] * c[None, None, :])


def _slope(places: list[NDArray[np.float64]], power: Power, axis: int) -> NDArray[np.float64]:
    """(K, J, I) slope of the product of powers along an axis."""
    lower = tuple(max(n - 1, 0) if a == axis else n for a, n in enumerate(power))
    return power[axis] * _product(places, lower)
