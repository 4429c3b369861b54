"""Bodies of the self-tests that a person runs in Slicer with Reload and Test; the project's tests run them too."""
# ruff: noqa: PT009 - these are bodies of unittest cases

from __future__ import annotations

from typing import Any

import slicer

from valorlib.scene import nodes as scene_nodes


def _panel(name: str) -> Any:
    widget = slicer.util.getModuleWidget(name)
    widget.parent.enter()
    return widget


def _run(test: Any, widget: Any) -> Any:
    test.assertTrue(widget.ui.applyButton.enabled, widget.ui.applyButton.text)
    widget.onApply()
    results = widget.results.current
    test.assertIsNotNone(results, widget.ui.statusLabel.text)
    return results


def registerSample(test: Any) -> None:
    """VALORRegistration on a small generated pair."""
    from VALORPanels import samples

    fixed, moving, *_landmarks = samples.loadBreastPair(seed=3, size="small")
    before = slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode")
    widget = _panel("VALORRegistration")
    widget._parameterNode.fixedVolume, widget._parameterNode.movingVolume = fixed, moving
    results = _run(test, widget)
    test.assertIsNotNone(results.node(slicer.mrmlScene, "transform"))
    widget.onRemove()
    test.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), before)
    test.assertEqual(len(scene_nodes.find_results(slicer.mrmlScene)), 0)


def registerOrgans(test: Any) -> None:
    """PointCloudRegistration on generated organs."""
    from VALORPanels import samples

    fixed, moving = samples.loadOrgans(spacing_mm=4.0)
    widget = _panel("PointCloudRegistration")
    widget._parameterNode.fixedOrgans, widget._parameterNode.movingOrgans = fixed, moving
    widget._parameterNode.spacingMm = 10.0
    results = _run(test, widget)
    test.assertIsNotNone(results.node(slicer.mrmlScene, "organs"))


def viewUncertainty(test: Any) -> None:
    """UncertaintyViewer on the generated radiotherapy case."""
    from VALORPanels import samples

    fixed, moving, dose, transform, structures, *_landmarks = samples.loadRadiotherapy(spacing_mm=6.0)
    widget = _panel("UncertaintyViewer")
    held = widget._parameterNode
    held.transform, held.fixedVolume, held.movingVolume = transform, fixed, moving
    held.dose, held.structures, held.preset = dose, structures, "quick"
    held.samples = 20
    results = _run(test, widget)
    test.assertIsNotNone(results.node(slicer.mrmlScene, "jacobian"))
