"""Dose-volume histograms by an exact sort, their metrics with numerical error, and bands over sampled doses."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.core.errors import InputError
from valorlib.core.images import Dose
from valorlib.metrics.dose import dose_at
from valorlib.metrics.solids import StructurePoints

F64 = NDArray[np.float64]

REFUSED_CC = 0.1
WARNED_CC = 1.0
LEVELS_PCT: F64 = np.unique(np.concatenate([np.linspace(0, 2, 9), np.linspace(2, 98, 193), np.linspace(98, 100, 9)]))
"""Volume levels of a DVH table, finer at both ends."""


@dataclass(frozen=True, eq=False)
class Dvh:
    """Cumulative DVH of one structure, without bins.

    gy: (n,) dose of each sample, rising. weights_cc: (n,) volume each stands for.
    """

    name: str
    gy: NDArray[np.floating[Any]]
    weights_cc: F64
    _below: F64 = field(init=False, repr=False)

    def __post_init__(self) -> None:
        order = np.argsort(self.gy, kind="stable")
        weights = np.asarray(self.weights_cc, dtype=np.float64)[order]
        object.__setattr__(self, "gy", np.asarray(self.gy, dtype=np.float64)[order])
        object.__setattr__(self, "weights_cc", weights)
        # A sample stands for the dose in the middle of its volume.
        object.__setattr__(self, "_below", np.cumsum(weights) - weights / 2)

    @property
    def volume_cc(self) -> float:
        """Volume of the structure."""
        return float(self.weights_cc.sum())

    @property
    def mean_gy(self) -> float:
        """Mean dose."""
        return float(np.average(self.gy, weights=self.weights_cc))

    @property
    def min_gy(self) -> float:
        """Lowest dose of a sample."""
        return float(self.gy[0])

    @property
    def max_gy(self) -> float:
        """Highest dose of a sample."""
        return float(self.gy[-1])

    def dose_at_cc(self, volume_cc: float | F64) -> F64:
        """Lowest dose of the hottest `volume_cc`."""
        return np.asarray(np.interp(self.volume_cc - np.asarray(volume_cc), self._below, self.gy))

    def dose_at_pct(self, volume_pct: float | F64) -> F64:
        """Dose at least this share of the volume gets; 100 % is the minimum."""
        return self.dose_at_cc(np.asarray(volume_pct, dtype=np.float64) * self.volume_cc / 100)

    def volume_at_gy(self, gy: float | F64) -> F64:
        """Share of the volume, %, that gets at least this dose."""
        below = np.concatenate([[0.0], np.cumsum(self.weights_cc)])
        at = np.searchsorted(self.gy, np.asarray(gy, dtype=np.float64), side="left")
        return np.asarray(100 * (1 - below[at] / below[-1]))

    def differential(self, edges_gy: F64) -> F64:
        """Volume, cc, in each dose interval."""
        return np.asarray(np.histogram(self.gy, bins=edges_gy, weights=self.weights_cc)[0], dtype=np.float64)


@dataclass(frozen=True)
class Metric:
    """One figure of a DVH: "Dmean", "Dmax", "Dmin", "D95%", "D0.03cc", "V20Gy", "V20Gycc", "V95%" or "Volume".

    kind: mean, max, min, dose_pct, dose_cc, volume_gy, volume_rel, volume. cc: a volume in cc instead of %.
    """

    text: str
    kind: str
    value: float = 0.0
    cc: bool = False

    @classmethod
    def parse(cls, text: str) -> Metric:
        """Metric of a text; spaces and case do not matter.

        Raises:
            InputError: not a metric.
        """
        plain = text.replace(" ", "").replace("_", "").lower()
        simple = {"dmean": "mean", "mean": "mean", "dmax": "max", "max": "max", "dmin": "min", "min": "min"}
        if plain in simple:
            return cls(f"D{simple[plain]}", simple[plain])
        if plain in ("volume", "vol"):
            return cls("Volume", "volume", cc=True)
        number = r"(\d+(?:\.\d+)?)"
        if found := re.fullmatch(rf"d{number}(%|cc|cm3)", plain):
            percent = found[2] == "%"
            return cls(f"D{found[1]}{'%' if percent else 'cc'}", "dose_pct" if percent else "dose_cc", float(found[1]))
        if found := re.fullmatch(rf"v{number}(gy|%)\(?(cc|cm3|%)?\)?", plain):
            cc = found[3] in ("cc", "cm3")
            unit = "Gy" if found[2] == "gy" else "%"
            kind = "volume_gy" if unit == "Gy" else "volume_rel"
            return cls(f"V{found[1]}{unit}{'cc' if cc else ''}", kind, float(found[1]), cc)
        raise InputError(f"metric: expected Dmean, Dmax, Dmin, D95%, D0.03cc, V20Gy, V20Gycc or V95%, got {text!r}")

    @property
    def unit(self) -> str:
        """Gy, % or cc."""
        if self.kind.startswith("volume"):
            return "cc" if self.cc else "%"
        return "Gy"

    def of(self, dvh: Dvh, prescription_gy: float | None = None) -> float:
        """The figure of one DVH; NaN where the volume asked for is larger than the structure."""
        if self.kind == "volume":
            return dvh.volume_cc
        if self.kind in ("mean", "max", "min"):
            return float(getattr(dvh, f"{self.kind}_gy"))
        if self.kind == "dose_pct":
            return float(dvh.dose_at_pct(self.value))
        if self.kind == "dose_cc":
            return float(dvh.dose_at_cc(self.value)) if self.value <= dvh.volume_cc else float("nan")
        gy = self.value
        if self.kind == "volume_rel":
            if prescription_gy is None:
                raise InputError(f"{self.text}: expected a prescription for a dose in percent; give prescription_gy")
            gy = self.value * prescription_gy / 100
        share = float(dvh.volume_at_gy(gy))
        return share * dvh.volume_cc / 100 if self.cc else share


DEFAULT_METRICS = tuple(Metric.parse(m) for m in ("Dmean", "Dmin", "Dmax", "D98%", "D95%", "D50%", "D2%", "D0.03cc"))


@dataclass(frozen=True, kw_only=True)
class MetricValue:
    """One figure of one structure.

    error: standard error of the numerical integration. low, high: 95 % interval over the sampled doses, and
    monte_carlo: standard error of its ends; NaN without samples. note: a warning, or why it is refused (value NaN).
    """

    structure: str
    metric: str
    unit: str
    value: float
    error: float
    low: float = float("nan")
    high: float = float("nan")
    median: float = float("nan")
    monte_carlo: float = float("nan")
    note: str = ""


def dvh_of(points: StructurePoints, dose: Dose) -> Dvh:
    """DVH of a structure in a dose.

    Raises:
        InputError: the dose grid covers none of the structure.
    """
    found = dose_at(dose, points.points)
    if not found.inside.any():
        raise InputError(
            f"{points.name}: expected a dose that covers the structure, got one that misses it; "
            "check that both are in the same frame of reference"
        )
    return Dvh(points.name, found.gy, points.weights_mm3 / 1000 / points.replicates)


def volume_note(volume_cc: float) -> str:
    """Warning for a small structure; empty for others."""
    if volume_cc < REFUSED_CC:
        return f"volume {volume_cc:.3g} cc is too small for a DVH (below {REFUSED_CC} cc)"
    if volume_cc < WARNED_CC:
        return f"volume below {WARNED_CC:g} cc: programs differ by 7 to 75 % in such structures"
    return ""


def metric_values(
    points: StructurePoints,
    gy: NDArray[np.float32],
    metrics: Sequence[Metric] = DEFAULT_METRICS,
    *,
    samples: NDArray[np.float32] | None = None,
    prescription_gy: float | None = None,
) -> tuple[MetricValue, ...]:
    """Metrics of a structure with numerical error and, from sampled doses, 95 % interval.

    Args:
        points: the structure.
        gy: (n,) nominal dose at its points.
        metrics: which figures.
        samples: (s, m) sampled doses at m points of equal weight.
        prescription_gy: for metrics in percent of the prescription.
    """
    whole = Dvh(points.name, gy, points.weights_mm3 / 1000 / points.replicates)
    parts = [
        Dvh(points.name, gy[points.replicate == r], points.weights_mm3[points.replicate == r] / 1000)
        for r in range(points.replicates)
    ]
    sampled: list[Dvh] = []
    if samples is not None:
        weight = np.full(samples.shape[1], whole.volume_cc / samples.shape[1])
        sampled = [Dvh(points.name, row, weight) for row in samples]
    rows = []
    note = volume_note(whole.volume_cc)
    refused = whole.volume_cc < REFUSED_CC
    for metric in metrics:
        if refused and metric.kind != "volume":
            value = error = float("nan")
        else:
            value = metric.of(whole, prescription_gy)
            each = np.asarray([metric.of(part, prescription_gy) for part in parts])
            error = float(each.std(ddof=1) / np.sqrt(len(each))) if len(each) > 1 else float("nan")
        row = MetricValue(
            structure=points.name, metric=metric.text, unit=metric.unit, value=value, error=error, note=note
        )
        rows.append(row if refused or not sampled else _with_interval(row, metric, sampled, prescription_gy))
    return tuple(rows)


def _with_interval(row: MetricValue, metric: Metric, sampled: list[Dvh], prescription_gy: float | None) -> MetricValue:
    values = np.asarray([metric.of(dvh, prescription_gy) for dvh in sampled])
    low, median, high = percentiles(values, (2.5, 50, 97.5))
    error = max(quantile_error(values, 0.025), quantile_error(values, 0.975))
    interval = {"low": float(low), "high": float(high), "median": float(median), "monte_carlo": error}
    return MetricValue(**{**row.__dict__, **interval})


def percentiles(samples: NDArray[Any], percents: Sequence[float]) -> NDArray[Any]:
    """(p, ...) percentiles of samples (s, ...) below which a further draw lies that often.

    Of 100 samples the usual ones, which interpolate from the lowest to the highest, hold 88 % of draws in a 90 % band.
    """
    return np.asarray(np.percentile(samples, percents, axis=0, method="weibull"))


def quantile_error(values: F64, p: float) -> float:
    """Standard error of a quantile, from the order statistics one binomial standard deviation to each side."""
    step = np.sqrt(p * (1 - p) / len(values))
    low, high = np.quantile(values, (max(0.0, p - step), min(1.0, p + step)))
    return float((high - low) / 2)


@dataclass(frozen=True, eq=False, kw_only=True)
class DvhBand:
    """DVH of a structure with bands over the sampled doses; dose at each volume level.

    volume_pct: (l,). nominal_gy: (l,). percentiles_gy: percent to (l,). monte_carlo_gy: (l,) standard error of the 5th
    and 95th percentile, the larger. family_low_gy, family_high_gy: (l,) band that holds 90 % of the sampled DVHs whole.
    """

    name: str
    volume_cc: float
    volume_pct: F64
    nominal_gy: F64
    percentiles_gy: dict[float, F64]
    monte_carlo_gy: F64
    family_low_gy: F64
    family_high_gy: F64

    def band(self, coverage_pct: float) -> tuple[F64, F64]:
        """Lower and upper dose of the central band: 50, 80, 90 or 95 %."""
        tail = (100 - coverage_pct) / 2
        return self.percentiles_gy[tail], self.percentiles_gy[100 - tail]


PERCENTILES = (2.5, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 97.5)


def dvh_band(nominal: Dvh, samples: NDArray[np.float32], levels_pct: F64 = LEVELS_PCT) -> DvhBand:
    """Bands: percentiles, at each volume level, of the DVHs of the samples.

    Args:
        nominal: DVH of the nominal dose.
        samples: (s, m) sampled doses at m points of equal weight.
        levels_pct: rising volume levels.
    """
    count, points = samples.shape
    rising = np.sort(samples, axis=1)
    at = np.clip((1 - levels_pct / 100) * points - 0.5, 0, points - 1)
    below = np.minimum(at.astype(int), max(points - 2, 0))
    above = np.minimum(below + 1, points - 1)
    share = (at - below).astype(np.float32)
    curves = (rising[:, below] * (1 - share) + rising[:, above] * share).astype(np.float64)
    found = percentiles(curves, PERCENTILES)
    errors = [_percentile_error(curves, p, count) for p in (0.05, 0.95)]
    low, high = family_band(curves)
    return DvhBand(
        name=nominal.name,
        volume_cc=nominal.volume_cc,
        volume_pct=levels_pct,
        nominal_gy=nominal.dose_at_pct(levels_pct),
        percentiles_gy=dict(zip(PERCENTILES, found, strict=True)),
        monte_carlo_gy=np.maximum(*errors),
        family_low_gy=low,
        family_high_gy=high,
    )


def _percentile_error(curves: F64, p: float, count: int) -> F64:
    step = np.sqrt(p * (1 - p) / count)
    low, high = np.quantile(curves, (max(0.0, p - step), min(1.0, p + step)), axis=0)
    return np.asarray((high - low) / 2)


def family_band(curves: F64, coverage: float = 0.9) -> tuple[F64, F64]:
    """Band around the median that holds the share `coverage` of the curves, (s, l), over their whole length."""
    middle = np.median(curves, axis=0)
    spread = curves.std(axis=0) + 1e-9 * (1 + np.abs(middle))
    worst = np.max(np.abs(curves - middle) / spread, axis=1)
    reach = float(np.quantile(worst, coverage))
    return middle - reach * spread, middle + reach * spread
