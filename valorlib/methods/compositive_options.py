"""Options of the fast deformable method, its presets by job and the reason for each."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.options import Options, option
from valorlib.solve.schedule import Level

PER_LEVEL = ("iterations", "field_mm", "force_mm", "smooth_mm", "volume_mm", "step_mm", "window_mm")


@dataclass(frozen=True, kw_only=True)
class CompositiveOptions(Options):
    """Options of `register`; tuples hold one number a level, coarse to fine."""

    similarity: str = option(
        "lncc",
        "Local correlation (squared: contrast may turn over), with squared difference, that alone, or MIND",
        choices=("lncc", "lncc_squared", "lncc_ssd", "ssd", "mind"),
    )
    ssd_weight: float = option(2.0, "Squared difference beside local correlation (lncc_ssd)", low=0.0, high=100.0)
    levels_mm: tuple[float, ...] = option((4.0, 2.0, 1.0), "Voxels of each level", low=0.2, high=40.0, unit="mm")
    iterations: tuple[int, ...] = option((25, 16, 8), "Most steps at each level", low=1, high=1000)
    field_mm: tuple[float, ...] = option((4.0, 2.0, 2.0), "Voxels of the field", low=0.2, high=80.0, unit="mm")
    force_mm: tuple[float, ...] = option((4.0, 3.0, 3.0), "Smoothing of each step", low=0.0, high=80.0, unit="mm")
    smooth_mm: tuple[float, ...] = option((3.0, 1.4, 1.0), "Smoothing of the motion", low=0.0, high=80.0, unit="mm")
    volume_mm: tuple[float, ...] = option(
        (0.0, 0.0, 0.0), "Smoothing of volume change alone", low=0.0, high=40.0, unit="mm"
    )
    least_volume: float = option(
        0.1, "Smallest volume factor: where motion shrinks tissue more, it is smoothed", low=0.0, high=0.9
    )
    spread: float = option(
        0.0,
        "Spread of the log volume factor (SDlogJ) aimed at by tuning volume_mm (not with symmetric); 0: not tuned",
        low=0.0,
        high=2.0,
        advanced=True,
    )
    step_mm: tuple[float, ...] = option((1.0, 0.5, 0.5), "Longest step", low=0.01, high=20.0, unit="mm")
    window_mm: tuple[float, ...] = option((8.0, 4.0, 3.0), "Reach of a window", low=0.5, high=80.0, unit="mm")
    lattice: bool = option(True, "Windows at each second voxel of the finest level: faster", advanced=True)
    soften: float = option(0.4, "Higher leaves regions without texture alone", low=0.0, high=10.0, advanced=True)
    start: str = option("headers", "Where to start", choices=("headers", "centers", "rigid", "affine"))
    look: str = option(
        "body",
        "Where images are compared: body, not black, lungs, everywhere",
        choices=("body", "bright", "lungs", "all"),
    )
    clip: tuple[float, ...] = option((), "Lowest and highest intensity looked at (HU for CT); empty: all")
    sliding: bool = option(False, "Lungs slide along the chest wall: two motions, one on each side (CT)")
    ignore_mm: float = option(
        -1.0,
        "Leave labelled tumors and this margin out of the comparison (below 0: keep)",
        low=-1.0,
        high=50.0,
        unit="mm",
    )
    both_edges: bool = option(False, "Edges of both images pull (same contrast only)", advanced=True)
    symmetric: bool = option(
        False, "Both images move half the way: swapping them gives the inverse; twice the time; no landmarks"
    )
    landmark_weight: float = option(0.5, "How strongly landmarks pull, where given", low=0.0, high=1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in PER_LEVEL:
            if len(getattr(self, name)) != len(self.levels_mm) or not self.levels_mm:
                raise InputError(f"{name}: expected one number per level of levels_mm ({len(self.levels_mm)})")

    def schedule(self, fixed: Grid) -> list[Level]:
        """The levels, without those much finer than the image."""
        columns = zip(self.levels_mm, *(getattr(self, name) for name in PER_LEVEL), strict=True)
        levels = [
            Level(
                image_mm=mm,
                iterations=steps,
                field_mm=field,
                gradient_mm=force,
                total_mm=smooth,
                volume_mm=volume,
                least_volume=self.least_volume,
                spread=self.spread if n else 0.0,
                step_mm=step,
                window_mm=window,
                stride=2 if self.lattice and n == len(self.levels_mm) - 1 and n > 0 else 1,
            )
            for n, (mm, steps, field, force, smooth, volume, step, window) in enumerate(columns)
        ]
        return [level for level in levels if level.image_mm >= 0.7 * min(fixed.spacing)] or levels[:1]


def _preset(like: CompositiveOptions, **changes: object) -> CompositiveOptions:
    return dataclasses.replace(like, **changes)  # type: ignore[arg-type]


BRAIN = CompositiveOptions(
    similarity="lncc_ssd",
    ssd_weight=4.0,
    both_edges=True,
    look="bright",
    levels_mm=(4.0, 2.0, 1.5),
    iterations=(15, 8, 7),
    step_mm=(1.5, 1.0, 0.75),
    force_mm=(2.0, 1.0, 1.0),
    smooth_mm=(3.0, 1.2, 0.9),
    volume_mm=(0.9, 0.9, 0.9),
    spread=0.6,
    soften=0.5,
)
BREAST = CompositiveOptions(
    levels_mm=(4.0, 2.0, 1.0),
    iterations=(40, 30, 15),
    force_mm=(8.0, 6.0, 6.0),
    smooth_mm=(3.0, 2.0, 2.0),
    soften=0.3,
)
LUNG = CompositiveOptions(
    levels_mm=(8.0, 4.0, 2.0),
    iterations=(25, 25, 8),
    field_mm=(8.0, 4.0, 4.0),
    force_mm=(8.0, 6.0, 5.0),
    smooth_mm=(6.0, 4.0, 3.0),
    step_mm=(2.0, 1.0, 1.0),
    window_mm=(16.0, 8.0, 6.0),
    clip=(-1000.0, 250.0),
    soften=0.3,
)
MULTIMODAL = CompositiveOptions(
    similarity="lncc_squared",
    levels_mm=(8.0, 4.0, 1.8),
    iterations=(25, 25, 10),
    field_mm=(8.0, 8.0, 8.0),
    force_mm=(12.0, 10.0, 10.0),
    smooth_mm=(12.0, 10.0, 10.0),
    soften=1.0,
    step_mm=(2.0, 1.0, 1.0),
    window_mm=(16.0, 8.0, 5.0),
    start="rigid",
)


def _two(like: CompositiveOptions) -> dict[str, object]:
    """The first two levels of a preset."""
    return {name: getattr(like, name)[:2] for name in PER_LEVEL if name != "smooth_mm"}


PRESETS = {
    "default": CompositiveOptions(),
    "quick": CompositiveOptions(levels_mm=(6.0, 3.0, 2.0), iterations=(15, 8, 2)),
    "brain_mr": BRAIN,
    "brain_mr_bias": CompositiveOptions(
        look="bright", force_mm=(4.0, 2.0, 2.0), smooth_mm=(3.0, 1.4, 1.0), volume_mm=(0.7, 0.7, 0.7), soften=0.3
    ),
    "brain_mr_draft": _preset(
        BRAIN,
        **{
            **_two(BRAIN),
            "levels_mm": (4.0, 2.0),
            "iterations": (12, 5),
            "smooth_mm": (3.0, 1.0),
            "volume_mm": (0.7, 0.7),
            "spread": 0.0,
        },
    ),
    "brain_mr_smooth": _preset(
        BRAIN,
        ssd_weight=8.0,
        iterations=(25, 24, 14),
        step_mm=(1.0, 0.5, 0.5),
        smooth_mm=(3.0, 1.2, 0.9),
        volume_mm=(1.25, 1.25, 1.25),
        spread=0.392,
        soften=1.0,
    ),
    "breast_mr": BREAST,
    "lung_ct": LUNG,
    "lung_ct_lungs": _preset(LUNG, look="lungs"),
    "lung_ct_sliding": _preset(LUNG, sliding=True),
    "longitudinal": CompositiveOptions(
        start="rigid", ignore_mm=5.0, force_mm=(8.0, 6.0, 6.0), smooth_mm=(5.0, 4.0, 3.0), iterations=(25, 20, 8)
    ),
    "multimodal": MULTIMODAL,
    "ct_mr": _preset(MULTIMODAL, clip=()),
    "mr_ultrasound": _preset(MULTIMODAL, similarity="mind", start="headers", levels_mm=(4.0, 2.0, 1.0)),
    "histology_2d": _preset(
        MULTIMODAL, similarity="mind", look="all", start="affine", force_mm=(40.0,) * 3, smooth_mm=(40.0,) * 3
    ),
}
REASONS = {
    "default": "Any two scans of like contrast; shading does not matter.",
    "quick": "A first look in seconds.",
    "brain_mr": "Two subjects, same contrast, no shading: gray values are compared too, after histogram matching.",
    "brain_mr_bias": "Two subjects whose contrast or shading differs: local correlation alone.",
    "brain_mr_draft": "As brain_mr without the finest level: less time, nearly as good.",
    "breast_mr": "Two breast scans: a neighborhood of 8 mm moves together, which bridges fat without texture.",
    "brain_mr_smooth": "As brain_mr with a gentler motion, where volume change is what is studied.",
    "lung_ct": "Inhale and exhale: the whole body moves smoothly.",
    "lung_ct_lungs": "Inhale and exhale, lungs only: fastest, and right where only the lungs matter.",
    "lung_ct_sliding": "Inhale and exhale with lungs that slide along the chest wall: two motions, joined there.",
    "longitudinal": "Two visits: rigid first; labelled tumors, which changed, are left out with 5 mm around them.",
    "multimodal": "Contrast may turn over, such as T1 and PD: squared local correlation, a very smooth motion.",
    "ct_mr": "CT and MR of one patient: as multimodal; check the overlay, bone and air look alike in MR.",
    "mr_ultrasound": "Weak: image content alone seldom suffices; give landmarks or outlines and check the overlay.",
    "histology_2d": "Neighboring sections: coarse self-similarity; the affine start does most of the work.",
}
