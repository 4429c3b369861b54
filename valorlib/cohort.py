"""Many cases of one command, in parallel, with a status a case; what is done is not done again."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from valorlib.core.errors import Cancelled, InputError
from valorlib.core.run import Progress, silent

PATHS = ("fixed", "moving", "seeds", "fixed_mask", "moving_mask", "fixed_labels", "moving_labels", "landmarks", "start")
WORDS = ("seeds_on", "space", "method", "preset", "random_seed")
CANCELLED = 3  # exit code of a cancelled case
Runner = Callable[[list[str]], tuple[int, str]]


@dataclass(frozen=True)
class Case:
    """One row of the manifest. words: the arguments of `valor register`, without the output."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Status:
    """How a case went. state: "waiting", "running", "done", "failed" or "cancelled". code: exit code."""

    name: str
    state: str
    words: tuple[str, ...]
    code: int | None = None
    message: str = ""
    seconds: float = 0.0


def read_manifest(path: Path, settings: Sequence[str] = ()) -> list[Case]:
    """Cases of a CSV file with the columns fixed, moving, and any of name, seeds, seeds_on, method, landmarks ...

    Args:
        path: the file; paths in it are relative to its folder.
        settings: arguments added to each case.

    Raises:
        InputError: missing or unreadable file, missing or unknown columns, two cases of one name.
    """
    rows = _rows(path)
    known = {"name", *PATHS, *WORDS}
    unknown = [c for c in rows[0] if c not in known]
    if unknown or "fixed" not in rows[0] or "moving" not in rows[0]:
        wrong = f"unknown column {unknown[0]!r}" if unknown else ",".join(rows[0])
        raise InputError(f"{path}: expected columns fixed, moving and any of {', '.join(sorted(known))}; got {wrong}")
    found: list[Case] = []
    for number, row in enumerate(rows, start=1):
        if not row["fixed"] or not row["moving"]:
            raise InputError(f"{path}: expected a fixed and a moving scan in row {number}, got an empty cell")
        name = row.get("name") or f"case_{number:03d}"
        if not re.fullmatch(r"[\w][\w.+-]*", name):
            raise InputError(f"{path}: expected a name of letters, digits, - and _ in row {number}, got {name!r}")
        found.append(Case(name, (*_words(row, path.absolute().parent), *settings)))
    names = [case.name for case in found]
    twice = next((n for n in names if names.count(n) > 1), None)
    if twice:
        raise InputError(f"{path}: expected each name once, got {twice!r} twice")
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise InputError(f"{path}: expected a CSV file of cases, found none; check the path")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = list(csv.reader(file))
    except (UnicodeDecodeError, csv.Error):
        raise InputError(f"{path}: expected a CSV file of cases, got something that is not text") from None
    table = [row for row in table if any(cell.strip() for cell in row)]
    if len(table) < 2:
        raise InputError(f"{path}: expected a header and at least one case, got {len(table)} lines")
    header = [cell.strip().lower() for cell in table[0]]
    for number, row in enumerate(table[1:], start=1):
        if len(row) > len(header):
            raise InputError(f"{path}: expected {len(header)} cells in row {number}, got {len(row)}; quote the commas")
    return [dict(zip(header, [*(c.strip() for c in row), *[""] * len(header)], strict=False)) for row in table[1:]]


def _words(row: dict[str, str], folder: Path) -> Iterator[str]:
    for key in (*PATHS, *WORDS):
        value = row.get(key, "")
        if not value:
            continue
        text = str(folder / value) if key in PATHS else value
        if key in ("fixed", "moving"):
            yield text
        else:
            yield f"--{key.replace('_', '-')}={text}"


def status_file(output: Path, name: str) -> Path:
    """Where the status of a case is kept."""
    return output / "status" / f"{name}.json"


def read_status(output: Path, case: Case) -> Status:
    """The status of a case, "waiting" when nothing is known or the arguments changed."""
    waiting = Status(case.name, "waiting", case.words)
    try:
        record = json.loads(status_file(output, case.name).read_text(encoding="utf-8"))
        found = Status(**{**record, "words": tuple(record["words"])})
    except (OSError, ValueError, TypeError, KeyError):
        return waiting
    if found.words != case.words or (found.state == "done" and not (output / case.name / "metrics.json").exists()):
        return waiting
    return found


