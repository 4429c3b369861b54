"""Options of a method: frozen dataclasses whose fields carry range, unit, choices and help.

Forms, command line flags and docs are all built from `describe`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from valorlib.core.errors import InputError

T = TypeVar("T", bound="Options")


def option(
    default: Any,
    help: str,
    *,
    low: float | None = None,
    high: float | None = None,
    unit: str = "",
    choices: tuple[Any, ...] = (),
    advanced: bool = False,
) -> Any:
    """A field of an options class: bool, int, float, str, or a tuple of one of them (immutable)."""
    meta = {"help": help, "low": low, "high": high, "unit": unit, "choices": choices, "advanced": advanced}
    return dataclasses.field(default=default, metadata=meta)


@dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """One option as a form needs it."""

    name: str
    kind: type
    default: Any
    help: str
    low: float | None
    high: float | None
    unit: str
    choices: tuple[Any, ...]
    advanced: bool

    @property
    def label(self) -> str:
        """The name in words, with the unit: `sigma_mm` reads as "Sigma (mm)"."""
        words = self.name.removesuffix("_mm") if self.unit == "mm" else self.name
        text = words.replace("_", " ")
        return text[:1].upper() + text[1:] + (f" ({self.unit})" if self.unit else "")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Base of all options classes; checks ranges and choices when made."""

    def __post_init__(self) -> None:
        for info in describe(type(self)):
            check_value(info, getattr(self, info.name))


def describe(options: type[Options]) -> tuple[OptionInfo, ...]:
    """Every option of an options class, in the order written."""
    hints = get_type_hints(options)
    found = []
    for field in dataclasses.fields(options):
        meta = field.metadata
        kind = hints[field.name]
        if not isinstance(kind, type):
            kind = tuple
        found.append(
            OptionInfo(
                name=field.name,
                kind=kind,
                default=field.default,
                help=meta.get("help", ""),
                low=meta.get("low"),
                high=meta.get("high"),
                unit=meta.get("unit", ""),
                choices=meta.get("choices", ()),
                advanced=meta.get("advanced", False),
            )
        )
    return tuple(found)


def check_value(info: OptionInfo, value: Any) -> None:
    """Raise InputError when `value` is not a legal value of the option."""
    numbers = value if isinstance(value, tuple) else (value,)
    if info.choices and any(v not in info.choices for v in numbers):
        raise InputError(f"{info.name}: expected one of {', '.join(map(str, info.choices))}, got {value}")
    for v in numbers:
        if isinstance(v, bool) or not isinstance(v, int | float):
            if info.kind in (int, float):
                raise InputError(f"{info.name}: expected a number, got {v!r}")
            continue
        too_low = info.low is not None and v < info.low
        too_high = info.high is not None and v > info.high
        if math.isnan(v) or too_low or too_high:
            low = "-inf" if info.low is None else f"{info.low:g}"
            high = "inf" if info.high is None else f"{info.high:g}"
            raise InputError(f"{info.name}: expected {low} to {high} {info.unit}".rstrip() + f", got {v:g}")


def _parse(info: OptionInfo, text: str) -> Any:
    if info.kind is bool:
        word = text.strip().lower()
        if word not in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
            raise InputError(f"{info.name}: expected true or false, got {text!r}")
        return word in {"true", "1", "yes", "on"}
    try:
        if info.kind is int:
            return int(text)
        if info.kind is float:
            return float(text)
        if info.kind is tuple:
            parts = [p for p in text.replace(";", ",").split(",") if p.strip()]
            sample = info.default[0] if info.default else 0.0
            return tuple(type(sample)(p.strip()) for p in parts)
    except ValueError:
        raise InputError(f"{info.name}: expected {info.kind.__name__}, got {text!r}") from None
    return text


def with_settings(options: T, settings: Mapping[str, str]) -> T:
    """`options` with the values of `key=value` texts put in.

    Raises:
        InputError: a key the options do not have, or a value that is not legal.
    """
    known = {info.name: info for info in describe(type(options))}
    changes = {}
    for key, text in settings.items():
        if key not in known:
            raise InputError(f"{key}: no such option; the options are {', '.join(known)}")
        changes[key] = _parse(known[key], text)
    return dataclasses.replace(options, **changes)


def as_dict(options: Options) -> dict[str, Any]:
    """Name to value, ready for JSON."""
    return dataclasses.asdict(options)
