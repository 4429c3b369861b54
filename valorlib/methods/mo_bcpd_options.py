"""Options and presets of MO-BCPD."""

from __future__ import annotations

from dataclasses import dataclass, replace

from valorlib.core.options import Options, option


@dataclass(frozen=True, kw_only=True)
class MoBcpdOptions(Options):
    """Options of `register`."""

    use_labels: bool = option(True, "Match organ to organ; off: one cloud without labels (BCPD)")
    between_organs: float = option(
        0.0, "Motion shared by the organs: 0 each by itself (OMC), 1 all together (GMC)", low=0.0, high=1.0
    )
    coherence_matrix: tuple[float, ...] = option(
        (), "S row by row, organs by rising label; empty: from between_organs", advanced=True
    )
    length_mm: float = option(
        25.0,
        "How far motion stays coherent inside an organ (B); between patients 25, one patient 50, lungs 80",
        low=1.0,
        high=1000.0,
        unit="mm",
    )
    organ_length_mm: tuple[float, ...] = option(
        (), "B of each organ by rising label; empty: length_mm", low=1.0, high=1000.0, unit="mm", advanced=True
    )
    size_mm: float = option(
        3.0,
        "How far organs bend, one standard deviation (Lambda)",
        low=0.01,
        high=500.0,
        unit="mm",
    )
    unlike_size_mm: float = option(
        10.0,
        "How far organs bend whose surfaces do not close, as between patients; at most size_mm: as far as others",
        low=0.01,
        high=500.0,
        unit="mm",
    )
    unlike_length_mm: float = option(
        20.0,
        "B of organs that move by themselves and whose surfaces do not close; at least length_mm: as of others",
        low=1.0,
        high=1000.0,
        unit="mm",
        advanced=True,
    )
    unlike_long_mm: float = option(
        140.0,
        "Length of the slow motion of such organs, or as long as they are; at least long_mm: as of others",
        low=1.0,
        high=10000.0,
        unit="mm",
        advanced=True,
    )
    organ_size_mm: tuple[float, ...] = option(
        (), "Lambda of each organ by rising label; empty: size_mm", low=0.01, high=500.0, unit="mm", advanced=True
    )
    long_mm: float = option(
        200.0,
        "Length of a second, slow motion of each organ: its own shift, turn and growth",
        low=1.0,
        high=10000.0,
        unit="mm",
        advanced=True,
    )
    long_size_mm: float = option(
        20.0, "Size of the slow motion, one standard deviation; 0: the paper's prior", low=0.0, high=500.0, unit="mm"
    )
    label_error: float = option(
        0.0, "Share of points with a wrong organ label; above 0 they are found and mended", low=0.0, high=0.5
    )
    label_matrix: tuple[float, ...] = option(
        (),
        "U row by row, from confusion rates: chance of fixed label (row) given moving label (column); labels are "
        "mended by it; empty: from label_error",
        low=0.0,
        high=1.0,
        advanced=True,
    )
    outliers: float = option(
        0.02,
        "Share of fixed points that belong to nothing (omega): 0.02 for contours, 0.1 for noise, 0.3 for keypoints",
        low=0.0,
        high=0.95,
    )
    similarity: str = option(
        "similarity", "Whole-body motion beside the organs' own", choices=("similarity", "rigid", "none")
    )
    start: str = option(
        "organs",
        "Start from the organs' centers, from those and an affine fit, or as given",
        choices=("organs", "affine", "given"),
    )
    gamma: float = option(
        1.0,
        "Reach of the first matches as a share of the distances; 0.1 where a scan cuts organs",
        low=0.01,
        high=10.0,
        advanced=True,
    )
    starts: int = option(
        2,
        "First reaches tried (gamma, a tenth, a third of it); the one with the best evidence is kept",
        low=1,
        high=3,
        advanced=True,
    )
    surfaces: bool = option(
        True, "Points lie on surfaces: normals guide the organs at the start and at the end; off: the published drift"
    )
    kappa: float = option(
        0.0, "Freedom of the points' weights, larger is less free; 0: all equal", low=0.0, high=1e6, advanced=True
    )
    spread: bool = option(True, "The uncertainty of the motion enters the updates (published form)", advanced=True)
    similarity_first: bool = option(
        False,
        "Each loop turns the whole body before the organs move; off: after (published), which sticks far from the end",
        advanced=True,
    )
    sample_points: int = option(
        2000, "Points drawn on the surface of each organ (label maps, structure sets, meshes)", low=50, high=200_000
    )
    coarse_points: int = option(
        1500, "Points an organ of the coarse run; 0: all points at once", low=0, high=1_000_000, advanced=True
    )
    fine_loops: int = option(4, "Loops with all points after the coarse run", low=1, high=500, advanced=True)
    max_loops: int = option(200, "Most loops of the coarse run", low=1, high=2000, advanced=True)
    min_loops: int = option(8, "Fewest loops of the coarse run", low=1, high=2000, advanced=True)
    epsilon_mm: float = option(1e-2, "Stop when sigma changes less", low=0.0, high=10.0, unit="mm", advanced=True)
    step_mm: float = option(0.5, "... and no point moves more", low=0.0, high=1e6, unit="mm", advanced=True)
    tolerance: float = option(
        1e-4, "Share of the motion's variance the low rank may lose", low=1e-12, high=0.1, advanced=True
    )
    max_rank: int = option(1000, "Most inducing points a coherent group", low=1, high=4000, advanced=True)
    exact: bool = option(False, "All arithmetic in float64", advanced=True)
    memory_limit_gb: float = option(
        4.0, "Refuse runs that need more memory", low=0.1, high=4096.0, unit="GB", advanced=True
    )


