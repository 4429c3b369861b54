"""Sample data in Slicer's Sample Data module, generated on the spot: works offline, nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

CATEGORY = "VALOR"
MISSED = 0.25
"""Share of the true motion that the transform of the radiotherapy sample misses."""


def register() -> None:
    """Add the three samples to the Sample Data module."""
    from SampleData import SampleDataLogic

    icons = Path(__file__).resolve().parents[1] / "Resources" / "Icons"
    makers: tuple[tuple[str, str, Callable[[], list[Any]]], ...] = (
        ("VALORBreastPair", "VALORRegistration", loadBreastPair),
        ("VALOROrgans", "PointCloudRegistration", loadOrgans),
        ("VALORRadiotherapy", "UncertaintyViewer", loadRadiotherapy),
    )
    for name, icon, make in makers:
        picture = icons / f"{icon}.png"
        SampleDataLogic.registerCustomSampleDataSource(
            category=CATEGORY,
            sampleName=name,
            thumbnailFileName=str(picture) if picture.exists() else None,
            customDownloader=lambda source, make=make: make(),
        )


def _volume(image: Any, name: str) -> Any:
    from valorlib.convert import mrml

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    mrml.set_image(node, image)
    node.CreateDefaultDisplayNodes()
    return node


def _structures(labels: Any, name: str) -> Any:
    from valorlib.convert import mrml

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    node.CreateDefaultDisplayNodes()
    mrml.set_segmentation(node, labels)
    return node


def _points(points: Any, name: str) -> Any:
    from valorlib.convert import mrml

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    mrml.set_points(node, points, [str(n + 1) for n in range(len(points))])
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetVisibility(False)
    return node


def _show(fixed: Any, moving: Any) -> None:
    slicer.util.setSliceViewerLayers(background=fixed, foreground=moving, foregroundOpacity=0.5, fit=True)


def loadBreastPair(seed: int = 0, size: str = "full") -> list[Any]:
    """Two generated scans of one breast, 7T-like and 3T-like, with tumors, and true landmarks in both."""
    from valorlib.demo import make_pair

    case = make_pair(seed, size=size, lesions=2)
    fixed = _volume(case.pair.fixed, _("Breast 7T (fixed)"))
    moving = _volume(case.pair.moving, _("Breast 3T (moving)"))
    landmarks = [
        _points(case.landmarks.fixed.points, _("Landmarks 7T")),
        _points(case.landmarks.moving.points, _("Landmarks 3T")),
    ]
    _show(fixed, moving)
    return [fixed, moving, *landmarks]


def loadOrgans(seed: int = 0, spacing_mm: float = 2.0) -> list[Any]:
    """Organ contours of two generated patients."""
    from valorlib.demo_organs import make_organs

    case = make_organs(seed, spacing_mm=spacing_mm)
    return [_structures(case.fixed, _("Organs (fixed)")), _structures(case.moving, _("Organs (moving)"))]


def loadRadiotherapy(seed: int = 0, spacing_mm: float = 3.0) -> list[Any]:
    """Two days of one generated patient: CT, structures, dose, a transform that misses some motion, landmarks."""
    from valorlib.convert import mrml
    from valorlib.core.transforms import DisplacementField
    from valorlib.demo_rt import make_rt_case

    case = make_rt_case(seed, spacing_mm=spacing_mm)
    fixed = _volume(case.pair.fixed, _("CT day 2 (fixed)"))
    moving = _volume(case.pair.moving, _("CT day 1 (moving)"))
    dose = _volume(case.dose, _("Dose day 1"))
    transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLGridTransformNode", _("Day 1 on day 2"))
    missed = DisplacementField((1 - MISSED) * case.truth.array, case.truth.grid)
    mrml.set_transform(transform, missed)
    structures = _structures(case.pair.fixed_labels, _("Structures day 2"))
    landmarks = [
        _points(case.landmarks.fixed.points, _("Landmarks day 2")),
        _points(case.landmarks.moving.points, _("Landmarks day 1")),
    ]
    _show(fixed, moving)
    return [fixed, moving, dose, transform, structures, *landmarks]
