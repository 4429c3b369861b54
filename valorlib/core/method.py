"""A method as the catalog lists it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from valorlib.core.options import Options


@dataclass(frozen=True)
class Method:
    """One system: what it is called, what it takes, how it is run.

    run: called as run(inputs, options, run). presets: name to options; "default" and "quick" exist in each method.
    reasons: preset name to one sentence on when to use it.
    """

    name: str
    title: str
    takes: type
    options: type[Options]
    run: Callable[[Any, Any, Any], Any]
    source: str
    presets: Mapping[str, Options] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
