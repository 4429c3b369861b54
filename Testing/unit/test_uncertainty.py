"""`valor uncertainty` from files to folder: right files, right dose, one sentence for each bad input."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from valorlib.convert.files import read_image, write_field, write_image, write_labels
from valorlib.convert.image_files import write_dose
from valorlib.convert.structures import read_structures
from valorlib.core.errors import Cancelled, InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.run import Run
from valorlib.core.transforms import DisplacementField
from valorlib.demo_rt import make_rt_case
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions
from valorlib.metrics.solids import StructurePoints
from valorlib.uncertainty import beyond_scan, run_uncertainty

FILES = {
    "sigma.nrrd", "dose_mean.nrrd", "dose_p05.nrrd", "dose_p95.nrrd", "dvh.csv", "dvh_metrics.csv", "dvh.svg",
    "jacobian.nrrd", "metrics.json", "report.html", "radius_95.nrrd",
}  # fmt: skip
FAST = DirUncertaintyOptions(spacing_mm=10.0)


@pytest.fixture(scope="module")
def case():
    return make_rt_case(3, spacing_mm=6.0)


@pytest.fixture(scope="module")
def folder(case, tmp_path_factory):
    path = tmp_path_factory.mktemp("rt")
    write_image(case.pair.fixed, path / "fixed.nrrd")
    write_image(case.pair.moving, path / "moving.nrrd")
    wrong = case.truth.array + np.float32(2.0)
    write_field(DisplacementField(wrong, case.truth.grid), path / "field.nrrd")
    write_dose(case.dose, path / "dose.nrrd")
    write_labels(case.pair.fixed_labels, path / "labels.nrrd")
    return path


def call(folder, output, **changes):
    inputs = {"dose": folder / "dose.nrrd", "structures": folder / "labels.nrrd", "samples": 12, "options": FAST}
    inputs |= changes
    transform = inputs.pop("transform", folder / "field.nrrd")
    return run_uncertainty(folder / "fixed.nrrd", folder / "moving.nrrd", transform, output, **inputs)


@pytest.fixture(scope="module")
def result(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("out") / "uncertainty"
    return output, call(folder, output)


def test_the_folder_holds_its_files(result):
    output, record = result
    assert {p.name for p in output.iterdir()} == FILES
    assert json.loads((output / "metrics.json").read_text())["numbers"]["dose"]["samples"] == 12
    assert record["inputs"]["dose"]["sha256"]
    html = (output / "report.html").read_text()
    assert "Acceptance table" in html
    for title in ("Color contrast", "Checkerboard", "Flicker", "Difference", "Expected error"):
        assert title in html
    assert html.count("data:image/svg+xml;base64,") == 6
    assert "NaN" not in html.replace("nan", "NaN")[:200]


def test_the_table_has_bands_around_the_nominal_dose(result, case):
    output, _ = result
    with (output / "dvh.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["structure", "volume_pct", "nominal_gy", "p05_gy", "p50_gy", "p95_gy"]
    assert {r["structure"] for r in rows} == set(case.pair.fixed_labels.names.values())
    for row in rows:
        assert float(row["p05_gy"]) <= float(row["p50_gy"]) <= float(row["p95_gy"])
    doses = [float(r["nominal_gy"]) for r in rows if r["structure"] == "target"]
    assert doses == sorted(doses, reverse=True)


def test_maps_lie_on_the_fixed_grid_in_order(result, case):
    output, _ = result
    low, mean, high = (read_image(output / f"dose_{n}.nrrd") for n in ("p05", "mean", "p95"))
    assert low.grid.matches(case.pair.fixed.grid)
    assert np.all(low.array <= high.array + 1e-3)
    # The two scans differ by the truth; the mean sampled dose must stay near the true dose.
    assert float(np.abs(mean.array - case.dose_at_fixed.array).mean()) < 2.0


def test_sigma_sees_the_planted_error(result, case):
    sigma = read_image(result[0] / "sigma.nrrd").array
    inside = case.pair.fixed_labels.array > 0
    # 2 mm along each axis: 3.46 mm.
    assert 1.7 < float(sigma[inside].mean()) < 6


@pytest.mark.slow
def test_the_same_seed_gives_the_same_folder(folder, result, tmp_path):
    call(folder, tmp_path / "again")
    for name in ("sigma.nrrd", "dvh.csv", "dose_p95.nrrd"):
        assert (tmp_path / "again" / name).read_bytes() == (result[0] / name).read_bytes()


def refused(folder, tmp_path, sentence, **changes):
    output = tmp_path / "refused"
    with pytest.raises(InputError, match=sentence) as error:
        call(folder, output, **changes)
    assert "\n" not in str(error.value)
    assert not output.exists()
    assert not [p for p in tmp_path.iterdir() if "partial" in p.name]


def test_too_many_samples_and_structures_without_dose_are_refused(folder, tmp_path):
    refused(folder, tmp_path, "samples: expected 2 to 2000, got 5000", samples=5000)
    refused(folder, tmp_path, "needs a dose", dose=None)


def test_a_dose_that_misses_is_refused(folder, tmp_path, case):
    far = Grid(case.dose.grid.size, case.dose.grid.spacing, (9000.0, 0.0, 0.0))
    write_dose(Dose(case.dose.array, far), tmp_path / "far.nrrd")
    refused(folder, tmp_path, "misses all of them", dose=tmp_path / "far.nrrd")


def test_structures_beyond_the_fixed_scan_are_named_and_refused_when_all_lie_there():
    grid = Grid((10, 10, 10), (2.0, 2.0, 2.0))
    points = np.random.default_rng(0).uniform(0, 18, (400, 3))

    def moved(name, shift):
        at = points + np.asarray([shift, 0.0, 0.0])
        return StructurePoints(name, at, np.ones(400), np.zeros(400, dtype=np.int64))

    (warning,) = beyond_scan([moved("in", 0.0), moved("half", 9.5)], grid)
    assert "half: 4" in warning or "half: 5" in warning
    with pytest.raises(InputError, match="all lie outside it"):
        beyond_scan([moved("far", 90.0)], grid)
    flat = Grid((10, 10, 1), (2.0, 2.0, 2.0))
    assert beyond_scan([moved("in", 0.0)], flat) == []


def test_an_empty_structure_file_and_a_negative_dose_are_refused(folder, tmp_path, case):
    grid = case.pair.fixed.grid
    write_labels(LabelMap(np.zeros(grid.shape, dtype=np.int32), grid), tmp_path / "empty.nrrd")
    refused(folder, tmp_path, "empty|at least one structure|no label", structures=tmp_path / "empty.nrrd")
    write_image(Image(-case.dose.array - 1, case.dose.grid), tmp_path / "negative.nrrd")
    refused(folder, tmp_path, "negative", dose=tmp_path / "negative.nrrd")


def test_one_voxel_zero_dose_identity_and_folds_are_answered_with_a_warning(folder, tmp_path, case):
    grid = case.pair.fixed.grid
    one = np.zeros(grid.shape, dtype=np.int32)
    middle = tuple(n // 2 for n in grid.shape)
    one[middle] = 1
    write_labels(LabelMap(one, grid, {1: "dot"}), tmp_path / "one.nrrd")
    write_dose(Dose(np.zeros_like(case.dose.array), case.dose.grid), tmp_path / "zero.nrrd")
    u = np.zeros((*grid.shape, 3), dtype=np.float32)
    write_field(DisplacementField(u, grid), tmp_path / "identity.nrrd")
    record = call(
        folder, tmp_path / "a", structures=tmp_path / "one.nrrd", dose=tmp_path / "zero.nrrd",
        transform=tmp_path / "identity.nrrd",
    )  # fmt: skip
    text = " ".join(record["warnings"])
    assert "one voxel only" in text
    assert "zero everywhere" in text
    assert "identity" in text
    u[middle] = 40
    write_field(DisplacementField(u, grid), tmp_path / "folded.nrrd")
    record = call(folder, tmp_path / "b", transform=tmp_path / "folded.nrrd", dose=None, structures=None)
    assert any("folds at" in w for w in record["warnings"])
    assert record["numbers"]["folds"]["places"]
    assert {p.name for p in (tmp_path / "b").iterdir()} == {
        "sigma.nrrd",
        "radius_95.nrrd",
        "jacobian.nrrd",
        "metrics.json",
        "report.html",
    }


def test_a_cancelled_run_leaves_nothing(folder, tmp_path):
    def stop(fraction, message):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        call(folder, tmp_path / "c", run=Run(progress=stop))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_masks_is_read_by_file_name(tmp_path, case):
    for label, name in ((1, "PTV 60"), (2, "bladder")):
        mask = (case.pair.fixed_labels.array == label).astype(np.int32)
        write_labels(LabelMap(mask, case.pair.fixed.grid), tmp_path / f"{name}.nrrd")
    found = read_structures(tmp_path)
    assert [s.name for s in found] == ["PTV 60", "bladder"]
    assert found[0].volume_cc == pytest.approx((case.pair.fixed_labels.array == 1).sum() * 0.216, rel=1e-6)
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="got none of them"):
        read_structures(tmp_path / "none")
