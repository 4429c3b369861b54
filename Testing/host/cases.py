"""The three modules with small inputs and quick settings, so that a test can be made for each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from host import driving
from host.driving import choose, spin

VIEWER_INPUTS = ("fixedVolume", "movingVolume", "dose", "transform", "structures", "fixedLandmarks", "movingLandmarks")


@dataclass(frozen=True)
class Case:
    """A module. fields: its parameters that hold the sample's nodes, in their order. deleted: the one that a test
    deletes. nothing: what Apply says in an empty scene. same: (two fields, what Apply says when they hold one node).
    carried: what a test puts under a parent. role: a node of every result.
    """

    name: str
    sample: str
    fields: Sequence[str]
    deleted: str
    nothing: str
    same: tuple[str, str, str]
    carried: Sequence[str]
    role: str


CASES = {
    case.name: case
    for case in (
        Case(
            "VALORRegistration",
            "loadBreastPair",
            ("fixedVolume", "movingVolume"),
            "movingVolume",
            "Select a fixed and a moving volume",
            ("fixedVolume", "movingVolume", "Fixed and moving volume must not be the same"),
            ("movingVolume",),
            "warped",
        ),
        Case(
            "PointCloudRegistration",
            "loadOrgans",
            ("fixedOrgans", "movingOrgans"),
            "movingOrgans",
            "Select fixed and moving organs",
            ("fixedOrgans", "movingOrgans", "Fixed and moving organs must not be the same"),
            ("movingOrgans",),
            "organs",
        ),
        Case(
            "UncertaintyViewer",
            "loadRadiotherapy",
            VIEWER_INPUTS,
            "dose",
            "Select a transform",
            ("fixedVolume", "movingVolume", "Fixed and moving volume must not be the same"),
            ("movingVolume", "dose", "movingLandmarks"),
            "sigma",
        ),
    )
}


def prepare(open_panel: Callable[..., Any], case: Case) -> Any:
    """The panel of a module with its sample and quick settings."""
    widget = open_panel(case.name)
    from VALORPanels import samples

    nodes = getattr(samples, case.sample)()
    spin()
    held = widget._parameterNode
    if case.name == "VALORRegistration":
        nodes = nodes[:2]
    if case.name == "PointCloudRegistration":
        held.spacingMm = 10.0
    if case.name == "UncertaintyViewer":
        held.samples = 10
    for field, node in zip(case.fields, nodes, strict=True):
        setattr(held, field, node)
    held.preset = "quick"
    widget.methods.load()
    return widget


def choose_preset(panel: Any, preset: str) -> None:
    """Choose a preset with the mouse."""
    driving.unfold(panel.ui.methodCollapsible)
    choose(panel.ui.presetSelector, preset)
    driving.unfold(panel.ui.methodCollapsible, opened=False)
