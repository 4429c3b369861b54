"""DICOM series folders: sorted by position, scaled, and refused in one sentence."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from realdata import need
from unit.geometry import OBLIQUE

from valorlib.convert.dicom import read_series
from valorlib.convert.files import read_image
from valorlib.core.errors import InputError

SIZE = (6, 5, 4)
VOXELS = np.random.default_rng(0).integers(0, 2000, SIZE[::-1]).astype(np.uint16)


def write_slice(folder, k, *, uid, position=None, axes=OBLIQUE, name=None, **more):
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Names in an order that is not that of the positions.
    path = folder / (name or f"{(k * 7 + 3) % 10:02d}_{k}.dcm")
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    data.SeriesInstanceUID, data.StudyInstanceUID = uid, generate_uid()
    data.Modality, data.SeriesDescription, data.InstanceNumber = "CT", "Thorax", k + 1
    data.Rows, data.Columns = SIZE[1], SIZE[0]
    data.PixelSpacing = [1.3, 0.9]
    data.ImageOrientationPatient = [round(float(v), 9) for v in (*axes[:, 0], *axes[:, 1])]
    place = np.array([-30.0, 12.0, 55.0]) + axes[:, 2] * (2.1 * k if position is None else position)
    data.ImagePositionPatient = [round(float(v), 9) for v in place]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept = 2, -1024
    data.PixelData = VOXELS[k % SIZE[2]].tobytes()
    for key, value in more.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def series(tmp_path):
    folder = tmp_path / "Säries"
    folder.mkdir()
    uid = generate_uid()
    for k in range(SIZE[2]):
        write_slice(folder, k, uid=uid)
    (folder / "notes.txt").write_text("no DICOM")
    (folder / ".hidden").write_text("x")
    return folder, uid


def test_a_series_is_sorted_and_scaled(series):
    image = read_series(series[0])
    np.testing.assert_allclose(image.array, VOXELS * 2.0 - 1024)
    assert image.grid.size == SIZE
    np.testing.assert_allclose(image.grid.spacing, (0.9, 1.3, 2.1), atol=1e-6)
    np.testing.assert_allclose(image.grid.direction, OBLIQUE, atol=1e-6)
    np.testing.assert_allclose(image.grid.origin, (-30, 12, 55), atol=1e-6)
    assert image.name == "Thorax"
    assert read_image(series[0]).grid.matches(image.grid)


def test_simpleitk_sees_the_same_volume(series):
    names = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series[0]))
    oracle = sitk.ReadImage(names)
    image = read_series(series[0])
    np.testing.assert_allclose(image.array, sitk.GetArrayFromImage(oracle))
    np.testing.assert_allclose(
        image.grid.to_world((1, 2, 3)), oracle.TransformIndexToPhysicalPoint((1, 2, 3)), atol=1e-4
    )


def test_several_series_are_listed_and_one_can_be_chosen(series):
    folder, uid = series
    other = generate_uid()
    write_slice(folder, 0, uid=other, name="other.dcm")
    with pytest.raises(InputError, match=r"expected one series, got 2 \(CT Thorax, 4 images.*CT Thorax, 1 images"):
        read_series(folder)
    assert read_series(folder, uid).grid.size == SIZE
    assert read_series(folder, other).grid.size == (6, 5, 1)
    with pytest.raises(InputError, match=r"expected the series 1\.2"):
        read_series(folder, "1.2")


def test_missing_slices_are_counted(tmp_path):
    uid = generate_uid()
    for k in (0, 1, 2, 5, 6):
        write_slice(tmp_path, k, uid=uid)
    with pytest.raises(InputError, match="got 2 missing slices"):
        read_series(tmp_path)


def test_uneven_and_doubled_slices(tmp_path):
    uid = generate_uid()
    for k, position in enumerate((0.0, 2.0, 4.0, 6.4)):
        write_slice(tmp_path, k, uid=uid, position=position)
    with pytest.raises(InputError, match=r"expected even slice distances, got 2\.00 to 2\.40 mm"):
        read_series(tmp_path)
    write_slice(tmp_path, 1, uid=uid, position=2.0, name="twice.dcm")
    with pytest.raises(InputError, match="got 1 doubled"):
        read_series(tmp_path)


def test_tilted_and_mixed_stacks(tmp_path):
    uid = generate_uid()
    for k in range(3):
        write_slice(tmp_path, k, uid=uid, ImagePositionPatient=[0.0, 0.8 * k, 2.0 * k], axes=np.eye(3))
    with pytest.raises(InputError, match="got a tilted stack"):
        read_series(tmp_path)
    write_slice(tmp_path, 3, uid=uid, Rows=4, Columns=6)
    with pytest.raises(InputError, match="expected slices of one size and orientation"):
        read_series(tmp_path)


def test_slices_without_a_place_or_with_color(tmp_path):
    uid = generate_uid()
    path = write_slice(tmp_path, 0, uid=uid, ImagePositionPatient=None)
    with pytest.raises(InputError, match="expected ImagePositionPatient in the header"):
        read_series(tmp_path)
    path.unlink()
    write_slice(tmp_path, 0, uid=uid, SamplesPerPixel=3)
    with pytest.raises(InputError, match="got color"):
        read_series(tmp_path)


def test_pixels_that_cannot_be_decoded(tmp_path):
    write_slice(tmp_path, 0, uid=generate_uid(), PixelData=b"\0\0")
    with pytest.raises(InputError, match=r"the pixels cannot be decoded \(ValueError\)"):
        read_series(tmp_path)


def test_folders_without_images(tmp_path):
    with pytest.raises(InputError, match="expected a folder of DICOM files"):
        read_series(tmp_path / "no")
    with pytest.raises(InputError, match="expected DICOM images, found none"):
        read_series(tmp_path)
    write_slice(tmp_path, 0, uid=generate_uid(), Modality="RTDOSE")
    with pytest.raises(InputError, match="expected DICOM images, found none"):
        read_image(tmp_path)


def test_volumes_in_one_file(tmp_path):
    image = sitk.GetImageFromArray(VOXELS)
    sitk.WriteImage(image, str(tmp_path / "multi.dcm"))
    found = read_series(tmp_path)
    np.testing.assert_array_equal(found.array, VOXELS)
    data = pydicom.dcmread(tmp_path / "multi.dcm")
    data.save_as(tmp_path / "again.dcm")
    with pytest.raises(InputError, match="expected one multi-frame file, got 2"):
        read_series(tmp_path)


def test_a_real_series():
    image = read_series(need("rt/openkbp/pt_1/dicom"))
    ct = read_image(need("rt/openkbp/pt_1/ct.nrrd"))
    assert image.grid.size == ct.grid.size
    assert image.grid.spacing == pytest.approx(ct.grid.spacing, abs=0.01)
    np.testing.assert_allclose(image.array, ct.array, atol=1)
