"""Files in and out: uploads as streams with a limit, names made harmless, paths kept inside known folders."""

from __future__ import annotations

import re
import secrets
import shutil
import unicodedata
import zipfile
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from valorlib.core.errors import InputError

MB = 1_000_000
UPLOAD_LIMIT = 4000 * MB
SCENE_LIMIT = 16000 * MB
MOST_FILES = 20_000
SUFFIXES = (
    ".nrrd", ".nhdr", ".nii", ".nii.gz", ".mha", ".mhd", ".raw", ".zraw", ".png", ".dcm", ".ima", ".mrb", ".h5",
    ".tfm", ".mat", ".txt", ".csv", ".json", ".fcsv", ".vtk", ".vtp", ".stl", ".ply", ".obj",
)  # fmt: skip


def safe_name(name: str, *, any_suffix: bool = False) -> str:
    """A file name that names a file in one folder and nothing else.

    Raises:
        InputError: nothing is left of the name, or its ending is not one the workbench reads.
    """
    last = re.split(r"[\\/]", unicodedata.normalize("NFKC", name))[-1]
    clean = re.sub(r"[^A-Za-z0-9._ -]", "_", last).strip(" .")
    if not clean.strip("_"):
        raise InputError("file name: expected a name with letters or digits; rename the file")
    if len(clean) > 120:
        stem, dot, suffix = clean.partition(".")
        clean = stem[: 118 - len(suffix)] + dot + suffix if len(suffix) < 20 else clean[-120:]
    has_suffix = clean.lower().endswith(SUFFIXES)
    if not has_suffix and not any_suffix:
        raise InputError(f"{clean}: expected a file ending in one of {', '.join(SUFFIXES)}")
    return clean


def inside(path: str | Path, roots: Iterable[Path]) -> Path:
    """The real path, when it lies in one of the folders.

    Raises:
        InputError: no such file, or it lies elsewhere (also by "..", or a link).
    """
    text = str(path)
    if not text.strip() or "\0" in text or len(text) > 4096:
        raise InputError("path: expected a file or folder on the server")
    allowed = [root.resolve() for root in roots]
    given = Path(text).expanduser()
    real = (given if given.is_absolute() else allowed[0] / given).resolve()
    if not any(real == root or root in real.parents for root in allowed):
        folders = ", ".join(str(root) for root in allowed)
        raise InputError(f"path: expected a place inside {folders}; start the workbench from the folder with your data")
    if not real.exists():
        raise InputError(f"{real.name}: there is no such file or folder; check the path")
    return real


