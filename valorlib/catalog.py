"""The list of methods. Listing needs neither torch nor the method's file; loading imports one file."""

from __future__ import annotations

import importlib
from dataclasses import dataclass

from valorlib.core.errors import InputError
from valorlib.core.method import Method


@dataclass(frozen=True)
class Entry:
    """One line of the method list. kind: "image" (ImagePair), "points" (PointPair) or "slices"."""

    name: str
    title: str
    kind: str
    sentence: str


ENTRIES: tuple[Entry, ...] = (
    Entry("valor", "VALOR", "image", "Click in the tumor: segments it in both scans and registers them in 3D."),
    Entry("valor_net", "VALOR-Net (paper)", "image", "The two U-Nets of the paper, slice by slice; slow, for study."),
    Entry("ngf_rigid", "Global rigid", "image", "Finds rotation and shift from any start, across modalities."),
    Entry("convex_adam", "ConvexAdam", "image", "Large motion by discrete search on MIND features, then refined."),
    Entry("voxelmorph_pp", "Keypoints + heat map", "image", "Lung CT: keypoints matched one by one, spline between."),
    Entry("log_demons", "Log-demons", "image", "Smooth invertible field, same contrast; large motion in pieces."),
    Entry("compositive", "Fast deformable", "image", "Brain, lung and multimodal pairs in seconds; no folds."),
    Entry("classical", "Classical (SimpleITK)", "image", "Rigid, affine, B-spline or demons by SimpleITK."),
    Entry("mo_bcpd", "MO-BCPD", "points", "Organ surfaces carried over, each organ moving by itself."),
)
NAMES: tuple[str, ...] = tuple(entry.name for entry in ENTRIES)


def load(name: str) -> Method:
    """The method of this name; imports its file.

    Raises:
        InputError: no such method.
    """
    if name not in NAMES:
        raise InputError(f"method: expected one of {', '.join(NAMES)}, got {name!r}")
    method: Method = importlib.import_module(f"valorlib.methods.{name}").METHOD
    return method
