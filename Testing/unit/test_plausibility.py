import dataclasses

import numpy as np
import pytest
from scipy import ndimage

from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, DisplacementField
from valorlib.ops.plausibility import Evidence, alarmed, evidence

GRID = Grid((40, 44, 36), (2.0, 2.0, 2.5), (-10.0, 5.0, 30.0))


def field(vector):
    return DisplacementField(np.broadcast_to(np.float32(vector), (*GRID.shape, 3)).copy(), GRID)


@pytest.fixture(scope="module")
def pair():
    """A textured body, and the same moved by (8, -6, 5) mm with its contrast turned over."""
    rng = np.random.default_rng(4)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in GRID.shape), indexing="ij")
    body = sum(a**2 for a in axes) < 0.7
    texture = ndimage.gaussian_filter(rng.normal(size=GRID.shape), 2.0)
    array = np.where(body, 60 + 20 * texture / texture.std(), 0).astype(np.float32)
    away = dataclasses.replace(GRID, origin=(-2.0, -1.0, 35.0))
    other = np.where(body, 150 - array, 0).astype(np.float32)
    return ImagePair(Image(array, GRID), Image(other, away))


def test_the_right_place_raises_no_alarm_and_a_wrong_one_does(pair):
    right = evidence(pair, field((8.0, -6.0, 5.0)), None)
    assert right.warnings() == []
    assert right.at_result > 2 * right.at_start
    assert right.bend_mm < 0.01
    wrong = evidence(pair, field((-3.0, 4.0, 0.0)), None)
    assert any("no more alike" in text for text in wrong.warnings())
    near = evidence(pair, field((4.0, -2.0, 3.0)), None)
    assert any("does not hold this alignment" in text for text in near.warnings())


def test_noise_against_a_body_is_doubted(pair):
    noise = Image(np.random.default_rng(1).normal(size=GRID.shape).astype(np.float32), GRID)
    assert evidence(ImagePair(pair.fixed, noise), field((1.0, 0.0, 0.0)), None).warnings()


def test_a_bend_counts_between_two_contrasts_only():
    known = {"at_start": 0.1, "at_rigid": 0.2, "at_result": 1.0, "shifted": (0.5,) * 6, "shift_mm": 5.0}
    known |= {"bend_mm": 9.0, "side_mm": 100.0}
    assert Evidence(**known, correlation=0.95).warnings() == []
    (text,) = Evidence(**known, correlation=0.2).warnings()
    assert "bends by 9 mm" in text


def test_a_bend_must_bring_something_over_the_start_and_over_its_rigid_part():
    known = {"at_result": 1.0, "shifted": (0.5,) * 6, "shift_mm": 5.0, "side_mm": 100.0, "correlation": 0.95}
    assert Evidence(**known, bend_mm=4.0, at_start=0.9, at_rigid=0.8).warnings() == []
    for bend_mm, before in ((4.0, (0.98, 0.5)), (4.0, (0.5, 0.98)), (20.0, (0.9, 0.8))):
        (text,) = Evidence(**known, bend_mm=bend_mm, at_start=before[0], at_rigid=before[1]).warnings()
        assert f"bends by {bend_mm:.3g} mm, yet" in text


def test_gray_values_can_be_bent_alike_without_a_reason(pair):
    same = ImagePair(pair.fixed, pair.fixed)
    wave = np.sin(GRID.points()[..., :1] / 12) * 6
    bent = evidence(same, DisplacementField((wave * [0, 1, 0]).astype(np.float32), GRID), None)
    assert any("not much more alike" in text for text in bent.warnings())


def test_a_turned_and_shifted_grid_has_no_bend(pair):
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    points = GRID.points()
    moved = points @ turn[:3, :3].T + (1.0, 2.0, 3.0) - points
    assert evidence(pair, DisplacementField(moved.astype(np.float32), GRID), None).bend_mm < 0.01


def test_a_method_says_it_in_its_result_unless_outlines_led_it(pair):
    def register(pair, options, run):
        return Result(AffineTransform.identity(), displacement=field((0.0, 0.0, 0.0)), warnings=("own",))

    alone = alarmed(register)(pair, None, Run())
    assert alone.warnings[0] == "own"
    assert len(alone.warnings) > 1
    assert alone.record["evidence"]["mutual_information"] >= 0
    labels = [LabelMap((image.array > 0).astype(np.int32), image.grid) for image in (pair.fixed, pair.moving)]
    led = dataclasses.replace(pair, fixed_labels=labels[0], moving_labels=labels[1])
    assert alarmed(register)(led, None, Run()).warnings == ("own",)
