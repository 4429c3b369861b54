"""The three stories on real scans, by mouse in a real browser, one after the other in one session."""

import json
import shutil
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
from realdata import ROOT as DATA
from realdata import need

pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]
SHIFT_MM = 3.0


def numbers(page, folder, name):
    with zipfile.ZipFile(page.fetch("export", f"{name}.zip", folder)) as made:
        return json.loads(made.read(f"{name}/metrics.json"))


def middle_of(path):
    """Center of a mask, RAS mm, as the page takes it."""
    mask = sitk.ReadImage(str(path))
    k, j, i = np.argwhere(sitk.GetArrayFromImage(mask) > 0).mean(axis=0)
    x, y, z = mask.TransformContinuousIndexToPhysicalPoint((float(i), float(j), float(k)))
    return f"{-x:.1f}, {-y:.1f}, {z:.1f}"


@pytest.fixture(scope="module")
def clinic(launch):
    """A server that may open the real data and the files of `clinic.files`."""
    need("rt/openkbp/pt_1/dicom")
    app = launch("--root", str(DATA))
    app.files = app.folder.parent
    return app


def bring(page, *paths):
    """Open files of the server by the dialog."""
    for path in paths:
        page.open_files()
        page.page.locator("[data-test=open-path] input").fill(str(path))
        page.item("open-go").click()
        page.page.get_by_role("dialog", name="Open files").wait_for(state="hidden")
        page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")
    page.no_error()


def test_a_plan_from_dicom_is_judged_and_leaves_as_dicom(clinic, visit, tmp_path):
    sitk.WriteTransform(sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), str(clinic.files / "shift.tfm"))
    page = visit(clinic)
    page.module("Uncertainty")
    bring(page, need("rt/openkbp/pt_1/dicom"), need("rt/openkbp/pt_1/ct.nrrd"), clinic.files / "shift.tfm")
    page.page.locator("[data-test=structures]:visible").click()
    page.page.get_by_role("option").nth(1).click()
    page.item("apply").click()
    assert "error" in page.done() or "uncertainty" in page.item("summary").inner_text()
    page.picture("workbench-real-plan")
    with zipfile.ZipFile(page.fetch("dicom", "valor-uncertainty-dicom.zip", tmp_path)) as made:
        names = {name.split("/", 1)[1] for name in made.namelist()}
    assert {"dose_nominal.dcm", "dose_p05.dcm", "registration.dcm"} <= names
    assert not any(name.startswith("fixed/") for name in names)  # the scan's own series is referred to
    page.check_manners()


def test_a_breast_scan_with_its_tumor_is_registered_with_itself_moved(clinic, visit, tmp_path):
    scan, mask = need("breast/breast1_image.nrrd"), need("breast/breast1_label.nrrd")
    image = sitk.Cast(sitk.ReadImage(str(scan)), sitk.sitkFloat32)
    seen = sitk.Resample(image, image, sitk.TranslationTransform(3, (1.0, SHIFT_MM, 0.0)), sitk.sitkLinear, 0.0)
    sitk.WriteImage(image, str(clinic.files / "breast_moving.nrrd"))
    sitk.WriteImage(seen, str(clinic.files / "breast_fixed.nrrd"))
    page = visit(clinic)
    page.module("Registration")
    bring(page, clinic.files / "breast_fixed.nrrd", clinic.files / "breast_moving.nrrd")
    page.choose("fixed", "breast_fixed")
    page.choose("moving", "breast_moving")
    page.page.get_by_text("Without a mouse").click()
    page.page.get_by_label("R, A, S (mm)").fill(middle_of(mask))
    page.page.get_by_label("Add a click at these coordinates").click()
    page.page.get_by_text("Preview:").wait_for()
    page.item("apply").click()
    page.done()
    page.picture("workbench-real-breast")
    found = numbers(page, tmp_path, "valor-registration")["numbers"]
    true_ml = sitk.GetArrayFromImage(sitk.ReadImage(str(mask))).sum() * np.prod(image.GetSpacing()) / 1000
    assert found["tumors"][0]["moving_ml"] == pytest.approx(true_ml, rel=0.5)
    assert found["displacement"]["mean_mm"] == pytest.approx(np.hypot(1.0, SHIFT_MM), abs=0.5)
    page.check_manners()


def test_head_and_neck_organs_are_carried_from_one_patient_to_another(clinic, visit, tmp_path):
    fixed, moving = need("rt/openkbp/pt_1/oars_label.nrrd"), need("rt/openkbp/pt_12/oars_label.nrrd")
    for name, path in (("patient1_label.nrrd", fixed), ("patient12_label.nrrd", moving)):
        shutil.copy(path, clinic.files / name)
    page = visit(clinic)
    page.module("Point clouds")
    bring(page, clinic.files / "patient1_label.nrrd", clinic.files / "patient12_label.nrrd")
    page.choose("p-fixed", "patient1_label.nrrd")
    page.choose("p-moving", "patient12_label.nrrd")
    page.page.get_by_role("table", name="Organs").get_by_role("row").nth(4).wait_for()
    page.choose("preset", "Quick")
    page.item("apply").click()
    page.done()
    page.picture("workbench-real-organs")
    organs = numbers(page, tmp_path, "valor-points")["numbers"]["organs"]
    assert len(organs) == 5
    assert np.mean([o["mean_after_mm"] for o in organs]) < 0.5 * np.mean([o["mean_before_mm"] for o in organs])
    page.check_manners()
