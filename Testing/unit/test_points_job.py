"""`valor points` from end to end: the files by their names, or one sentence and nothing."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pytest

from valorlib import cli
from valorlib.convert.files import read_labels, read_transform, write_labels
from valorlib.convert.landmark_files import write_landmarks
from valorlib.core.points import PointCloud, PointPair
from valorlib.demo_organs import make_organs
from valorlib.metrics.folding import fold_summary
from valorlib.ops.transforms import map_points

QUICK = ["--set", "sample_points=300", "--set", "coarse_points=0", "--quiet"]


@pytest.fixture(scope="module")
def case():
    return make_organs(1, points_per_organ=200, spacing_mm=4.0)


@pytest.fixture(scope="module")
def done(case, tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    write_labels(case.fixed, folder / "fixed.seg.nrrd")
    write_labels(case.moving, folder / "moving.seg.nrrd")
    words = [str(folder / "fixed.seg.nrrd"), str(folder / "moving.seg.nrrd"), "--output", str(folder / "out")]
    assert cli.main(["points", *words, *QUICK]) == 0
    return folder / "out"


def rows_of(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_the_files_of_the_contract(done):
    names = {p.name for p in done.iterdir()}
    assert {"moved_points.csv", "metrics.json", "displacement.nrrd", "transform.h5", "picture.png"} <= names
    assert {f"moved_{n}.vtk" for n in ("liver", "stomach", "kidney_left", "kidney_right", "spleen")} <= names
    assert list(rows_of(done / "moved_points.csv")[0]) == ["x", "y", "z", "label", "sigma_mm"]


def test_the_field_finds_each_fixed_point_in_the_moving_scan(done, case):
    field = read_transform(done / "displacement.nrrd")
    truth = case.truth
    error = np.linalg.norm(map_points(field, truth.fixed.points) - truth.moving.points, axis=1)
    before = np.linalg.norm(truth.fixed.points - truth.moving.points, axis=1)
    assert np.median(error) < 0.5 * np.median(before)
    assert fold_summary(field).strict_count == 0


def test_warped_labels_lie_on_the_fixed_organs(done, case):
    warped = read_labels(done / "warped_labels.nrrd")
    numbers = json.loads((done / "metrics.json").read_text())["numbers"]
    assert warped.grid.matches(case.fixed.grid)
    assert all(row["dice"] > 0.8 for row in numbers["organs"])
    assert all(row["after"]["mean_mm"] < row["before"]["mean_mm"] for row in numbers["organs"])
    assert numbers["overlap"]["after"]["pct"] < 1.0


def test_csv_points_keep_their_order(case, tmp_path):
    for name, cloud in (("fixed", case.truth.fixed), ("moving", case.truth.moving)):
        lines = [f"{x:.5f},{y:.5f},{z:.5f},{n}" for (x, y, z), n in zip(cloud.points, cloud.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("x,y,z,label\n" + "\n".join(lines) + "\n")
    words = [str(tmp_path / "fixed.csv"), str(tmp_path / "moving.csv"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, *QUICK]) == 0
    rows = rows_of(tmp_path / "out" / "moved_points.csv")
    moved = np.array([[float(row[c]) for c in "xyz"] for row in rows])
    error = np.linalg.norm(moved - case.truth.fixed.points, axis=1)
    assert [int(row["label"]) for row in rows] == case.truth.moving.labels.tolist()
    assert np.median(error) < 2.0
    assert not (tmp_path / "out" / "displacement.nrrd").exists()


def test_the_organ_table_and_the_landmark_error_are_printed(case, tmp_path, capsys):
    truth = case.truth
    for name, cloud in (("fixed", truth.fixed), ("moving", truth.moving)):
        lines = [f"{x:.5f},{y:.5f},{z:.5f},{n}" for (x, y, z), n in zip(cloud.points, cloud.labels, strict=True)]
        (tmp_path / f"{name}.csv").write_text("x,y,z,label\n" + "\n".join(lines) + "\n")
    write_landmarks(PointPair(*(PointCloud(c.points[::10]) for c in (truth.fixed, truth.moving))), tmp_path / "l.csv")
    words = [str(tmp_path / "fixed.csv"), str(tmp_path / "moving.csv"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, "--landmarks", str(tmp_path / "l.csv"), *QUICK[:-1]]) == 0
    said = capsys.readouterr().out.splitlines()
    first = next(n for n, line in enumerate(said) if line.startswith("organ "))
    assert [line.split()[0] for line in said[first + 1 : first + 6]] == ["1", "2", "3", "4", "5"]
    assert all(float(line.split()[2]) < float(line.split()[1]) for line in said[first + 1 : first + 6])
    marks = [
        row["landmarks"] for row in json.loads((tmp_path / "out" / "metrics.json").read_text())["numbers"]["organs"]
    ]
    assert sum(row["count"] for row in marks) == len(truth.fixed.points[::10])
    assert all(row["after"]["mean_mm"] < row["before"]["mean_mm"] for row in marks)
    shown = [float(line.split()[-1]) for line in said[first + 1 : first + 6]]
    assert shown == pytest.approx([row["after"]["mean_mm"] for row in marks], abs=6e-3)
    before, after = (
        float(line.split("median ")[1].split(",")[0]) for line in said if line.startswith("landmark error")
    )
    assert after < 2.0 < before


GOOD = "x,y,z,label\n" + "\n".join(f"{10 * (n % 3)},{7 * (n % 5)},{n},{1 + n % 2}" for n in range(30)) + "\n"
BAD = {
    "no rows": ("x,y,z,label\n", "points"),
    "nan": (GOOD + "nan,1,2,1\n", "finite"),
    "one point": ("x,y,z,label\n1,2,3,1\n", "at least 4 points"),
    "plane": ("x,y,z,label\n" + "\n".join(f"{n},{n * n},0,1" for n in range(9)) + "\n", "one plane"),
    "twice": (GOOD + GOOD.splitlines()[1] + "\n", "duplicates"),
    "other labels": (GOOD.replace(",1\n", ",8\n").replace(",2\n", ",9\n"), "both sets"),
    "meters": (
        "x,y,z,label\n" + "\n".join(f"{n % 3 / 1e3},{n % 5 / 1e3},{n / 1e3},1" for n in range(30)) + "\n",
        "meters",
    ),
    "no labels": ("x,y,z\n" + "\n".join(row.rsplit(",", 1)[0] for row in GOOD.splitlines()[1:]) + "\n", "label"),
}


@pytest.mark.parametrize("fault", sorted(BAD))
def test_bad_points_end_in_one_sentence_and_nothing(tmp_path, capsys, fault):
    (tmp_path / "fixed.csv").write_text(GOOD)
    (tmp_path / "moving.csv").write_text(BAD[fault][0])
    words = [str(tmp_path / "fixed.csv"), str(tmp_path / "moving.csv"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, "--quiet"]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert "Traceback" not in said
    assert BAD[fault][1] in said, said
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_million_points_are_refused_before_the_start(tmp_path, capsys):
    points = np.random.default_rng(0).uniform(0, 200, (1_000_000, 3))
    rows = np.column_stack([points, np.arange(len(points)) % 5 + 1])
    for name in ("fixed", "moving"):
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="x,y,z,label", comments="", fmt="%.4f")
    words = [str(tmp_path / "fixed.csv"), str(tmp_path / "moving.csv"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, "--quiet"]) == 2
    assert "that need" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def without(labels, organ, *, named):
    array = np.where(labels.array == organ, 0, labels.array)
    return dataclasses.replace(
        labels, array=array, names={n: w for n, w in labels.names.items() if named or n != organ}
    )


def test_an_empty_organ_is_refused(case, tmp_path, capsys):
    write_labels(without(case.fixed, case.fixed.labels[0], named=True), tmp_path / "fixed.seg.nrrd")
    write_labels(case.moving, tmp_path / "moving.seg.nrrd")
    words = [str(tmp_path / "fixed.seg.nrrd"), str(tmp_path / "moving.seg.nrrd"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, *QUICK]) == 2
    assert "got none in liver" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_organs_of_one_set_alone_are_named(case, tmp_path):
    write_labels(without(case.fixed, 5, named=False), tmp_path / "fixed.seg.nrrd")
    write_labels(case.moving, tmp_path / "moving.seg.nrrd")
    words = [str(tmp_path / "fixed.seg.nrrd"), str(tmp_path / "moving.seg.nrrd"), "--output", str(tmp_path / "out")]
    assert cli.main(["points", *words, *QUICK]) == 0
    said = " ".join(json.loads((tmp_path / "out" / "metrics.json").read_text())["warnings"])
    assert "spleen is missing in fixed" in said
