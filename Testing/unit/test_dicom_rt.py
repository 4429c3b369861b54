"""RTDOSE, RTSTRUCT, RTPLAN, REG and SEG: read back what was written, checked by dicom-validator, and odd files answered
in a sentence.
"""

from __future__ import annotations

import copy

import numpy as np
import pydicom
import pytest
from dicom_tables import complaints
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from realdata import need

from valorlib.convert.dicom_reg import (
    PATIENT_TAGS,
    read_deformable_registration,
    read_segmentation,
    write_deformable_registration,
    write_rtdose,
    write_segmentation,
)
from valorlib.convert.dicom_rt import (
    RTSTRUCT,
    check_frames,
    is_rtdose,
    is_rtstruct,
    read_rtdose,
    read_rtplan,
    read_rtstruct,
)
from valorlib.convert.structures import read_structures
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, LabelMap
from valorlib.core.transforms import DisplacementField

TURN = ((0.8, -0.6, 0.0), (0.6, 0.8, 0.0), (0.0, 0.0, 1.0))
OBLIQUE = Grid((7, 6, 5), (2.0, 2.5, 3.0), (-12.25, 40.5, 7.0), TURN)
TYPE_1 = {
    "RTDOSE": "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID Rows Columns "
    "BitsAllocated BitsStored HighBit PixelRepresentation SamplesPerPixel PhotometricInterpretation PixelSpacing "
    "ImagePositionPatient ImageOrientationPatient NumberOfFrames FrameIncrementPointer GridFrameOffsetVector DoseUnits "
    "DoseType DoseSummationType DoseGridScaling PixelData Manufacturer",
    "REG": "SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID Modality FrameOfReferenceUID ContentDate "
    "ContentTime ContentLabel InstanceNumber DeformableRegistrationSequence Manufacturer",
}
TYPE_2 = (*PATIENT_TAGS, "StudyDate", "StudyTime", "StudyID", "AccessionNumber")


def check_attributes(data):
    for tag in TYPE_1[data.Modality].split():
        assert data.get(tag) not in (None, ""), f"{tag} is missing or empty"
    for tag in TYPE_2:
        assert tag in data, f"{tag} is missing"
    for element in data.iterall():
        if element.VR == "DS":
            values = element.value if element.VM > 1 else [element.value]
            assert all(len(str(v)) <= 16 for v in values), element


def dose_on(grid, seed=0):
    return Dose(np.random.default_rng(seed).random(grid.shape).astype(np.float32) * 66, grid)


def rewritten(path, change):
    data = pydicom.dcmread(path)
    change(data)
    data.save_as(path)
    return path


@pytest.fixture
def dose_file(tmp_path):
    path = tmp_path / "dose.dcm"
    write_rtdose(dose_on(OBLIQUE), path, description="5th percentile")
    return path


def test_a_dose_comes_back_on_its_oblique_grid(dose_file):
    found = read_rtdose(dose_file)
    assert found.dose.grid.matches(OBLIQUE)
    np.testing.assert_allclose(found.dose.array, dose_on(OBLIQUE).array, atol=1e-5)
    assert is_rtdose(dose_file)
    assert not is_rtstruct(dose_file)
    check_attributes(pydicom.dcmread(dose_file))
    assert complaints(dose_file) == []


@pytest.mark.parametrize("tag", ["DoseUnits", "PixelSpacing", "ReferencedRTPlanSequence", "SOPInstanceUID"])
def test_the_validator_sees_what_is_missing(dose_file, tag):
    data = pydicom.dcmread(dose_file)
    missing = data[tag].tag
    del data[tag]
    data.save_as(dose_file)
    assert any(f"{missing}: TagMissing" in line for line in complaints(dose_file))


def test_falling_and_absolute_frame_offsets_give_the_same_dose(tmp_path):
    straight = Grid((4, 3, 5), (2.0, 2.0, 3.0), (1.0, 2.0, -7.0))
    path = tmp_path / "d.dcm"
    write_rtdose(dose_on(straight), path)
    expected = read_rtdose(path).dose

    def absolute(data):
        data.GridFrameOffsetVector = [-7.0 + 3 * n for n in range(5)]

    np.testing.assert_allclose(read_rtdose(rewritten(path, absolute)).dose.array, expected.array)
    assert read_rtdose(path).dose.grid.matches(straight)

    def falling(data):
        data.ImagePositionPatient = [1, 2, -7 + 12]
        data.GridFrameOffsetVector = [-3.0 * n for n in range(5)]
        data.PixelData = data.pixel_array[::-1].tobytes()

    found = read_rtdose(rewritten(path, falling)).dose
    assert found.grid.matches(straight)
    np.testing.assert_allclose(found.array, expected.array)


