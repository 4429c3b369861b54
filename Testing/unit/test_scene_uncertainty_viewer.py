"""UncertaintyViewer's nodes: what is read, computed, written and taken back."""

from __future__ import annotations

import numpy as np
import pytest
from unit.geometry import OBLIQUE, smooth_field, texture, turned

from valorlib.convert import mrml
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Dose, Image, LabelMap
from valorlib.core.run import Run
from valorlib.core.transforms import AffineTransform, Chain, DisplacementField
from valorlib.methods.dir_uncertainty import DirUncertaintyOptions
from valorlib.ops.resample import resample_image, resample_labels
from valorlib.scene import nodes, uncertainty_viewer
from valorlib.scene.uncertainty_run import dose_grid

slicer = pytest.importorskip("slicer")

GRID = Grid((36, 32, 28), (2.0, 2.0, 2.5), (-30.0, 12.0, 55.0), tuple(map(tuple, OBLIQUE)))
OPTIONS = DirUncertaintyOptions(mode="paper", spacing_mm=4.0, scale=1.0)


def ball(center, radius_mm):
    return LabelMap((np.linalg.norm(GRID.points() - center, axis=-1) < radius_mm).astype("i4"), GRID)


@pytest.fixture(scope="module")
def field():
    return smooth_field(GRID, size_mm=4.0, smooth=6.0)


@pytest.fixture
def scene():
    made = slicer.vtkMRMLScene()
    composite = slicer.vtkMRMLSliceCompositeNode()
    composite.SetSingletonTag("Red")
    made.AddNode(composite)
    return made


def add_volume(scene, image, name):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    mrml.set_image(node, image)
    return node


@pytest.fixture
def case(scene, field):
    moving = texture(GRID)
    distance = np.linalg.norm(GRID.points() - GRID.center, axis=-1)
    dose = Image((60 * np.exp(-((distance / 25) ** 2))).astype("f4"), GRID)
    structures = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "structures")
    both = ball(GRID.center, 10).array + 2 * (ball(GRID.to_world((26, 20, 18)), 7).array > 0)
    mrml.set_segmentation(structures, LabelMap(np.minimum(both, 2), GRID, {1: "Tumor Ø", 2: "Lung"}))
    transform = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "transform")
    mrml.set_transform(transform, field)
    return {
        "fixed": add_volume(scene, resample_image(moving, GRID, field), "fixed"),
        "moving": add_volume(scene, moving, "moving"),
        "dose": add_volume(scene, dose, "dose"),
        "structures": structures,
        "transform": transform,
    }


def landmarks(scene, field):
    fixed = GRID.to_world(np.random.default_rng(0).random((6, 3)) * 20 + 5)
    lists = []
    for points in (fixed, fixed + np.array([1.0, 2.0, 2.0])):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "L")
        mrml.set_points(node, points)
        lists.append(node)
    return {"fixed_landmarks": lists[0], "moving_landmarks": lists[1]}


def test_a_whole_run_is_written_and_taken_back(scene, case, field):
    inputs = uncertainty_viewer.read_inputs(scene, **case, **landmarks(scene, field))
    heard = []
    progress = Run(progress=lambda fraction, message: heard.append(fraction))
    outcome = uncertainty_viewer.run(inputs, OPTIONS, progress, samples=20)
    assert heard == sorted(heard)
    assert heard[-1] == 1
    before = scene.GetNumberOfNodes()
    results = uncertainty_viewer.write_result(scene, inputs, outcome, fixed=case["fixed"])
    wanted = {"sigma", "rank", "jacobian", "log_jacobian", "dose_warped", "dose_mean", "dose_p05", "dose_p95"}
    assert wanted | {"dvh", "dvh_metrics", "dvh_chart", "landmarks", "metrics"} <= set(results.roles)
    chart = results.node(scene, "dvh_chart")
    assert chart.GetNumberOfPlotSeriesNodes() == 6
    series = results.node(scene, "series:Tumor Ø:p95")
    table = mrml.table_from_node(series.GetTableNode())
    low, high = (table[f"Tumor Ø {line} (Gy)"] for line in ("p05", "p95"))
    assert np.all(np.asarray(low) <= np.asarray(high) + 1e-6)
    assert series.GetXColumnName() in table
    errors = mrml.table_from_node(results.node(scene, "landmarks"))
    np.testing.assert_allclose(errors["Before (mm)"], 3.0, atol=1e-5)
    p05, mean, p95 = (mrml.image_from_node(results.node(scene, f"dose_{k}")).array for k in ("p05", "mean", "p95"))
    assert (p05 <= mean + 1e-3).mean() > 0.99
    assert (mean <= p95 + 1e-3).mean() > 0.99
    nodes.remove(scene, results)
    assert scene.GetNumberOfNodes() == before


