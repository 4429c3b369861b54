"""Runs in a process of their own: results, cancel, kill, memory, queue, nothing left behind."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from valor_workbench.jobs import JobFailed, JobRunner, Progress, TimeLeft, after_memory_error, attempts
from valor_workbench.logic.runs import RunLogic
from valor_workbench.states import RunState
from valor_workbench.worker import Attempt
from valorlib.core.errors import Cancelled, InputError

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def tasks_on_the_path(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(HERE), os.environ.get("PYTHONPATH", ""))))
    monkeypatch.syspath_prepend(str(HERE))


def task(name):
    import tasks_for_tests

    return getattr(tasks_for_tests, name)


def run(work, folder, **settings):
    """Run work(runner) in a loop and close the runner."""

    async def go():
        runner = JobRunner(folder, **settings)
        try:
            return await work(runner)
        finally:
            runner.close()

    return asyncio.run(go())


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_a_task_returns_its_value_reports_and_leaves_no_file(tmp_path):
    seen = []

    async def work(runner):
        return await runner.run(task("double"), 21, on_progress=seen.append)

    assert run(work, tmp_path) == 42
    assert Progress(0.5, "Doubling") in seen
    assert list(tmp_path.iterdir()) == []


def test_the_worker_stays_for_the_next_task(tmp_path):
    async def work(runner):
        return [await runner.run(task("pid")) for _ in range(2)]

    first, second = run(work, tmp_path)
    assert first == second
    assert not is_alive(first)


def test_a_refusal_is_passed_on_and_a_bug_says_what_it_was(tmp_path):
    async def work(runner):
        with pytest.raises(InputError, match="expected a click inside"):
            await runner.run(task("refuse"))
        with pytest.raises(JobFailed, match="a bug"):
            await runner.run(task("fail"))
        return await runner.run(task("double"), 1)

    assert run(work, tmp_path) == 2


@pytest.mark.parametrize("name", ["slow", "deaf"])
def test_cancel_ends_a_run_within_a_second_and_the_next_one_works(tmp_path, name):
    async def work(runner):
        runner.warm_up()
        await runner.run(task("double"), 1)
        waiting = asyncio.ensure_future(runner.run(task(name), 60))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        runner.cancel()
        with pytest.raises(Cancelled):
            await waiting
        spent = time.monotonic() - began
        return spent, await runner.run(task("double"), 4)

    spent, value = run(work, tmp_path)
    assert spent < 1.0
    assert value == 8


def test_a_killed_worker_is_one_sentence_and_the_next_run_works(tmp_path):
    async def work(runner):
        with pytest.raises(JobFailed, match="ended unexpectedly"):
            await runner.run(task("die"))
        return await runner.run(task("double"), 4)

    assert run(work, tmp_path) == 8


@pytest.mark.parametrize(("needs", "got"), [("cpu", ("cpu", 1)), ("small", ("cpu", 2))])
def test_when_memory_runs_out_the_run_is_repeated_more_modestly_and_says_so(tmp_path, needs, got):
    notes = []

    async def work(runner):
        return await runner.run(task("hungry"), needs, on_progress=lambda p: notes.append(p.note))

    assert run(work, tmp_path) == got
    assert "The graphics card ran out of memory; running again on the processor." in notes
    assert ("The memory ran out; running again at half the resolution." in notes) == (needs == "small")


def test_memory_that_never_suffices_is_one_sentence(tmp_path):
    async def work(runner):
        with pytest.raises(JobFailed, match="too small even at half size"):
            await runner.run(task("hungry"), "never", device="cpu")

    run(work, tmp_path)


def test_two_runs_queue_a_third_is_refused_and_cancel_forgets_the_waiting_one(tmp_path):
    async def work(runner):
        first = asyncio.ensure_future(runner.run(task("slow"), 30))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(runner.run(task("double"), 3))
        await asyncio.sleep(0.05)
        assert runner.busy
        assert runner.full
        with pytest.raises(InputError, match="at most 2"):
            await runner.run(task("double"), 1)
        runner.cancel()
        with pytest.raises(Cancelled):
            await first
        assert await second == 6
        first = asyncio.ensure_future(runner.run(task("slow"), 30))
        second = asyncio.ensure_future(runner.run(task("double"), 3))
        await asyncio.sleep(0.3)
        runner.cancel_all()
        for one in (first, second):
            with pytest.raises(Cancelled):
                await one
        assert not runner.busy

    run(work, tmp_path)


class PageOfOne:
    """As much of a session as the run box needs."""

    def __init__(self, runner):
        self.runs, self.server = runner, SimpleNamespace(state=nullcontext())
        self.values = RunState()

    def typed(self, kind):
        return SimpleNamespace(data=self.values)

    def say(self, text):
        pass


def test_a_run_that_waited_for_the_first_imports_is_not_shown_as_waiting_once_it_goes_on(tmp_path):
    async def work(runner):
        page = PageOfOne(runner)
        imports = asyncio.ensure_future(runner.run(task("slow"), 0.3))
        await asyncio.sleep(0.05)
        mine = asyncio.ensure_future(RunLogic(page).run(task("slow"), 30))
        await asyncio.sleep(0.05)
        assert page.values.queued == 1
        assert await imports == "done"
        for _turn in range(200):
            await asyncio.sleep(0.05)
            if page.values.message == "Working":
                break
        assert page.values.running
        assert page.values.queued == 0
        runner.cancel()
        with pytest.raises(Cancelled):
            await mine

    run(work, tmp_path)


def test_the_loop_goes_on_while_a_task_computes(tmp_path):
    async def work(runner):
        runner.warm_up()
        await runner.run(task("double"), 1)
        waiting = asyncio.ensure_future(runner.run(task("slow"), 1.0))
        longest, last = 0.0, time.monotonic()
        while not waiting.done():
            await asyncio.sleep(0.005)
            now = time.monotonic()
            longest, last = max(longest, now - last), now
        return longest

    assert run(work, tmp_path) < 0.1


def test_a_server_that_is_killed_leaves_no_process_and_no_file(tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    script = f"""
import asyncio, sys
sys.path.insert(0, {str(HERE)!r})
import tasks_for_tests
from pathlib import Path
from valor_workbench.jobs import JobRunner
async def go():
    runner = JobRunner(Path({str(folder)!r}))
    print(await runner.run(tasks_for_tests.pid), flush=True)
    await runner.run(tasks_for_tests.leave_a_file, "half.nrrd")
