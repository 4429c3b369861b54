"""Tasks a worker can import; each does one thing that a real task may do."""

import os
import signal
import time
from pathlib import Path

from valorlib.core.errors import InputError


def double(context, value):
    context.progress(0.5, "Doubling")
    return 2 * value


def slow(context, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        context.progress(1 - (end - time.monotonic()) / seconds, "Working")
        time.sleep(0.02)
    return "done"


def deaf(context, seconds):
    """Never reports, as one long call into a library."""
    time.sleep(seconds)
    return "done"


def refuse(context):
    raise InputError("seeds: expected a click inside the image")


def fail(context):
    raise ValueError("a bug")


def die(context):
    os.kill(os.getpid(), signal.SIGKILL)


def hungry(context, needs):
    """Runs out of memory until the attempt is modest enough."""
    import torch

    if needs == "never":
        raise MemoryError
    if context.attempt.device != "cpu":
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
    if needs == "small" and context.attempt.shrink < 2:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")
    return context.attempt.device, context.attempt.shrink


def pid(context):
    return os.getpid()


def leave_a_file(context, name):
    (Path(context.folder) / name).write_text("half")
    time.sleep(60)
