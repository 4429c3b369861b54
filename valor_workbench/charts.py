"""What the page adds to the library's charts: values under the pointer."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

COLUMNS = 80
RIGHT = 236.0


def with_read_out(svg: str, bands: Sequence[Any]) -> str:
    """The DVH chart with columns that carry a text each: at this dose, the volume of each structure and its band."""
    from valorlib.charts_dvh import BOTTOM, LEFT, TOP, _axis_top

    head = svg.split(">", 1)[0]
    width, height = (float(v) for v in head.split('viewBox="0 0 ')[1].split('"')[0].split())
    top_gy, plot_w, plot_h = _axis_top(bands, 90), width - LEFT - RIGHT, height - TOP - BOTTOM
    step = plot_w / COLUMNS
    marks = []
    for n in range(COLUMNS):
        gy = (n + 0.5) / COLUMNS * top_gy
        text = "\n".join([f"{gy:.1f} Gy", *(_line(band, gy) for band in bands)])
        marks.append(
            f'<rect class="valor-mark" x="{LEFT + n * step:.2f}" y="{TOP}" width="{step:.2f}" height="{plot_h:.1f}" '
            f'data-tip="{escape(text)}"/>'
        )
    return svg.replace("</svg>", "".join(marks) + "</svg>")


def _line(band: Any, gy: float) -> str:
    low, high = band.band(90)
    volumes = [_volume_at(band.volume_pct, doses, gy) for doses in (band.nominal_gy, low, high)]
    return f"{band.name}: {volumes[0]:.0f} % ({min(volumes[1:]):.0f} to {max(volumes[1:]):.0f})"


def _volume_at(volume_pct: Any, doses: Any, gy: float) -> float:
    """Share of the volume that gets at least a dose, from the dose at each share."""
    order = np.argsort(doses, kind="stable")
    return float(np.interp(gy, np.asarray(doses)[order], np.asarray(volume_pct)[order], left=100.0, right=0.0))