def check_scene_archive(path: Path, *, limit: int = SCENE_LIMIT) -> None:
    """Refuse a scene that would unpack too large, reach outside itself, or fetch something.

    Raises:
        InputError: says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.infolist()
            if sum(info.file_size for info in names) > limit or len(names) > MOST_FILES:
                raise InputError(f"{path.name}: expected at most {limit // MB} MB unpacked; open its parts one by one")
            if any(info.filename.startswith(("/", "\\")) or ".." in Path(info.filename).parts for info in names):
                raise InputError(f"{path.name}: the scene holds a file that would land outside its folder; refused")
            scenes = [info for info in names if info.filename.endswith(".mrml")]
            if len(scenes) != 1:
                raise InputError(f"{path.name}: expected one scene in the archive, got {len(scenes)}")
            text = archive.read(scenes[0]).decode("utf-8", "replace")
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise InputError(f"{path.name}: expected a scene saved by Slicer (.mrb), got a file that is damaged") from error
    for value in re.findall(r'(?:fileName|fileListMember\w*|uri|uriListMember\w*)="([^"]*)"', text):
        if re.match(r"^(?:/|\\|~|[A-Za-z]:[\\/]|[A-Za-z]+://|%2f)", value, re.IGNORECASE) or ".." in value.split("/"):
            raise InputError(f"{path.name}: the scene refers to a file outside itself; refused")


@dataclass
class Uploads:
    """Takes files the page sends: POST /upload?name=a.nrrd&batch=x, then POST /upload/done?batch=x.

    folder: the session's own. on_files: called with the files of a finished batch. limit: bytes a batch.
    """

    folder: Path
    on_files: Callable[[list[Path]], Awaitable[None]]
    limit: int = UPLOAD_LIMIT
    _batches: dict[str, list[Path]] = field(default_factory=dict)
    _bytes: dict[str, int] = field(default_factory=dict)

    def install(self, app: web.Application) -> None:
        """Add the routes."""
        app.router.add_post("/upload", self._take)
        app.router.add_post("/upload/done", self._done)

    async def _take(self, request: web.Request) -> web.Response:
        batch = request.query.get("batch", "")
        try:
            if not re.fullmatch(r"[a-z0-9]{1,32}", batch) or (batch not in self._batches and len(self._batches) > 3):
                raise InputError("upload: expected a batch name of letters and digits")
            files = self._batches.setdefault(batch, [])
            name = safe_name(request.query.get("name", ""), any_suffix=request.query.get("folder") == "1")
            if len(files) >= MOST_FILES:
                raise InputError(f"upload: expected at most {MOST_FILES} files; open the folder on the server instead")
            target = self._target(batch, name, len(files))
            await self._stream(request, batch, target)
        except InputError as error:
            self._drop(batch)
            return web.json_response({"error": str(error)}, status=400)
        except OSError:
            self._drop(batch)
            return web.json_response({"error": "The disk of the server is full; free some space."}, status=507)
        files.append(target)
        return web.json_response({"name": name})

    def _target(self, batch: str, name: str, count: int) -> Path:
        folder = self.folder / f"upload-{batch}"
        folder.mkdir(exist_ok=True)
        target = folder / name
        return target if not target.exists() else folder / f"{count:05d}-{name}"

    async def _stream(self, request: web.Request, batch: str, target: Path) -> None:
        if (request.content_length or 0) + self._bytes.get(batch, 0) > self.limit:
            raise InputError(f"upload: expected at most {self.limit // MB} MB; open the file on the server instead")
        with target.open("xb") as file:
            async for chunk in request.content.iter_chunked(1 << 18):
                self._bytes[batch] = self._bytes.get(batch, 0) + len(chunk)
                if self._bytes[batch] > self.limit:
                    raise InputError(f"upload: expected at most {self.limit // MB} MB; open the file on the server")
                file.write(chunk)

    async def _done(self, request: web.Request) -> web.Response:
        batch = request.query.get("batch", "")
        files = self._batches.pop(batch, [])
        self._bytes.pop(batch, None)
        if not files:
            return web.json_response({"error": "No file arrived."}, status=400)
        await self.on_files(files)
        return web.json_response({"files": len(files)})

    def _drop(self, batch: str) -> None:
        """Forget a batch that failed, and its bytes on disk."""
        self._batches.pop(batch, None)
        self._bytes.pop(batch, None)
        if re.fullmatch(r"[a-z0-9]{1,32}", batch):
            shutil.rmtree(self.folder / f"upload-{batch}", ignore_errors=True)


@dataclass
class Downloads:
    """Hands files to the page under names nobody can guess."""

    _offers: dict[str, tuple[Path, str, bool]] = field(default_factory=dict)

    def install(self, app: web.Application) -> None:
        """Add the route."""
        app.router.add_get("/download/{key}/{name}", self._send)

    def offer(self, path: Path, name: str, *, keep: bool = False) -> str:
        """The address under which the page finds the file; earlier offers end, and their files go unless kept."""
        for old, _, kept in self._offers.values():
            if old != path and not kept:
                old.unlink(missing_ok=True)
        key = secrets.token_urlsafe(16)
        self._offers = {key: (path, safe_name(name, any_suffix=True), keep)}
        return f"/download/{key}/{self._offers[key][1].replace(' ', '%20')}"

    async def _send(self, request: web.Request) -> web.StreamResponse:
        path, name, _ = self._offers.get(request.match_info["key"], (None, "", False))
        if path is None or not path.is_file():
            return web.Response(status=404, text="This file is no longer there; export again.")
        return web.FileResponse(path, headers={"Content-Disposition": f'attachment; filename="{name}"'})
