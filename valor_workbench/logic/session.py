"""What every panel's logic shares: the scene, the workers, the page's messages, the session's folder."""

from __future__ import annotations

import asyncio
import atexit
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Coroutine, Generator
from pathlib import Path
from typing import Any

from trame_server.utils.typed_state import TypedState

from valor_workbench.jobs import JobFailed, JobRunner
from valor_workbench.slicer_app import Workspace
from valor_workbench.states import PageState
from valor_workbench.transfers import Downloads
from valorlib.core.errors import Cancelled, InputError
from valorlib.scene.nodes import ResultNodes

logger = logging.getLogger(__name__)


class Session:
    """One user at one scene.

    runs: the worker for long runs. quick: the worker for previews and files, so that they need not wait for a run.
    """

    def __init__(self, server: Any, workspace: Workspace, folder: Path, roots: tuple[Path, ...]) -> None:
        self.server = server
        self.workspace = workspace
        self.folder = folder
        self.roots = roots
        self.page = TypedState(server.state, PageState)
        self.runs = JobRunner(folder, waiting=1)
        self.quick = JobRunner(folder, waiting=20)
        self.downloads = Downloads()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread = threading.get_ident()

    @property
    def scene(self) -> Any:
        """The MRML scene; only the loop's own thread may touch it, others corrupt the views without an error."""
        if threading.get_ident() != self._thread:
            raise RuntimeError("the scene was touched off the server's thread")
        return self.workspace.scene

    def typed(self, kind: type[Any], prefix: str = "") -> Any:
        """The page variables of a state dataclass; a prefix keeps two of one kind apart."""
        return TypedState(self.server.state, kind, namespace=prefix)

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine beside the page; its errors become one sentence on the page."""
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guarded(self, work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except Cancelled:
            self.say("")
        except (InputError, JobFailed) as error:
            self.fail(str(error))
        except asyncio.CancelledError:
            raise
        except Exception as error:
            logger.exception("workbench task failed")
            self.fail(f"Something went wrong ({type(error).__name__}); the terminal shows the details.")

    async def in_steps(self, steps: Generator[None, None, ResultNodes]) -> ResultNodes:
        """Take the steps that write a result, and let the views answer between them."""
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]
            await asyncio.sleep(0.005)

    def guarded(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """A handler of the page whose errors become one sentence on the page."""

        def handler(*arguments: Any, **_: Any) -> None:
            try:
                call(*arguments)
            except (InputError, JobFailed) as error:
                self.fail(str(error))
            except (TypeError, ValueError, KeyError, IndexError, AttributeError) as error:
                logger.exception("handler failed")
                self.fail(f"This could not be done ({type(error).__name__}).")

        return handler

    def fail(self, text: str) -> None:
        """Show one sentence about what went wrong."""
        with self.server.state as state:
            self.page.data.error, self.page.data.notice, self.page.data.busy = text, "", ""
            state.flush()

    def say(self, text: str, *, url: str = "", name: str = "") -> None:
        """Show one sentence about what was done, with a file to download."""
        with self.server.state:
            data = self.page.data
            data.error, data.notice, data.busy, data.download_url, data.download_name = "", text, "", url, name

    def busy(self, text: str) -> None:
        """Show that something is going on; empty ends it."""
        with self.server.state:
            self.page.data.busy = text
            if text:
                self.page.data.error, self.page.data.notice, self.page.data.download_url = "", "", ""

    def close(self) -> None:
        """End the workers and remove the session's files."""
        self.runs.close()
        self.quick.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def new_folder() -> Path:
    """A folder of the session's own, readable by this user alone; gone when the process ends."""
    folder = Path(tempfile.mkdtemp(prefix="valor-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder
