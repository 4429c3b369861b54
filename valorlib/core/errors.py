"""The two exceptions of the library, and the checks that raise the first."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


class InputError(ValueError):
    """The caller gave something that cannot work; the text is one plain sentence: what, where, what to do."""


class Cancelled(Exception):
    """Raised by a progress callable to end a run; never caught inside the library."""


def check_shape(name: str, array: NDArray[Any], pattern: str) -> dict[str, int]:
    """Sizes of the named axes of `array`.

    Args:
        name: what the array is called in the error.
        array: any array.
        pattern: one word an axis: a number that must match, or a name that is free (the same name, the same size).

    Raises:
        InputError: the shape does not follow the pattern.
    """
    wanted = pattern.split()
    shape = np.shape(array)
    sizes: dict[str, int] = {}
    fits = len(wanted) == len(shape)
    if fits:
        for word, size in zip(wanted, shape, strict=True):
            expected = int(word) if word.isdigit() else sizes.setdefault(word, size)
            fits = fits and expected == size
    if not fits:
        raise InputError(f"{name}: expected shape ({', '.join(wanted)}), got {tuple(shape)}")
    return sizes


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Raise InputError when `array` has a NaN or an infinite value."""
    bad = int(array.size - np.count_nonzero(np.isfinite(array)))
    if bad:
        raise InputError(f"{name}: expected finite numbers, got {bad} NaN or infinite values; clean the data first")
