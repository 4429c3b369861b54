"""Points and uncertainty on the command line, and the node logic, give the files and arrays of the contract."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
import SimpleITK as sitk

from valorlib.catalog import load
from valorlib.cli import main
from valorlib.commands.demo import write_organs, write_rt
from valorlib.convert.files import read_image, read_seeds
from valorlib.core.run import Run


@pytest.fixture(scope="module")
def organs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("organs")
    write_organs(1, folder, spacing_mm=5.0)
    return folder


@pytest.fixture(scope="module")
def rt(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rt")
    write_rt(1, folder, spacing_mm=8.0)
    return folder


def test_points_of_label_maps_write_the_files_of_the_contract(organs, tmp_path):
    out = tmp_path / "o"
    maps = [f"{organs}/fixed_labels.nrrd", f"{organs}/moving_labels.nrrd"]
    assert main(["points", *maps, "--preset", "quick", "--output", str(out), "--quiet"]) == 0
    names = {p.name for p in out.iterdir()}
    assert {"moved_points.csv", "metrics.json", "displacement.nrrd", "moved_liver.vtk"} <= names
    with (out / "moved_points.csv").open() as file:
        assert next(csv.reader(file)) == ["x", "y", "z", "label", "sigma_mm"]
    record = json.loads((out / "metrics.json").read_text())
    assert record["command"] == "points"
    assert record["seconds"] > 0


def test_points_of_csv_files_need_no_image(organs, tmp_path, capsys):
    out = tmp_path / "o"
    words = ["points", f"{organs}/fixed.csv", f"{organs}/moving.csv", "--preset", "quick", "--output", str(out)]
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["method"] == "mo_bcpd"
    assert "displacement.nrrd" not in {p.name for p in out.iterdir()}
    rows = list(csv.DictReader((out / "moved_points.csv").read_text().splitlines()))
    assert len(rows) == len((organs / "moving.csv").read_text().splitlines()) - 1


def test_uncertainty_writes_the_files_of_the_contract(rt, tmp_path):
    out = tmp_path / "o"
    words = ["uncertainty", f"{rt}/fixed.nrrd", f"{rt}/moving.nrrd", "--transform", f"{rt}/transform.h5"]
    words += ["--dose", f"{rt}/dose.nrrd", "--structures", f"{rt}/fixed_labels.nrrd", "--samples", "10"]
    assert main([*words, "--preset", "quick", "--output", str(out), "--quiet"]) == 0
    names = {p.name for p in out.iterdir()}
    assert names >= {
        "sigma.nrrd", "dose_mean.nrrd", "dose_p05.nrrd", "dose_p95.nrrd", "dvh.csv", "dvh_metrics.csv", "dvh.svg",
        "jacobian.nrrd", "metrics.json", "report.html",
    }  # fmt: skip
    with (out / "dvh.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["structure", "volume_pct", "nominal_gy", "p05_gy", "p50_gy", "p95_gy"]
    assert all(float(r["p05_gy"]) <= float(r["p50_gy"]) <= float(r["p95_gy"]) for r in rows)


WRONG = {
    "points_missing": ["points", "{o}/none.nrrd", "{o}/moving_labels.nrrd"],
    "points_method": ["points", "{o}/fixed.csv", "{o}/moving.csv", "--method", "valor"],
    "points_option": ["points", "{o}/fixed.csv", "{o}/moving.csv", "--set", "magic=1"],
    "points_range": ["points", "{o}/fixed.csv", "{o}/moving.csv", "--set", "outliers=7"],
    "points_words": ["points", "{bad}/words.csv", "{o}/moving.csv"],
    "points_one_row": ["points", "{bad}/one.csv", "{o}/moving.csv"],
    "points_one_image": ["points", "{o}/fixed.csv", "{o}/moving.csv", "--images", "{r}/fixed.nrrd"],
    "no_transform": ["uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd"],
    "transform_missing": ["uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/none.h5"],
    "transform_is_image": ["uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/dose.nrrd"],
    "samples": ["uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/transform.h5", "--samples=1"],
    "samples_negative": [
        "uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/transform.h5", "--samples=-5",
    ],
    "dose_negative": [
        "uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/transform.h5",
        "--dose", "{r}/moving.nrrd", "--structures", "{r}/fixed_labels.nrrd",
    ],
    "structures_missing": [
        "uncertainty", "{r}/fixed.nrrd", "{r}/moving.nrrd", "--transform", "{r}/transform.h5",
        "--dose", "{r}/dose.nrrd", "--structures", "{r}/none.nrrd",
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_one_sentence_and_leaves_nothing(name, organs, rt, tmp_path, capsys):
    (tmp_path / "words.csv").write_text("x,y,z\na,b,c\n")
    (tmp_path / "one.csv").write_text("1,2,3\n")
    words = [w.format(o=organs, r=rt, bad=tmp_path) for w in WRONG[name]]
    code = main([*words, "--output", str(tmp_path / "out")])
    said = capsys.readouterr()
    assert code == 2, said.err
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert said.err.startswith("valor: ")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.csv", "words.csv"]


def test_the_node_logic_gives_the_arrays_of_the_command_line(tmp_path):
    slicer = pytest.importorskip("slicer")
    from valorlib.convert import mrml
    from valorlib.scene import valor_registration

    assert main(["demo", "--size", "small", "--random-seed", "2", "--output", str(tmp_path / "d"), "--quiet"]) == 0
    demo, out = tmp_path / "d", tmp_path / "o"
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--seeds", f"{demo}/seeds.csv"]
    assert main([*words, "--preset", "quick", "--output", str(out), "--quiet"]) == 0
    scene = slicer.vtkMRMLScene()
    volumes = []
    for name in ("fixed", "moving"):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        mrml.set_image(node, read_image(demo / f"{name}.nrrd"))
        volumes.append(node)
    clicks = []
    seeds = read_seeds(demo / "seeds.csv")
    for tumor in seeds.tumor_numbers:
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", f"Tumor {tumor}")
        node.SetAttribute(valor_registration.TUMOR, str(tumor))
        for x, y, z in seeds.of(tumor):
            node.AddControlPoint(-x, -y, z)
        clicks.append(node)
    pair = valor_registration.read_inputs(scene, *volumes, seeds=clicks)
    method = load("valor")
    found = method.run(pair, method.presets["quick"], Run())
    written = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "displacement.nrrd")))
    np.testing.assert_array_equal(found.displacement.array, written)
    masks = sitk.GetArrayFromImage(sitk.ReadImage(str(out / "moving_seg.nrrd")))
    np.testing.assert_array_equal(found.moving_seg.array, masks)