if __name__ == "__main__":
    asyncio.run(go())
"""
    path = tmp_path / "server.py"
    path.write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(HERE.parents[1]), str(HERE)))}
    server = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, env=environment)
    worker = int(server.stdout.readline())
    end = time.monotonic() + 10
    while not (folder / "half.nrrd").exists() and time.monotonic() < end:
        time.sleep(0.02)
    server.kill()
    server.wait()
    server.stdout.close()
    while (is_alive(worker) or folder.exists()) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(worker)
    assert not folder.exists()


def test_the_worker_needs_neither_the_page_nor_the_scene():
    script = (
        "import sys, valor_workbench.worker, valor_workbench.tasks, valor_workbench.tasks_registration\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('trame', 'trame_slicer', 'slicer', 'vtk', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_time_left_is_silent_at_first_and_then_follows_the_pace():
    clock = TimeLeft(started=100.0)
    assert clock.update(0.5, now=100.5) is None
    assert clock.update(0.01, now=103.0) is None
    assert clock.update(0.25, now=102.0) == pytest.approx(6.0)
    assert clock.update(0.5, now=104.0) == pytest.approx(0.7 * 6 + 0.3 * 4)


def test_attempts_grow_more_modest():
    assert attempts("cuda") == (Attempt("cuda"), Attempt("cpu"), Attempt("cpu", 2))
    assert attempts("cpu") == (Attempt("cpu"), Attempt("cpu", 2))
    assert "processor" in after_memory_error(Attempt("auto"))
    assert "half" in after_memory_error(Attempt("cpu"))
