"""How quick the workbench is on this machine: start, painting, wheel, stalls during a run, cancel, preview.

python benchmarks/workbench.py            writes benchmarks/results/workbench.json
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[1]
PAINTED = "() => [...document.querySelectorAll('.layout-grid-item img')].filter(i => i.naturalWidth > 100).length >= 4"
WATCH = """() => {
  const image = document.querySelector('.layout-grid-item img');
  window.frames_seen = [];
  new MutationObserver(() => window.frames_seen.push(performance.now())).observe(image, {attributes: true});
  document.addEventListener('wheel', () => { window.wheel_at = performance.now(); }, true);
}"""


def start(folder: str) -> tuple[subprocess.Popen[str], str, float]:
    began = time.perf_counter()
    command = [sys.executable, "-m", "valor_workbench", "--demo", "--no-browser"]
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "TMPDIR": folder},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in server.stdout or ():
        found = re.search(r"http://\S+token=\S+", line)
        if found:
            return server, found.group(0), time.perf_counter() - began
    raise RuntimeError("the server did not start")


class Heartbeat(threading.Thread):
    """Asks the server for a small file every 10 ms; the longest answer bounds the longest stall of its loop."""

    def __init__(self, link: str, cookie: str) -> None:
        super().__init__(daemon=True)
        self._address = link.split("/")[2]
        self._cookie = cookie
        self.waits_ms: list[float] = []
        self.on = True

    def end(self) -> None:
        """Stop asking."""
        self.on = False
        self.join()

    def run(self) -> None:
        connection = http.client.HTTPConnection(self._address)
        while self.on:
            began = time.perf_counter()
            connection.request("GET", "/download/none/none", headers={"Cookie": self._cookie})
            connection.getresponse().read()
            self.waits_ms.append(1000 * (time.perf_counter() - began))
            time.sleep(0.01)
        connection.close()


def wheel_ms(page: object, count: int = 25) -> list[float]:
    """Time from a turn of the wheel to the next picture of that view."""
    box = page.locator(".layout-grid-item").first.bounding_box()  # type: ignore[attr-defined]
    page.mouse.move(box["x"] + 150, box["y"] + 150)  # type: ignore[attr-defined]
    page.evaluate(WATCH)  # type: ignore[attr-defined]
    found = []
    for n in range(count):
        page.evaluate("() => { window.frames_seen = []; window.wheel_at = 0; }")  # type: ignore[attr-defined]
        page.mouse.wheel(0, -100 if n % 10 < 5 else 100)  # type: ignore[attr-defined]
        page.wait_for_function("() => window.wheel_at && window.frames_seen.some(t => t > window.wheel_at)")  # type: ignore[attr-defined]
        found.append(
            page.evaluate("() => window.frames_seen.find(t => t > window.wheel_at) - window.wheel_at")  # type: ignore[attr-defined]
        )
        page.wait_for_timeout(250)  # type: ignore[attr-defined]
    return found


def measure() -> dict[str, float]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server, link, start_s = start(folder)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        context = browser.new_context(viewport={"width": 1280, "height": 720})
        page = context.new_page()
        try:
            process = psutil.Process(server.pid)
            start_cpu_s = sum(process.cpu_times()[:2])
            began = time.perf_counter()
            page.goto(link)
            page.wait_for_function(PAINTED)
            painted_s = time.perf_counter() - began
            page.get_by_text("3T (moving)").first.wait_for()
            page.get_by_text("Options", exact=True).first.wait_for()
            page.wait_for_timeout(3000)
            cpu = sum(process.cpu_times()[:2])
            wheel = wheel_ms(page)
            wheel_cpu_ms = 1000 * (sum(process.cpu_times()[:2]) - cpu) / len(wheel)
            cookie = "; ".join(f"{c['name']}={c['value']}" for c in context.cookies())
            beat = Heartbeat(link, cookie)
            beat.start()
            page.locator("[data-test=apply]:visible").click()
            page.locator("[data-test=cancel]:visible").wait_for()
            page.wait_for_timeout(800)
            beat.end()
            began = time.perf_counter()
            page.locator("[data-test=cancel]:visible").click()
            page.locator("[data-test=apply]:visible").wait_for()
            cancel_s = time.perf_counter() - began
            arrival = Heartbeat(link, cookie)
            arrival.start()
            page.locator("[data-test=apply]:visible").click()
            page.locator("[data-test=summary]:visible").wait_for(timeout=90_000)
            arrival.end()
        finally:
            browser.close()
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
    return {
        "start_to_port_s": round(start_s, 2),
        "start_to_port_cpu_s": round(start_cpu_s, 2),
        "page_to_painted_views_s": round(painted_s, 2),
        "wheel_to_slice_median_ms": round(statistics.median(wheel), 1),
        "wheel_to_slice_max_ms": round(max(wheel), 1),
        "wheel_server_cpu_ms": round(wheel_cpu_ms, 1),
        "longest_stall_in_a_run_ms": round(max(beat.waits_ms), 1),
        "stall_p99_ms": round(statistics.quantiles(beat.waits_ms, n=100)[98], 1),
        "longest_stall_when_the_result_comes_ms": round(max(arrival.waits_ms), 1),
        "cancel_s": round(cancel_s, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks" / "results" / "workbench.json")
    given = parser.parse_args()
    numbers = measure()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    record = {
        "numbers": numbers,
        "load_average_1_min": round(os.getloadavg()[0], 2),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "commit": commit,
    }
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
