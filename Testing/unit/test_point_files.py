"""Points and seeds in Slicer's formats and CSV."""

from __future__ import annotations

import json

import numpy as np
import pytest

from valorlib.convert.point_files import read_points, read_seeds, seed_tumor
from valorlib.core.errors import InputError


def markups(path, points, system="LPS", name="F", **more):
    controls = [{"label": f"F-{n + 1}", "position": list(p), "positionStatus": "defined"} for n, p in enumerate(points)]
    for n, words in enumerate(more.pop("words", [])):
        controls[n].update(words)
    one = {"type": "Fiducial", "name": name, "coordinateSystem": system, "controlPoints": controls, **more}
    path.write_text(json.dumps({"markups": [one]}), encoding="utf-8")
    return path


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("RAS", -1), (1, 1), ("0", -1)])
def test_markups_say_themselves_where_they_are(tmp_path, system, sign):
    path = markups(tmp_path / "ü.mrk.json", [(1, 2, 3), (4, 5, 6)], system)
    np.testing.assert_allclose(read_points(path).points, [(sign, 2 * sign, 3), (4 * sign, 5 * sign, 6)])


def test_points_without_a_place_are_left_out(tmp_path):
    path = markups(tmp_path / "a.mrk.json", [(1, 2, 3), (4, 5, 6)], words=[{"positionStatus": "undefined"}])
    np.testing.assert_allclose(read_points(path).points, [(4, 5, 6)])


def test_slicer_writes_what_we_read(tmp_path):
    slicer = pytest.importorskip("slicer")
    from valorlib.convert import mrml

    scene = slicer.vtkMRMLScene()
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "F")
    points = np.array([[1.5, -2, 3], [4, 5, -6]])
    mrml.set_points(node, points, ["1", "2"], ["", "-"])
    for name, kind in (
        ("a.mrk.json", "vtkMRMLMarkupsJsonStorageNode"),
        ("a.fcsv", "vtkMRMLMarkupsFiducialStorageNode"),
    ):
        storage = getattr(slicer, kind)()
        storage.SetFileName(str(tmp_path / name))
        assert storage.WriteData(node)
        np.testing.assert_allclose(read_points(tmp_path / name).points, points, atol=1e-3)
        assert read_seeds(tmp_path / name, "fixed").tumors.tolist() == [1, 0]


@pytest.mark.parametrize(("system", "sign"), [("LPS", 1), ("RAS", -1), ("0", -1), ("1", 1), (None, -1)])
def test_fcsv_files_of_all_times(tmp_path, system, sign):
    lines = [
        "# Markups fiducial file version = 4.11",
        "# note without a value",
        "# columns = id,x,y,z,ow,ox,oy,oz,vis,sel,lock,label,desc",
    ]
    if system is not None:
        lines.insert(1, f"# CoordinateSystem = {system}")
    lines += ["1,10,20,30,0,0,0,1,1,1,0,2,", '2,1,2,3,0,0,0,1,1,1,0,F-2,"back, side"', "  ", ""]
    path = tmp_path / "a.fcsv"
    path.write_text("\n".join(lines))
    cloud = read_points(path)
    np.testing.assert_allclose(cloud.points, [(10 * sign, 20 * sign, 30), (sign, 2 * sign, 3)])
    assert cloud.names == {1: "2", 2: "F-2"}


def test_csv_with_and_without_names_of_columns(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("1,2,3,4\n5,6,7,8\n")
    cloud = read_points(path)
    assert cloud.labels.tolist() == [4, 8]
    path.write_text("\ufefflabel,z,y,x\nLiver,3,2,1\n# note\nSpleen,6,5,4\n\n", encoding="utf-8")
    cloud = read_points(path, "ras")
    np.testing.assert_allclose(cloud.points, [(-1, -2, 3), (-4, -5, 6)])
    assert cloud.names == {1: "Liver", 2: "Spleen"}
    path.write_text("1,2,3\n")
    assert read_points(path).labels is None


def test_seeds_are_background_or_a_tumor(tmp_path):
    path = tmp_path / "s.csv"
    path.write_text("x,y,z,label\n1,2,3,\n4,5,6,-\n7,8,9,2\n1,1,1,0\n2,2,2,background\n3,3,3,nodule\n")
    seeds = read_seeds(path)
    assert seeds.tumors.tolist() == [1, 0, 2, 0, 0, 1]
    assert seeds.on == "moving"
    words = [{"description": "-"}, {}]
    path = markups(tmp_path / "s.mrk.json", [(1, 2, 3), (4, 5, 6)], words=words)
    assert read_seeds(path, on="fixed").tumors.tolist() == [0, 1]
    path = markups(tmp_path / "b.mrk.json", [(1, 2, 3)], name="Background clicks")
    assert read_seeds(path).tumors.tolist() == [0]


def test_the_rule_for_a_single_point():
    assert seed_tumor("-") == 0
    assert seed_tumor("F-1", "", "F") == 1
    assert seed_tumor("F-1", "", "F", tumor=3) == 3
    assert seed_tumor("4") == 4
    assert seed_tumor("", "Background") == 0


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "", "empty file"),
        ("a.csv", "\n", "found none"),
        ("a.csv", "1,2\n", "expected three numbers"),
        ("a.csv", "1,2,x\n", "expected three numbers"),
        ("a.csv", "x,y,z\n1,2\n", "expected x, y, z in each row"),
        ("a.csv", "a,b,c\n1,2,3\n", "expected the columns x, y, z"),
        ("a.csv", "1,2,nan\n", "expected finite coordinates"),
        ("a.fcsv", "# CoordinateSystem = XYZ\n", "expected coordinates in LPS or RAS"),
        ("a.fcsv", "1,2\n", "expected three numbers"),
        ("a.fcsv", "# nothing\n", "found none"),
        ("a.mrk.json", "{", "expected a markups file"),
        ("a.mrk.json", "[1]", "expected a markups file"),
        ("a.mrk.json", '{"markups": 3}', "expected a markups file"),
        ("a.mrk.json", '{"markups": [3]}', "expected a list of markups"),
        ("a.mrk.json", '{"markups": []}', "found none"),
        ("a.mrk.json", '{"markups": [{"coordinateUnits": "cm"}]}', "expected coordinates in mm"),
        ("a.mrk.json", '{"markups": [{"coordinateSystem": "IJK"}]}', "LPS or RAS"),
        ("a.mrk.json", '{"markups": [{"controlPoints": [{"position": [1, 2]}]}]}', "expected three numbers"),
        ("a.xml", "<points/>", "expected .mrk.json, .fcsv or .csv"),
    ],
)
def test_faults_are_one_sentence(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    for read in (read_points, read_seeds):
        with pytest.raises(InputError, match=words) as caught:
            read(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_other_bytes_and_other_spaces(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("1,2,3,Körper".encode("latin-1"))
    with pytest.raises(InputError, match="expected text in UTF-8"):
        read_points(path)
    path.write_text("1,2,3")
    with pytest.raises(InputError, match="space: expected lps or ras"):
        read_points(path, "voxels")
