"""The way over nodes gives the same numbers as the way over core types, and Slicer applies what the library found."""

from __future__ import annotations

import numpy as np
import pytest

from valorlib.catalog import load
from valorlib.convert import mrml
from valorlib.core.run import Run
from valorlib.demo import make_pair
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import map_points
from valorlib.scene import nodes, valor_registration

slicer = pytest.importorskip("slicer")


@pytest.mark.slow
def test_nodes_and_core_types_give_identical_results():
    case = make_pair(0, size="small")
    scene = slicer.vtkMRMLScene()
    volumes = []
    for image in (case.pair.fixed, case.pair.moving):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", image.name or "scan")
        mrml.set_image(node, image)
        volumes.append(node)
    seeds = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "Clicks")
    mrml.set_points(seeds, case.pair.seeds.points)
    pair = valor_registration.read_inputs(scene, *volumes, seeds=[seeds], seeds_on=case.pair.seeds.on)
    np.testing.assert_array_equal(pair.fixed.array, case.pair.fixed.array)
    assert pair.moving.grid == case.pair.moving.grid
    np.testing.assert_allclose(pair.seeds.points, case.pair.seeds.points, atol=1e-12)

    method = load("valor")
    options = method.presets["quick"]
    over_nodes = method.run(pair, options, Run())
    direct = method.run(case.pair.__class__(case.pair.fixed, case.pair.moving, seeds=pair.seeds), options, Run())
    np.testing.assert_array_equal(over_nodes.displacement.array, direct.displacement.array)
    np.testing.assert_array_equal(over_nodes.warped_seg.array, direct.warped_seg.array)

    outcome = valor_registration.measure(pair, over_nodes)
    results = valor_registration.write_result(scene, pair, outcome, *volumes)
    transform = results.node(scene, "transform")
    points = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "P")
    at = pair.fixed.grid.to_world(np.asarray(pair.fixed.grid.size) * ((0.4, 0.5, 0.5), (0.6, 0.4, 0.6)))
    mrml.set_points(points, map_points(over_nodes.displacement, at))
    points.SetAndObserveTransformNodeID(transform.GetID())
    np.testing.assert_allclose(mrml.points_from_node(points).points, at, atol=1e-3)
    volumes[1].SetAndObserveTransformNodeID(transform.GetID())
    assert slicer.vtkSlicerTransformLogic.hardenTransform(volumes[1])
    hardened = mrml.image_from_node(volumes[1])
    ours = resample_image(pair.moving, hardened.grid, over_nodes.displacement, fill=0)
    inside = pair.fixed.grid.contains(hardened.grid.points())
    # Slicer fills the outermost half voxel with 0, the library with the border value.
    lands = pair.moving.grid.to_index(map_points(over_nodes.displacement, hardened.grid.points()[inside]))
    inner = np.all((lands > 0.5) & (lands < np.asarray(pair.moving.grid.size) - 1.5), axis=-1)
    difference = np.abs(hardened.array - ours.array)[inside][inner]
    assert float(np.quantile(difference, 0.999)) <= 1e-3 * float(np.ptp(pair.moving.array))
    nodes.remove(scene, results)
    assert nodes.find_results(scene) == []
