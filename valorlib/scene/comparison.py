"""Volumes that compare the warped image with the fixed one: difference and checkerboard."""

from __future__ import annotations

from typing import Any

import numpy as np

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.core.images import Image
from valorlib.ops.resample import resample_image
from valorlib.scene.display import add_map, add_volume
from valorlib.scene.nodes import ResultNodes, joined, recording

GRAY = ((-1.0, 0.1, 0.2, 0.65), (0.0, 0.0, 0.0, 0.0), (1.0, 0.75, 0.1, 0.1))


def difference_of(fixed: Image, warped: Image) -> Image:
    """Warped minus fixed, each scaled to 0 to 1 between its 1st and 99th percentile first: -1 to 1."""
    return Image(_unit(warped) - _unit(fixed), fixed.grid, "difference")


def _unit(image: Image) -> Any:
    low, high = np.percentile(image.array, (1, 99))
    return np.clip((image.array - low) / max(float(high - low), 1e-6), 0, 1)


def checkerboard_of(fixed: Image, warped: Image, square_mm: float) -> Image:
    """Squares of `fixed` and of `warped`, the latter in the range of the former, side by side.

    Raises:
        InputError: squares smaller than a voxel.
    """
    if square_mm < max(fixed.grid.spacing):
        raise InputError(f"square_mm: expected at least one voxel, got {square_mm:g} mm; choose larger squares")
    steps = [np.floor(np.arange(n) * s / square_mm) for n, s in zip(fixed.grid.size, fixed.grid.spacing, strict=True)]
    odd = (steps[2][:, None, None] + steps[1][:, None] + steps[0]) % 2 == 1
    low, high = np.percentile(fixed.array, (1, 99))
    return Image(np.where(odd, _unit(warped) * (high - low) + low, fixed.array), fixed.grid, "checkerboard")


def _pair(scene: Any, nodes: ResultNodes, fixed: Any) -> tuple[Image, Image]:
    node = nodes.node(scene, "warped")
    if node is None:
        raise InputError("result: expected a warped volume, found none; run the registration again")
    warped = mrml.image_from_node(node)
    image = mrml.image_from_node(fixed)
    return (image if image.grid.matches(warped.grid) else resample_image(image, warped.grid)), warped


def add_difference(scene: Any, nodes: ResultNodes, fixed: Any) -> ResultNodes:
    """The results with a volume of warped minus fixed (after matching their range), role "difference"."""
    image = difference_of(*_pair(scene, nodes, fixed))
    with recording(scene, nodes.run, nodes) as recorder:
        add_map(recorder, image, f"{nodes.run} difference", "difference", points=GRAY, low=-1.0, high=1.0)
    return joined(nodes, recorder.results)


def add_checkerboard(scene: Any, nodes: ResultNodes, fixed: Any, *, square_mm: float = 20.0) -> ResultNodes:
    """The results with a volume of alternating squares of fixed and warped, role "checkerboard"."""
    image = checkerboard_of(*_pair(scene, nodes, fixed), square_mm)
    with recording(scene, nodes.run, nodes) as recorder:
        add_volume(recorder, image, f"{nodes.run} checkerboard", "checkerboard", like=fixed)
    return joined(nodes, recorder.results)
