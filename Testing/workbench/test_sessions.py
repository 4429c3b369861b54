"""A session that is saved and opened again, here and in Slicer's panels; surface files; what a keyboard reaches."""

import json
import subprocess
import sys

import pytest

pytestmark = [pytest.mark.web, pytest.mark.timeout(600)]

HELD = """
import json, sys
from trame_slicer.core import SlicerApp
app = SlicerApp()
app.io_manager.load_scene(sys.argv[1])
kind, found = "vtkMRMLScriptedModuleNode", {}
for n in range(app.scene.GetNumberOfNodesByClass(kind)):
    node = app.scene.GetNthNodeByClass(n, kind)
    names = node.GetParameterNames()
    roles = [node.GetNthNodeReferenceRole(k) for k in range(node.GetNumberOfNodeReferenceRoles())]
    found[node.GetAttribute("ModuleName")] = {
        "values": {name: node.GetParameter(name) for name in names},
        "nodes": {role: node.GetNodeReference(role).GetName() for role in roles if node.GetNodeReference(role)},
    }
print(json.dumps(found))
"""


def write_ball(path, center, radius):
    import vtk

    ball = vtk.vtkSphereSource()
    ball.SetCenter(*center)
    ball.SetRadius(radius)
    ball.SetThetaResolution(24)
    ball.SetPhiResolution(24)
    writers = {".vtk": vtk.vtkPolyDataWriter, ".stl": vtk.vtkSTLWriter, ".ply": vtk.vtkPLYWriter}
    writer = writers[path.suffix]()
    writer.SetInputConnection(ball.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()


@pytest.fixture
def surfaces(tmp_path):
    """Two sides with two organs each, in three formats."""
    for side, shift in (("before", 0.0), ("after", 6.0)):
        (tmp_path / side).mkdir()
        write_ball(tmp_path / side / "liver.stl", (-30 + shift, 0, 0), 18)
        write_ball(tmp_path / side / f"spleen.{'vtk' if shift else 'ply'}", (30 + shift, 5, 0), 12)
    return tmp_path


def upload(page, *paths):
    page.open_files()
    page.page.get_by_label("Upload files").set_input_files([str(path) for path in paths])
    page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")


def test_surface_files_are_carried_and_a_saved_session_comes_back_with_its_options(start, visit, surfaces, tmp_path):
    page = visit(start("--root", str(surfaces)))
    page.module("Point clouds")
    upload(page, *sorted((surfaces / "before").iterdir()))
    page.page.get_by_text("liver.stl and 1 more (surfaces)").first.wait_for()
    page.open_files()
    page.page.locator("[data-test=open-path] input").fill(str(surfaces / "after"))
    page.item("open-go").click()
    page.page.get_by_text("after (surfaces)").first.wait_for()
    page.page.get_by_role("table", name="Organs").get_by_text("spleen").wait_for()
    page.page.get_by_text("Options", exact=True).locator("visible=true").first.wait_for()
    page.choose("preset", "Quick")
    page.item("coupling").click()
    page.page.get_by_label("liver with spleen").first.fill("0.25")
    page.page.get_by_label("liver with spleen").first.press("Tab")
    page.page.get_by_text("As in the preset").wait_for()
    page.item("apply").click()
    page.done()
    table = page.page.get_by_role("table", name="Distances of the organs, mm")
    before, after = (table.get_by_role("row").nth(1).get_by_role("cell").nth(n).inner_text() for n in (1, 2))
    assert float(before) > 2.0
    assert float(after) < 0.5 * float(before)
    page.page.get_by_label("Save the scene (.mrb)").click()
    page.page.locator("[data-test=download]", has_text="mrb").wait_for()
    scene = page.download(tmp_path / "organs.mrb")
    page.check_manners()

    # Slicer's panel finds the same choices under the names it uses itself.
    found = json.loads(subprocess.check_output([sys.executable, "-c", HELD, str(scene)], text=True).splitlines()[-1])
    held = found["PointCloudRegistration"]
    assert held["values"]["method"] == "mo_bcpd"
    assert held["values"]["preset"] == "quick"
    assert json.loads(held["values"]["matrix"])["values"] == [[1.0, 0.25], [0.25, 1.0]]
    assert set(json.loads(held["values"]["organs"])) == {"liver", "spleen"}
    assert set(held["nodes"]) == {"fixedOrgans", "fixedModels", "movingOrgans", "movingModels"}

    again = visit(start(str(scene)))
    again.module("Point clouds")
    assert "saved result" in again.done()
    again.page.get_by_text("after (surfaces)").first.wait_for()
    assert again.page.locator("[data-test=preset]:visible").inner_text().startswith("Quick")
    again.item("coupling").click()
    assert again.page.get_by_label("liver with spleen").first.input_value() == "0.25"
    cells = again.page.get_by_role("table", name="Distances of the organs, mm").get_by_role("cell")
    assert float(cells.nth(1).inner_text()) == pytest.approx(float(before), abs=0.1)
    again.no_error()
    again.check_manners()


def test_a_dicom_folder_is_opened_by_upload_and_from_the_server(start, visit, tmp_path):
    from valorlib.convert.dicom_series import series_of, write_series
    from valorlib.demo import make_pair

    case = make_pair(3, size="small")
    for name, image in (("first", case.pair.fixed), ("second", case.pair.moving)):
        slices = series_of(image)
        for one in slices:
            one.SeriesDescription = f"Breast {name}"
        write_series(slices, tmp_path / name)
    page = visit(start("--root", str(tmp_path)))
    page.open_files()
    page.page.get_by_label("Upload a DICOM folder").set_input_files(str(tmp_path / "first"))
    page.page.wait_for_function("() => window.trame.state.get('ScansState__items').length === 1")
    page.open_files()
    page.page.locator("[data-test=open-path] input").fill(str(tmp_path / "second"))
    page.item("open-go").click()
    page.page.wait_for_function("() => window.trame.state.get('ScansState__items').length === 2")
    page.page.wait_for_function("() => !document.querySelector('[data-test=busy]')")
    assert page.item("why-not").count() == 0, "two scans are there and chosen"
    empty = page.view(0).max() < 60
    assert not empty
    page.no_error()
    page.check_manners()
