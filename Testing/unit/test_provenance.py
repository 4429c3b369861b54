import hashlib

from valorlib import __version__
from valorlib.convert.provenance import PACKAGES, input_record, record_of, sha256_of, versions


def test_checksum_of_a_file_and_of_a_folder_whatever_its_file_names(tmp_path):
    (tmp_path / "a").write_bytes(b"one")
    assert sha256_of(tmp_path / "a") == hashlib.sha256(b"one").hexdigest()
    for name, order in (("p", "ab"), ("q", "ba")):
        (tmp_path / name).mkdir()
        (tmp_path / name / order[0]).write_bytes(b"one")
        (tmp_path / name / order[1]).write_bytes(b"two")
    assert sha256_of(tmp_path / "p") == sha256_of(tmp_path / "q")
    (tmp_path / "q" / "c").write_bytes(b"three")
    assert sha256_of(tmp_path / "p") != sha256_of(tmp_path / "q")


def test_inputs_are_named_without_their_folder(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(b"one")
    found = input_record({"fixed": tmp_path / "a.nrrd", "seeds": None})
    assert found == {"fixed": {"name": "a.nrrd", "sha256": hashlib.sha256(b"one").hexdigest()}}


def test_versions_name_all_that_computes(monkeypatch):
    found = versions()
    assert found["slicervalor"] == __version__
    assert {name.lower() for name in PACKAGES} <= set(found)
    monkeypatch.setattr("valorlib.convert.provenance.PACKAGES", ("nothing-of-this-name",))
    assert versions()["nothing-of-this-name"] == "not installed"


def test_a_record_holds_what_the_contract_names():
    record = record_of(
        command="register", method="valor", options={"a": 1}, inputs={}, device="cpu", random_seed=3,
        seconds={"read": 0.5, "register": 1.25}, warnings=("w",),
    )  # fmt: skip
    assert record["seconds"] == 1.75
    assert record["seconds_by_step"] == {"read": 0.5, "register": 1.25}
    assert (record["seed"], record["device"], record["warnings"]) == (3, "cpu", ["w"])
