"""What the commands share: common flags, seeds, options, device, threads, progress bar and output."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from valorlib.core.errors import InputError
from valorlib.core.options import Options, with_settings
from valorlib.core.run import Progress, Run, silent

if TYPE_CHECKING:
    from valorlib.core.method import Method
    from valorlib.core.points import Seeds

T = TypeVar("T", bound=Options)
SMALL_VOXELS = 2_000_000
BAR = 28


def add_common(parser: argparse.ArgumentParser) -> None:
    """Flags of every command."""
    group = parser.add_argument_group("common")
    group.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:n (default: auto)")
    group.add_argument("--random-seed", type=whole, default=0, metavar="N", help="seed of all chance (default: 0)")
    group.add_argument("--threads", type=whole, default=None, metavar="N", help="CPU threads (default: by size)")
    group.add_argument("--json", action="store_true", help="print the numbers as JSON on standard output")
    group.add_argument("--quiet", action="store_true", help="print neither progress nor summary")


def add_settings(parser: argparse.ArgumentParser) -> None:
    """`--set` and `--preset`."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="settings", help="option of the method"
    )
    parser.add_argument("--preset", default="default", metavar="NAME", help="named set of options to start from")


def add_seeds(parser: argparse.ArgumentParser) -> None:
    """`--seed`, `--seeds` and `--space`."""
    parser.add_argument(
        "--seed",
        action="append",
        default=[],
        metavar="X,Y,Z[:-]",
        help="click in the tumor, mm; X,Y,Z:- is a background click, X,Y,Z:2 one in tumor 2; may be repeated",
    )
    parser.add_argument("--seeds", metavar="FILE", help="clicks from .mrk.json, .fcsv or .csv (x,y,z[,label])")
    parser.add_argument(
        "--space", default="lps", choices=("lps", "ras"), help="space of --seed and of CSV files (default: lps)"
    )


def whole(text: str) -> int:
    """A whole number of 0 or more, or an argparse error."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"expected a whole number of 0 or more, got {text!r}")
    return value


def seeds_of(args: argparse.Namespace, on: str) -> Seeds | None:
    """The clicks of `--seed` and `--seeds`, LPS; None without any.

    Raises:
        InputError: a click that cannot be read.
    """
    import numpy as np

    from valorlib.convert.files import read_seeds
    from valorlib.core.points import Seeds

    side: Any = on
    points, tumors = [], []
    if args.seeds is not None:
        found = read_seeds(args.seeds, on=side, space=args.space)
        points += found.points.tolist()
        tumors += found.tumors.tolist()
    for text in args.seed:
        point, tumor = parse_seed(text, args.space)
        points.append(point)
        tumors.append(tumor)
    if not points:
        return None
    return Seeds(np.asarray(points, dtype=np.float64), np.asarray(tumors, dtype=np.int64), on=side)


def parse_seed(text: str, space: str) -> tuple[tuple[float, float, float], int]:
    """Position, LPS mm, and tumor number of "X,Y,Z", "X,Y,Z:-" or "X,Y,Z:2"."""
    from valorlib.convert.point_files import FLIP

    place, _, mark = text.partition(":")
    try:
        x, y, z = (float(part) * sign for part, sign in zip(place.split(","), FLIP[space.upper()], strict=True))
    except ValueError:
        raise InputError(f"--seed: expected X,Y,Z in mm, got {text!r}; write for example --seed 12.5,-30,41") from None
    mark = mark.strip()
    if mark == "-":
        return (x, y, z), 0
    if mark and not mark.isdigit():
        raise InputError(f"--seed: expected nothing, - or a tumor number behind the colon, got {text!r}")
    return (x, y, z), int(mark) if mark else 1


def settings_of(args: argparse.Namespace) -> dict[str, str]:
    """Key to text of all `--set key=value`."""
    found: dict[str, str] = {}
    for text in args.settings:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set: expected key=value, got {text!r}")
        found[key.strip()] = value.strip()
    return found


def options_of(method: Method, args: argparse.Namespace) -> Options:
    """The preset's options with the settings put in."""
    presets = {"default": method.options(), **method.presets}
    if args.preset not in presets:
        raise InputError(f"--preset: expected one of {', '.join(presets)}, got {args.preset!r}")
    return with_settings(presets[args.preset], settings_of(args))


def make_run(args: argparse.Namespace, *, voxels: int = 0) -> Run:
    """Device, seed, threads and progress of a command. voxels: of the largest image, for the number of threads."""
    from valorlib.convert.tensors import choose_device

    set_threads(args.threads, voxels)
    return Run(device=choose_device(args.device), seed=args.random_seed, progress=progress_of(args))


def set_threads(threads: int | None, voxels: int) -> None:
    """CPU threads of torch and ITK: as asked, else one below two million voxels and all cores above."""
    import SimpleITK as sitk
    import torch

    if threads == 0:
        raise InputError("--threads: expected 1 or more, got 0")
    cores = len_affinity()
    count = threads if threads is not None else (1 if voxels < SMALL_VOXELS else cores)
    torch.set_num_threads(min(count, 256))
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(min(count, 256))


def len_affinity() -> int:
    """Cores this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def progress_of(args: argparse.Namespace) -> Progress:
    """A bar on standard error when that is a terminal, else nothing."""
    if args.quiet or not sys.stderr.isatty():
        return silent
    start = time.monotonic()

    def show(fraction: float, message: str) -> None:
        done = round(BAR * min(max(fraction, 0.0), 1.0))
        bar = "#" * done + "." * (BAR - done)
        sys.stderr.write(f"\r\033[K[{bar}] {100 * fraction:3.0f} %  {time.monotonic() - start:5.1f} s  {message[:60]}")
        if fraction >= 1:
            sys.stderr.write("\r\033[K")
        sys.stderr.flush()

    return show


def unmeasured(**paths: str) -> list[str]:
    """A warning for each image that is a picture without a size in mm."""
    from valorlib.convert.image_files import PICTURE_SUFFIXES

    return [
        f"{name}: a picture has no size in mm, so each pixel was taken for 1 mm; mm and ml are those of the pixels."
        for name, path in paths.items()
        if path.lower().endswith(PICTURE_SUFFIXES)
    ]


def say(args: argparse.Namespace, record: Mapping[str, Any], lines: list[str]) -> None:
    """Print the record as JSON with `--json`, else the lines, nothing with `--quiet`."""
    from valorlib.convert.results import json_text

    if args.json:
        sys.stdout.write(json_text(record) + "\n")
    elif not args.quiet:
        sys.stdout.write("\n".join(lines) + "\n")


@contextmanager
def timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    """Add the wall time of the block to `seconds[name]`."""
    start = time.perf_counter()
    yield
    seconds[name] = round(seconds.get(name, 0.0) + time.perf_counter() - start, 3)


def output_file(text: str, suffixes: tuple[str, ...]) -> Path:
    """The path of a file to be written, checked before the work starts.

    Raises:
        InputError: wrong suffix, a folder of that name, or no place to write.
    """
    from valorlib.convert.results import check_writable

    path = Path(text)
    if not path.name.lower().endswith(suffixes):
        raise InputError(f"--output: expected a file name ending in {', '.join(suffixes)}, got {text!r}")
    if path.is_dir():
        raise InputError(f"--output: expected a file name, got the folder {text!r}")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--output: expected an existing folder, got {str(path.parent)!r}; make it first")
    check_writable(path.absolute().parent)
    return path
