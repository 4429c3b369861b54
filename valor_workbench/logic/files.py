"""Handing result folders to the page."""

from __future__ import annotations

from pathlib import Path

from valor_workbench import tasks_export, tasks_files
from valor_workbench.logic.session import Session


async def offer_folder(session: Session, folder: Path, name: str) -> None:
    """Pack a result folder and show the link."""
    session.busy("Packing the result")
    path = await session.quick.run(tasks_files.zip_folder, folder, name)
    session.say("The result is ready:", url=session.downloads.offer(path, f"{name}.zip"), name=f"{name}.zip")


async def offer_dicom(session: Session, wanted: tasks_export.DicomExport) -> None:
    """Write a result as DICOM and show the link."""
    session.busy("Writing DICOM")
    path = await session.quick.run(tasks_export.write_dicom, wanted)
    name = f"{wanted.name}-dicom.zip"
    session.say("The DICOM files are ready:", url=session.downloads.offer(path, name), name=name)


def offer_report(session: Session, folder: Path) -> None:
    """Show the link to the report of a result folder."""
    url = session.downloads.offer(folder / "report.html", "report.html", keep=True)
    session.say("The report is ready:", url=url, name="report.html")
