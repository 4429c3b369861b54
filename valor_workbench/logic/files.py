"""Handing result folders to the page."""

from __future__ import annotations

from pathlib import Path

from valor_workbench import tasks_files
from valor_workbench.logic.session import Session


async def offer_folder(session: Session, folder: Path, name: str) -> None:
    """Pack a result folder and show the link."""
    session.busy("Packing the result")
    path = await session.quick.run(tasks_files.zip_folder, folder, name)
    session.say("The result is ready:", url=session.downloads.offer(path, f"{name}.zip"), name=f"{name}.zip")
