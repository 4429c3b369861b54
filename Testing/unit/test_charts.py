import xml.etree.ElementTree as ET

import pytest

from valorlib.charts import bar_chart, matrix_chart, nice_top

SVG = "{http://www.w3.org/2000/svg}"


def bars(text):
    return [r for r in ET.fromstring(text).iter(f"{SVG}rect") if r.find(f"{SVG}title") is not None]


def test_bars_are_as_high_as_their_values():
    found = bars(bar_chart("A", ["x", "y"], {"one": [0.5, 1.0], "two": [None, 0.25]}, top=1.0))
    heights = sorted(float(r.get("height")) for r in found)
    assert len(heights) == 3
    assert heights == pytest.approx([heights[-1] / 4, heights[-1] / 2, heights[-1]], abs=0.1)
    assert len({r.get("fill") for r in found}) == 2


def test_values_out_of_range_stay_inside_the_frame_and_nan_is_a_gap():
    found = bars(bar_chart("A", ["x"] * 4, {"one": [-3.0, 50.0, float("nan"), 1.0]}, top=1.0))
    assert len(found) == 3
    assert all(0 <= float(r.get("height")) <= 164.1 for r in found)


def test_many_categories_are_thinned_out_and_names_are_escaped():
    text = bar_chart("<b>", [str(n) for n in range(300)], {"<i>": [1.0] * 300})
    words = [t.text for t in ET.fromstring(text).iter(f"{SVG}text")]
    assert "<b>" in words
    assert "<i>" in words
    assert sum(w.isdigit() for w in words if w) < 60


def test_the_axis_ends_at_a_round_number():
    assert [nice_top(v) for v in (0, 0.3, 1, 1.01, 24, 26, 99)] == [1, 0.5, 1, 2, 25, 50, 100]


def test_a_matrix_shows_each_number_and_a_dash_for_none():
    text = matrix_chart("R", ["a", "b"], [[1.0, -0.5], [-0.5, None]])
    words = [t.text for t in ET.fromstring(text).iter(f"{SVG}text")]
    assert words.count("-0.50") == 2
    assert "1.00" in words
    assert "-" in words
