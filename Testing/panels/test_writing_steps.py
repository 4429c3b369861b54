"""What happens between Apply's result and the last of its nodes, and between a click and its preview."""

from __future__ import annotations

import pytest
import slicer
from host import driving
from host.driving import QtCore, click, spin, wait_for


def node_ids():
    nodes = slicer.mrmlScene.GetNodes()
    kept = (nodes.GetItemAsObject(n) for n in range(nodes.GetNumberOfItems()))
    return sorted(n.GetID() for n in kept if not n.IsA("vtkMRMLSubjectHierarchyNode"))


class Between:
    """Does something once, by the event loop, after some steps of the writing; counts the steps that were taken."""

    def __init__(self, panel, after, action):
        self.taken, self.nodes = 0, 0
        self._after, self._action, self._write = after, action, panel.logic.write
        panel.logic.write = self

    def __call__(self, *arguments):
        before = len(node_ids())
        steps = self._write(*arguments)
        try:
            while True:
                try:
                    value = next(steps)
                except StopIteration as end:
                    return end.value
                self.taken += 1
                if self.taken == self._after:
                    self.nodes = len(node_ids()) - before
                    QtCore.QTimer.singleShot(0, self._action)
                yield value
        finally:
            steps.close()


@pytest.mark.parametrize("after", [1, 4])
def test_cancel_between_two_steps_of_the_writing_takes_the_nodes_back(panel, after):
    before = node_ids()
    between = Between(panel, after, lambda: click(panel.ui.cancelButton))
    click(panel.ui.applyButton)
    assert between.nodes > 0, "nothing was written yet, so nothing could be taken back"
    assert between.taken == after
    assert node_ids() == before
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."
    assert panel.results.current is None
    del panel.logic.write
    click(panel.ui.applyButton)
    assert panel.results.current is not None, "the panel must work again at once"


def test_closing_the_scene_between_two_steps_leaves_it_empty(panel):
    between = Between(panel, 3, driving.clear_scene)
    click(panel.ui.applyButton)
    spin(0.1)
    assert between.taken == 3
    for name in ("ScalarVolume", "GridTransform", "Table", "Segmentation", "MarkupsFiducial"):
        assert not slicer.util.getNodesByClass(f"vtkMRML{name}Node"), name
    assert panel.results.current is None
    assert panel.ui.applyButton.text == "Select a fixed and a moving volume"


def test_deleting_an_input_between_two_steps_takes_the_nodes_back(panel):
    moving = panel._parameterNode.movingVolume
    before = set(node_ids())
    gone = moving.GetID()
    between = Between(panel, 3, lambda: slicer.mrmlScene.RemoveNode(moving))
    click(panel.ui.applyButton)
    assert between.nodes > 0
    assert set(node_ids()) <= before - {gone}
    assert panel.results.current is None
    assert panel.ui.statusLabel.text == "Canceled; the scene is as it was."


def test_apply_pressed_during_a_preview_ends_the_preview_and_registers(panel, breast, monkeypatch):
    click(panel.ui.addTumorButton)
    panel.seeds.stopPlacing()
    at = [float(v) for v in breast.pair.seeds.points[0] * (-1, -1, 1)]
    seen = []
    segment, compute = panel.preview._segment, panel.logic.compute

    def during_preview(seeds):
        QtCore.QTimer.singleShot(0, lambda: (seen.append(panel.preview._running), click(panel.ui.applyButton)))
        monkeypatch.undo()
        try:
            return segment(seeds)
        finally:
            seen.append("preview over")

    def counted(*arguments):
        seen.append("registered")
        return compute(*arguments)

    monkeypatch.setattr(panel.preview, "_segment", during_preview)
    panel.logic.compute = counted
    panel.seeds.current().AddControlPoint(*at)
    wait_for(lambda: panel.results.current is not None, 60)
    assert seen == [True, "preview over", "registered"]
    assert panel.results.node("fixed_seg").GetSegmentation().GetNumberOfSegments() == 1
    assert not panel.busy
    assert slicer.mrmlScene.GetNodeByID(panel.preview._node_id or "none") is None
