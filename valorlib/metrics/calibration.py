"""Does sigma say the truth: coverage, reliability curve, likelihood, and the one scale that would be right."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from valorlib.core.errors import InputError

F64 = NDArray[np.float64]

LEVELS = (0.5, 0.8, 0.95)
SCALES_FILE = Path(__file__).with_name("uncertainty_scales.json")


TRUSTED = 0.5
"""Chosen on five made cases that are not among those reported: with a scale from other cases 0.3 to 0.7 did best."""
SHARES = np.linspace(0, 0.99, 100)


@lru_cache(maxsize=64)
def _radii(level: float) -> F64:
    """Radii at `SHARES`."""
    free = (1 - SHARES) / 3
    square = free * np.append(stats.chi2.ppf(level, 3), stats.ncx2.ppf(level, 3, SHARES[1:] / free[1:]))
    return np.asarray(np.sqrt(square))


def known_share(seen: NDArray[Any] | float) -> F64:
    """Share of sigma^2 that is a known shift, of the share that is a difference seen to a second registration.

    With D the squared difference and A the second one's own variance, seen is D / (D + A). The error's own variance is
    then about D - A, and of the difference the part (D - A) / D is expected to be the first one's error (empirical
    Bayes): the shift has the square ((D - A) / D)^2 D and the rest the variance A (D - A) / D. Of that share a half is
    taken (`TRUSTED`), as the scale on sigma is not known well either.
    """
    return np.asarray(TRUSTED * np.maximum(0, 2 - 1 / np.maximum(seen, 1e-6)))


def radius(level: float, known: NDArray[Any] | float = 0.0) -> F64:
    """Radius, in sigma (rms 3D length), of the ball that holds a share of the errors.

    The error is a known shift plus an isotropic Gaussian. Without a shift 0.888, 1.244 and 1.614 at 50, 80 and 95 %.
    The more of it is a shift, the nearer all three come to 1.

    Args:
        level: share held.
        known: share of sigma^2 that is the shift, 0 to 1.
    """
    return np.asarray(np.interp(known, SHARES, _radii(level)))


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well sigma described known errors.

    coverage: level to the share of errors inside its radius. curve: (expected, observed) shares for a plot.
    mean_gap, worst_gap: points between coverage and level (0 to 100). spearman: rank correlation of sigma and error.
    nll: mean negative log likelihood, nat, and constant_nll that of one sigma of the true size everywhere.
    scale: the factor on sigma that would have been right.
    """

    points: int
    rms_error_mm: float
    rms_sigma_mm: float
    spearman: float
    coverage: dict[float, float]
    mean_gap: float
    worst_gap: float
    nll: float
    constant_nll: float
    scale: float
    curve: tuple[tuple[float, float], ...]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)


def calibrate(
    sigma: NDArray[Any], error: NDArray[Any], *, scale: float = 1.0, known: NDArray[Any] | float = 0.0
) -> Calibration:
    """Compare sigma with the lengths of known errors.

    Args:
        sigma: (n,) rms length of the 3D error, mm.
        error: (n,) length of the true error, mm.
        scale: factor put on sigma first.
        known: (n,) share of sigma^2 that is a known shift; see `known_share`.
    """
    if sigma.shape != error.shape or sigma.ndim != 1 or len(sigma) < 10:
        raise InputError(f"sigma: expected at least 10 values, one for each error, got {sigma.shape} and {error.shape}")
    s = np.maximum(np.asarray(sigma, dtype=np.float64) * scale, 1e-6)
    e = np.asarray(error, dtype=np.float64)
    coverage = {level: float(np.mean(e <= radius(level, known) * s)) for level in LEVELS}
    gaps = [100 * abs(coverage[level] - level) for level in LEVELS]
    rms = float(np.sqrt(np.mean(e**2)))
    levels = np.linspace(0.05, 0.95, 19)
    return Calibration(
        points=len(e),
        rms_error_mm=rms,
        rms_sigma_mm=float(np.sqrt(np.mean(s**2))),
        spearman=spearman(s, e),
        coverage=coverage,
        mean_gap=float(np.mean(gaps)),
        worst_gap=float(np.max(gaps)),
        nll=negative_log_likelihood(s, e),
        constant_nll=negative_log_likelihood(np.full_like(s, max(rms, 1e-6)), e),
        scale=right_scale(s, e, known) * scale,
        curve=tuple((float(p), float(np.mean(e <= radius(float(p), known) * s))) for p in levels),
    )


def spearman(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Rank correlation; 0 where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    a, b = stats.rankdata(first), stats.rankdata(second)
    return float(np.corrcoef(a, b)[0, 1])


def negative_log_likelihood(sigma: F64, error: F64) -> float:
    """Mean of -log N(e; 0, sigma^2 / 3 I), nat, for error vectors of these lengths."""
    variance = sigma**2 / 3
    return float(np.mean(1.5 * np.log(2 * np.pi * variance) + 0.5 * error**2 / variance))


def right_scale(sigma: NDArray[Any], error: NDArray[Any], known: NDArray[Any] | float = 0.0) -> float:
    """Factor on sigma that brings the coverage at 50, 80 and 95 % nearest to what it should be."""
    factors = [np.quantile(error / (sigma * radius(level, known)), level) for level in LEVELS]
    return float(np.exp(np.mean(np.log(np.maximum(factors, 1e-6)))))


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A factor on sigma and where it comes from. spread_pct: how far it was seen to vary; value None: unknown.

    motion_mm: rms deformations it was found on, least and largest; None where that is not known.
    """

    value: float | None
    spread_pct: float
    source: str
    motion_mm: tuple[float, float] | None = None


def shipped_scale(estimate: str, site: str) -> Scale:
    """The scale found on generated motion of real CT, per way of estimating and site ("any" where it is not known)."""
    table = json.loads(SCALES_FILE.read_text(encoding="utf-8"))
    rows = table["scales"].get(estimate)
    if rows is None or (site not in rows and "any" not in rows):
        return Scale(value=None, spread_pct=float("nan"), source="no scale is known: only ranks can be trusted")
    row = rows.get(site) or rows["any"]
    where = site if site in rows else "any site"
    source = f"{table['how']} ({where}, {row['cases']} registrations; seen to vary by {row['spread_pct']:.0f} %)"
    low, high = row["motion_mm"]
    return Scale(value=float(row["scale"]), spread_pct=float(row["spread_pct"]), source=source, motion_mm=(low, high))


def sites() -> tuple[str, ...]:
    """Sites with a scale of their own."""
    table = json.loads(SCALES_FILE.read_text(encoding="utf-8"))
    return tuple(sorted({site for rows in table["scales"].values() for site in rows if site != "any"}))


def ranks(sigma: NDArray[Any]) -> NDArray[np.float32]:
    """Percentile, 0 to 100, of each value among all: what is left where no scale is known."""
    order = stats.rankdata(sigma, method="average")
    return np.asarray((100 * (order - 0.5) / sigma.size).reshape(sigma.shape), dtype=np.float32)
