"""One check for all methods that an image shows anything at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.inputs import ImagePair


def no_contrast(name: str) -> InputError:
    """What to raise for an image of one value."""
    return InputError(
        f"{name or 'image'}: expected an image with contrast, got one value everywhere; choose another volume"
    )


def intensity_range(
    name: str, values: NDArray[Any], low: float = 0.0, high: float = 100.0, *, most: int | None = None
) -> tuple[float, float]:
    """Two percentiles of an image.

    Args:
        name: what the image is called in the error.
        values: any shape.
        low: percentile.
        high: percentile.
        most: about so many values are looked at; None: all.

    Raises:
        InputError: both are the same.
    """
    step = 1 if most is None else max(1, values.size // most)
    first, last = np.percentile(values.ravel()[::step], (low, high))
    if not last > first:
        raise no_contrast(name)
    return float(first), float(last)


def check_contrast(pair: ImagePair) -> None:
    """Raise InputError when one of the two images has one value everywhere."""
    for name, image in (("fixed", pair.fixed), ("moving", pair.moving)):
        if not image.array.max() > image.array.min():
            raise no_contrast(name)
