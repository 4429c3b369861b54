import struct
import zlib

import numpy as np
import pytest

from valorlib.convert.results import complete
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.transforms import AffineTransform
from valorlib.metrics.summary import summarize
from valorlib.report import registration_report, warnings_of
from valorlib.report_pictures import View, checkerboard, diverging, gray, overlay, png, window, with_contour


def record_of(pair, result, name="fixed.nrrd"):
    return {
        "method": "valor", "seconds_by_step": {"register": 1.0}, "device": "cpu", "version": "0", "seed": 0,
        "warnings": list(result.warnings), "versions": {"numpy": "2"}, "options": {"a": 1},
        "inputs": {"fixed": {"name": name, "sha256": "0" * 64}}, "numbers": summarize(pair, result),
    }  # fmt: skip


def make(shape=(12, 14, 16), **result):
    rng = np.random.default_rng(0)
    grid = Grid(shape[::-1], (1.0, 1.0, 2.0))
    pair = ImagePair(*(Image(rng.random(shape, dtype=np.float32), grid, name) for name in ("<b>fixed</b>", "moving")))
    return pair, Result(AffineTransform.identity(), **result)


def html_of(pair, result, **record):
    return registration_report(pair, result, complete(pair, result), record_of(pair, result, **record))


def test_text_from_outside_is_escaped():
    pair, result = make(warnings=("<script>alert(1)</script>",))
    html = html_of(pair, result, name="<img src=x>")
    assert "<script>" not in html
    assert "<img src=x>" not in html
    assert "&lt;b&gt;fixed" in html


def test_a_volume_shows_three_planes_and_a_slice_one():
    pair, result = make()
    assert html_of(pair, result).count("data:image/png") == 18
    pair, result = make(shape=(1, 14, 16))
    assert html_of(pair, result).count("data:image/png") == 6


def test_tumors_add_pictures_and_a_table():
    pair, _ = make()
    labels = np.zeros(pair.fixed.grid.shape, np.int32)
    labels[4:8, 5:9, 6:10] = 1
    mask = LabelMap(labels, pair.fixed.grid)
    result = Result(AffineTransform.identity(), fixed_seg=mask, moving_seg=mask, warped_seg=mask)
    html = html_of(pair, result)
    assert html.count("data:image/png") == 24
    assert "<h2>Tumors</h2>" in html


def test_warnings_are_sentences_about_what_is_wrong():
    numbers = {
        "folds": {"strict_count": 7, "strict_share_pct": 0.5},
        "inverse_consistency": {"mean_mm": 0.4, "p95_mm": 2.0},
        "similarity": {"before": {"ncc": 0.9}, "after": {"ncc": 0.5}},
        "tumors": [{"tumor": 1, "agreement": {"dice": 0.3}}, {"tumor": 2, "agreement": {"dice": 0.9}}],
        "landmarks": {"after": {"max_mm": 8.0}},
    }
    found = warnings_of(numbers)
    for word in ("folds at 7 voxels", "2.00 mm", "agree less", "Tumor 1", "8.0 mm off"):
        assert any(word in text for text in found), word
    assert not any("Tumor 2" in text for text in found)
    fine = {"folds": {"strict_count": 0}, "similarity": {"before": {"ncc": 0.1}, "after": {"ncc": 0.5}}}
    assert warnings_of(fine) == []


def test_a_png_holds_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = png(picture)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", data[16:24]) == (7, 5)
    start = data.index(b"IDAT")
    length = struct.unpack(">I", data[start - 4 : start])[0]
    lines = np.frombuffer(zlib.decompress(data[start + 4 : start + 4 + length]), np.uint8).reshape(5, 22)
    np.testing.assert_array_equal(lines[:, 1:].reshape(5, 7, 3), picture)


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [1, -1])
def test_views_turn_any_orientation_to_left_posterior_superior(axis, sign):
    direction = np.roll(np.eye(3), axis, axis=1) * sign
    grid = Grid((4, 5, 6), (1.0, 2.0, 3.0), (7.0, 8.0, 9.0), tuple(map(tuple, direction)))
    view = View.of(grid)
    for world, plane in ((0, 2), (1, 1), (2, 0)):
        turned = view.turned(grid.points()[..., world])
        steps = np.diff(turned, axis=plane)
        assert (steps > 0).all()
        assert steps.max() == pytest.approx(view.spacing[plane])


def test_superior_is_up_and_pixels_are_square():
    grid = Grid((10, 10, 5), (1.0, 1.0, 4.0))
    k = np.arange(5, dtype=np.float32)[:, None, None] * np.ones((5, 10, 10), np.float32)
    picture = View.of(grid).slice_of(k, 1, (2, 5, 5), 100)
    assert picture.shape == (100, 50)
    assert picture[0].mean() > picture[-1].mean()


def test_colors_by_hand():
    assert gray(np.array([[0.0, 5.0, 10.0, 99.0]], np.float32), (0, 10))[0, :, 0].tolist() == [0, 128, 255, 255]
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert overlay(black, white)[0, 0].tolist() == [255, 0, 0]
    assert overlay(white, black)[0, 0].tolist() == [0, 255, 255]
    assert checkerboard(black, white, squares=2)[..., 0].tolist() == [[0, 255], [255, 0]]
    assert diverging(np.zeros((1, 1)), 1.0)[0, 0].tolist() == [255, 255, 255]
    assert diverging(np.array([[2.0, -2.0]]), 1.0)[0].tolist() == [[214, 96, 0], [11, 90, 160]]
    assert window(np.full((4, 4, 4), 3, np.float32)) == (3, 4)


def test_a_contour_surrounds_the_mask_and_leaves_its_inside():
    mask = np.zeros((9, 9), np.float32)
    mask[3:6, 3:6] = 1
    drawn = with_contour(np.zeros((9, 9, 3), np.uint8), mask, (1, 2, 3))
    assert drawn[4, 4].tolist() == [0, 0, 0]
    assert drawn[2, 4].tolist() == [1, 2, 3]
    assert drawn[0, 0].tolist() == [0, 0, 0]
