"""What the worker reads and computes, called directly."""

from pathlib import Path

import numpy as np
import pytest

from valor_workbench import tasks, tasks_dicom, tasks_files, tasks_registration, tasks_uncertainty
from valor_workbench.charts import with_read_out
from valor_workbench.logic.measures import ras_of, registration_rows, registration_summary
from valor_workbench.logic.method import options_from, options_text
from valor_workbench.logic.runs import time_words
from valor_workbench.worker import Attempt, Context
from valorlib import catalog
from valorlib.convert.files import write_image, write_labels
from valorlib.convert.surfaces import Surface, write_surface
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image, LabelMap
from valorlib.core.inputs import ImagePair
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.contours import Contours

SUFFIXES = (
    "nii.gz",
    "mha",
    "h5",
    "tfm",
    "mat",
    "mrk.json",
    "fcsv",
    "csv",
    "seg.nrrd",
    "dcm",
    "stl",
    "ply",
    "vtk",
    "obj",
)


@pytest.fixture
def context(tmp_path):
    return Context(tmp_path, Attempt("cpu"), lambda fraction, message: None, lambda kind, value: None)


@pytest.fixture
def image():
    rng = np.random.default_rng(0)
    return Image(
        rng.random((8, 10, 12), dtype=np.float32), Grid((12, 10, 8), (1.0, 1.5, 2.0), (5.0, -3.0, 9.0)), "scan"
    )


def test_a_file_is_opened_for_what_it_holds(context, image, tmp_path):
    labels = LabelMap((image.array > 0.9).astype(np.int32), image.grid, {1: "tumor"})
    write_image(image, tmp_path / "t1.nrrd")
    write_image(image, tmp_path / "dose_plan.nrrd")
    write_labels(labels, tmp_path / "tumor.seg.nrrd")
    write_labels(labels, tmp_path / "mask.nii.gz")
    (tmp_path / "seeds.csv").write_text("x,y,z\n1,2,3\n")
    assert tasks.open_path(context, tmp_path / "t1.nrrd").images[0].grid.matches(image.grid)
    assert tasks.open_path(context, tmp_path / "dose_plan.nrrd").dose is not None
    assert tasks.open_path(context, tmp_path / "tumor.seg.nrrd").labels.names == {1: "tumor"}
    assert tasks.open_path(context, tmp_path / "mask.nii.gz").labels is not None
    assert len(tasks.open_path(context, tmp_path / "seeds.csv").points.points) == 1


def test_surface_files_are_one_set_named_by_their_files(context, tmp_path):
    corners = np.asarray([(0, 0, 0), (20, 0, 0), (0, 20, 0), (0, 0, 20)], dtype=float)
    solid = Surface(corners, np.asarray([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)]))
    (tmp_path / "day").mkdir()
    paths = [tmp_path / "day" / name for name in ("liver.vtk", "spleen.vtk")]
    for path in paths:
        write_surface(solid, path)
    one = tasks.open_path(context, paths[0])
    assert list(one.surfaces) == ["liver"]
    np.testing.assert_allclose(one.surfaces["liver"].points.max(axis=0), (20, 20, 20), atol=1e-4)
    both = tasks.open_surfaces(context, paths)
    assert (both.name, list(both.surfaces)) == ("liver.vtk and 1 more", ["liver", "spleen"])
    folder = tasks.open_path(context, tmp_path / "day")
    assert (folder.name, list(folder.surfaces)) == ("day", ["liver", "spleen"])
    with pytest.raises(InputError, match="got liver twice"):
        tasks.open_surfaces(context, [paths[0], paths[0]])


def test_options_come_back_from_a_saved_scene_and_damaged_ones_do_no_harm():
    options = catalog.load("mo_bcpd").presets["quick"]
    assert options_from(type(options)(), options_text(options)) == options
    assert options_text(None) == ""
    for text in ("", "{", "[1]", '{"no_such_option": 3}', '{"length_mm": "far"}', '{"length_mm": -1e9}'):
        assert isinstance(options_from(options, text), type(options))


def test_a_saved_chart_is_drawn_from_its_table(context):
    volume = np.linspace(0, 100, 11)
    columns = {"Volume (%)": volume}
    for line, more in (("nominal", 0.0), ("p05", -2.0), ("p50", 0.0), ("p95", 2.0)):
        columns[f"<b>target</b> {line} (Gy)"] = 60 - volume / 10 + more
    svg = tasks_uncertainty.chart_of_table(context, columns)
    assert svg.count("valor-mark") == 80
    assert "<b>" not in svg


def test_a_corrupt_file_is_refused_in_one_sentence(context, tmp_path):
    path = tmp_path / "broken.nrrd"
    path.write_bytes(b"NRRD0004\ntype: short\n")
    with pytest.raises(InputError, match="broken"):
        tasks.open_path(context, path)


@pytest.mark.parametrize("name", [f"a.{suffix}" for suffix in SUFFIXES])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\x17nothing that anybody knows\n" * 20], ids=["empty", "noise"])
def test_noise_and_empty_files_of_every_kind_are_refused_in_one_sentence(context, tmp_path, name, content):
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / name
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        tasks.open_path(context, path)
    assert "Traceback" not in str(refused.value)


