"""Forms built from options, and what comes back from the page."""

from dataclasses import dataclass

import pytest

from valor_workbench.forms import changed, form_fields
from valorlib.core.errors import InputError
from valorlib.core.options import Options, option


@dataclass(frozen=True, kw_only=True)
class Sample(Options):
    """Options of every kind."""

    steps: int = option(10, "Number of steps", low=1, high=100)
    sigma_mm: float = option(1.5, "Smoothing", low=0.5, high=10.0, unit="mm")
    levels: tuple[float, ...] = option((4.0, 2.0), "Levels", low=0.1, high=9.0)
    similarity: str = option("lncc", "Measure", choices=("lncc", "ssd"))
    check: bool = option(True, "Check", advanced=True)


def test_each_option_gets_the_control_its_kind_needs():
    rows = {row["name"]: row for row in form_fields(Sample())}
    assert {name: row["kind"] for name, row in rows.items()} == {
        "steps": "number",
        "sigma_mm": "number",
        "levels": "text",
        "similarity": "choice",
        "check": "switch",
    }
    assert rows["sigma_mm"]["label"] == "Sigma (mm)"
    assert rows["sigma_mm"]["help"] == "Smoothing (0.5 to 10 mm)"
    assert rows["sigma_mm"]["step"] == 0.1
    assert rows["steps"]["step"] == 1
    assert rows["levels"]["value"] == "4, 2"
    assert rows["similarity"]["choices"] == ["lncc", "ssd"]


def test_a_value_from_the_page_is_taken_over_and_marked_as_changed():
    options = changed(changed(Sample(), "sigma_mm", "2.5"), "levels", "8, 4, 2")
    assert options == Sample(sigma_mm=2.5, levels=(8.0, 4.0, 2.0))
    assert [row["name"] for row in form_fields(options) if row["changed"]] == ["sigma_mm", "levels"]
    assert changed(Sample(), "check", False) == Sample(check=False)
    assert changed(Sample(), "steps", 20.0) == Sample(steps=20)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sigma_mm", "-1"),
        ("sigma_mm", "nan"),
        ("steps", "many"),
        ("similarity", "<script>"),
        ("check", "perhaps"),
        ("__class__", "x"),
        ("nothing", 1),
        ("steps", [1]),
        ("steps", {"a": 1}),
        (None, 1),
        ("levels", "1, x"),
    ],
)
def test_a_forged_or_wrong_value_is_refused_in_a_sentence(name, value):
    with pytest.raises(InputError):
        changed(Sample(), name, value)


def test_an_error_stands_beside_its_field():
    rows = {row["name"]: row for row in form_fields(Sample(), {"steps": "steps: expected 1 to 100"})}
    assert rows["steps"]["error"] == "steps: expected 1 to 100"
    assert rows["check"]["error"] == ""
