"""Figures of the panels: opening time, longest stall of the main thread during a run, time from Cancel to the end.

Usage: python -m benchmarks.panels  (or python benchmarks/panels.py); writes benchmarks/results/panels.json.
Measured in the test host, without drawing. A 10 ms timer ticks on the main thread; a stall is its largest gap.
"""

from __future__ import annotations

import json
import os
import platform
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
        return {
            "longest_stall_computing_ms": round(1000 * during[0][0], 1) if during else None,
            "stage": during[0][1] if during else "",
            "longest_stall_reading_or_writing_nodes_ms": round(1000 * around[0][0], 1) if around else None,
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


def main() -> None:
    from host import driving, install

    install.install()
    for name in driving.MODULES:
        driving.application.load_module(name)
    record = {"opening_s": {name: opening(name) for name in driving.MODULES}}
    record["torch_imported_by_opening"] = "torch" in sys.modules
    panel = driving.open_panel("VALORRegistration")
    from VALORPanels import samples

    samples.loadBreastPair(seed=3, size="small")
    driving.spin(0.2)
    panel.methods.load()
    ticker = Ticker(panel)
    ticker.measure(panel.onApply)  # the first run imports the rest
    record["registration_run"] = ticker.measure(panel.onApply)
    record["cancel_s"] = {f"at_{percent}_percent": cancelling(panel, percent) for percent in (2, 40, 80)}
    record["python"], record["machine"] = platform.python_version(), platform.machine()
    path = ROOT / "benchmarks" / "results" / "panels.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
