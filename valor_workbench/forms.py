"""Forms from options: what the page shows of a method's options, and what comes back checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from valorlib.core.errors import InputError
from valorlib.core.options import OptionInfo, Options, describe, with_settings


def form_fields(options: Options, errors: Mapping[str, str] | None = None) -> list[dict[str, Any]]:
    """One row an option, ready for the page, in the order of the options class."""
    wrong = errors or {}
    return [
        {
            "name": info.name,
            "label": info.label,
            "kind": kind_of(info),
            "value": as_text(getattr(options, info.name)) if kind_of(info) == "text" else getattr(options, info.name),
            "choices": [str(choice) for choice in info.choices],
            "low": info.low,
            "high": info.high,
            "step": step_of(info),
            "help": help_of(info),
            "advanced": info.advanced,
            "changed": getattr(options, info.name) != info.default,
            "error": wrong.get(info.name, ""),
        }
        for info in describe(type(options))
    ]


def kind_of(info: OptionInfo) -> str:
    """The control an option gets: switch, choice, number or text."""
    if info.kind is bool:
        return "switch"
    if info.choices and info.kind is not tuple:
        return "choice"
    return "number" if info.kind in (int, float) else "text"


def step_of(info: OptionInfo) -> float:
    """How much an arrow key changes a number: about a fiftieth of its range, a round number."""
    if info.kind is int:
        return 1
    if info.low is None or info.high is None or info.high <= info.low:
        return 0.1
    return float(10.0 ** math.floor(math.log10((info.high - info.low) / 20)))


def help_of(info: OptionInfo) -> str:
    """The help text with the legal range."""
    if info.low is None and info.high is None:
        return info.help
    low = "" if info.low is None else f"{info.low:g}"
    high = "" if info.high is None else f"{info.high:g}"
    return f"{info.help} ({low} to {high}{' ' + info.unit if info.unit else ''})"


def as_text(value: Any) -> str:
    """A tuple as the words a user types; anything else as it prints."""
    return (
        ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        if isinstance(value, tuple)
        else str(value)
    )


def changed(options: Options, name: Any, value: Any) -> Options:
    """`options` with one value from the page put in.

    Raises:
        InputError: no such option, or not a legal value.
    """
    if not isinstance(name, str) or not isinstance(value, bool | int | float | str):
        raise InputError("option: expected a name and a plain value")
    text = str(value)
    info = {i.name: i for i in describe(type(options))}.get(name)
    if info is not None and info.kind is int and isinstance(value, float) and value.is_integer():
        text = str(int(value))
    return with_settings(options, {name: text})
