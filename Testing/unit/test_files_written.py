"""Writing files: whole or not at all."""

from __future__ import annotations

import numpy as np
import pytest
from unit.geometry import blobs, smooth_field, texture

from valorlib.convert import image_files
from valorlib.convert.files import (
    write_field,
    write_image,
    write_labels,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.transforms import DisplacementField


def test_writing_needs_a_folder_and_a_known_suffix(tmp_path):
    for call in (lambda p: write_image(texture(), p), lambda p: write_labels(blobs(), p)):
        with pytest.raises(InputError, match="expected a folder to write to, found none"):
            call(tmp_path / "no" / "x.nrrd")
        with pytest.raises(InputError, match="expected a name ending in"):
            call(tmp_path / "x.jpg")
    with pytest.raises(InputError, match="expected a name ending in"):
        write_field(smooth_field(), tmp_path / "x.png")


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    def refuse(**kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(image_files.tempfile, "mkdtemp", refuse)
    with pytest.raises(InputError, match=r"cannot be written to \(Permission denied\)"):
        write_image(texture(), tmp_path / "x.nrrd")


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    write_image(texture(), tmp_path / "x.nrrd")
    before = (tmp_path / "x.nrrd").read_bytes()

    def fail(image, name, compress):
        with open(name, "wb") as file:  # noqa: PTH123
            file.write(b"half")
        raise RuntimeError("ITK ERROR:\n no space left")

    monkeypatch.setattr(image_files.sitk, "WriteImage", fail)
    with pytest.raises(InputError, match="is the disk full") as caught:
        write_image(texture(seed=9), tmp_path / "x.nrrd")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "x.nrrd").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["x.nrrd"]


def test_a_cancel_in_mid_write_leaves_nothing(tmp_path):
    def interrupt(name):
        (tmp_path / name).write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        image_files.write_whole(tmp_path / "x.nrrd", interrupt)
    assert list(tmp_path.iterdir()) == []


def test_large_fields_stay_float32(tmp_path):
    field = DisplacementField(np.zeros((8, 8, 8, 3), "f4"), Grid((8, 8, 8)))
    write_field(field, tmp_path / "u.nrrd")
    assert (tmp_path / "u.nrrd").stat().st_size < 8**3 * 3 * 4 + 1000
