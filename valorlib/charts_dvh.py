"""The probabilistic dose-volume histogram as SVG text: nominal curves over the band of the sampled ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from valorlib.metrics.dvh import DvhBand

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f5fb3", "#8c6d31", "#5b7553", "#a33b4c")
DASHES = ("", "7 3", "2 3", "9 3 2 3")
THEMES = {
    "light": {"paper": "#ffffff", "ink": "#1f2428", "quiet": "#5c666e", "line": "#dfe3e6"},
    "dark": {"paper": "#1b1f23", "ink": "#eef1f3", "quiet": "#a8b2ba", "line": "#3a4249"},
}
Scale = Callable[[NDArray[np.float64]], NDArray[np.float64]]
LEFT, TOP, BOTTOM, ROW = 64.0, 44.0, 56.0, 20.0
NAME_LENGTH = 24


def dvh_svg(
    bands: Sequence[DvhBand],
    *,
    coverage_pct: float = 90,
    title: str = "Dose-volume histogram",
    theme: str = "light",
    width: float = 860.0,
    height: float = 520.0,
    prescription_gy: float | None = None,
) -> str:
    """Chart of several structures.

    Args:
        bands: what to draw, one color each.
        coverage_pct: of the band: 50, 80, 90 or 95.
        title: what is shown.
        theme: "light" or "dark"; a page can set --valor-paper, --valor-ink, --valor-quiet and --valor-line instead.
        width: pixels.
        height: pixels, more where the list of structures is longer.
        prescription_gy: drawn as a vertical line.
    """
    height = max(height, TOP + BOTTOM + ROW * (len(bands) + 4))
    right = 236.0 if bands else 20.0
    plot_w, plot_h = width - LEFT - right, height - TOP - BOTTOM
    top_gy = _axis_top(bands, coverage_pct)

    def x(gy: NDArray[np.float64]) -> NDArray[np.float64]:
        return LEFT + np.clip(gy / top_gy, 0, 1) * plot_w

    def y(pct: NDArray[np.float64]) -> NDArray[np.float64]:
        return TOP + (1 - pct / 100) * plot_h

    body = [*_axes(top_gy, plot_w, plot_h), _words(LEFT, 24, title, size=15, anchor="start", weight=600)]
    if prescription_gy is not None and 0 < prescription_gy <= top_gy:
        at = float(x(np.asarray(prescription_gy)))
        body.append(
            f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + plot_h:.1f}" stroke="var(--quiet)" '
            f'stroke-dasharray="3 3"/>'
        )
        body.append(_words(at + 4, TOP + 12, f"{prescription_gy:g} Gy", size=11, anchor="start", color="quiet"))
    for n, band in enumerate(bands):
        body += _structure(n, band, coverage_pct, x, y)
    body += _legend(bands, coverage_pct, LEFT + plot_w + 18)
    return _page(width, height, title, theme, body)


def _structure(n: int, band: DvhBand, coverage_pct: float, x: Scale, y: Scale) -> list[str]:
    color, dash = PALETTE[n % len(PALETTE)], DASHES[(n // len(PALETTE)) % len(DASHES)]
    low, high = band.band(coverage_pct)
    rows = y(band.volume_pct)
    outline = [*zip(x(low), rows, strict=True), *zip(x(high)[::-1], rows[::-1], strict=True)]
    points = " ".join(f"{a:.1f},{b:.1f}" for a, b in outline)
    # A cumulative DVH starts at 100 % of the volume at 0 Gy.
    curve = [(LEFT, float(y(np.asarray(100.0)))), *zip(x(band.nominal_gy)[::-1], rows[::-1], strict=True)]
    path = "M" + " L".join(f"{a:.1f} {b:.1f}" for a, b in curve)
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    name = escape(f"{band.name}, {band.volume_cc:.3g} cc")
    return [
        f'<polygon points="{points}" fill="{color}" fill-opacity="0.22"><title>{name}</title></polygon>',
        f'<path d="{path}" fill="none" stroke="{color}" stroke-width="2"{dashed}><title>{name}</title></path>',
    ]


def _axes(top_gy: float, plot_w: float, plot_h: float) -> list[str]:
    out = []
    step = next(s * 10.0**p for p in range(-3, 4) for s in (1, 2, 5) if top_gy / (s * 10.0**p) <= 10)
    for gy in np.arange(0, top_gy + 1e-9, step):
        at = LEFT + gy / top_gy * plot_w
        out.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{TOP + plot_h:.1f}" stroke="var(--line)"/>')
        out.append(_words(at, TOP + plot_h + 18, f"{gy:g}", color="quiet"))
    for pct in range(0, 101, 20):
        at = TOP + (1 - pct / 100) * plot_h
        out.append(f'<line x1="{LEFT}" x2="{LEFT + plot_w:.1f}" y1="{at:.1f}" y2="{at:.1f}" stroke="var(--line)"/>')
        out.append(_words(LEFT - 8, at + 4, f"{pct}", anchor="end", color="quiet"))
    out.append(_words(LEFT + plot_w / 2, TOP + plot_h + 40, "Dose (Gy)", size=13))
    middle = TOP + plot_h / 2
    turned = _words(0, 0, "Volume (%)", size=13)
    out.append(f'<g transform="translate(18 {middle:.1f}) rotate(-90)">{turned}</g>')
    return out


def _legend(bands: Sequence[DvhBand], coverage_pct: float, left: float) -> list[str]:
    out = []
    for n, band in enumerate(bands):
        at = TOP + 8 + ROW * n
        color, dash = PALETTE[n % len(PALETTE)], DASHES[(n // len(PALETTE)) % len(DASHES)]
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        name = band.name if len(band.name) <= NAME_LENGTH else band.name[: NAME_LENGTH - 1] + "\u2026"
        out.append(f'<rect x="{left}" y="{at - 6:.1f}" width="26" height="12" fill="{color}" fill-opacity="0.22"/>')
        out.append(
            f'<line x1="{left}" x2="{left + 26}" y1="{at:.1f}" y2="{at:.1f}" stroke="{color}" '
            f'stroke-width="2"{dashed}/>'
        )
        words = _words(left + 34, at + 4, name, anchor="start")
        out.append(f"<g>{words}<title>{escape(band.name)}</title></g>")
    at = TOP + 14 + ROW * len(bands)
    notes = ("line: this registration", f"band: {coverage_pct:g} % of sampled", "registrations, per volume level")
    return out + [
        _words(left, at + 15 * n, note, size=11, anchor="start", color="quiet") for n, note in enumerate(notes)
    ]


def _axis_top(bands: Sequence[DvhBand], coverage_pct: float) -> float:
    highest = max((float(np.max([b.nominal_gy.max(), b.band(coverage_pct)[1].max()])) for b in bands), default=1.0)
    if highest <= 0:
        return 1.0
    step = 10 ** np.floor(np.log10(highest)) / 2
    return float(np.ceil(highest * 1.001 / step) * step)


def _words(
    x: float, y: float, text: str, *, size: int = 12, anchor: str = "middle", color: str = "ink", weight: int = 400
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" '
        f'fill="var(--{color})">{escape(text)}</text>'
    )


def _page(width: float, height: float, title: str, theme: str, body: Sequence[str]) -> str:
    colors = THEMES.get(theme, THEMES["light"])
    style = "".join(f"--{name}:var(--valor-{name},{value});" for name, value in colors.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" aria-label="{escape(title)}" font-family="system-ui, sans-serif" '
        f'style="{style}"><rect width="100%" height="100%" fill="var(--paper)"/>' + "".join(body) + "</svg>"
    )
