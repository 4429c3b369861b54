"""Figures of the panels: opening time, longest stall of the main thread during a run, time from Cancel to the end.

Usage: python -m benchmarks.panels  (or python benchmarks/panels.py); writes benchmarks/results/panels.json.
Measured in the test host, without drawing. A 10 ms timer ticks on the main thread; a stall is its largest gap. Each run
is made four times: the first imports what it needs, the median and the worst of the other three are written.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing")]


class Ticker:
    """Largest gap between ticks of a 10 ms timer, and the stage at which it was."""

    def __init__(self, panel) -> None:
        from host.driving import QtCore

        self.panel, self.last, self.gaps = panel, 0.0, []
        self.timer = QtCore.QTimer()
        self.timer.interval = 10
        self.timer.timeout.connect(self.tick)

    def tick(self) -> None:
        now = time.monotonic()
        if self.last:
            self.gaps.append((now - self.last, self.panel.ui.statusLabel.text.split(" · ")[0]))
        self.last = now

    def measure(self, action) -> dict:
        self.timer.start()
        action()
        self.tick()
        self.timer.stop()
        self.last, gaps, self.gaps = 0.0, sorted(self.gaps, reverse=True), []
        during = [g for g in gaps if g[1] not in ("", "Showing the result", "Done.")]
        around = [g for g in gaps if g not in during]
        longest = {"computing": during[0][0] if during else 0.0, "reading_or_writing_nodes": around[0][0]}
        return {part: 1000 * gap for part, gap in longest.items()}


def stalls(panel, runs: int = 3) -> dict:
    """Longest stalls of a panel's run, ms: median and worst of several runs."""
    ticker = Ticker(panel)
    ticker.measure(panel.onApply)
    found = [ticker.measure(panel.onApply) for _run in range(runs)]
    assert panel.results.current is not None, panel.ui.statusLabel.text
    return {
        f"{part}_ms": {
            "median": round(statistics.median(run[part] for run in found), 1),
            "worst": round(max(run[part] for run in found), 1),
        }
        for part in found[0]
    }


def opening(name: str) -> float:
    from host import driving

    begun = time.monotonic()
    driving.open_panel(name)
    return round(time.monotonic() - begun, 3)


def cancelling(panel, percent: int) -> float:
    from host import driving

    pressed = []
    driving.at_progress(panel, percent, lambda: (pressed.append(time.monotonic()), panel.onCancel()))
    panel.onApply()
    return round(time.monotonic() - pressed[0], 3) if pressed else float("nan")


def ready(name: str, load, preset: str = "quick"):
    """A panel on an empty scene with the sample in it."""
    from host import driving

    driving.clear_scene()
    panel = driving.open_panel(name)
    load()
    driving.spin(0.2)
    panel._parameterNode.preset = preset
    panel.methods.load()
    return panel


def choose_inputs(panel) -> None:
    """Inputs of the viewer that it does not choose by itself."""
    import slicer

    held = panel._parameterNode
    fixed, moving, dose = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    held.transform = slicer.util.getNodesByClass("vtkMRMLGridTransformNode")[0]
    held.fixedVolume, held.movingVolume, held.dose = fixed, moving, dose
    held.structures = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")[0]


def previewing(panel, points_ras) -> dict:
    """Seconds from a click to the tumor on the screen: the first prepares the scan, the second has it."""
    from host import driving

    found = []
    for point in points_ras:
        panel.ui.addTumorButton.click()
        panel.seeds.stopPlacing()
        row, begun = len(found), time.monotonic()
        panel.seeds.current().AddControlPoint(*(float(v) for v in point))
        driving.wait_for(lambda row=row: panel.ui.seedTable.item(row, 2).text().endswith("ml"), 60)
        found.append(round(time.monotonic() - begun, 3))
    return {"first_click": found[0], "second_click": found[1]}


def main() -> None:
    from host import driving, install

    install.install()
    for name in driving.MODULES:
        driving.application.load_module(name)
    record = {"opening_s": {name: opening(name) for name in driving.MODULES}}
    record["torch_imported_by_opening"] = "torch" in sys.modules
    from VALORPanels import samples

    panel = ready("VALORRegistration", lambda: samples.loadBreastPair(seed=3, size="full"))
    record["longest_stall_of_a_run"] = found = {"VALORRegistration, 145 x 135 x 65 voxels": stalls(panel)}
    from valorlib.demo import make_pair

    clicks = make_pair(3, size="full", lesions=2).pair.seeds.points * (-1, -1, 1)
    record["preview_s"] = previewing(panel, clicks[:2])
    panel = ready("PointCloudRegistration", samples.loadOrgans)
    found["PointCloudRegistration, 5 organs"] = stalls(panel)
    panel = ready("UncertaintyViewer", samples.loadRadiotherapy)
    choose_inputs(panel)
    found["UncertaintyViewer, CT, dose and 5 structures"] = stalls(panel)
    panel = ready("VALORRegistration", lambda: samples.loadBreastPair(seed=3, size="small"), preset="default")
    panel.onApply()
    record["cancel_s"] = {f"at_{percent}_percent": cancelling(panel, percent) for percent in (2, 40, 80)}
    record["python"], record["machine"] = platform.python_version(), platform.machine()
    path = ROOT / "benchmarks" / "results" / "panels.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
