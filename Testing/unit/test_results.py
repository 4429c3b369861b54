"""Result folders appear whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from valorlib.convert.results import (
    check_output_folder,
    complete,
    is_result_folder,
    plain,
    whole_folder,
    write_json,
    write_registration,
)
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.transforms import AffineTransform

ROOT = Path(__file__).resolve().parents[2]


def former(path):
    path.mkdir()
    (path / "metrics.json").write_text(json.dumps({"program": "SlicerVALOR"}))
    (path / "old.txt").write_text("old")
    return path


def test_a_folder_appears_when_the_block_ends(tmp_path):
    with whole_folder(tmp_path / "deep" / "out") as folder:
        (folder / "a.txt").write_text("a")
        assert not (tmp_path / "deep" / "out").exists()
    assert [p.name for p in (tmp_path / "deep" / "out").iterdir()] == ["a.txt"]
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["out"]
    assert oct((tmp_path / "deep" / "out").stat().st_mode)[-3:] == oct((tmp_path / "deep").stat().st_mode)[-3:]


@pytest.mark.parametrize("error", [ValueError, Cancelled, KeyboardInterrupt])
def test_nothing_is_left_when_the_block_fails(tmp_path, error):
    def fail():
        with whole_folder(tmp_path / "deep" / "out") as folder:
            (folder / "a.txt").write_text("a")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_failed_replacement_keeps_the_former_result(tmp_path):
    out = former(tmp_path / "out")

    def fail():
        with whole_folder(out, overwrite=True):
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert (out / "old.txt").read_text() == "old"
    with whole_folder(out, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert [p.name for p in out.iterdir()] == ["new.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_is_filled_and_other_folders_are_left_alone(tmp_path):
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as folder:
        (folder / "a").write_text("a")
    assert (tmp_path / "empty" / "a").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "holiday.jpg").write_text("x")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="other files"):
            check_output_folder(other, overwrite=overwrite)
    with pytest.raises(InputError, match="--overwrite"):
        check_output_folder(former(tmp_path / "old"))
    with pytest.raises(InputError, match="got a file"):
        check_output_folder(other / "holiday.jpg")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="link"):
        check_output_folder(tmp_path / "link")


KILLED = """
import os, signal, sys
from pathlib import Path
from valorlib.convert.results import whole_folder
with whole_folder(Path(sys.argv[1]), overwrite=True) as folder:
    (folder / "half.nrrd").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_no_half_folder_and_the_next_run_sweeps(tmp_path):
    out = former(tmp_path / "out")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(out)], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert (out / "old.txt").read_text() == "old"
    assert not (out / "half.nrrd").exists()
    assert len(list(tmp_path.iterdir())) == 2  # the hidden leftover
    with whole_folder(out, overwrite=True) as folder:
        (folder / "new.txt").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    assert [p.name for p in out.iterdir()] == ["new.txt"]


def test_a_result_moved_aside_by_a_killed_run_comes_back(tmp_path):
    aside = former(tmp_path / ".out.partial-99999999-abc-old")
    assert is_result_folder(aside)

    def fail():
        with whole_folder(tmp_path / "out", overwrite=True):
            raise Cancelled

    with pytest.raises(Cancelled):
        fail()
    assert (tmp_path / "out" / "old.txt").read_text() == "old"


def test_the_partial_folder_of_a_living_process_is_not_swept(tmp_path):
    living = tmp_path / f".out.partial-{os.getpid()}-abc"
    living.mkdir()
    with whole_folder(tmp_path / "out") as folder:
        (folder / "a").write_text("a")
    assert living.exists()


def test_outputs_are_computed_from_a_bare_transform(tmp_path):
    rng = np.random.default_rng(0)
    grid, other = Grid((9, 8, 7), (1.0, 1.5, 2.0)), Grid((10, 9, 8), (1.0, 1.4, 2.0), (-1.0, 0.0, 0.0))
    pair = ImagePair(
        Image(rng.random(grid.shape, dtype=np.float32), grid), Image(rng.random(other.shape, dtype=np.float32), other)
    )
    matrix = np.eye(4)
    matrix[0, 3] = 1.0
    labels = LabelMap(np.ones(grid.shape, np.int32), grid)
    result = Result(AffineTransform(matrix), fixed_seg=labels, uncertainty=Image(np.ones(grid.shape), grid))
    outputs = complete(pair, result)
    np.testing.assert_allclose(outputs.displacement.array[..., 0], 1, atol=1e-6)
    np.testing.assert_allclose(outputs.inverse_displacement.array[..., 0], -1, atol=1e-4)
    assert outputs.inverse_displacement.grid.matches(other)
    np.testing.assert_allclose(outputs.jacobian.array, 1, atol=1e-5)
    write_registration(tmp_path, result, outputs)
    assert {p.name for p in tmp_path.iterdir()} == {
        "displacement.nrrd", "transform.h5", "inverse_displacement.nrrd", "warped_moving.nrrd", "jacobian.nrrd",
        "fixed_seg.nrrd", "sigma.nrrd",
    }  # fmt: skip


def test_json_holds_plain_finite_values(tmp_path):
    @dataclass
    class Pair:
        a: int
        b: float

    record = {
        "n": np.float32(0.5), "i": np.int64(3), "row": np.array([1.0, np.nan]), "inf": float("inf"), "set": {1},
        1: (True, None), "pair": Pair(1, 2.0), "path": Path("a"),
    }  # fmt: skip
    assert plain(record) == {
        "n": 0.5, "i": 3, "row": [1.0, None], "inf": None, "set": [1], "1": [True, None], "pair": {"a": 1, "b": 2.0},
        "path": "a",
    }  # fmt: skip
    write_json(tmp_path / "a.json", record)
    assert json.loads((tmp_path / "a.json").read_text())["i"] == 3
