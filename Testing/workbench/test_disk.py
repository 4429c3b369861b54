"""A full disk is one sentence, what was half written goes, and the next run works."""

import asyncio
import io
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from valor_workbench import tasks_files
from valor_workbench.jobs import JobRunner
from valor_workbench.tasks_export import DicomExport, write_dicom
from valor_workbench.transfers import Uploads
from valorlib.core.errors import InputError
from valorlib.core.grid import Grid
from valorlib.core.images import Image

HERE = Path(__file__).parent
MB = 1 << 20


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 6 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=6m", "valor-test", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("a small disk can be made by root alone, where mounting is allowed")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(autouse=True)
def tasks_on_the_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.syspath_prepend(str(HERE))


def test_results_and_exports_that_do_not_fit_are_refused_and_leave_nothing(small_disk):
    import tasks_for_tests

    image = Image(np.random.default_rng(0).normal(size=(40, 128, 128)).astype(np.float32), Grid((128, 128, 40)))
    (small_disk / "result").mkdir()
    (small_disk / "result" / "a.nrrd").write_bytes(os.urandom(4 * MB))

    async def go():
        runner = JobRunner(small_disk)
        try:
            with pytest.raises(InputError, match="full disk"):
                await runner.run(tasks_for_tests.double, np.zeros(8 * MB, dtype=np.uint8))
            with pytest.raises(InputError, match="full disk"):
                await runner.run(tasks_files.zip_folder, small_disk / "result", "result")
            with pytest.raises(InputError, match="full disk"):
                await runner.run(write_dicom, DicomExport("valor", image))
            assert await runner.run(tasks_for_tests.double, 21) == 42
        finally:
            runner.close()

    asyncio.run(go())
    assert [p.name for p in small_disk.iterdir()] == ["result"]


def test_an_upload_that_does_not_fit_is_refused_and_leaves_nothing(small_disk):
    async def go():
        app = web.Application(client_max_size=0)
        Uploads(small_disk, None).install(app)
        async with TestClient(TestServer(app)) as client:
            answer = await client.post("/upload?name=a.nrrd&batch=x", data=io.BytesIO(os.urandom(8 * MB)))
            assert answer.status == 507
            assert "full" in (await answer.json())["error"]
            answer = await client.post("/upload?name=b.nrrd&batch=y", data=io.BytesIO(os.urandom(MB)))
            assert answer.status == 200

    asyncio.run(go())
    assert [p.name for p in small_disk.iterdir()] == ["upload-y"]


def test_a_result_that_cannot_be_written_is_refused(tmp_path):
    async def go():
        runner = JobRunner(tmp_path / "missing")
        try:
            with pytest.raises((InputError, RuntimeError)):
                await runner.run(len, "x")
        finally:
            runner.close()

    asyncio.run(go())
