"""Wrong input in every way we could think of: exit code 2, one sentence, no traceback, nothing written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from valorlib.cli import main

RNG = np.random.default_rng(0)
SIZE = (22, 20, 18)


def volume(array=None, *, spacing=(1.0, 1.2, 1.5), origin=(0.0, 0.0, 0.0)):
    if array is None:
        k, j, i = np.meshgrid(*(np.linspace(-1, 1, n) for n in SIZE[::-1]), indexing="ij")
        array = 400 * np.exp(-3 * (i**2 + j**2 + k**2)) + 5 * RNG.random(SIZE[::-1])
    image = sitk.GetImageFromArray(np.asarray(array))
    if image.GetDimension() == 3:
        image.SetSpacing(spacing)
        image.SetOrigin(origin)
    return image


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """Files that are right: two scans, labels, seeds, landmarks, transforms, points."""
    folder = tmp_path_factory.mktemp("good")
    sitk.WriteImage(volume(), str(folder / "fixed.nrrd"))
    sitk.WriteImage(volume(), str(folder / "moving.nrrd"))
    labels = np.zeros(SIZE[::-1], np.uint8)
    labels[6:12, 6:12, 6:12] = 1
    sitk.WriteImage(volume(labels), str(folder / "labels.nrrd"))
    field = sitk.GetImageFromArray(np.zeros((*SIZE[::-1], 3)), isVector=True)
    sitk.WriteImage(field, str(folder / "field.nrrd"))
    sitk.WriteTransform(sitk.Euler3DTransform(), str(folder / "rigid.tfm"))
    (folder / "seeds.csv").write_text("x,y,z\n10,10,10\n")
    (folder / "landmarks.csv").write_text("1,2,3,1,2,3\n4,5,6,4,5,6\n")
    (folder / "cohort.csv").write_text("fixed,moving\nfixed.nrrd,moving.nrrd\n")
    (folder / "a.csv").write_text("\n".join(f"{x},{y},{z},1" for x, y, z in RNG.random((40, 3)) * 30))
    return folder


def header(path, **changes):
    """A raw NRRD of 4 x 4 x 4 with some header lines changed or removed."""
    lines = {
        "type": "float",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "4 4 4",
        "space directions": "(1,0,0) (0,1,0) (0,0,1)",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(0,0,0)",
    }
    lines.update(changes)
    text = "NRRD0004\n" + "".join(f"{k}: {v}\n" for k, v in lines.items() if v is not None) + "\n"
    path.write_bytes(text.encode() + np.arange(64, dtype="<f4").tobytes())
    return path


def write(path, array, **geometry):
    sitk.WriteImage(volume(array, **geometry), str(path))
    return path


def nan(share):
    array = np.full(SIZE[::-1], np.nan)
    array.ravel()[: int(share * array.size)] = 1
    return array


def text(path, words):
    path.write_bytes(words if isinstance(words, bytes) else words.encode())
    return path


def big(path):
    """A header that promises far more than the file holds."""
    return header(path, sizes="4000 4000 4000")


MOVING = {  # file that takes the place of MOVING
    "missing": lambda d: d / "none.nrrd",
    "empty_file": lambda d: text(d / "m.nrrd", ""),
    "text_as_nrrd": lambda d: text(d / "m.nrrd", "hello, this is no image"),
    "truncated_nrrd": lambda d: text(d / "m.nrrd", header(d / "h.nrrd").read_bytes()[:-100]),
    "truncated_gzip": lambda d: text(d / "m.nii.gz", gzip.compress(b"x" * 1000)[:40]),
    "not_gzip": lambda d: text(d / "m.nii.gz", "hello"),
    "wrong_suffix": lambda d: text(d / "m.docx", "hello"),
    "no_suffix": lambda d: text(d / "m", "hello"),
    "empty_folder": lambda d: (d / "m").mkdir() or d / "m",
    "folder_without_dicom": lambda d: ((d / "m").mkdir(), text(d / "m" / "a.txt", "hello"))[0] or d / "m",
    "damaged_dicom": lambda d: (
        ((d / "m").mkdir(), text(d / "m" / "a.dcm", b"\0" * 128 + b"DICM" + b"\1" * 50))[0] or d / "m"
    ),
    "all_nan": lambda d: write(d / "m.nrrd", nan(0)),
    "one_infinite": lambda d: write(d / "m.nrrd", np.where(np.arange(7920).reshape(SIZE[::-1]) == 7, np.inf, 1.0)),
    "half_nan": lambda d: write(d / "m.nrrd", nan(0.5)),
    "constant": lambda d: write(d / "m.nrrd", np.full(SIZE[::-1], 5.0)),
    "all_zero": lambda d: write(d / "m.nrrd", np.zeros(SIZE[::-1])),
    "one_voxel": lambda d: write(d / "m.nrrd", np.ones((1, 1, 1))),
    "four_dimensions": lambda d: (
        sitk.WriteImage(sitk.JoinSeries([volume(), volume()]), str(d / "m.nrrd")) or d / "m.nrrd"
    ),
    "vector_image": lambda d: (
        sitk.WriteImage(sitk.GetImageFromArray(np.zeros((5, 5, 5, 4)), isVector=True), str(d / "m.nrrd"))
        or d / "m.nrrd"
    ),
    "complex_image": lambda d: (
        sitk.WriteImage(sitk.GetImageFromArray(np.ones((5, 5, 5), np.complex64)), str(d / "m.mha")) or d / "m.mha"
    ),
    "zero_spacing": lambda d: header(d / "m.nrrd", **{"space directions": "(0,0,0) (0,1,0) (0,0,1)"}),
    "sheared": lambda d: header(d / "m.nrrd", **{"space directions": "(1,0.5,0) (0,1,0) (0,0,1)"}),
    "flat_matrix": lambda d: header(d / "m.nrrd", **{"space directions": "(1,0,0) (1,0,0) (0,0,1)"}),
    "nan_origin": lambda d: header(d / "m.nrrd", **{"space origin": "(nan,0,0)"}),
    "tiny_spacing": lambda d: header(d / "m.nrrd", **{"space directions": "(1e-7,0,0) (0,1e-7,0) (0,0,1e-7)"}),
    "huge_spacing": lambda d: header(d / "m.nrrd", **{"space directions": "(1e6,0,0) (0,1e6,0) (0,0,1e6)"}),
    "promises_too_much": lambda d: big(d / "m.nrrd"),
    "negative_size": lambda d: header(d / "m.nrrd", sizes="-4 4 4"),
    "unknown_type": lambda d: header(d / "m.nrrd", type="quaternion"),
    "detached_data_missing": lambda d: header(d / "m.nrrd", **{"data file": "none.raw"}),
    "far_away": lambda d: write(d / "m.nrrd", None, origin=(5000.0, 0.0, 0.0)),
    "transform_file": lambda d: text(d / "m.tfm", "#Insight Transform File V1.0\n"),
    "picture_of_noise": lambda d: text(d / "m.png", RNG.bytes(500)),
}

REGISTER = {  # further words behind FIXED MOVING
    "seed_of_words": ["--seed", "a,b,c"],
    "seed_of_two_numbers": ["--seed", "1,2"],
    "seed_of_four_numbers": ["--seed", "1,2,3,4"],
    "seed_empty": ["--seed", ""],
    "seed_not_a_number": ["--seed", "nan,1,2"],
    "seed_infinite": ["--seed", "inf,1,2"],
    "seed_decimal_comma": ["--seed", "1,5,2,5,3,5"],
    "seed_with_odd_mark": ["--seed", "1,2,3:x"],
    "seed_outside": ["--seed", "999,999,999"],
    "seed_negative_outside": ["--seed", "-999,1,1"],
    "seed_background_only": ["--seed", "10,10,10:-"],
    "seeds_file_missing": ["--seeds", "{bad}/none.csv"],
    "seeds_file_empty": ["--seeds", "{bad}/empty.csv"],
    "seeds_file_of_words": ["--seeds", "{bad}/words.csv"],
    "seeds_file_short_rows": ["--seeds", "{bad}/short.csv"],
    "seeds_file_binary": ["--seeds", "{bad}/binary.csv"],
    "seeds_json_damaged": ["--seeds", "{bad}/broken.mrk.json"],
    "seeds_json_other": ["--seeds", "{bad}/other.mrk.json"],
    "seeds_wrong_suffix": ["--seeds", "{good}/fixed.nrrd"],
    "seeds_on_nothing": ["--seeds-on", "both"],
    "space_unknown": ["--space", "mni"],
    "method_unknown": ["--method", "magic"],
    "method_of_points": ["--method", "mo_bcpd"],
    "preset_unknown": ["--preset", "magic"],
    "option_unknown": ["--set", "magic=1"],
    "option_without_value": ["--set", "spacing_mm"],
    "option_of_words": ["--set", "{number}=abc"],
    "option_out_of_range": ["--set", "{number}=1e30"],
    "option_nan": ["--set", "{number}=nan"],
    "device_unknown": ["--device", "tpu"],
    "device_not_here": ["--device", "cuda:97"],
    "random_seed_negative": ["--random-seed=-1"],
    "random_seed_of_words": ["--random-seed", "x"],
    "threads_zero": ["--threads", "0"],
    "threads_of_words": ["--threads", "many"],
    "flag_unknown": ["--magic"],
    "mask_of_other_grid": ["--fixed-mask", "{bad}/other_grid.nrrd"],
    "mask_empty": ["--fixed-mask", "{bad}/empty_mask.nrrd"],
    "mask_missing": ["--moving-mask", "{bad}/none.nrrd"],
    "labels_with_fractions": ["--fixed-labels", "{good}/fixed.nrrd"],
    "labels_of_other_grid": ["--moving-labels", "{bad}/other_grid.nrrd"],
    "landmarks_missing": ["--landmarks", "{bad}/none.csv"],
    "landmarks_short": ["--landmarks", "{bad}/short.csv"],
    "landmarks_three_files": ["--landmarks", "{good}/a.csv", "{good}/a.csv", "{good}/a.csv"],
    "landmarks_unequal": ["--landmarks", "{good}/a.csv", "{good}/seeds.csv"],
    "start_is_an_image": ["--start", "{good}/fixed.nrrd"],
    "start_missing": ["--start", "{bad}/none.h5"],
    "start_damaged": ["--start", "{bad}/broken.h5"],
}

COMMANDS = {  # whole lines
    "no_command": [],
    "unknown_command": ["magic"],
    "register_without_files": ["register"],
    "register_without_output": ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd"],
    "output_is_a_file": ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{good}/seeds.csv"],
    "output_below_a_file": ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{good}/seeds.csv/o"],
    "output_has_other_files": ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{good}"],
    "segment_without_seed": ["segment", "{good}/fixed.nrrd", "--output", "{out}.nrrd"],
    "segment_odd_output": ["segment", "{good}/fixed.nrrd", "--seed", "9,9,9", "--output", "{out}.docx"],
    "segment_no_folder": ["segment", "{good}/fixed.nrrd", "--seed", "9,9,9", "--output", "{out}/none/a.nrrd"],
    "segment_into_a_folder": ["segment", "{good}/fixed.nrrd", "--seed", "9,9,9", "--output", "{bad}/folder.nrrd"],
    "segment_far_seed": ["segment", "{good}/fixed.nrrd", "--seed", "900,9,9", "--output", "{out}.nrrd"],
    "jacobian_of_an_image": ["jacobian", "{good}/fixed.nrrd", "--output", "{out}.nrrd"],
    "jacobian_without_grid": ["jacobian", "{good}/rigid.tfm", "--output", "{out}.nrrd"],
    "jacobian_missing": ["jacobian", "{bad}/none.h5", "--output", "{out}.nrrd"],
    "evaluate_missing": ["evaluate", "{bad}/none"],
    "evaluate_empty_folder": ["evaluate", "{bad}/folder.nrrd"],
    "evaluate_landmarks_wrong": ["evaluate", "{good}/field.nrrd", "--landmarks", "{bad}/words.csv"],
    "evaluate_one_label_map": ["evaluate", "{good}/field.nrrd", "--labels", "{good}/labels.nrrd"],
    "methods_unknown": ["methods", "magic"],
    "demo_size": ["demo", "--size", "huge", "--output", "{out}"],
    "demo_into_other_files": ["demo", "--output", "{good}"],
    "workbench_port": ["workbench", "--port", "99999999"],
    "cohort_missing": ["cohort", "{bad}/none.csv", "--output", "{out}"],
    "cohort_empty": ["cohort", "{bad}/empty.csv", "--output", "{out}"],
    "cohort_header_only": ["cohort", "{bad}/header_only.csv", "--output", "{out}"],
    "cohort_columns": ["cohort", "{bad}/columns.csv", "--output", "{out}"],
    "cohort_empty_cell": ["cohort", "{bad}/empty_cell.csv", "--output", "{out}"],
    "cohort_name_twice": ["cohort", "{bad}/twice.csv", "--output", "{out}"],
    "cohort_name_climbs_out": ["cohort", "{bad}/climbs.csv", "--output", "{out}"],
    "cohort_binary": ["cohort", "{bad}/binary.csv", "--output", "{out}"],
    "cohort_no_workers": ["cohort", "{good}/cohort.csv", "--workers", "0", "--output", "{out}"],
    "cohort_into_other_files": ["cohort", "{good}/cohort.csv", "--output", "{good}"],
}


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """Files that are wrong."""
    folder = tmp_path_factory.mktemp("bad")
    text(folder / "empty.csv", "")
    text(folder / "words.csv", "x,y,z\none,two,three\n")
    text(folder / "short.csv", "1,2\n3,4\n")
    text(folder / "binary.csv", bytes(range(128, 256)))
    text(folder / "broken.mrk.json", '{"markups": [{')
    text(folder / "other.mrk.json", json.dumps({"hello": 1}))
    text(folder / "broken.h5", b"\x89HDF\r\n\x1a\n" + b"\0" * 50)
    text(folder / "header_only.csv", "fixed,moving\n")
    text(folder / "columns.csv", "fix,mov\na,b\n")
    text(folder / "empty_cell.csv", "fixed,moving\na.nrrd,\n")
    text(folder / "twice.csv", "name,fixed,moving\na,x,y\na,x,y\n")
    text(folder / "climbs.csv", "name,fixed,moving\n../a,x,y\n")
    (folder / "folder.nrrd").mkdir()
    write(folder / "other_grid.nrrd", np.ones(SIZE[::-1], np.uint8), spacing=(2.0, 2.0, 2.0))
    write(folder / "empty_mask.nrrd", np.zeros(SIZE[::-1], np.uint8))
    return folder


def number_option():
    from valorlib.catalog import load
    from valorlib.core.options import describe

    return next(o.name for o in describe(load("valor").options) if o.kind is float and o.high is not None)


def refuse(words, capsys, tmp_path, good, bad, *, read_only=False):
    """Run the command; it must end with code 2, one sentence, and leave the folder as it was."""
    out = tmp_path / "out"
    filled = [w.format(good=good, bad=bad, out=out, number=number_option() if "{number}" in w else "") for w in words]
    before = {p: p.stat().st_mtime_ns for folder in (tmp_path, good, bad) for p in folder.rglob("*")}
    code = main(filled)
    after = {p: p.stat().st_mtime_ns for folder in (tmp_path, good, bad) for p in folder.rglob("*")}
    said = capsys.readouterr()
    lines = said.err.strip().splitlines()
    assert code == 2, said.err[-2000:]
    assert len(lines) == 1, said.err
    assert lines[0].startswith("valor: "), lines
    assert "Traceback" not in said.err
    assert 20 < len(lines[0]) < 500, lines
    assert said.out == ""
    assert before == after


@pytest.mark.parametrize("name", MOVING)
def test_a_wrong_scan_is_refused_in_one_sentence(name, capsys, tmp_path, good, bad):
    moving = MOVING[name](tmp_path)
    refuse(["register", "{good}/fixed.nrrd", str(moving), "--output", "{out}"], capsys, tmp_path, good, bad)


@pytest.mark.parametrize("name", REGISTER)
def test_a_wrong_argument_of_register_is_refused_in_one_sentence(name, capsys, tmp_path, good, bad):
    words = ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{out}", *REGISTER[name]]
    refuse(words, capsys, tmp_path, good, bad)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_wrong_command_is_refused_in_one_sentence(name, capsys, tmp_path, good, bad):
    refuse(COMMANDS[name], capsys, tmp_path, good, bad)


def test_there_are_more_than_sixty_kinds():
    assert len({*MOVING, *REGISTER, *COMMANDS}) >= 110


def test_a_folder_that_cannot_be_written_to_is_refused(capsys, tmp_path, good, bad, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != tmp_path)
    words = ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{out}"]
    refuse(words, capsys, tmp_path, good, bad)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(capsys, tmp_path, good, bad, monkeypatch):
    def full(*words, **more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("valorlib.convert.results.write_field", full)
    words = ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--method", "valor", "--preset", "quick"]
    refuse([*words, "--output", "{out}"], capsys, tmp_path, good, bad)


def test_too_little_memory_is_one_sentence(capsys, tmp_path, good, bad, monkeypatch):
    def full(path):
        raise MemoryError

    monkeypatch.setattr("valorlib.convert.files.read_image", full)
    words = ["register", "{good}/fixed.nrrd", "{good}/moving.nrrd", "--output", "{out}"]
    refuse(words, capsys, tmp_path, good, bad)


def test_a_bug_says_so_with_code_1(capsys, tmp_path, good, monkeypatch):
    def broken(path):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("valorlib.convert.files.read_image", broken)
    out = tmp_path / "out"
    code = main(["register", f"{good}/fixed.nrrd", f"{good}/moving.nrrd", "--output", str(out)])
    assert code == 1
    assert "ZeroDivisionError: oops" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("name", ["with space", "Größe é ñ", "数据 🙂"])
def test_odd_but_legal_names_work(name, capsys, tmp_path, good):
    folder = tmp_path / name
    folder.mkdir()
    sitk.WriteImage(sitk.ReadImage(str(good / "field.nrrd")), str(folder / "t.nrrd"))
    assert main(["jacobian", str(folder / "t.nrrd"), "--output", str(folder / "j.nrrd"), "--quiet"]) == 0
    assert (folder / "j.nrrd").exists()
