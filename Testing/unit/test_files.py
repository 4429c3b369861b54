"""Files: what is written comes back; each fault is one sentence; writing is whole or not at all."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest
import SimpleITK as sitk
from realdata import need
from unit.geometry import GRID, ORIENTATIONS, blobs, grid_with, smooth_field, texture, turned

from valorlib.convert.files import (
    read_dose,
    read_image,
    read_labels,
    read_segments,
    read_transform,
    write_dose,
    write_field,
    write_image,
    write_labels,
    write_transform,
)
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.transforms import Chain, VelocityField
from valorlib.ops.transforms import exponentiate


def plain(path, array=None):
    """An image file written by SimpleITK itself."""
    array = np.arange(60, dtype="f4").reshape(3, 4, 5) if array is None else array
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))
    return path


def refused(call, path, words):
    with pytest.raises(InputError, match=words) as caught:
        call(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("suffix", [".nrrd", ".nii.gz", ".nii", ".mha"])
@pytest.mark.parametrize("number", [0, 7, 22, 41])
def test_images_come_back_in_every_format(tmp_path, suffix, number):
    image = texture(grid_with(ORIENTATIONS[number]))
    path = tmp_path / f"Änderung é{suffix}"
    write_image(image, path)
    back = read_image(str(path))
    np.testing.assert_array_equal(back.array, image.array)
    assert back.grid.matches(image.grid)
    assert back.name == "Änderung é"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".nrrd", ".seg.nrrd", ".nii.gz", ".mha"])
def test_labels_come_back_with_names_where_the_format_has_them(tmp_path, suffix):
    path = tmp_path / f"labels{suffix}"
    write_labels(blobs(), path)
    back = read_labels(path)
    np.testing.assert_array_equal(back.array, blobs().array)
    assert back.grid.matches(GRID)
    assert back.names == ({1: "shell", 2: "Kern Ö"} if suffix.endswith("nrrd") else {})


def test_fields_and_transforms_come_back(tmp_path):
    for name in ("u.nrrd", "u.nii.gz", "u.mha", "u.h5", "u.tfm"):
        write_transform(smooth_field(), tmp_path / name)
        back = read_transform(tmp_path / name)
        np.testing.assert_array_equal(back.array, smooth_field().array)
        assert back.grid.matches(GRID)
    text = (tmp_path / "u.nrrd").read_bytes()[:600].decode("ascii", "ignore")
    assert "kinds: vector domain domain domain" in text
    assert "type: float" in text
    write_transform(turned(), tmp_path / "a.tfm")
    np.testing.assert_allclose(read_transform(tmp_path / "a.tfm").matrix, turned().matrix)
    chain = Chain((turned(), smooth_field(), VelocityField(smooth_field().array, GRID)))
    write_transform(chain, tmp_path / "c.h5")
    parts = read_transform(tmp_path / "c.h5").parts
    np.testing.assert_array_equal(parts[2].array, exponentiate(chain.parts[2]).array)
    with pytest.raises(InputError, match="sample it to a displacement field first"):
        write_transform(turned(), tmp_path / "a.nrrd")


def test_dicom_transforms_and_doses_are_read_too(tmp_path):
    from valorlib.convert.dicom_reg import write_deformable_registration

    field = smooth_field(Grid((6, 5, 4), (2, 2, 3), (1, 2, 3)))
    write_deformable_registration(field, tmp_path / "reg.dcm")
    back = read_transform(tmp_path / "reg.dcm")
    np.testing.assert_allclose(back.array, field.array, atol=1e-5)
    assert back.grid.matches(field.grid)
    refused(read_dose, tmp_path / "reg.dcm", "RTDOSE")
    assert read_dose(need("rt/openkbp/pt_1/dicom/RTDOSE.dcm")).array.max() > 1


def test_a_four_dimensional_scalar_file_serves_as_a_field(tmp_path):
    u = smooth_field(Grid((6, 5, 4)))
    parts = [sitk.GetImageFromArray(np.ascontiguousarray(u.array[..., n])) for n in range(3)]
    sitk.WriteImage(sitk.JoinSeries(parts), str(tmp_path / "u.nii.gz"))
    np.testing.assert_array_equal(read_transform(tmp_path / "u.nii.gz").array, u.array)


def test_doses_are_not_negative(tmp_path):
    dose = Dose(np.full((3, 3, 3), 2.5, "f4"), Grid((3, 3, 3)))
    write_dose(dose, tmp_path / "d.nrrd")
    np.testing.assert_array_equal(read_dose(tmp_path / "d.nrrd").array, dose.array)
    write_image(Image(np.full((3, 3, 3), -1000.0, "f4"), Grid((3, 3, 3))), tmp_path / "ct.nrrd")
    refused(read_dose, tmp_path / "ct.nrrd", "is this the CT")


def test_pictures_are_slices_of_millimeter_pixels(tmp_path):
    rng = np.random.default_rng(0)
    gray = (rng.random((6, 7)) * 255).astype("u1")
    plain(tmp_path / "g.png", gray)
    image = read_image(tmp_path / "g.png")
    assert image.grid == Grid((7, 6, 1))
    np.testing.assert_array_equal(image.array[0], gray)
    for channels in (3, 4):
        color = (rng.random((6, 7, channels)) * 255).astype("u1")
        sitk.WriteImage(sitk.GetImageFromArray(color, isVector=True), str(tmp_path / "c.png"))
        expected = color[..., :3].astype(float) @ (0.299, 0.587, 0.114)
        np.testing.assert_allclose(read_image(tmp_path / "c.png").array[0], expected, rtol=1e-6)


def test_one_time_of_a_series_is_a_volume(tmp_path):
    one = sitk.JoinSeries([sitk.GetImageFromArray(np.arange(24, dtype="f4").reshape(2, 3, 4))])
    sitk.WriteImage(one, str(tmp_path / "one.nii.gz"))
    assert read_image(tmp_path / "one.nii.gz").grid.size == (4, 3, 2)
    sitk.WriteImage(one, str(tmp_path / "one.mha"))
    assert read_image(tmp_path / "one.mha").grid.size == (4, 3, 2)
    sitk.WriteImage(sitk.JoinSeries([one[..., 0]] * 3), str(tmp_path / "many.nii.gz"))
    refused(read_image, tmp_path / "many.nii.gz", "expected one volume, got 4D data")


def test_missing_empty_and_unreadable_files(tmp_path):
    refused(read_image, tmp_path / "no.nrrd", "found nothing there")
    (tmp_path / "empty.nrrd").touch()
    refused(read_image, tmp_path / "empty.nrrd", "got an empty file")
    (tmp_path / "folder.nrrd").mkdir()
    refused(read_labels, tmp_path / "folder.nrrd", "got a folder")
    plain(tmp_path / "x.mha").rename(tmp_path / "x.xyz")
    refused(read_image, tmp_path / "x.xyz", "expected an image file")
    refused(read_transform, tmp_path / "x.xyz", "expected a transform file")
    (tmp_path / "nosuffix").write_text("x")
    refused(read_image, tmp_path / "nosuffix", "got 'no suffix'")


def test_a_file_without_the_right_to_read_it(tmp_path, monkeypatch):
    path = plain(tmp_path / "closed.mha")

    def closed(self, *args, **kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", closed)
    refused(read_image, path, r"cannot be opened \(Permission denied\)")


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".png"])
def test_files_of_another_kind(tmp_path, suffix):
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(b"this is no image " * 50)
    refused(read_image, path, "damaged or of another kind")


@pytest.mark.parametrize("suffix", [".nrrd", ".nii", ".nii.gz", ".mha", ".png"])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
def test_files_cut_off(tmp_path, suffix, share, capfd):
    array = (np.random.default_rng(0).random((1, 60, 70)) * 255).astype("u1")
    path = plain(tmp_path / f"cut{suffix}", array[0] if suffix == ".png" else array)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    refused(read_image, path, "cut off|damaged")


def test_a_gzip_file_with_a_foreign_trailer_is_unpacked_to_be_sure(tmp_path):
    path = plain(tmp_path / "joined.nii.gz")
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data[:200]) + gzip.compress(data[200:]))
    np.testing.assert_array_equal(read_image(path).array.ravel(), np.arange(60))


def test_a_packed_header_that_cannot_be_unpacked(tmp_path):
    packed = gzip.compress(bytes(1000))
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(bytes(100)))
    (tmp_path / "cut.nii.gz").write_bytes(packed[:12])
    (tmp_path / "bad.nii.gz").write_bytes(packed[:10] + b"\xff" * 20)
    for name in ("short", "cut", "bad"):
        refused(read_image, tmp_path / f"{name}.nii.gz", "damaged or of another kind")
    (tmp_path / "tiny.nii").write_bytes(bytes(100))
    refused(read_image, tmp_path / "tiny.nii", "damaged or of another kind")


def test_nifti_twins_are_not_mixed_up(tmp_path):
    plain(tmp_path / "f.nii.gz")
    with pytest.raises(InputError, match="readers mix up the two"):
        write_image(texture(), tmp_path / "f.nii")
    (tmp_path / "f.nii").write_bytes(gzip.decompress((tmp_path / "f.nii.gz").read_bytes()))
    for name in ("f.nii", "f.nii.gz"):
        refused(read_image, tmp_path / name, "readers mix up the two")


def nifti(path, change):
    data = bytearray(plain(path).read_bytes())
    change(data)
    path.write_bytes(data)
    return path


def test_nifti_headers_that_cannot_be_meant(tmp_path, capfd):
    def no_form(spacing):
        def change(data):
            struct.pack_into("<2h", data, 252, 0, 0)
            struct.pack_into("<f", data, 80, spacing)

        return change

    for number, spacing in enumerate((0.0, -1.0, float("nan"))):
        refused(read_image, nifti(tmp_path / f"s{number}.nii", no_form(spacing)), "expected positive spacing")

    def shear(data):
        struct.pack_into("<2h", data, 252, 0, 1)
        struct.pack_into("<4f", data, 280, 1, 0.5, 0, 0)

    refused(read_image, nifti(tmp_path / "shear.nii", shear), "expected perpendicular axes")
    no_voxels = nifti(tmp_path / "none.nii", lambda data: struct.pack_into("<h", data, 42, 0))
    refused(read_image, no_voxels, "a header without voxels")


def test_files_of_the_second_nifti_format_are_measured_too(tmp_path):
    data = plain(tmp_path / "one.nii").read_bytes()
    head = bytearray(540)
    struct.pack_into("<i8s", head, 0, 540, b"n+2\0\r\n\x1a\n")
    struct.pack_into("<2h", head, 12, 16, 32)
    struct.pack_into("<8q", head, 16, 3, 5, 4, 3, 1, 1, 1, 1)
    struct.pack_into("<8d", head, 104, 1, 1, 1, 1, 1, 1, 1, 1)
    struct.pack_into("<q", head, 168, 544)
    (tmp_path / "two.nii").write_bytes(bytes(head) + bytes(4) + data[352:-8])
    refused(read_image, tmp_path / "two.nii", "cut off")


def header(path, old, new):
    data = path.read_bytes()
    assert old in data
    start = data.index(old)
    path.write_bytes(data[:start] + new + data[data.index(b"\n", start) :])
    return path


@pytest.mark.parametrize(
    ("new", "words"),
    [
        (b"(0,0,0) (0,1,0) (0,0,1)", "expected positive spacing"),
        (b"(1,0.4,0) (0,1,0) (0,0,1)", "perpendicular"),
        (b"(1,0,0) (1,0,0) (0,0,1)", "perpendicular"),
        (b"(1e9,0,0) (0,1,0) (0,0,1)", "expected a spacing in mm"),
        (b"(1e-8,0,0) (0,1,0) (0,0,1)", "expected a spacing in mm"),
        (b"(nan,0,0) (0,1,0) (0,0,1)", "damaged"),
    ],
)
def test_nrrd_geometry_that_cannot_be_meant(tmp_path, new, words):
    path = plain(tmp_path / "x.nrrd")
    refused(read_image, header(path, b"space directions", b"space directions: " + new), words)


def test_meta_images_with_zero_spacing(tmp_path):
    path = plain(tmp_path / "x.mha")
    refused(read_image, header(path, b"ElementSpacing", b"ElementSpacing = 0 1 1"), "expected positive spacing, got 0")


def test_a_field_whose_grid_is_sheared(tmp_path):
    write_field(smooth_field(Grid((5, 5, 5))), tmp_path / "u.nrrd")
    path = header(tmp_path / "u.nrrd", b"space directions", b"space directions: none (1,0.4,0) (0,1,0) (0,0,1)")
    refused(read_transform, path, "perpendicular")


def test_values_that_no_image_has(tmp_path):
    array = np.ones((3, 4, 5), "f4")
    array[0, 0, :2] = np.nan, np.inf
    refused(read_image, plain(tmp_path / "nan.nrrd", array), "got 2 NaN or infinite voxels")
    refused(read_labels, tmp_path / "nan.nrrd", "NaN")
    refused(read_image, plain(tmp_path / "big.nrrd", np.full((2, 2, 2), 1e300)), "within float32")
    refused(read_image, plain(tmp_path / "z.nii", np.ones((3, 3, 3), "c8")), "got complex ones")
    color = sitk.GetImageFromArray(np.ones((3, 3, 3, 3), "u1"), isVector=True)
    sitk.WriteImage(color, str(tmp_path / "c.nrrd"))
    refused(read_image, tmp_path / "c.nrrd", "got color or vectors")
    series = sitk.GetImageFromArray(np.ones((3, 3, 3, 6), "f4"), isVector=True)
    sitk.WriteImage(series, str(tmp_path / "t.nrrd"))
    refused(read_image, tmp_path / "t.nrrd", "a time series")
    refused(read_transform, tmp_path / "t.nrrd", "give a displacement field")


def test_labels_are_whole_numbers_that_fit(tmp_path):
    refused(read_labels, plain(tmp_path / "half.nrrd", np.full((2, 2, 2), 0.5, "f4")), "got fractions")
    refused(read_labels, plain(tmp_path / "huge.nrrd", np.full((2, 2, 2), 2**40, "i8")), "renumber them")
    whole = plain(tmp_path / "float.nrrd", np.full((2, 2, 2), 3.0, "f4"))
    assert read_labels(whole).labels == (3,)


def test_transform_files_of_another_kind(tmp_path):
    for name in ("x.tfm", "x.h5", "x.mat"):
        (tmp_path / name).write_bytes(b"no transform" * 20)
        refused(read_transform, tmp_path / name, "expected an ITK transform")
    (tmp_path / "junk.nrrd").write_bytes(b"no field" * 20)
    refused(read_transform, tmp_path / "junk.nrrd", "damaged")
    sitk.WriteTransform(sitk.Euler2DTransform(), str(tmp_path / "flat.tfm"))
    refused(read_transform, tmp_path / "flat.tfm", "expected 3 dimensions, got 2")
    (tmp_path / "inverse.tfm").write_text(
        "#Insight Transform File V1.0\n#Transform 0\nTransform: InverseDisplacementFieldTransform_double_3_3\n"
        "Parameters: 0\nFixedParameters: 0\n"
    )
    refused(read_transform, tmp_path / "inverse.tfm", "save it in Slicer as a grid transform|save it again")


def overlapping(tmp_path):
    """A segmentation file of two layers, as Slicer writes them: a large segment, and a small one inside it."""
    layers = np.zeros((3, 4, 5, 2), "u1")
    layers[..., 0] = 1
    layers[1, 1:3, 1:3, 1] = 1
    image = sitk.GetImageFromArray(layers, isVector=True)
    for n, name in enumerate(("small", "large")):
        image.SetMetaData(f"Segment{n}_Name", name)
        image.SetMetaData(f"Segment{n}_LabelValue", "1")
        image.SetMetaData(f"Segment{n}_Layer", str(1 - n))
    sitk.WriteImage(image, str(tmp_path / "two.seg.nrrd"))
    return tmp_path / "two.seg.nrrd", layers


def test_overlapping_segments_keep_their_voxels_apart_and_the_small_one_on_top(tmp_path):
    path, layers = overlapping(tmp_path)
    apart = read_segments(path)
    np.testing.assert_array_equal(apart["large"].array, layers[..., 0])
    np.testing.assert_array_equal(apart["small"].array, layers[..., 1])
    flat = read_labels(path)
    assert flat.names == {1: "small", 2: "large"}
    np.testing.assert_array_equal(flat.array, np.where(layers[..., 1] > 0, 1, 2))


def test_segments_of_plain_label_maps_go_by_name_or_number(tmp_path):
    write_labels(LabelMap(blobs().array, GRID, {1: "same", 2: "same"}), tmp_path / "s.nrrd")
    assert list(read_segments(tmp_path / "s.nrrd")) == ["same", "same 2"]
    write_labels(blobs(), tmp_path / "p.nii.gz")
    assert list(read_segments(tmp_path / "p.nii.gz")) == ["1", "2"]
    np.testing.assert_array_equal(read_segments(tmp_path / "p.nii.gz")["2"].array, blobs().array == 2)


def test_headers_with_half_of_a_segment_are_read_as_they_can(tmp_path):
    image = sitk.GetImageFromArray(np.full((2, 2, 2), 3, "u1"))
    image.SetMetaData("Segment0_LabelValue", "three")
    image.SetMetaData("Segment1_Name", "named")
    sitk.WriteImage(image, str(tmp_path / "odd.seg.nrrd"))
    assert read_labels(tmp_path / "odd.seg.nrrd").names == {1: "1", 2: "named"}
