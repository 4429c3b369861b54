"""Where a result comes from: checksums of the inputs and versions of what computed it."""

from __future__ import annotations

import hashlib
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

from valorlib import __version__

PACKAGES = ("numpy", "scipy", "SimpleITK", "torch")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file; of a folder, that of the sorted checksums of its files (names do not count)."""
    path = Path(path)
    if path.is_dir():
        parts = sorted(sha256_of(p) for p in path.iterdir() if p.is_file())
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def input_record(paths: dict[str, str | Path | None]) -> dict[str, dict[str, str]]:
    """Name and checksum of each input that was given; the folder it lies in is nobody's business."""
    return {
        role: {"name": Path(path).name, "sha256": sha256_of(path)} for role, path in paths.items() if path is not None
    }


def versions() -> dict[str, str]:
    """Versions of this program, Python and the packages that compute."""
    found = {"slicervalor": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in PACKAGES:
        try:
            found[name.lower()] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name.lower()] = "not installed"
    return found


def record_of(
    *,
    command: str,
    method: str,
    options: dict[str, Any],
    inputs: dict[str, str | Path | None],
    device: str,
    random_seed: int,
    seconds: dict[str, float],
    warnings: tuple[str, ...],
) -> dict[str, Any]:
    """The part of metrics.json that is the same for all commands.

    seconds: wall time of each step.
    """
    return {
        "program": "SlicerVALOR",
        "version": __version__,
        "command": command,
        "method": method,
        "options": options,
        "seed": random_seed,
        "device": device,
        "versions": versions(),
        "inputs": input_record(inputs),
        "seconds": round(sum(seconds.values()), 3),
        "seconds_by_step": dict(seconds),
        "warnings": list(warnings),
        "notice": "Not for diagnostic use.",
    }
