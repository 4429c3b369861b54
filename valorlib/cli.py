"""`valor`, the command line: the same methods as in Slicer and the workbench, for scripts and cohorts.

Exit codes: 0 done; 2 the input is wrong; 3 cancelled; 1 a bug.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from valorlib import __version__
from valorlib.commands import (
    cohort,
    demo,
    evaluate,
    jacobian,
    methods,
    points,
    register,
    segment,
    uncertainty,
    workbench,
)
from valorlib.core.errors import Cancelled, InputError

DONE, BUG, WRONG_INPUT, CANCELLED = 0, 1, 2, 3
COMMANDS = (register, segment, points, uncertainty, jacobian, evaluate, methods, demo, workbench, cohort)
TAKES_NEGATIVE = ("--seed",)


class _Parser(argparse.ArgumentParser):
    """A parser that answers wrong arguments with one sentence."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def make_parser() -> argparse.ArgumentParser:
    """The parser of all commands; needs no torch."""
    parser = _Parser(prog="valor", description="Registers two scans of one patient, and says how far to trust it.")
    parser.add_argument("--version", action="version", version=f"valor {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return parser


def joined(words: Sequence[str]) -> list[str]:
    """Arguments with `--seed -1,2,3` written as `--seed=-1,2,3`, which argparse would take for a flag."""
    found: list[str] = []
    for word in words:
        if found and found[-1] in TAKES_NEGATIVE and word[:1] == "-" and word[1:2] in set("0123456789."):
            found[-1] = f"{found[-1]}={word}"
        else:
            found.append(word)
    return found


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        args = make_parser().parse_args(joined(sys.argv[1:] if words is None else words))
        return int(args.run(args) or DONE)
    except InputError as error:
        return _fail(WRONG_INPUT, str(error))
    except (Cancelled, KeyboardInterrupt):
        return _fail(CANCELLED, "cancelled; nothing was written")
    except MemoryError:
        return _fail(WRONG_INPUT, "not enough memory; crop the images or resample them to larger voxels")
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("valor"):
            raise
        return _fail(WRONG_INPUT, f"the package {error.name} is missing; install it with pip install slicervalor")
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _fail(WRONG_INPUT, f"{where}{error.strerror or error}; check the file and the free space on the disk")
    except Exception as error:
        if type(error).__name__ == "OutOfMemoryError":
            return _fail(WRONG_INPUT, "not enough memory on the GPU; use --device cpu or crop the images")
        sys.stderr.write(traceback.format_exc())
        return _fail(BUG, "this is a fault of the program, not of your data; please report the lines above")


def _fail(code: int, sentence: str) -> int:
    text = " ".join(sentence.split())
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    sys.stderr.write(f"valor: {text}\n")
    return code