def test_the_error_to_a_known_deformation_is_a_map_in_the_body(image):
    grid = Grid((24, 22, 20), (2.0, 2.0, 2.0))
    body = np.zeros(grid.shape, dtype=np.float32)
    body[4:16, 5:17, 5:19] = 100.0
    truth = DisplacementField(np.zeros((*grid.shape, 3), dtype=np.float32), grid)
    found = DisplacementField(np.full((*grid.shape, 3), (0.0, 3.0, 4.0), dtype=np.float32), grid)
    pair = ImagePair(Image(body, grid), Image(body, grid))
    error = tasks_registration.error_map(found, truth, pair)
    assert error.array[10, 11, 12] == pytest.approx(5.0)
    assert error.array[0, 0, 0] == 0.0
    assert tasks_registration.error_map(found, None, pair) is None
    other = DisplacementField(np.zeros((*image.grid.shape, 3), dtype=np.float32), image.grid)
    assert tasks_registration.error_map(found, other, pair) is None


def test_columns_become_a_table_and_no_rows_no_file(tmp_path):
    tasks_files.write_table(tmp_path / "a.csv", {"name": ["x, y", "z"], "value": [1.5, None]})
    assert (tmp_path / "a.csv").read_text() == 'name,value\n"x, y",1.5\nz,\n'
    tasks_files.write_table(tmp_path / "b.csv", {"name": []})
    tasks_files.write_table(tmp_path / "c.csv", {})
    assert not (tmp_path / "b.csv").exists()
    assert not (tmp_path / "c.csv").exists()


def test_contours_become_a_label_map_with_the_smaller_on_top(context):
    def box(name, half):
        square = np.array([(-half, -half), (half, -half), (half, half), (-half, half)], dtype=float)
        planes = np.arange(-6.0, 6.1, 3.0)
        return Contours(name, tuple(np.column_stack([square, np.full(4, z)]) for z in planes))

    labels = tasks_dicom.fill_in(context, (box("organ", 12.0), box("target", 5.0)), None)
    i, j, k = np.round(labels.grid.to_index([0.0, 0.0, 0.0])).astype(int)
    assert labels.name_of(int(labels.array[k, j, i])) == "target"
    volume = np.count_nonzero(labels.array) * labels.grid.voxel_volume_mm3
    assert volume == pytest.approx(24 * 24 * 13.5, rel=0.15)


def test_a_run_at_half_the_resolution_comes_back_on_the_full_grid(image):
    pair = ImagePair(image, image)
    small = tasks_registration._shrunk(pair, 2)
    assert small.fixed.array.size < image.array.size / 6
    assert tasks_registration._shrunk(pair, 1) is pair


def test_a_folder_is_packed_with_its_name(context, tmp_path):
    import zipfile

    (tmp_path / "result").mkdir()
    (tmp_path / "result" / "a.txt").write_text("x")
    path = tasks_files.zip_folder(context, tmp_path / "result", "valor")
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["valor/a.txt"]
    assert Path(path).parent == tmp_path


def test_measures_speak_ras_and_name_what_is_missing():
    assert ras_of([1, 2, 3]) == [-1.0, -2.0, 3.0]
    assert "saved result" in registration_summary({})
    record = {
        "seconds": 4.0,
        "places": {"1": [1.0, 2.0, 3.0]},
        "numbers": {
            "tumors": [{"tumor": 1, "moving_ml": 1.0, "fixed_ml": 2.0, "change_pct": 100.0}],
            "folds": {"strict_count": 3, "places": [{"position_mm": [4.0, 5.0, 6.0]}]},
            "landmarks": {"before": {"mean_mm": 4.0, "max_mm": 6.0}, "after": {"mean_mm": 1.0, "max_mm": 2.0}},
        },
    }
    assert registration_summary(record) == "Done in 4.0 s. Landmarks: 4.0 mm before, 1.0 mm after. 3 voxels fold."
    rows = {row["name"]: row for row in registration_rows(record)}
    assert rows["Tumor 1: moving to fixed"]["at"] == [-1.0, -2.0, 3.0]
    assert rows["Folded voxels"]["at"] == [-4.0, -5.0, 6.0]
    assert rows["Landmark error, mean"]["value"] == "4.00 to 1.00 mm"


def test_the_chart_tells_the_volumes_at_a_dose_and_escapes_names():
    from valorlib.charts_dvh import dvh_svg
    from valorlib.metrics.dvh import Dvh, dvh_band

    doses = np.linspace(0, 40, 400)
    band = dvh_band(Dvh("<b>target", doses, np.ones(400)), np.stack([doses, doses + 2]).astype(np.float32))
    svg = with_read_out(dvh_svg([band]), [band])
    assert svg.count("data-tip=") == 80
    assert "<b>" not in svg
    assert "&lt;b&gt;target: 50 %" in svg


def test_time_left_is_told_as_people_say_it():
    assert time_words(3) == "a few seconds left"
    assert time_words(43) == "about 45 s left"
    assert time_words(200) == "about 3 min left"
