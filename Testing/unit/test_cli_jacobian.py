"""`valor jacobian` on planted folds: the list of places, and the volume change of structures."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from valorlib.cli import main
from valorlib.convert.files import write_field, write_labels
from valorlib.core.grid import Grid
from valorlib.core.images import LabelMap
from valorlib.core.transforms import DisplacementField

GRID = Grid((24, 22, 20), (2.0, 2.0, 2.0), (-10.0, 5.0, 30.0))


@pytest.fixture
def files(tmp_path):
    """A field that shrinks x by 10 % and folds at one voxel; one structure far from the fold."""
    u = np.zeros((*GRID.shape, 3), dtype=np.float32)
    u[..., 0] = -0.1 * (GRID.points()[..., 0] + 10)
    u[10, 11, 12, 1] += 9.0
    write_field(DisplacementField(u, GRID), tmp_path / "field.nrrd")
    labels = np.zeros(GRID.shape, dtype=np.int32)
    labels[3:7, 3:7, 3:7] = 1
    write_labels(LabelMap(labels, GRID, {1: "liver"}), tmp_path / "labels.nrrd")
    return tmp_path


def words(files, *more):
    return ["jacobian", str(files / "field.nrrd"), "--output", str(files / "j.nrrd"), *more]


def test_folds_are_listed_with_their_places(files, capsys):
    assert main(words(files, "--folds", str(files / "folds.csv"), "--json")) == 0
    with (files / "folds.csv").open() as file:
        rows = list(csv.DictReader(file))
    printed = json.loads(capsys.readouterr().out)
    assert len(rows) == len(printed["places"]) >= 1
    place = np.asarray([float(rows[0][f"{axis}_mm"]) for axis in "xyz"])
    assert np.linalg.norm(place - GRID.to_world(np.array([12.0, 11.0, 10.0]))) <= 2 * np.sqrt(3) + 0.01
    assert float(rows[0]["worst"]) <= 0


def test_structures_get_their_own_volume_change(files, capsys):
    assert main(words(files, "--structures", str(files / "labels.nrrd"), "--json")) == 0
    (row,) = json.loads(capsys.readouterr().out)["structures"]
    assert row["name"] == "liver"
    assert row["mean"] == pytest.approx(0.9, abs=1e-4)
    assert row["folds"] == 0


def test_a_wrong_list_name_is_refused_and_leaves_nothing(files, capsys):
    assert main(words(files, "--folds", str(files / "folds.xls"))) == 2
    assert not (files / "j.nrrd").exists()
    assert capsys.readouterr().err.count("\n") == 1
