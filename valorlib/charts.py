"""Small charts as SVG text, for reports; colors stay apart in gray print and for color-blind readers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

COLORS = ("#0b6e99", "#e08a00", "#5a9367", "#a23b72", "#6c6c6c", "#2f4858")


def _text(x: float, y: float, words: str, *, size: int = 11, anchor: str = "middle", color: str = "#333") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{color}">{escape(words)}</text>'
    )


def _frame(width: float, height: float, title: str, body: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}" font-family="sans-serif">'
    )
    return head + "".join(body) + "</svg>"


def _bar(x: float, y: float, width: float, height: float, color: str, words: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    return f'<rect {place} fill="{color}"><title>{escape(words)}</title></rect>'


def _legend(x: float, names: Sequence[str]) -> list[str]:
    found = []
    for color, name in zip(COLORS * 4, names, strict=False):
        found.append(f'<rect x="{x:.1f}" y="22" width="10" height="10" fill="{color}"/>')
        found.append(_text(x + 14, 31, name, anchor="start"))
        x += 28 + 6.4 * len(name)
    return found


def nice_top(value: float) -> float:
    """The next of 1, 2, 2.5, 5, 10 times a power of ten at or above the value; 1 for 0."""
    if value <= 0:
        return 1.0
    power = float(10 ** math.floor(math.log10(value)))
    return next(step * power for step in (1.0, 2.0, 2.5, 5.0, 10.0) if step * power >= value * (1 - 1e-9))


def bar_chart(
    title: str,
    categories: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    *,
    top: float | None = None,
    axis: str = "",
    width: float = 860.0,
    height: float = 230.0,
) -> str:
    """Grouped bars from 0 up; None leaves a gap, values below 0 are drawn as 0.

    Args:
        title: what is shown.
        categories: one word a group, along the bottom; thinned out when there are many.
        series: name to one value a category.
        top: upper end of the axis, None: by the data.
        axis: unit, written at the axis.
        width: pixels.
        height: pixels.
    """
    left, right, upper, lower = 46.0, 10.0, 40.0, 26.0
    values = [v for row in series.values() for v in row if v is not None and math.isfinite(v)]
    top = top or nice_top(max(values, default=1.0))
    plot_w, plot_h = width - left - right, height - upper - lower
    body = [_text(left, 14, title, size=13, anchor="start", color="#111")]
    for n in range(5):
        y = upper + plot_h * (1 - n / 4)
        body.append(f'<line x1="{left}" x2="{width - right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(_text(left - 5, y + 4, f"{top * n / 4:.3g}", size=10, anchor="end"))
    body.append(_text(left - 5, upper - 8, axis, size=10, anchor="end"))
    group = plot_w / max(len(categories), 1)
    bar = 0.8 * group / max(len(series), 1)
    every = max(1, math.ceil(len(categories) * 26 / plot_w))
    for row, (color, points) in enumerate(zip(COLORS * 4, series.values(), strict=False)):
        for column, value in enumerate(points):
            if value is not None and math.isfinite(value):
                h = plot_h * min(max(value / top, 0), 1)
                x = left + column * group + 0.1 * group + row * bar
                words = f"{categories[column]}: {value:.4g}"
                body.append(_bar(x, upper + plot_h - h, max(bar - 0.4, 0.4), h, color, words))
    for column in range(0, len(categories), every):
        body.append(_text(left + (column + 0.5) * group, height - 10, categories[column], size=10))
    body += _legend(left, list(series))
    return _frame(width, height, title, body)


def matrix_chart(title: str, names: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """A square table of correlations, -1 (orange) over 0 (white) to 1 (blue)."""
    cell, left, upper = 62.0, 120.0, 58.0
    body = [_text(8, 16, title, size=13, anchor="start", color="#111")]
    for row, name in enumerate(names):
        body.append(_text(left - 8, upper + (row + 0.5) * cell + 4, name, anchor="end"))
        body.append(_text(left + (row + 0.5) * cell, upper - 8, name, size=10))
        for column, value in enumerate(values[row]):
            x, y = left + column * cell, upper + row * cell
            color = _diverging(value)
            body.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell}" height="{cell}" fill="{color}" stroke="#fff"/>')
            words = "-" if value is None else f"{value:.2f}"
            dark = value is not None and abs(value) > 0.6
            body.append(_text(x + cell / 2, y + cell / 2 + 4, words, color="#fff" if dark else "#222"))
    size = len(names) * cell
    return _frame(left + size + 10, upper + size + 10, title, body)


def _diverging(value: float | None) -> str:
    if value is None:
        return "#eee"
    end = (11, 110, 153) if value >= 0 else (200, 90, 0)
    share = min(abs(value), 1.0)
    return "#" + "".join(f"{round(255 + (c - 255) * share):02x}" for c in end)
