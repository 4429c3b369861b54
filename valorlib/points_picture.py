"""The picture of a point registration: fixed, moving and moved organs, seen from three sides."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from valorlib.convert.segment_files import color_of
from valorlib.core.points import PointPair
from valorlib.core.results import Result

VIEWS = (("front", 0, 2), ("side", 1, 2), ("above", 0, 1))
SHOWN = 4000


def draw_picture(path: Path, sides: Any, pair: PointPair, result: Result, surfaces: Mapping[int, Any]) -> None:
    """Write a PNG: row 1 the moving organs on the fixed ones before, row 2 after; fixed gray, moving in color."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    del sides, surfaces
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 3)
    moved = pair.moving.points if result.moved is None else result.moved.points
    labels = np.ones(len(moved), dtype=np.int64) if pair.moving.labels is None else pair.moving.labels
    order = {int(label): n for n, label in enumerate(np.unique(labels))}
    colors = np.array([color_of(order[int(label)]) for label in labels])
    fixed = pair.fixed.points[:: max(1, len(pair.fixed.points) // SHOWN)]
    step = max(1, len(moved) // SHOWN)
    for row, (title, points) in enumerate((("before", pair.moving.points), ("after", moved))):
        for axis, (view, a, b) in zip(axes[row], VIEWS, strict=True):
            axis.scatter(fixed[:, a], fixed[:, b], s=1.5, c="0.7", linewidths=0)
            axis.scatter(points[::step, a], points[::step, b], s=1.5, c=colors[::step], linewidths=0)
            axis.set_aspect("equal")
            axis.set_title(f"{title}, from the {view}" if view != "above" else f"{title}, from above", fontsize=9)
            axis.tick_params(labelsize=7)
            if b == 1:
                axis.invert_yaxis()
    figure.savefig(path, dpi=100)