def test_the_nominal_dose_is_the_plan_seen_through_the_transform(scene, case, field):
    inputs = uncertainty_viewer.read_inputs(
        scene, transform=case["transform"], fixed=case["fixed"], dose=case["dose"], structures=case["structures"]
    )
    outcome = uncertainty_viewer.run(inputs, OPTIONS, Run())
    assert outcome.uncertainty is None
    assert outcome.dose_mean is None
    dose = mrml.image_from_node(case["dose"])
    expected = resample_image(dose, outcome.dose_warped.grid, field, fill=0)
    np.testing.assert_allclose(outcome.dose_warped.array, expected.array, atol=1e-3)
    tumor = next(m for m in outcome.metrics if m.structure == "Tumor Ø" and m.metric == "Dmean")
    tumor_mask = inputs.structures["Tumor Ø"]
    inside = tumor_mask.array > 0
    whole = resample_image(dose, tumor_mask.grid, field, fill=0).array
    assert tumor.value == pytest.approx(float(whole[inside].mean()), rel=0.01)
    results = uncertainty_viewer.write_result(scene, inputs, outcome)
    assert "sigma" not in results.roles


def test_a_moving_image_under_the_transform_is_read_where_it_was(scene, case):
    case["moving"].SetAndObserveTransformNodeID(case["transform"].GetID())
    inputs = uncertainty_viewer.read_inputs(scene, transform=case["transform"], moving=case["moving"])
    assert inputs.moving.grid.matches(GRID)
    assert case["moving"].GetParentTransformNode() is case["transform"]


def test_structures_come_from_label_maps_too(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    mrml.set_labels(node, LabelMap(2 * ball(GRID.center, 9).array, GRID))
    found = uncertainty_viewer.read_structures(node)
    assert list(found) == ["2"]
    assert set(np.unique(found["2"].array)) == {0, 1}
    mrml.set_labels(node, LabelMap(np.zeros(GRID.shape, "i4"), GRID))
    with pytest.raises(InputError, match="expected structures, got empty ones"):
        uncertainty_viewer.read_structures(node)


def test_a_dose_that_misses_a_structure_is_named(scene, case):
    far = add_volume(scene, Image(np.ones((5, 5, 5), "f4"), Grid((5, 5, 5), origin=(900, 0, 0))), "far")
    inputs = uncertainty_viewer.read_inputs(
        scene, transform=case["transform"], fixed=case["fixed"], dose=far, structures=case["structures"]
    )
    with pytest.raises(InputError, match="Tumor Ø: expected a dose that covers the structure"):
        uncertainty_viewer.run(inputs, OPTIONS, Run())


def test_maps_need_a_grid_to_lie_on(field):
    inputs = uncertainty_viewer.ViewerInputs(turned())
    with pytest.raises(InputError, match="choose the fixed volume"):
        uncertainty_viewer.run(inputs, OPTIONS, Run())
    only_field = uncertainty_viewer.ViewerInputs(field)
    assert uncertainty_viewer.run(only_field, OPTIONS, Run()).jacobian.grid is GRID
    dose = Dose(np.ones(GRID.shape, "f4"), GRID)
    chain = Chain((AffineTransform.identity(), field))
    assert uncertainty_viewer.run(uncertainty_viewer.ViewerInputs(chain, dose=dose), OPTIONS, Run()).bands == ()


def test_folds_are_shown_and_warned_of(scene):
    folded = DisplacementField(np.zeros((*GRID.shape, 3), "f4"), GRID)
    folded.array[14, 16, 18] = 9 * OBLIQUE[:, 0]
    inputs = uncertainty_viewer.ViewerInputs(folded)
    outcome = uncertainty_viewer.run(inputs, OPTIONS, Run())
    assert "folds" in " ".join(outcome.warnings)
    results = uncertainty_viewer.write_result(scene, inputs, outcome)
    assert results.node(scene, "folds").GetNumberOfControlPoints() >= 1


def test_dose_maps_stay_small():
    fine = Grid((400, 400, 300))
    grid = dose_grid(fine, Dose(np.zeros((2, 2, 2), "f4"), Grid((2, 2, 2))))
    assert np.prod(grid.size) < 320_000
    np.testing.assert_allclose(grid.corners(), fine.corners())


def test_what_is_saved_holds_the_volume_change_of_each_structure_and_the_way_back(scene, case, field):
    from valorlib.scene.uncertainty_assessment import assessment_of

    inputs = uncertainty_viewer.read_inputs(scene, **{**case, "dose": None})
    outcome = uncertainty_viewer.run(inputs, OPTIONS, Run())
    found = assessment_of(outcome, structures=inputs.structures)
    rows = {row.name: row for row in found.structure_jacobians}
    assert set(rows) == {"Tumor Ø", "Lung"}
    inside = resample_labels(inputs.structures["Lung"], outcome.jacobian.grid).array == 1
    assert inside.any()
    assert rows["Lung"].mean == pytest.approx(float(outcome.jacobian.array[inside].mean()), rel=1e-5)
    assert rows["Lung"].mean != pytest.approx(rows["Tumor Ø"].mean, rel=1e-3)
    assert 0 <= found.consistency.mean_mm < 0.5
