"""A full disk is one sentence, and the next run works."""

import asyncio
import errno

import pytest

from valor_workbench.jobs import JobRunner
from valor_workbench.worker import Attempt, _answer
from valorlib.core.errors import InputError


class Never:
    def is_set(self):
        return False


def full_disk(context):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_is_a_refusal_and_no_bug(tmp_path):
    answer = _answer(1, full_disk, (), Attempt(), Never(), tmp_path, lambda *message: None)
    assert answer[0] == "refused"
    assert "full disk" in answer[1]


def test_a_result_that_cannot_be_written_is_refused(tmp_path):
    async def go():
        runner = JobRunner(tmp_path / "missing")
        try:
            with pytest.raises((InputError, RuntimeError)):
                await runner.run(len, "x")
        finally:
            runner.close()

    asyncio.run(go())