def test_uneven_frames_are_interpolated_with_a_warning(tmp_path):
    grid = Grid((3, 3, 4), (2.0, 2.0, 2.0))
    ramp = np.broadcast_to(np.asarray([0.0, 2.0, 4.0, 8.0])[:, None, None], grid.shape)
    path = tmp_path / "d.dcm"
    write_rtdose(Dose(ramp.astype(np.float32), grid), path)

    def uneven(data):
        data.GridFrameOffsetVector = [0.0, 2.0, 4.0, 8.0]

    found = read_rtdose(rewritten(path, uneven))
    np.testing.assert_allclose(found.dose.array[:, 1, 1], [0, 2, 4, 6, 8], atol=1e-4)
    assert "unevenly" in found.warnings[0]


@pytest.mark.parametrize(
    ("tag", "value", "sentence"),
    [
        ("GridFrameOffsetVector", [0.0, 3.0], "frame offsets"),
        ("GridFrameOffsetVector", [0.0, 3.0, 3.0, 2.0, 9.0], "rise or fall"),
        ("GridFrameOffsetVector", [5.0, 8.0, 11.0, 14.0, 17.0], None),
        ("DoseUnits", "RELATIVE", "relative"),
    ],
)
def test_what_cannot_be_understood_is_refused_in_a_sentence(dose_file, tag, value, sentence):
    path = rewritten(dose_file, lambda data: setattr(data, tag, value))
    if sentence is None:
        # An offset that does not start at 0 is absolute z, allowed since the frames lie along z.
        assert read_rtdose(path).dose.grid.origin[2] == pytest.approx(5.0)
        return
    with pytest.raises(InputError, match=sentence):
        read_rtdose(path)


def test_centigray_and_percent_are_noticed(dose_file):
    expected = read_rtdose(dose_file).dose.array
    found = read_rtdose(rewritten(dose_file, lambda data: setattr(data, "DoseUnits", "CGY")))
    np.testing.assert_allclose(found.dose.array, expected / 100, rtol=1e-5)
    assert "cGy" in found.warnings[0]
    found = read_rtdose(rewritten(dose_file, lambda data: setattr(data, "DoseUnits", "RELATIVE")), prescription_gy=20.0)
    np.testing.assert_allclose(found.dose.array, expected * 0.2, rtol=1e-5)


def test_a_dose_of_zero_is_read_with_a_warning_and_a_negative_one_is_not_written(tmp_path):
    write_rtdose(Dose(np.zeros(OBLIQUE.shape, dtype=np.float32), OBLIQUE), tmp_path / "z.dcm")
    assert "zero everywhere" in read_rtdose(tmp_path / "z.dcm").warnings[0]
    with pytest.raises(InputError, match="negative"):
        write_rtdose(Dose(np.full(OBLIQUE.shape, -1, dtype=np.float32), OBLIQUE), tmp_path / "n.dcm")


def test_other_files_are_refused_in_a_sentence(tmp_path, dose_file):
    (tmp_path / "x.dcm").write_bytes(b"no dicom at all")
    with pytest.raises(InputError, match="no DICOM"):
        read_rtdose(tmp_path / "x.dcm")
    with pytest.raises(InputError, match="expected a DICOM RTSTRUCT, got RTDOSE"):
        read_rtstruct(dose_file)
    assert not is_rtstruct(tmp_path / "x.dcm")


def test_frames_of_reference_must_agree():
    check_frames(("scan", "1.2"), ("dose", ""), ("structures", "1.2"))
    with pytest.raises(InputError, match=r"dose: expected the frame of reference of the scan"):
        check_frames(("scan", "1.2"), ("dose", "1.3"))


def structure_file(tmp_path, rois):
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = RTSTRUCT, "1.2.3", "RTSTRUCT"
    data.StructureSetROISequence, data.ROIContourSequence = Sequence([]), Sequence([])
    for number, (name, polygons) in enumerate(rois.items(), start=1):
        roi, contours = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, "1.9"
        contours.ReferencedROINumber, contours.ContourSequence = number, Sequence([])
        for kind, points in polygons:
            item = Dataset()
            item.ContourGeometricType = kind
            item.ContourData = [float(v) for v in np.ravel(points)]
            contours.ContourSequence.append(item)
        data.StructureSetROISequence.append(roi)
        data.ROIContourSequence.append(contours)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.file_meta.MediaStorageSOPClassUID, data.file_meta.MediaStorageSOPInstanceUID = RTSTRUCT, "1.2.3"
    path = tmp_path / "rs.dcm"
    pydicom.dcmwrite(path, data, enforce_file_format=True)
    return path


