"""The three stories on real scans, and one large scan, by mouse in a real browser."""

import json
import time
import zipfile

import numpy as np
import psutil
import pytest
import SimpleITK as sitk
from realdata import need

pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(900)]


def numbers(page, folder, name):
    with zipfile.ZipFile(page.fetch("export", f"{name}.zip", folder)) as made:
        return json.loads(made.read(f"{name}/metrics.json"))


def middle_of(path):
    """Center of a mask, RAS mm, as the page takes it."""
    mask = sitk.ReadImage(str(path))
    k, j, i = np.argwhere(sitk.GetArrayFromImage(mask) > 0).mean(axis=0)
    x, y, z = mask.TransformContinuousIndexToPhysicalPoint((float(i), float(j), float(k)))
    return f"{-x:.1f}, {-y:.1f}, {z:.1f}"


def test_ct_and_mr_of_a_sarcoma_become_one(start, visit, tmp_path):
    fixed = need("sarcoma_multimodal/STS_003_CT_image.nii.gz")
    moving = need("sarcoma_multimodal/STS_003_MR_T1_image.nii.gz")
    page = visit(start(str(fixed), str(moving)))
    page.page.get_by_text("STS_003_MR_T1_image").first.wait_for()
    page.page.get_by_text("Options", exact=True).first.wait_for()
    page.page.get_by_text("Without a mouse").click()
    page.page.get_by_label("R, A, S (mm)").fill(middle_of(need("sarcoma_multimodal/STS_003_MR_T1_mask.nii.gz")))
    page.page.get_by_label("Add a click at these coordinates").click()
    page.page.get_by_text("Preview:").wait_for()
    page.choose("preset", "Multimodal")
    page.item("apply").click()
    page.done()
    page.choose("map", "Volume change")
    page.picture("workbench-real-sarcoma")
    found = numbers(page, tmp_path, "valor-registration")
    # The two are aligned already: what is found must stay near the identity.
    assert found["numbers"]["displacement"]["mean_mm"] < 4.0
    page.check_manners()


def test_head_and_neck_organs_are_carried_from_one_patient_to_another(start, visit, tmp_path):
    fixed, moving = need("rt/openkbp/pt_1/oars_label.nrrd"), need("rt/openkbp/pt_12/oars_label.nrrd")
    for name, path in (("patient1_label.nrrd", fixed), ("patient12_label.nrrd", moving)):
        (tmp_path / name).symlink_to(path)
    page = visit(start(*(str(tmp_path / name) for name in ("patient1_label.nrrd", "patient12_label.nrrd"))))
    page.module("Point clouds")
    page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")
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


def test_a_plan_from_dicom_is_judged_and_leaves_as_dicom(start, visit, tmp_path):
    folder, scan = need("rt/openkbp/pt_1/dicom"), need("rt/openkbp/pt_1/ct.nrrd")
    sitk.WriteTransform(sitk.TranslationTransform(3, (3.0, 0.0, 0.0)), str(tmp_path / "shift.tfm"))
    app = start("--root", str(folder), str(folder), str(scan), str(tmp_path / "shift.tfm"))
    page = visit(app)
    page.module("Uncertainty")
    page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")
    page.page.locator("[data-test=structures]:visible").click()
    page.page.get_by_role("option").nth(1).click()
    page.page.get_by_text("Options", exact=True).locator("visible=true").first.wait_for()
    page.item("apply").click()
    assert "error" in page.done() or "uncertainty" in page.item("summary").inner_text()
    page.picture("workbench-real-plan")
    with zipfile.ZipFile(page.fetch("dicom", "valor-uncertainty-dicom.zip", tmp_path)) as made:
        names = {name.split("/", 1)[1] for name in made.namelist()}
    assert {"dose_nominal.dcm", "dose_p05.dcm", "registration.dcm"} <= names
    assert not any(name.startswith("fixed/") for name in names)  # the scan's own series is referred to
    page.check_manners()


def test_a_scan_of_512_by_512_by_300_is_shown_soon_and_in_bounded_memory(start, visit, tmp_path):
    plane = np.add.outer(np.arange(512), np.arange(512)).astype(np.int16)
    volume = np.stack([plane + k for k in range(300)])
    image = sitk.GetImageFromArray(volume)
    image.SetSpacing((0.7, 0.7, 1.0))
    sitk.WriteImage(image, str(tmp_path / "large.nrrd"), useCompression=False)
    app = start()
    page = visit(app)
    page.page.get_by_text("Options", exact=True).first.wait_for()
    server = psutil.Process(app.process.pid)
    before = server.memory_info().rss
    began = time.monotonic()
    page.page.get_by_label("Open files").click()
    page.page.locator("[data-test=open-path] input").fill(str(tmp_path / "large.nrrd"))
    page.item("open-go").click()
    page.page.get_by_text("large.nrrd").first.wait_for()
    page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")
    taken, grown = time.monotonic() - began, (server.memory_info().rss - before) / 1e6
    assert taken < 60, f"shown after {taken:.1f} s"
    # The voxels as float32 are 315 MB; at most four copies.
    assert grown < 1300, f"the server grew by {grown:.0f} MB"
    page.no_error()
    page.check_manners()
