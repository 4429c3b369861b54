"""Options of the VALOR method, its presets and when to use each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.options import Options, option
from valorlib.ops.preparation import STARTS
from valorlib.solve.schedule import Level

MOTIONS = ("free", "volume", "rigid")
LARGEST_LEVEL = 8e6
"""Voxels; finer levels of large scans are left out, which keeps time and memory in bounds."""

WIDER = (2.5, 1.75)
"""Times the reach at the first two of four or more levels: large motion is found together, not piece by piece."""


@dataclass(frozen=True, kw_only=True)
class ValorOptions(Options):
    """Options of `register`."""

    start: str = option(
        "headers",
        "Where to start: as the headers say, centers on each other, or a rigid search",
        choices=STARTS,
    )
    similarity: str = option(
        "lncc",
        "What makes two images alike: local correlation, or squared for contrast that may turn over",
        choices=("lncc", "lncc_squared"),
    )
    levels_mm: tuple[float, ...] = option((5.6, 2.8, 1.4, 0.9), "Voxels of each level", low=0.2, high=20.0, unit="mm")
    iterations: tuple[int, ...] = option((25, 40, 30, 15), "Most steps at each level", low=1, high=1000)
    smoothness_mm: float = option(2.0, "Smoothness of the motion at the finest level", low=0.2, high=20.0, unit="mm")
    reach_mm: float = option(10.0, "Neighborhood that moves together in a step", low=0.5, high=40.0, unit="mm")
    tumor_motion: tuple[str, ...] = option(
        ("free",), "Each tumor (or all): free, keeps its volume, or rigid", choices=MOTIONS
    )
    ignore_tumor_mm: float = option(
        -1.0, "Leave tumors and this margin out of the comparison (below 0: keep them)", low=-1.0, high=50.0, unit="mm"
    )
    landmark_weight: float = option(0.5, "How strongly landmarks pull, where given", low=0.0, high=1.0)
    masks_confirmed: bool = option(
        False, "Tumor labels of both scans are given and checked by a person: make them meet"
    )
    body_only: bool = option(True, "Compare inside the body, away from signal drops")
    bias_correction: bool = option(False, "Correct slow shading of MR first (N4)")
    match_histograms: bool = option(False, "Give the moving image the fixed one's histogram", advanced=True)
    equalize: bool = option(False, "Contrast-limited equalization (CLAHE) of both, slice by slice", advanced=True)
    crop_mm: float = option(
        0.0, "Compare within this distance of the clicks only; 0: everywhere", low=0.0, high=500.0, unit="mm"
    )
    segment_tumors: bool = option(True, "Find the clicked tumors in both scans")
    clip: tuple[float, ...] = option((), "Lowest and highest intensity looked at (HU for CT); empty: all")
    contrast: str = option("auto", "Tumor against its surroundings", choices=("auto", "bright", "dark", "band"))
    tumor_form: str = option(
        "mass", "Mass: one piece. Non-mass: several pieces near the click", choices=("mass", "non_mass")
    )
    extent_mm: tuple[float, ...] = option(
        (), "How far each tumor reaches from its middle, when known (0: not)", low=0.0, high=200.0, unit="mm"
    )
    extent_at_mm: tuple[float, ...] = option(
        (),
        "Where a drag over each tumor begins: its middle, x, y, z in LPS, tumor after tumor",
        unit="mm",
        advanced=True,
    )
    extent_to_mm: tuple[float, ...] = option(
        (),
        "Where each drag ends: the tumor's farthest point, x, y, z in LPS, tumor after tumor",
        unit="mm",
        advanced=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.levels_mm) != len(self.iterations) or not self.levels_mm:
            raise InputError("iterations: expected one number per level of levels_mm; give both the same length")

    def schedule(self, fixed: Grid) -> list[Level]:
        """The levels, without those much finer than the image or of more than LARGEST_LEVEL voxels."""
        smallest = max(0.8 * min(fixed.spacing), float(np.prod(fixed.extent_mm) / LARGEST_LEVEL) ** (1 / 3))
        pairs = list(zip(self.levels_mm, self.iterations, strict=True))
        used = [p for p in pairs if p[0] >= smallest] or pairs[:1]
        wider = (*WIDER, *[1.0] * len(pairs)) if len(pairs) > 3 else (1.0,) * len(pairs)
        return [
            Level(
                image_mm=mm,
                iterations=steps,
                field_mm=max(2.0 * mm, 1.4 * self.smoothness_mm),
                step_mm=(0.36 if n < 2 else 0.28) * mm,
                gradient_mm=self.reach_mm * wider[place],
                total_mm=self.smoothness_mm * (1.0 if n > 0 else 1.5),
                window_mm=max(1.8 * mm, 3.0),
                stride=1 if n < 2 else 2,
            )
            for place, (mm, steps) in enumerate(used)
            for n in [place + min(0, 3 - len(used))]
        ]


PRESETS = {
    "default": ValorOptions(),
    "quick": ValorOptions(levels_mm=(4.0, 2.0), iterations=(25, 15), reach_mm=8.0),
    "breast_3t_7t": ValorOptions(),
    "longitudinal": ValorOptions(
        start="rigid",
        ignore_tumor_mm=5.0,
        levels_mm=(4.0, 2.0, 1.0),
        smoothness_mm=3.0,
        reach_mm=8.0,
        iterations=(30, 25, 12),
    ),
    "ct": ValorOptions(
        clip=(-1000.0, 400.0), levels_mm=(6.0, 3.0, 1.5), iterations=(40, 30, 15), smoothness_mm=3.0, reach_mm=8.0
    ),
    "multimodal": ValorOptions(
        start="rigid",
        similarity="lncc_squared",
        levels_mm=(6.0, 3.0, 1.8),
        iterations=(40, 30, 15),
        smoothness_mm=5.0,
        reach_mm=12.0,
    ),
}
REASONS = {
    "default": "Two MR scans of one breast, any field strength.",
    "quick": "A first look in about a second; half the resolution.",
    "breast_3t_7t": "3T laid on 7T: local correlation ignores shading; dark areas of 7T are left out.",
    "longitudinal": "Two visits: the head or breast is aligned first, and the tumor, which changed, does not count.",
    "ct": "Two CT scans of soft tissue, in Hounsfield units; for breathing lungs take Fast deformable.",
    "multimodal": "Contrast may turn over (T1 and PD, CT and MR): squared correlation and a smoother motion.",
}
