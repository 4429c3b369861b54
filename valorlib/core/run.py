"""How a method is run: device, seed, progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Progress = Callable[[float, str], None]
"""progress(fraction, message); raises Cancelled to end the run. Called at least once a second."""


def silent(fraction: float, message: str) -> None:
    """Progress that goes nowhere."""


def part(progress: Progress, start: float, stop: float) -> Progress:
    """Progress of a step that covers [start, stop] of the whole run."""

    def scaled(fraction: float, message: str) -> None:
        progress(start + (stop - start) * fraction, message)

    return scaled


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a method needs beside its inputs and options.

    device: "cpu" or "cuda[:n]", chosen once at the edge (`convert.tensors.choose_device`).
    preview: called with a partial Result after each level, when given.
    """

    device: str = "cpu"
    seed: int = 0
    progress: Progress = silent
    preview: Callable[[object], None] | None = None

    def rng(self) -> np.random.Generator:
        """A fresh numpy generator of this run's seed."""
        return np.random.default_rng(self.seed)
