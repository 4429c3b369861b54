"""Images as DICOM series of their own."""

import numpy as np
import pytest
from dicom_tables import complaints

from valorlib.convert.dicom import read_series
from valorlib.convert.dicom_series import headers_of, series_of, write_series
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image

TURN = ((0.96, -0.28, 0.0), (0.28, 0.96, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((7, 5, 4), (0.7, 0.9, 2.5), (12.0, -30.0, 5.5), TURN)


def image(low, high):
    return Image(np.random.default_rng(0).uniform(low, high, GRID.shape).astype(np.float32), GRID, "scan")


@pytest.mark.parametrize(("low", "high"), [(0.0, 900.0), (-1000.0, 1500.0), (-0.2, 1.3)])
def test_a_series_reads_back_where_it_was(tmp_path, low, high):
    given = image(low, high)
    write_series(series_of(given, description="a scan"), tmp_path / "series")
    read = read_series(tmp_path / "series")
    assert read.grid.matches(given.grid)
    step = 0.51 if low < -500 else 0.51 * (high - low) / 65535
    np.testing.assert_allclose(read.array, given.array, atol=step)
    heads = headers_of(tmp_path / "series", 4)
    assert {h.Modality for h in heads} == {"CT" if low < -500 else "MR"}
    assert len({h.SOPInstanceUID for h in heads}) == 4
    assert len({(h.StudyInstanceUID, h.SeriesInstanceUID, h.FrameOfReferenceUID) for h in heads}) == 1
    assert headers_of(tmp_path / "series", 9) == []
    found = complaints(sorted((tmp_path / "series").iterdir())[0])
    # Real values need a rescale, which MR objects may have as an extension.
    assert [line for line in found if not (low > -500 and line.startswith("General: (0028,105"))] == []


def test_a_derived_series_keeps_patient_study_and_frame():
    source = series_of(image(0, 1))[0]
    source.PatientID, source.PatientName = "P7", "Test^Seven"
    derived = series_of(image(0, 1), reference=source)[0]
    for tag in ("PatientID", "PatientName", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert derived[tag].value == source[tag].value
    assert derived.SeriesInstanceUID != source.SeriesInstanceUID


def test_a_mirrored_grid_is_refused():
    mirrored = Grid((7, 5, 4), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0), ((-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)))
    with pytest.raises(InputError, match="right-handed"):
        series_of(Image(np.zeros(mirrored.shape, dtype=np.float32), mirrored))