OMC = MoBcpdOptions()
GMC = replace(OMC, between_organs=1.0)
BCPD = replace(OMC, use_labels=False, surfaces=False, outliers=0.1)
PLAIN = replace(
    BCPD, use_labels=True, length_mm=30.0, size_mm=10.0, long_size_mm=0.0, min_loops=15, epsilon_mm=1e-3, step_mm=0.2
)
CPD = replace(PLAIN, use_labels=False, similarity="none", spread=False, start="given")
PAPER = replace(PLAIN, outliers=0.0, start="given", epsilon_mm=0.1, step_mm=1e6)
QUICK = replace(OMC, coarse_points=300, sample_points=500, max_loops=40, min_loops=5, fine_loops=1, starts=1)
PRESETS = {
    "default": OMC,
    "omc": OMC,
    "gmc": GMC,
    "bcpd": BCPD,
    "cpd": CPD,
    "paper": PAPER,
    "same_patient": replace(OMC, length_mm=50.0, size_mm=4.0, long_size_mm=10.0, similarity="rigid"),
    "lungs": replace(OMC, length_mm=80.0, size_mm=10.0, start="affine"),
    "keypoints": replace(
        BCPD,
        length_mm=25.0,
        size_mm=5.0,
        long_mm=100.0,
        outliers=0.3,
        gamma=0.3,
        min_loops=15,
        epsilon_mm=1e-3,
        step_mm=0.2,
    ),
    "quick": QUICK,
}
REASONS = {
    "default": "Organs of two patients; each organ moves by itself.",
    "omc": "Each organ moves by itself (the paper's OMC); organs may slide along each other.",
    "gmc": "All organs move together as one smooth body (the paper's GMC), but only like meets like.",
    "bcpd": "No labels: one cloud, Bayesian coherent point drift.",
    "cpd": "No labels, no similarity: coherent point drift.",
    "paper": "The settings printed in the paper, its start included.",
    "same_patient": "Two days of one patient: sizes stay, motion is smooth.",
    "lungs": "Lungs at two breathing states: smooth motion after an affine fit.",
    "keypoints": "Unpaired keypoints with many outliers instead of surfaces.",
    "quick": "A first look in a second.",
}
