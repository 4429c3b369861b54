"""`valor uncertainty` with DICOM: results come back as they were written, and frames of reference must agree."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
from dicom_tables import complaints

from valorlib.convert.dicom_reg import read_deformable_registration, write_rtdose, write_segmentation
from valorlib.convert.dicom_rt import RTSTRUCT, read_rtdose
from valorlib.convert.dicom_series import series_of, write_series
from valorlib.convert.files import read_image, write_field, write_image, write_labels
from valorlib.core.errors import InputError
from valorlib.demo_rt import make_rt_case
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions
from valorlib.uncertainty import run_uncertainty
from valorlib.uncertainty_dicom import check_job_frames

FAST = DirUncertaintyOptions(spacing_mm=10.0)


@pytest.fixture(scope="module")
def case():
    return make_rt_case(4, spacing_mm=8.0)


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    """Fixed scan and structures as NRRD; moving scan and dose as DICOM of one frame of reference."""
    path = tmp_path_factory.mktemp("rt")
    write_image(case.pair.fixed, path / "fixed.nrrd")
    slices = series_of(case.pair.moving, description="planning scan")
    write_series(slices, path / "moving")
    write_field(case.truth, path / "field.nrrd")
    write_labels(case.pair.fixed_labels, path / "labels.nrrd")
    write_rtdose(case.dose, path / "dose.dcm", reference=slices[0])
    write_rtdose(case.dose, path / "other.dcm", reference=slices[0], frame_uid="1.2.3.4")
    return path


def call(folder, output, dose, **more):
    return run_uncertainty(
        folder / "fixed.nrrd", folder / "moving", folder / "field.nrrd", output, dose=folder / dose,
        structures=folder / "labels.nrrd", samples=8, options=FAST, **more,
    )  # fmt: skip


def test_registration_doses_and_structures_come_back_from_dicom(case, folder, tmp_path):
    call(folder, tmp_path / "out", "dose.dcm", dicom=True)
    made = tmp_path / "out" / "dicom"
    names = {"fixed", "registration.dcm", "structures.dcm", "dose_mean.dcm", "dose_p05.dcm", "dose_p95.dcm"}
    assert {p.name for p in made.iterdir()} == names
    assert {p.name: found for p in sorted(made.rglob("*.dcm")) if (found := complaints(p))} == {}
    field = read_deformable_registration(made / "registration.dcm")
    assert np.allclose(field.array, case.truth.array, atol=1e-4)
    for name in ("mean", "p05", "p95"):
        expected = read_image(tmp_path / "out" / f"dose_{name}.nrrd")
        found = read_rtdose(made / f"dose_{name}.dcm").dose
        assert np.allclose(found.array, np.maximum(expected.array, 0), atol=1e-5)
        assert np.allclose(found.grid.matrix, expected.grid.matrix, atol=1e-4)
    heads = [pydicom.dcmread(p, stop_before_pixels=True) for p in sorted(made.glob("*.dcm"))]
    # Type 1C of the standard: one plan, known or not; readers take the first item unasked.
    assert all(len(h.ReferencedRTPlanSequence) == 1 for h in heads if h.Modality == "RTDOSE")
    scan = pydicom.dcmread(next((made / "fixed").iterdir()), stop_before_pixels=True)
    assert {h.FrameOfReferenceUID for h in heads} == {scan.FrameOfReferenceUID}
    moving = pydicom.dcmread(next((folder / "moving").iterdir()), stop_before_pixels=True)
    registration = pydicom.dcmread(made / "registration.dcm")
    assert registration.DeformableRegistrationSequence[0].SourceFrameOfReferenceUID == moving.FrameOfReferenceUID
    mask = pydicom.dcmread(made / "structures.dcm")
    assert {s.SegmentLabel for s in mask.SegmentSequence} == set(case.pair.fixed_labels.names.values())


def test_a_dose_of_another_frame_of_reference_is_refused_before_anything_is_computed(folder, tmp_path):
    with pytest.raises(InputError, match="dose: expected the frame of reference of the moving scan, got another"):
        call(folder, tmp_path / "out", "other.dcm")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT", "RTSTRUCT by its regions"])
def test_structures_of_another_frame_of_reference_are_refused(folder, case, tmp_path, kind):
    """The fixed scan here is the series in `moving`, whose frame the structures do not share."""
    path = tmp_path / "structures.dcm"
    if kind == "SEG":
        slices = series_of(case.pair.fixed, description="another scan")
        write_segmentation(case.pair.fixed_labels, path, sources=slices)
    else:
        data, region = pydicom.Dataset(), pydicom.Dataset()
        data.SOPClassUID, data.SOPInstanceUID, region.ReferencedFrameOfReferenceUID = RTSTRUCT, "1.2.3", "1.9"
        if kind == "RTSTRUCT":
            data.FrameOfReferenceUID = "1.9"
        data.StructureSetROISequence = [region]
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = RTSTRUCT, "1.2.3"
        pydicom.dcmwrite(path, data, enforce_file_format=True)
    paths = {"fixed": folder / "moving", "structures": path, "moving": None, "dose": None}
    with pytest.raises(InputError, match="structures: expected the frame of reference of the fixed scan, got another"):
        check_job_frames(paths)
    check_job_frames({**paths, "fixed": folder / "fixed.nrrd"})
