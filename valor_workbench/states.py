"""What the page shows, one dataclass a panel. Plain values only; names of fields are names of page variables."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    Row = dict[str, Any]
else:
    Row = dict  # the page's decoder reads the annotations and knows no Any


@dataclass
class PageState:
    """The frame around the panels."""

    module: str = "registration"
    dark: bool = True
    layout: str = "Four views"
    probe: str = ""
    error: str = ""
    notice: str = ""
    busy: str = ""
    open_dialog: bool = False
    open_path: str = ""
    open_folder: str = ""
    open_entries: list[Row] = field(default_factory=list)
    download_url: str = ""
    download_name: str = ""


@dataclass
class ScansState:
    """Which scans are loaded and chosen."""

    items: list[Row] = field(default_factory=list)
    label_items: list[Row] = field(default_factory=list)
    organ_items: list[Row] = field(default_factory=list)
    transform_items: list[Row] = field(default_factory=list)
    landmark_items: list[Row] = field(default_factory=list)
    fixed: str = ""
    moving: str = ""
    fixed_landmarks: str = ""
    moving_landmarks: str = ""
    show: str = "fixed"


@dataclass
class SeedsState:
    """The clicks."""

    on: str = "moving"
    tumor: int = 1
    tumors: list[int] = field(default_factory=lambda: [1])
    background: bool = False
    placing: bool = False
    rows: list[Row] = field(default_factory=list)
    can_undo: bool = False
    position: str = ""
    preview: bool = True
    preview_text: str = ""


@dataclass
class MethodState:
    """The method and its options."""

    name: str = "valor"
    names: list[Row] = field(default_factory=list)
    about: str = ""
    preset: str = "default"
    presets: list[Row] = field(default_factory=list)
    reason: str = ""
    fields: list[Row] = field(default_factory=list)


@dataclass
class RunState:
    """A run: why it cannot start, or how far it is."""

    why_not: str = "Choose the fixed scan."
    running: bool = False
    queued: int = 0
    percent: float = 0.0
    message: str = ""
    left: str = ""
    note: str = ""


@dataclass
class ResultState:
    """How a registration is looked at."""

    ready: bool = False
    summary: str = ""
    mode: str = "blend"
    opacity: float = 0.5
    warp: str = "off"
    map: str = "none"
    map_items: list[Row] = field(default_factory=list)
    folds_only: bool = False
    threshold: float = 0.0
    threshold_max: float = 10.0
    surfaces: bool = True
    truth: bool = False
    has_truth: bool = False
    metrics: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class EditorState:
    """Painting corrections."""

    segmentation: str = ""
    segments: list[Row] = field(default_factory=list)
    segment: str = ""
    effect: str = ""
    brush_mm: float = 6.0
    sphere: bool = True
    volumes: list[Row] = field(default_factory=list)


@dataclass
class UncertaintyState:
    """Trust in a registration, and what that does to the dose."""

    transform: str = ""
    dose: str = ""
    doses: list[Row] = field(default_factory=list)
    structures: str = ""
    structure_rows: list[Row] = field(default_factory=list)
    goals: str = ""
    goal_rows: list[Row] = field(default_factory=list)
    why_not: str = "Choose the fixed scan."
    ready: bool = False
    summary: str = ""
    map: str = "sigma"
    threshold: float = 0.0
    threshold_max: float = 10.0
    landmarks: list[Row] = field(default_factory=list)
    metrics: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    dose_rows: list[Row] = field(default_factory=list)
    fields: list[Row] = field(default_factory=list)
    tolerance_fields: list[Row] = field(default_factory=list)
    chart: str = ""


@dataclass
class PointsState:
    """Organ surfaces carried over."""

    fixed: str = ""
    moving: str = ""
    organs: list[Row] = field(default_factory=list)
    coupling: list[Row] = field(default_factory=list)
    coupling_edited: bool = False
    why_not: str = "Choose the fixed structures."
    ready: bool = False
    summary: str = ""
    color_by: str = "sigma_mm"
    show_inputs: bool = True
    metrics: list[Row] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
