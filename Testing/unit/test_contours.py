"""Contours made solid: areas, holes, keyholes, caps, gaps and faults."""

from __future__ import annotations

import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.metrics.contours import Contours, fill, signed_distance, solid_of
from valorlib.metrics.solids import sample_solid

TURN = np.asarray([[0.8, -0.6, 0.0], [0.36, 0.48, -0.8], [0.48, 0.64, 0.6]])


def ring(radius, z, center=(0.0, 0.0), count=120):
    t = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([center[0] + radius * np.cos(t), center[1] + radius * np.sin(t), np.full_like(t, z)], axis=1)


def square(size, z, center=(0.0, 0.0)):
    h = size / 2
    corners = [(-h, -h), (h, -h), (h, h), (-h, h)]
    return np.asarray([(center[0] + x, center[1] + y, z) for x, y in corners])


def volume_cc(polygons, cap="quarter"):
    return sample_solid(solid_of(Contours("A", tuple(polygons)), cap=cap)).volume_cc


HEIGHTS = np.arange(0, 20.1, 2.0)
TALL = 21.0
"""mm, with end caps of a quarter of 2 mm each."""


# A rounded end of a square is side x (1 - t^2) at t of half a slice: 8/15 of the slab.
ENDS = [("none", 20.0), ("quarter", 21.0), ("third", 20 + 4 / 3), ("half", 22.0), ("rounded", 20 + 16 / 15)]


@pytest.mark.parametrize(("cap", "height"), ENDS)
def test_a_box_has_its_volume_by_each_end_cap_rule(cap, height):
    found = volume_cc([square(12, z) for z in HEIGHTS], cap=cap)
    assert found == pytest.approx(12 * 12 * height / 1000, rel=5e-3)


def test_the_volume_does_not_depend_on_how_the_planes_are_tilted():
    straight = [ring(8, z) for z in HEIGHTS]
    turned = [p @ TURN + (30.0, -12.0, 5.0) for p in straight]
    assert volume_cc(turned) == pytest.approx(volume_cc(straight), rel=3e-3)
    assert volume_cc(straight) == pytest.approx(np.pi * 64 * TALL / 1000, rel=5e-3)


def test_a_contour_inside_another_is_a_hole_and_so_is_a_keyhole():
    ringed = [p for z in HEIGHTS for p in (square(12, z), square(6, z))]
    expected = (144 - 36) * TALL / 1000
    assert volume_cc(ringed) == pytest.approx(expected, rel=1e-2)

    def keyhole(z):
        outer, inner = square(12, z), square(6, z)[::-1]
        return np.concatenate([outer, outer[:1], inner[[3, 0, 1, 2, 3]]])

    assert volume_cc([keyhole(z) for z in HEIGHTS]) == pytest.approx(expected, rel=1e-2)


def test_several_contours_in_a_slice_add_up():
    both = [p for z in HEIGHTS for p in (square(6, z, (-10, 0)), square(6, z, (10, 0)))]
    assert volume_cc(both) == pytest.approx(2 * 36 * TALL / 1000, rel=1e-2)


def test_a_missing_slice_is_bridged_and_a_wide_gap_splits():
    one_less = [square(12, z) for z in HEIGHTS if z != 10]
    solid = solid_of(Contours("A", tuple(one_less)), cap="quarter")
    assert "missing" in solid.warnings[0]
    assert sample_solid(solid).volume_cc == pytest.approx(144 * TALL / 1000, rel=5e-3)
    two_parts = [square(12, z) for z in (0, 2, 4, 6, 20, 22, 24, 26)]
    solid = solid_of(Contours("A", tuple(two_parts)), cap="quarter")
    assert "2 parts" in solid.warnings[0]
    assert sample_solid(solid).volume_cc == pytest.approx(2 * 144 * (TALL - 14) / 1000, rel=1e-2)
    assert volume_cc(two_parts, "rounded") == pytest.approx(2 * 144 * (6 + 16 / 15) / 1000, rel=1e-2)


def test_a_rounded_end_draws_in_with_the_square_of_the_height():
    solid = solid_of(Contours("A", tuple(ring(10, z) for z in HEIGHTS)))
    # At 0.5 of the 1 mm of the cap a quarter of the 10 mm is gone.
    edge = np.asarray([(7.3, 0, -0.5), (7.7, 0, -0.5), (7.3, 0, 20.5), (7.7, 0, 20.5), (9.8, 0, 0.0), (0.0, 0, 21.1)])
    assert solid.inside(edge).tolist() == [True, False, True, False, True, False]


def test_the_shape_between_two_slices_is_in_between():
    solid = solid_of(Contours("A", (ring(10, 0.0), ring(6, 4.0))), cap="none")
    edge = np.asarray([(7.9, 0, 2.0), (8.1, 0, 2.0), (8.9, 0, 1.0), (9.1, 0, 1.0)])
    assert solid.inside(edge).tolist() == [True, False, True, False]


def test_one_slice_gets_a_thickness_and_says_so():
    solid = solid_of(Contours("A", (square(12, 5.0),)), cap="half")
    assert "one slice" in solid.warnings[0]
    assert sample_solid(solid).volume_cc == pytest.approx(144 * 1 / 1000, rel=1e-2)


def test_signed_distance_is_exact_near_a_circle():
    found = signed_distance([ring(10, 0, count=720)[:, :2]], np.asarray([-15.0, -15.0]), 0.5, (61, 61))
    y, x = np.meshgrid(np.arange(61) * 0.5 - 15, np.arange(61) * 0.5 - 15, indexing="ij")
    exact = 10 - np.hypot(x, y)
    near = np.abs(exact) < 0.7
    np.testing.assert_allclose(found[near], exact[near], atol=1e-3)
    np.testing.assert_allclose(found, exact, atol=0.5)


def test_filling_agrees_with_the_area_by_the_shoelace_formula():
    rng = np.random.default_rng(0)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    outline = np.stack([np.cos(angles), np.sin(angles)], axis=1) * rng.uniform(10, 30, (12, 1))
    x, y = outline.T
    area = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    found = fill([outline], np.asarray([-35.0, -35.0]), 0.1, (701, 701)).sum() * 0.01
    assert found == pytest.approx(area, rel=2e-3)


@pytest.mark.parametrize(
    ("polygons", "sentence"),
    [
        ((), "expected contours, got none"),
        ((np.asarray([(0.0, 0, 0), (1, 0, 0), (2, 0, 0)]),), "contours with an area"),
        ((np.asarray([(0.0, 0, 0), (9, 0, 0), (9, 9, 8), (0, 9, 0)]),), "planar contours"),
    ],
)
def test_what_is_no_structure_is_refused_in_a_sentence(polygons, sentence):
    with pytest.raises(InputError, match=sentence):
        solid_of(Contours("A", polygons))


def test_an_unknown_cap_rule_is_refused():
    with pytest.raises(InputError, match="cap: expected one of none, quarter, third, half, rounded"):
        solid_of(Contours("A", (square(3, 0),)), cap="full")
