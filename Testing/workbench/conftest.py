"""A workbench in a process of its own and a real browser before it."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PICTURES = ROOT / "Resources" / "Screenshots"
PROBE = "405 (Method Not Allowed)"
WAIT_MS = 90_000


class App:
    """A running server. folder: what it uses for temporary files."""

    def __init__(self, folder, *arguments):
        self.folder, self.entered, self.context = folder, False, None
        environment = {**os.environ, "TMPDIR": str(folder), "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        self.log = (folder.parent / "server.log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "valor_workbench", "--no-browser", "--root", str(folder.parent), *arguments],
            cwd=folder.parent,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.link = ""
        for line in self.process.stdout:
            found = re.search(r"http://\S+token=\S+", line)
            if found:
                self.link = found.group(0)
                break
        self.start_s = time.monotonic() - began
        assert self.link, "the server did not start: " + Path(self.log.name).read_text()[-2000:]

    def children(self):
        import psutil

        return [
            p for p in psutil.Process(self.process.pid).children(recursive=True) if "spawn_main" in str(p.cmdline())
        ]

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()
        self.log.close()


class Page:
    """A browser page on a server, and what it asked for and complained about."""

    def __init__(self, page, app):
        self.page, self.app, self.complaints, self.requests = page, app, [], []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: self.complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.complaints.append(f"uncaught: {e}"))
        page.on("request", lambda r: self.requests.append(r.url))

    def enter(self):
        """Come in by the link that works once, later by the cookie it left."""
        self.page.goto(self.app.link.split("?")[0] if self.app.entered else self.app.link)
        self.app.entered = True
        self.wait_for_views()

    def leave(self):
        """Go where the server is not; `enter` comes back."""
        self.page.goto("about:blank")

    def choose(self, name, title):
        """Choose from a drop-down list."""
        self.item(name).click()
        self.page.get_by_role("option", name=title, exact=True).click()

    def choose_layout(self, title):
        """Choose another arrangement of the views."""
        self.page.get_by_label("Arrangement of the views").first.click(force=True)
        self.page.get_by_role("option", name=title, exact=True).click()
        self.wait_for_views()

    def open_files(self):
        """Show the dialog, once it is gone from the last time."""
        self.page.get_by_role("dialog", name="Open files").wait_for(state="hidden")
        self.page.get_by_role("button", name="Open files").click()

    def set_options(self, **values):
        """Open the options of the method and type values, by their labels."""
        self.page.locator("summary:visible", has_text="Options").first.click()
        for label, value in values.items():
            field = self.page.locator(".valor-field:visible").get_by_label(label)
            field.fill(str(value))
            field.press("Tab")

    def wait_for_views(self):
        """Wait until every view of the layout is painted; the chart is no picture."""
        self.page.wait_for_function(
            "() => { const all = [...document.querySelectorAll('.layout-grid-item')];"
            " const painted = all.filter(v => v.querySelector('.valor-chart')"
            " || [...v.querySelectorAll('img')].some(i => i.naturalWidth > 100));"
            " return all.length > 0 && painted.length === all.length; }"
        )

    def module(self, name):
        self.page.get_by_role("tab", name=name).click()

    def item(self, name):
        return self.page.locator(f"[data-test={name}]:visible")

    def press(self, name, *, exact=True):
        self.page.locator(".valor-panel button:visible").get_by_text(name, exact=exact).first.click()

    def done(self):
        """Wait for the result of a run, or fail with the sentence the page shows."""
        self.item("summary").or_(self.item("error")).first.wait_for(timeout=2 * WAIT_MS)
        assert not self.item("error").count(), self.item("error").inner_text()
        return self.item("summary").inner_text()

    def no_error(self):
        assert not self.item("error").count(), self.item("error").inner_text()

    def click_in_view(self, number, dx=0, dy=0):
        """Click beside the middle of a view as a hand does: the pointer comes first."""
        box = self.page.locator(".layout-grid-item").nth(number).bounding_box()
        x, y = box["x"] + box["width"] / 2 + dx, box["y"] + box["height"] / 2 + dy
        for step in (-25, -6, 0):
            self.page.mouse.move(x + step, y + step)
            self.page.wait_for_timeout(150)
        self.page.mouse.down()
        self.page.mouse.up()
        return x, y

    def fetch(self, button, name, folder):
        """Press a button that makes a file, and download the file."""
        self.item(button).click()
        self.page.locator("[data-test=download]", has_text=name).wait_for()
        return self.download(folder / name)

    def download(self, path):
        with self.page.expect_download() as waiting:
            self.item("download").click()
        waiting.value.save_as(path)
        return path

    def picture(self, name):
        """Take a picture; kept in the repository when VALOR_SCREENSHOTS is set."""
        self.page.wait_for_timeout(700)
        folder = PICTURES if os.environ.get("VALOR_SCREENSHOTS") else self.app.folder.parent
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.png"
        self.page.screenshot(path=path)
        if path.stat().st_size > 350_000:
            from PIL import Image

            with Image.open(path) as full:
                full.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)

    def view(self, number):
        """The picture of a view, (rows, columns, 3)."""
        from PIL import Image

        self.page.wait_for_timeout(300)
        shot = self.page.locator(".layout-grid-item").nth(number).screenshot()
        return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=float)

    def changed(self, number, before, least=0.0005):
        """Wait until a share of the pixels of a view differs from an earlier picture."""
        for _try in range(20):
            share = float((np.abs(self.view(number) - before).max(axis=2) > 30).mean())
            if share >= least:
                return
        raise AssertionError(f"view {number} still looks as before: {share:.5f} of its pixels differ")

    def check_manners(self):
        """Nothing was asked of another machine, and nothing was complained about but the known probe."""
        host = self.app.link.split("/?")[0]
        foreign = [u for u in self.requests if not u.startswith((host, "data:", "blob:", host.replace("http", "ws")))]
        assert foreign == []
        assert [c for c in self.complaints if PROBE not in c] == []


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


def servers(new_folder):
    """Start servers, number n with the folder new_folder(n) for its files; all are stopped at the end."""
    started = []

    def begin(*arguments):
        folder = new_folder(len(started))
        folder.mkdir()
        started.append(App(folder, *arguments))
        return started[-1]

    yield begin
    for app in started:
        app.stop()


@pytest.fixture
def start(tmp_path):
    """Start servers; each is stopped at the end."""
    yield from servers(lambda n: tmp_path / f"tmp{n}")


class Kept:
    """A server that several stories use, since a start takes seconds; a failed story takes it along."""

    app = None

    def stop(self):
        if self.app is not None:
            self.app.stop()
            self.app = None


@pytest.fixture(scope="session")
def kept():
    found = Kept()
    yield found
    found.stop()


@pytest.fixture
def shared(kept, request, tmp_path_factory):
    """A running server with the generated pair, and whatever the stories before left in it."""
    failed = request.session.testsfailed
    if kept.app is None:
        folder = tmp_path_factory.mktemp("shared") / "tmp"
        folder.mkdir()
        kept.app = App(folder, "--demo")
    yield kept.app
    if request.session.testsfailed > failed:
        kept.stop()


@pytest.fixture(scope="module")
def launch(tmp_path_factory):
    """Start servers that the stories of a module share; the page may open what lies beside their own folder."""
    yield from servers(lambda n: tmp_path_factory.mktemp("launched") / "tmp")


@pytest.fixture
def visit(chromium):
    """Open pages on a server; each server has a browser context of its own, and one page at a time."""
    pages = []

    def begin(app):
        if app.context is None:
            app.context = chromium.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
        page = Page(app.context.new_page(), app)
        pages.append(page)
        page.enter()
        return page

    yield begin
    for page in pages:
        page.page.close()
