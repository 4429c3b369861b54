"""A scan of the size that hospitals make, in a real browser."""

import time

import numpy as np
import psutil
import pytest
import SimpleITK as sitk

pytestmark = [pytest.mark.web, pytest.mark.slow, pytest.mark.timeout(900)]


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
