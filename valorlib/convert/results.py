"""Result folders: whole or not at all, with the file names that scripts rely on."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valorlib.convert.files import write_field, write_image, write_labels, write_transform
from valorlib.core.errors import InputError
from valorlib.core.images import Image
from valorlib.core.inputs import ImagePair
from valorlib.core.results import Result
from valorlib.core.transforms import DisplacementField
from valorlib.metrics.summary import inside_both
from valorlib.ops.invert import invert_field
from valorlib.ops.jacobian import jacobian_determinant
from valorlib.ops.resample import resample_image
from valorlib.ops.transforms import to_displacement

PARTIAL = ".partial-"


@dataclass(frozen=True, eq=False)
class Outputs:
    """All images of a registration, those the method left out computed from its transform.

    inverse_displacement: on the moving grid unless the method gave its own. before: the moving image on the fixed
    grid without any transform. inside: (K, J, I) True in the body where both images have voxels.
    """

    displacement: DisplacementField
    inverse_displacement: DisplacementField
    warped_moving: Image
    jacobian: Image
    before: Image
    inside: NDArray[np.bool_]


def complete(pair: ImagePair, result: Result) -> Outputs:
    """What a result folder and the viewers show of a registration."""
    field = result.displacement or to_displacement(result.transform, pair.fixed.grid)
    inverse = result.inverse_displacement
    if inverse is None:
        inverse = invert_field(field, pair.moving.grid)[0]
    warped = resample_image(pair.moving, pair.fixed.grid, field)
    before = resample_image(pair.moving, pair.fixed.grid)
    return Outputs(field, inverse, warped, jacobian_determinant(field), before, inside_both(pair, field))


def check_output_folder(path: Path, *, overwrite: bool = False) -> None:
    """Find out before the work starts whether a result folder can be written.

    Raises:
        InputError: a file is in the way, the folder holds something, or it cannot be made.
    """
    if path.is_symlink() and not path.exists():
        raise InputError(f"{path}: expected a folder for the results, got a link to nothing; remove it")
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: expected a folder for the results, got a file; choose another name")
    if path.is_dir() and any(path.iterdir()):
        former = is_result_folder(path)
        if not former:
            raise InputError(f"{path}: expected a new or empty folder, got one with other files; choose another name")
        if not overwrite:
            raise InputError(f"{path}: a result is already there; choose another name or add --overwrite")
    check_writable(path.absolute().parent)


def check_writable(folder: Path) -> None:
    """Raise InputError when nothing can be made below `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{folder}: expected a folder, got a file; choose another place for the results")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder}: cannot be written to; choose another place for the results")


def is_result_folder(path: Path) -> bool:
    """True for a folder that this program wrote before."""
    try:
        record = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(record, dict) and record.get("program") == "SlicerVALOR"


@contextmanager
def whole_folder(path: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A temporary folder beside `path` that becomes `path` when the block ends well, and is removed otherwise.

    Leftovers of processes that were killed are swept.

    Raises:
        InputError: as `check_output_folder`, or the disk is full.
    """
    check_output_folder(path, overwrite=overwrite)
    path = path.absolute()
    made = _make_parents(path.parent)
    try:
        _sweep(path)
        partial = Path(tempfile.mkdtemp(prefix=f".{path.name}{PARTIAL}{os.getpid()}-", dir=path.parent))
        try:
            yield partial
            partial.chmod(0o777 & ~_umask())
            _replace(path, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except BaseException:
        for folder in reversed(made):
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _make_parents(folder: Path) -> list[Path]:
    """Make the folder and those above it; the ones that were missing, outermost first."""
    missing = [p for p in (folder, *folder.parents) if not p.exists()][::-1]
    for one in missing:
        one.mkdir(exist_ok=True)
    return missing


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _replace(path: Path, partial: Path) -> None:
    """Put `partial` in the place of `path`; a former result is moved aside first and back when that fails."""
    if not path.exists():
        partial.rename(path)
        return
    if not any(path.iterdir()):
        path.rmdir()
        partial.rename(path)
        return
    aside = partial.with_name(partial.name + "-old")
    path.rename(aside)
    try:
        partial.rename(path)
    except BaseException:
        aside.rename(path)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove what killed runs left beside `path`; a former result that a killed run had moved aside comes back."""
    prefix = f".{path.name}{PARTIAL}"
    for left in path.parent.glob(f"{prefix}*"):
        owner = left.name[len(prefix) :].split("-")[0]
        if not owner.isdigit() or not left.is_dir() or _is_alive(int(owner)):
            continue
        if left.name.endswith("-old") and not path.exists():
            left.rename(path)
        else:
            shutil.rmtree(left, ignore_errors=True)


def _is_alive(process: int) -> bool:
    import psutil

    return bool(psutil.pid_exists(process))


def write_registration(folder: Path, result: Result, outputs: Outputs) -> None:
    """Write the images and transforms of a registration into a folder, by their fixed names."""
    write_field(outputs.displacement, folder / "displacement.nrrd")
    write_transform(outputs.displacement, folder / "transform.h5")
    write_field(outputs.inverse_displacement, folder / "inverse_displacement.nrrd")
    write_image(outputs.warped_moving, folder / "warped_moving.nrrd")
    write_image(outputs.jacobian, folder / "jacobian.nrrd")
    for name in ("fixed_seg", "moving_seg", "warped_seg"):
        labels = getattr(result, name)
        if labels is not None:
            write_labels(labels, folder / f"{name}.nrrd")
    if result.uncertainty is not None:
        write_image(result.uncertainty, folder / "sigma.nrrd")


def write_json(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON; numbers JSON does not know become null."""
    path.write_text(json_text(record) + "\n", encoding="utf-8")


def json_text(record: Any) -> str:
    """The record as indented JSON; numpy values become plain ones, NaN and infinity null."""
    return json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False)


def plain(value: Any) -> Any:
    """The value made of dicts, lists, texts and finite numbers alone."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)
