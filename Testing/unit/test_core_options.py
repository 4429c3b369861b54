"""Options carry range, unit and help, and refuse what is not legal."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from valorlib.core.errors import InputError
from valorlib.core.options import Options, as_dict, describe, option, with_settings


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Options of a method that is not there."""

    count: int = option(3, "How many", low=1, high=9)
    sigma_mm: float = option(1.5, "How wide", low=0.0, unit="mm")
    on: bool = option(True, "Whether at all", advanced=True)
    kind: str = option("a", "Which", choices=("a", "b"))
    levels: tuple[int, ...] = option((1, 2), "Which ones", low=0, high=5)
    widths: tuple[float, ...] = option((), "How wide each")


def test_each_option_is_described():
    found = {info.name: info for info in describe(Sample)}
    assert list(found) == ["count", "sigma_mm", "on", "kind", "levels", "widths"]
    assert found["sigma_mm"].label == "Sigma (mm)"
    assert found["count"].label == "Count"
    assert found["levels"].kind is tuple
    assert found["on"].advanced
    assert as_dict(Sample())["levels"] == (1, 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 0}, "count: expected 1 to 9, got 0"),
        ({"count": 10}, "count: expected 1 to 9"),
        ({"count": "many"}, "count: expected a number"),
        ({"count": True}, "count: expected a number"),
        ({"sigma_mm": -1.0}, "sigma_mm: expected 0 to inf mm, got -1"),
        ({"sigma_mm": float("nan")}, "sigma_mm"),
        ({"kind": "c"}, "kind: expected one of a, b, got c"),
        ({"levels": (1, 7)}, "levels: expected 0 to 5"),
    ],
)
def test_values_out_of_range_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        Sample(**values)


def test_settings_are_read_from_text():
    changed = with_settings(
        Sample(), {"count": "5", "sigma_mm": "2.5", "on": "off", "kind": "b", "levels": "0; 3", "widths": "1,2.5"}
    )
    assert changed == Sample(count=5, sigma_mm=2.5, on=False, kind="b", levels=(0, 3), widths=(1.0, 2.5))
    assert with_settings(Sample(), {"on": "yes"}).on


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"size": "1"}, "size: no such option; the options are count, sigma_mm"),
        ({"count": "x"}, "count: expected int, got 'x'"),
        ({"sigma_mm": "wide"}, "sigma_mm: expected float"),
        ({"on": "maybe"}, "on: expected true or false"),
        ({"levels": "1,x"}, "levels: expected tuple"),
        ({"count": "99"}, "count: expected 1 to 9"),
    ],
)
def test_settings_that_cannot_be_read(settings, words):
    with pytest.raises(InputError, match=words):
        with_settings(Sample(), settings)
