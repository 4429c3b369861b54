"""Results as DICOM files, read back by readers that know nothing of the workbench."""

import zipfile

import highdicom
import numpy as np
import pydicom

from valor_workbench.tasks_export import DicomExport, write_dicom
from valor_workbench.worker import Attempt, Context
from valorlib.convert.dicom import read_series
from valorlib.convert.dicom_reg import read_deformable_registration
from valorlib.convert.dicom_rt import read_rtdose
from valorlib.convert.dicom_series import series_of, write_series
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import DisplacementField

TURN = ((0.96, -0.28, 0.0), (0.28, 0.96, 0.0), (0.0, 0.0, 1.0))
GRID = Grid((9, 8, 6), (0.7, 0.9, 2.5), (12.0, -30.0, 5.5), TURN)


def context(folder):
    return Context(folder, Attempt(), lambda fraction, message: None, lambda kind, value: None)


def export(folder, **more):
    rng = np.random.default_rng(3)
    fixed = Image(rng.uniform(0, 800, GRID.shape).astype(np.float32), GRID, "fixed")
    labels = np.zeros(GRID.shape, dtype=np.int32)
    labels[1:4, 2:5, 3:7], labels[4:, 6:, :3] = 1, 2
    field = DisplacementField(rng.normal(size=(*GRID.shape, 3)).astype(np.float32), GRID)
    wanted = DicomExport(
        "valor-registration",
        fixed,
        field,
        labels={"tumors": LabelMap(labels, GRID, {1: "Tumor 1", 2: "Tumor 2"})},
        images={"moving_carried": fixed},
        doses={"dose_mean": Dose(fixed.array / 10, GRID)},
        **more,
    )
    archive = write_dicom(context(folder), wanted)
    with zipfile.ZipFile(archive) as made:
        made.extractall(folder / "out")
    return wanted, folder / "out" / "valor-registration"


def test_every_kind_of_file_reads_back(tmp_path):
    wanted, out = export(tmp_path)
    assert read_series(out / "fixed").grid.matches(GRID)
    assert read_series(out / "moving_carried").grid.matches(GRID)
    np.testing.assert_allclose(read_deformable_registration(out / "registration.dcm").array, wanted.field.array)
    dose = read_rtdose(out / "dose_mean.dcm").dose
    np.testing.assert_allclose(dose.array, wanted.doses["dose_mean"].array, atol=1e-4)

    seg = highdicom.seg.segread(out / "tumors.dcm")
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["Tumor 1", "Tumor 2"]
    volume = seg.get_volume(combine_segments=True)
    order = wanted.labels["tumors"]
    for label in (1, 2):
        found = volume.map_indices_to_reference(np.argwhere(volume.array == label)).mean(axis=0)
        there = GRID.to_world(np.argwhere(order.array == label)[:, ::-1]).mean(axis=0)
        np.testing.assert_allclose(found, there, atol=1e-3)

    files = [pydicom.dcmread(p) for p in out.rglob("*.dcm")]
    assert len({f.PatientID for f in files}) == 1
    frames = {f.FrameOfReferenceUID for f in files if "FrameOfReferenceUID" in f}
    assert len(frames) == 1


def test_the_scans_own_series_is_referred_to_and_not_written_again(tmp_path):
    own = tmp_path / "own"
    slices = series_of(Image(np.zeros(GRID.shape, dtype=np.float32), GRID, "fixed"))
    for one in slices:
        one.PatientID = "P7"
    write_series(slices, own)
    _, out = export(tmp_path, fixed_folder=str(own), moving_folder=str(own))
    assert not (out / "fixed").exists()
    seg = pydicom.dcmread(out / "tumors.dcm")
    assert seg.PatientID == "P7"
    assert seg.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    referred = seg.ReferencedSeriesSequence[0]
    assert referred.SeriesInstanceUID == slices[0].SeriesInstanceUID
    reg = pydicom.dcmread(out / "registration.dcm")
    assert reg.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID == slices[0].FrameOfReferenceUID
