"""Files that the worker writes for the page to download."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

from valor_workbench.worker import Context
from valorlib.core.images import LabelMap


def write_labels(context: Context, labels: LabelMap) -> Path:
    """A label map as .seg.nrrd in the session's folder."""
    from valorlib.convert import files

    path = context.folder / f"{uuid4().hex[:8]}.seg.nrrd"
    files.write_labels(labels, path)
    return path


def write_table(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    """Columns as CSV; nothing is written without rows."""
    if not columns or not next(iter(columns.values())):
        return
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def zip_folder(context: Context, folder: Path, name: str) -> Path:
    """A folder of the session as one .zip beside it."""
    import zipfile

    target = context.folder / f"{name}-{uuid4().hex[:8]}.zip"
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    try:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for n, file in enumerate(files):
                context.progress(n / len(files), f"Packing {file.name}")
                archive.write(file, f"{name}/{file.relative_to(folder)}")
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target
