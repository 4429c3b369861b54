import numpy as np
import pytest

from valorlib.convert.landmark_files import read_landmark_pair, read_landmarks, write_landmarks
from valorlib.core.errors import InputError
from valorlib.core.points import PointCloud, PointPair


def test_landmarks_come_back_as_written(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.array([0, 1, 2])
    pair = PointPair(PointCloud(rng.normal(size=(3, 3)) * 50, labels), PointCloud(rng.normal(size=(3, 3)), labels))
    write_landmarks(pair, tmp_path / "l.csv")
    found = read_landmarks(tmp_path / "l.csv")
    np.testing.assert_allclose(found.fixed.points, pair.fixed.points, atol=1e-6)
    np.testing.assert_allclose(found.moving.points, pair.moving.points, atol=1e-6)
    np.testing.assert_array_equal(found.moving.labels, labels)


def test_ras_files_are_turned_and_rows_need_no_header_or_label(tmp_path):
    (tmp_path / "l.csv").write_text("# points\n1,2,3,4,5,6\n\n7,8,9,10,11,12,3\n")
    found = read_landmarks(tmp_path / "l.csv", "ras")
    assert found.fixed.points.tolist() == [[-1, -2, 3], [-7, -8, 9]]
    assert found.moving.points.tolist() == [[-4, -5, 6], [-10, -11, 12]]
    assert found.fixed.labels.tolist() == [0, 3]


def test_two_point_files_must_be_of_one_length(tmp_path):
    (tmp_path / "f.csv").write_text("1,2,3\n4,5,6\n")
    (tmp_path / "m.csv").write_text("1,2,3\n")
    assert len(read_landmark_pair(tmp_path / "f.csv", tmp_path / "f.csv").fixed.points) == 2
    with pytest.raises(InputError, match="2 and 1"):
        read_landmark_pair(tmp_path / "f.csv", tmp_path / "m.csv")


@pytest.mark.parametrize(
    ("words", "message"),
    [("1,2,3,4,5\n", "row 1, got 5"), ("a,b\nc,d\n", "row 2"), ("fixed,moving\n", "at least one row"), ("", "empty")],
)
def test_wrong_rows_are_refused(tmp_path, words, message):
    (tmp_path / "l.csv").write_text(words)
    with pytest.raises(InputError, match=message):
        read_landmarks(tmp_path / "l.csv")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "l.csv").write_bytes(bytes(range(200, 256)))
    with pytest.raises(InputError, match="not text"):
        read_landmarks(tmp_path / "l.csv")