def _note(output: Path, status: Status) -> None:
    path = status_file(output, status.name)
    part = path.with_suffix(".part")
    part.write_text(json.dumps(asdict(status), indent=1), encoding="utf-8")
    part.replace(path)


def run_cohort(
    cases: Sequence[Case],
    output: Path,
    run_case: Runner,
    *,
    workers: int = 1,
    scheduler: str | None = None,
    resume: bool = False,
    progress: Progress = silent,
) -> list[Status]:
    """Run all cases; one that fails does not stop the others.

    Args:
        cases: what to run.
        output: each case's results go to a folder of its name in here, its status to status/.
        run_case: called with the words of a case, returns exit code and message; must be importable by name.
        workers: processes on this machine; 1 runs in this process.
        scheduler: address of a running Dask scheduler instead; its workers must see the same files.
        resume: keep cases that are done, run the others again.
        progress: called as cases end.

    Raises:
        InputError: results are there and `resume` is off, or the scheduler does not answer.
    """
    if not resume and output.exists() and any(output.iterdir()):
        raise InputError(f"{output}: expected a new or empty folder; add --resume to go on, or choose another name")
    (output / "status").mkdir(parents=True, exist_ok=True)
    known = {case.name: read_status(output, case) for case in cases}
    todo = [case for case in cases if known[case.name].state != "done"]
    for case in todo:
        _note(output, Status(case.name, "waiting", case.words))
    tasks = [Task(case.name, case.words, output.absolute()) for case in todo]
    done = len(cases) - len(todo)
    try:
        with _pool(workers, scheduler) as pool:
            for name, code, message, seconds in pool(tasks, run_case):
                done += 1
                state = {0: "done", CANCELLED: "cancelled"}.get(code, "failed")
                known[name] = replace(known[name], state=state, code=code, message=message, seconds=round(seconds, 2))
                _note(output, known[name])
                progress(done / len(cases), f"{name}: {state}")
                if code == CANCELLED:
                    raise Cancelled  # Ctrl-C in a case ends the cohort, too
    except (Cancelled, KeyboardInterrupt):
        for status in known.values():
            if status.state in ("waiting", "running"):
                _note(output, replace(status, state="cancelled"))
        raise
    return [known[case.name] for case in cases]


Outcome = tuple[str, int, str, float]


@dataclass(frozen=True)
class Task:
    """A case to run, and the folder its results go to."""

    name: str
    words: tuple[str, ...]
    output: Path


Pool = Callable[[Sequence[Task], Runner], Iterator[Outcome]]


def _timed(task: Task, run_case: Runner) -> Outcome:
    _note(task.output, Status(task.name, "running", task.words))
    start = time.perf_counter()
    code, message = run_case([*task.words, f"--output={task.output / task.name}", "--overwrite"])
    return task.name, code, message, time.perf_counter() - start


@contextmanager
def _pool(workers: int, scheduler: str | None) -> Iterator[Pool]:
    """Something that runs tasks and yields outcomes as they come."""
    if scheduler is None and workers == 1:
        yield lambda tasks, run_case: (_timed(task, run_case) for task in tasks)
        return
    from dask.distributed import Client, LocalCluster

    if scheduler is None:
        with (
            LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
            ) as cluster,
            Client(cluster) as client,
        ):
            yield lambda tasks, run_case: _from_dask(client, tasks, run_case)
        return
    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise InputError(f"--scheduler: {scheduler} does not answer ({error}); start it or check the address") from None
    with client:
        yield lambda tasks, run_case: _from_dask(client, tasks, run_case)


def _from_dask(client: Any, tasks: Sequence[Task], run_case: Runner) -> Iterator[Outcome]:
    from dask.distributed import as_completed

    futures = {client.submit(_timed, task, run_case, pure=False): task.name for task in tasks}
    for future in as_completed(futures):
        error = future.exception()
        yield future.result() if error is None else (futures[future], 1, f"the worker ended: {error}", 0.0)
