import numpy as np
import pytest

from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud, PointPair
from valorlib.core.transforms import AffineTransform
from valorlib.metrics.landmarks import describe, landmark_errors


def shifted(labels=None):
    fixed = np.array([[0.0, 0, 0], [10, 0, 0], [0, 10, 5]])
    moving = fixed + np.array([[3.0, 4, 0], [3, 4, 0], [3, 4, 12]])
    return PointPair(PointCloud(fixed, labels), PointCloud(moving, labels))


def test_errors_before_and_after_a_shift_by_hand():
    matrix = np.eye(4)
    matrix[:3, 3] = (3, 4, 0)
    errors = landmark_errors(AffineTransform(matrix), shifted())
    np.testing.assert_allclose(errors.before_mm, [5, 5, 13])
    np.testing.assert_allclose(errors.after_mm, [0, 0, 12], atol=1e-12)
    assert errors.summary()["after"]["mean_mm"] == pytest.approx(4)
    assert errors.summary()["before"]["median_mm"] == pytest.approx(5)
    assert errors.summary()["after"]["max_mm"] == pytest.approx(12)


def test_errors_of_one_label():
    errors = landmark_errors(AffineTransform.identity(), shifted(np.array([0, 0, 1])))
    assert errors.of(1).after_mm.tolist() == [13]
    assert errors.of(7).summary()["after"] == {"count": 0}
    with pytest.raises(InputError, match="labeled"):
        landmark_errors(AffineTransform.identity(), shifted()).of(1)


def test_unequal_numbers_are_refused():
    pair = PointPair(PointCloud(np.zeros((3, 3))), PointCloud(np.zeros((2, 3))))
    with pytest.raises(InputError, match="3 and 2"):
        landmark_errors(AffineTransform.identity(), pair)


def test_percentiles_of_a_row_of_numbers():
    found = describe(np.arange(101.0))
    assert (found["count"], found["p95_mm"], found["median_mm"]) == (101, 95, 50)
