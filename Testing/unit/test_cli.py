"""The command line on a generated pair: names of files, exit codes, equal arrays, cancelling."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from valorlib.catalog import NAMES, load
from valorlib.cli import joined, main
from valorlib.commands import common
from valorlib.convert.files import read_image, read_labels, read_transform
from valorlib.convert.files import read_seeds as read_seed_file
from valorlib.core.errors import Cancelled
from valorlib.core.inputs import ImagePair
from valorlib.core.run import Run

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "displacement.nrrd",
    "transform.h5",
    "inverse_displacement.nrrd",
    "warped_moving.nrrd",
    "fixed_seg.nrrd",
    "moving_seg.nrrd",
    "warped_seg.nrrd",
    "jacobian.nrrd",
    "metrics.json",
    "report.html",
}
QUICK = ["--preset", "quick", "--quiet"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli") / "demo"
    assert main(["demo", "--size", "small", "--random-seed", "2", "--output", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def result(demo):
    out = demo.parent / "result"
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--seeds", f"{demo}/seeds.csv"]
    assert main([*words, "--landmarks", f"{demo}/landmarks.csv", "--output", str(out), *QUICK]) == 0
    return out


def array(path):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def test_a_result_folder_holds_the_files_of_the_contract(result):
    assert {p.name for p in result.iterdir()} == FILES


def test_the_field_lies_on_the_fixed_grid_and_brings_the_landmarks_together(demo, result):
    field, fixed = sitk.ReadImage(str(result / "displacement.nrrd")), sitk.ReadImage(str(demo / "fixed.nrrd"))
    assert field.GetPixelID() == sitk.sitkVectorFloat32
    assert field.GetSize() == fixed.GetSize()
    np.testing.assert_allclose(field.GetDirection(), fixed.GetDirection(), atol=1e-6)
    transform = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
    table = np.loadtxt(demo / "landmarks.csv", delimiter=",", skiprows=1)
    found = np.array([transform.TransformPoint(p) for p in table[:, :3]])
    before = np.linalg.norm(table[:, :3] - table[:, 3:6], axis=1).mean()
    after = np.linalg.norm(found - table[:, 3:6], axis=1).mean()
    assert after < 0.25 * before


def test_the_itk_transform_says_the_same_as_the_field(result):
    transform = sitk.ReadTransform(str(result / "transform.h5"))
    field = sitk.ReadImage(str(result / "displacement.nrrd"))
    for index in ((10, 12, 8), (30, 20, 15)):
        point = field.TransformIndexToPhysicalPoint(index)
        expected = np.add(point, field.GetPixel(index))
        np.testing.assert_allclose(transform.TransformPoint(point), expected, atol=1e-4)


def test_the_warped_scan_is_what_simpleitk_resamples(demo, result):
    fixed, moving = (sitk.ReadImage(str(demo / f"{n}.nrrd"), sitk.sitkFloat32) for n in ("fixed", "moving"))
    theirs = sitk.GetArrayFromImage(
        sitk.Resample(moving, fixed, sitk.ReadTransform(str(result / "transform.h5")), sitk.sitkLinear, 0.0)
    )
    ours = array(result / "warped_moving.nrrd")
    inside = (theirs != 0) & (ours != 0)
    assert np.abs(ours - theirs)[inside].max() < 1e-3 * theirs.max()


def test_the_numbers_of_the_result(demo, result):
    record = json.loads((result / "metrics.json").read_text())
    assert {"numbers", "seconds", "device", "versions", "options", "seed"} <= set(record)
    assert record["seconds"] > 0
    assert record["seed"] == 0
    assert record["inputs"]["fixed"]["name"] == "fixed.nrrd"
    assert len(record["inputs"]["moving"]["sha256"]) == 64
    numbers = record["numbers"]
    assert numbers["landmarks"]["after"]["mean_mm"] < numbers["landmarks"]["before"]["mean_mm"]
    assert numbers["folds"]["strict_count"] == 0
    assert [one["tumor"] for one in numbers["tumors"]] == list(read_labels(demo / "truth_moving_seg.nrrd").labels)


def test_the_report_needs_nothing_else(result):
    html = (result / "report.html").read_text(encoding="utf-8")
    assert "http://www.w3.org/2000/svg" in html
    assert html.count("data:image/png;base64,") >= 18
    for word in ('src="http', "<script", 'href="http', "@import"):
        assert word not in html
    assert "Not for diagnostic use" in html


def test_python_and_the_command_line_give_identical_arrays(demo, result):
    pair = ImagePair(
        read_image(demo / "fixed.nrrd"), read_image(demo / "moving.nrrd"), read_seed_file(demo / "seeds.csv")
    )
    method = load("valor")
    found = method.run(pair, method.presets["quick"], Run())
    np.testing.assert_array_equal(found.displacement.array, array(result / "displacement.nrrd"))
    np.testing.assert_array_equal(found.moving_seg.array, array(result / "moving_seg.nrrd"))
    np.testing.assert_array_equal(found.fixed_seg.array, array(result / "fixed_seg.nrrd"))


def test_one_and_two_threads_give_identical_arrays(demo, result, tmp_path):
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--seeds", f"{demo}/seeds.csv"]
    assert main([*words, "--threads", "2", "--output", str(tmp_path / "o"), *QUICK]) == 0
    for name in ("displacement", "fixed_seg", "moving_seg", "warped_moving", "jacobian"):
        np.testing.assert_array_equal(array(result / f"{name}.nrrd"), array(tmp_path / "o" / f"{name}.nrrd"))
    assert main(["methods", "--threads", "1", "--quiet"]) == 0


def test_clicks_may_be_negative_and_in_ras(demo, tmp_path):
    (x, y, z), *_ = np.loadtxt(demo / "seeds.csv", delimiter=",", skiprows=1, ndmin=2)[:, :3]
    outs = []
    for name, words in (
        ("lps", ["--seed", f"{x},{y},{z}"]),
        ("ras", ["--seed", f"{-x},{-y},{z}", "--space", "ras"]),
    ):
        outs.append(tmp_path / f"{name}.nrrd")
        assert main(["segment", f"{demo}/moving.nrrd", *words, "--output", str(outs[-1]), "--quiet"]) == 0
    np.testing.assert_array_equal(array(outs[0]), array(outs[1]))
    truth = array(demo / "truth_moving_seg.nrrd") == 1
    mask = array(outs[0]) == 1
    assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.7


def test_a_negative_click_is_not_taken_for_a_flag():
    assert joined(["--seed", "-1,2,3", "--seed", "4,5,6", "--seed", "--quiet"]) == [
        "--seed=-1,2,3",
        "--seed",
        "4,5,6",
        "--seed",
        "--quiet",
    ]


def test_without_clicks_it_registers_only(demo, tmp_path, capsys):
    out = tmp_path / "o"
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--output", str(out), "--preset", "quick"]
    assert main([*words, "--json"]) == 0
    assert {p.name for p in out.iterdir()} == FILES - {"fixed_seg.nrrd", "moving_seg.nrrd", "warped_seg.nrrd"}
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((out / "metrics.json").read_text())


def test_a_method_that_only_registers_still_gives_the_clicked_tumor(demo, tmp_path):
    out = tmp_path / "o"
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--seeds", f"{demo}/seeds.csv"]
    assert main([*words, "--method", "ngf_rigid", "--preset", "quick", "--output", str(out), "--quiet"]) == 0
    assert {p.name for p in out.iterdir()} == FILES
    assert (array(out / "moving_seg.nrrd") == 1).any()


def test_a_former_result_is_replaced_only_when_asked(demo, result, tmp_path, capsys):
    out = tmp_path / "o"
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--output", str(out), *QUICK]
    assert main(words) == 0
    first = (out / "metrics.json").stat().st_mtime_ns
    assert main(words) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert (out / "metrics.json").stat().st_mtime_ns == first
    assert main([*words, "--overwrite"]) == 0
    assert (out / "metrics.json").stat().st_mtime_ns > first
    assert [p.name for p in tmp_path.iterdir()] == ["o"]


def test_evaluate_measures_a_folder_and_a_transform(demo, result, capsys):
    assert main(["evaluate", str(result), "--landmarks", f"{demo}/landmarks.csv", "--json"]) == 0
    folder = json.loads(capsys.readouterr().out)
    labels = [f"{demo}/truth_fixed_seg.nrrd", f"{demo}/truth_moving_seg.nrrd"]
    images = [f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd"]
    words = ["evaluate", f"{demo}/truth_displacement.nrrd", "--landmarks", f"{demo}/landmarks.csv"]
    assert main([*words, "--labels", *labels, "--images", *images, "--json"]) == 0
    truth = json.loads(capsys.readouterr().out)
    assert truth["landmarks"]["after"]["max_mm"] < 0.01 < folder["landmarks"]["after"]["mean_mm"]
    assert truth["structures"][0]["after"]["dice"] > max(0.7, truth["structures"][0]["before"]["dice"])
    assert truth["similarity"]["after"]["ncc"] > truth["similarity"]["before"]["ncc"]
    assert folder["inverse_consistency"]["mean_mm"] < 0.1
    assert folder["tumors"][0]["agreement"]["dice"] > 0.5


def test_evaluate_reads_two_point_files_and_an_affine_transform(tmp_path, capsys):
    (tmp_path / "f.csv").write_text("0,0,0\n1,2,3\n")
    (tmp_path / "m.csv").write_text("5,0,0\n6,2,3\n")
    shift = sitk.TranslationTransform(3, (5.0, 0.0, 0.0))
    sitk.WriteTransform(shift, str(tmp_path / "t.tfm"))
    words = ["evaluate", str(tmp_path / "t.tfm"), "--landmarks", str(tmp_path / "f.csv"), str(tmp_path / "m.csv")]
    assert main([*words, "--json", "--output", str(tmp_path / "e.json")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["landmarks"]["before"]["mean_mm"] == pytest.approx(5)
    assert printed["landmarks"]["after"]["max_mm"] == pytest.approx(0, abs=1e-9)
    assert printed["affine_determinant"] == pytest.approx(1)
    assert json.loads((tmp_path / "e.json").read_text()) == printed


def test_jacobian_of_a_known_stretch(tmp_path, capsys):
    image = sitk.Image(12, 11, 10, sitk.sitkFloat32)
    sitk.WriteImage(image, str(tmp_path / "r.nrrd"))
    stretch = sitk.AffineTransform(3)
    stretch.SetMatrix((1.1, 0, 0, 0, 1, 0, 0, 0, 0.9))
    sitk.WriteTransform(stretch, str(tmp_path / "t.tfm"))
    out = tmp_path / "j.nrrd"
    words = ["jacobian", str(tmp_path / "t.tfm"), "--reference", str(tmp_path / "r.nrrd"), "--output", str(out)]
    assert main([*words, "--json"]) == 0
    np.testing.assert_allclose(array(out), 0.99, atol=1e-4)
    assert json.loads(capsys.readouterr().out)["strict_count"] == 0
    assert main([*words, "--log", "--quiet"]) == 0
    np.testing.assert_allclose(array(out), np.log(0.99), atol=1e-4)


def test_the_demo_holds_all_three_kinds_of_data(demo):
    for name in ("fixed.nrrd", "moving.nrrd", "seeds.csv", "truth_displacement.nrrd", "landmarks.csv"):
        assert (demo / name).stat().st_size > 50
    for name in ("rt/fixed.nrrd", "rt/dose.nrrd", "rt/fixed_labels.nrrd", "rt/transform.h5", "rt/moving.nrrd"):
        assert (demo / name).exists()
    assert set(read_labels(demo / "organs/fixed_labels.nrrd").names.values()) >= {"liver", "spleen"}
    assert read_transform(demo / "rt/transform.h5") is not None


def test_methods_lists_all_and_explains_one(capsys):
    assert main(["methods"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in NAMES)
    assert main(["methods", "valor", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {"default", "quick"} <= set(record["presets"])
    assert all(option["help"] for option in record["options"])
    assert main(["methods", "valor"]) == 0
    assert "presets:" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help"], ["methods"], ["register", "--help"], ["--version"]])
def test_help_and_list_import_no_torch(words):
    code = (
        "import sys\nfrom valorlib.cli import main\n"
        f"try: code = main({words!r})\nexcept SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'SimpleITK', 'scipy', 'vtk', 'skimage', 'matplotlib'} & set(sys.modules)\n"
        "assert not code and not heavy, (code, heavy)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize("tenth", range(10))
def test_cancelling_at_any_tenth_leaves_nothing(tenth, demo, tmp_path, monkeypatch, capsys):
    def stop(fraction, message):
        if fraction >= tenth / 10:
            raise Cancelled

    monkeypatch.setattr(common, "progress_of", lambda args: stop)
    words = ["register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd", "--seeds", f"{demo}/seeds.csv"]
    assert main([*words, "--output", str(tmp_path / "deep" / "o"), *QUICK]) == 3
    assert list(tmp_path.iterdir()) == []
    assert capsys.readouterr().err == "valor: cancelled; nothing was written\n"


def test_ctrl_c_ends_with_code_3_and_leaves_nothing(demo, tmp_path):
    words = [sys.executable, "-m", "valorlib", "register", f"{demo}/fixed.nrrd", f"{demo}/moving.nrrd"]
    run = subprocess.Popen([*words, "--output", str(tmp_path / "o")], cwd=ROOT, stderr=subprocess.PIPE, text=True)
    try:
        run.wait(2.5)
    except subprocess.TimeoutExpired:
        run.send_signal(signal.SIGINT)
    error = run.communicate(timeout=60)[1]
    if run.returncode != 0:  # a fast machine may have been done
        assert run.returncode in (3, 1, -signal.SIGINT)
        assert run.returncode != 3 or "cancelled" in error
        assert list(tmp_path.iterdir()) == []


def test_progress_is_shown_on_a_terminal_only(monkeypatch, capsys):
    args = type("Args", (), {"quiet": False})()
    common.progress_of(args)(0.5, "Half")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    show = common.progress_of(args)
    show(0.5, "Half")
    assert "50 %" in capsys.readouterr().err
    assert os.linesep not in capsys.readouterr().err