def test_structures_without_contours_are_left_out_by_name(tmp_path):
    square = [(0, 0, 1), (4, 0, 1), (4, 4, 1), (0, 4, 1)]
    path = structure_file(
        tmp_path, {"Heart": [("CLOSED_PLANAR", square)], "Empty": [], "Iso": [("POINT", [(0, 0, 0)])]}
    )
    found = read_rtstruct(path)
    assert [c.name for c in found.structures] == ["Heart"]
    assert found.frame_uid == "1.9"
    assert any("Empty" in w for w in found.warnings)
    assert any(w.startswith("Iso: points") for w in found.warnings)


def test_a_field_comes_back_from_a_deformable_registration(tmp_path):
    field = DisplacementField(np.random.default_rng(0).normal(size=(*OBLIQUE.shape, 3)).astype(np.float32), OBLIQUE)
    path = tmp_path / "reg.dcm"
    write_deformable_registration(field, path)
    found = read_deformable_registration(path)
    assert found.grid.matches(OBLIQUE)
    np.testing.assert_array_equal(found.array, field.array)
    data = pydicom.dcmread(path)
    check_attributes(data)
    item = data.DeformableRegistrationSequence[0]
    assert item.SourceFrameOfReferenceUID != data.FrameOfReferenceUID
    assert complaints(path) == []


def test_structures_come_back_from_a_segmentation(tmp_path):
    slices = _made_series(4)
    grid = Grid((6, 5, 4), (2.0, 2.0, 3.0), (1.0, 2.0, 3.0))
    labels = np.zeros(grid.shape, dtype=np.int32)
    labels[1:3, 1:4, 2:5], labels[3, 0, 0] = 1, 5
    path = tmp_path / "seg.dcm"
    write_segmentation(LabelMap(labels, grid, {1: "Heart", 5: "Lung"}), path, sources=slices)
    import highdicom as hd

    found = hd.seg.segread(path)
    assert [found.get_segment_description(n).SegmentLabel for n in (1, 2)] == ["Heart", "Lung"]
    volume = found.get_volume(combine_segments=False)
    assert int(volume.array[..., 0].sum()) == int((labels == 1).sum())
    assert int(volume.array[..., 1].sum()) == 1
    back = read_segmentation(path)
    assert list(back) == ["Heart", "Lung"]
    for name, label in (("Heart", 1), ("Lung", 5)):
        mask = back[name]
        np.testing.assert_array_equal(
            mask.grid.to_world(np.argwhere(mask.array)[:, ::-1]), grid.to_world(np.argwhere(labels == label)[:, ::-1])
        )
    assert [s.name for s in read_structures(path)] == ["Heart", "Lung"]
    with pytest.raises(InputError, match="slices"):
        write_segmentation(LabelMap(labels, grid), path, sources=slices[:2])
    assert complaints(path) == []


def _made_series(count):
    base = Dataset()
    base.SOPClassUID, base.Modality = "1.2.840.10008.5.1.4.1.1.2", "CT"
    base.PatientName, base.PatientID, base.PatientBirthDate, base.PatientSex = "A^B", "1", "", ""
    base.StudyInstanceUID, base.SeriesInstanceUID, base.FrameOfReferenceUID = "1.2.1", "1.2.2", "1.2.3"
    base.StudyDate = base.StudyTime = base.StudyID = base.AccessionNumber = base.ReferringPhysicianName = ""
    base.SeriesNumber, base.Manufacturer, base.ManufacturerModelName = 1, "X", "X"
    base.Rows, base.Columns, base.PixelSpacing, base.SliceThickness = 5, 6, [2, 2], 3
    base.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    base.PositionReferenceIndicator = ""
    out = []
    for n in range(count):
        one = copy.deepcopy(base)
        one.SOPInstanceUID, one.InstanceNumber = f"1.2.4.{n}", n + 1
        one.ImagePositionPatient = [1, 2, 3 + 3 * n]
        one.file_meta = pydicom.dataset.FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        out.append(one)
    return out


def test_the_breast_plan_is_read_and_its_percent_tagged_gray_is_noticed():
    folder = need("rt/breast_boost_dicom")
    plan = read_rtplan(folder / "rtplan.dcm")
    assert (plan.prescription_gy, plan.fractions) == (14.0, 7)
    found = read_rtdose(folder / "rtdose.dcm", prescription_gy=plan.prescription_gy)
    assert float(found.dose.array.max()) == pytest.approx(14.68, abs=0.01)
    assert any("percent" in w for w in found.warnings)
    assert len(found.dvhs) == 9
    assert next(v for v in found.dvhs if v.roi == 4).mean_gy == pytest.approx(5.61, abs=0.06)


def test_the_phantom_dicom_of_a_real_patient_shares_one_frame():
    folder = need("rt/openkbp/pt_1/dicom")
    dose, structures = read_rtdose(folder / "RTDOSE.dcm"), read_rtstruct(folder / "RTSTRUCT.dcm")
    check_frames(("dose", dose.frame_uid), ("structures", structures.frame_uid))
    assert float(dose.dose.array.max()) > 60
    assert len(structures.structures) >= 4
