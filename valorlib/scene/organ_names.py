"""Which organ of the fixed side is which of the moving side, by name; names need not be equal to the letter."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SIDE_WORDS = {"fixed", "moving", "target", "source", "reference", "template"}
SPLIT = re.compile(r"[\s_\-./()\[\]]+")


def matched(fixed: Sequence[str], moving: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name of each organ that both sides have, to its name on the fixed and on the moving side; in the fixed order.

    Equal names match. So do names that are equal but for capitals, the words of a side ("Liver fixed"), a number that
    Slicer added ("Liver_1") and the words that all names of a side begin or end with ("P07 Liver", "P07 Spleen").
    One organ a side is the same organ, whatever the names.
    """
    both = {name: (name, name) for name in fixed if name in moving}
    for short in (False, True):
        keys = [_keys([n for n in side if not _taken(both, n)], side, short=short) for side in (fixed, moving)]
        both |= {" ".join(key): (name, keys[1][key]) for key, name in keys[0].items() if key in keys[1]}
    if not both and len(fixed) == len(moving) == 1:
        return {fixed[0]: (fixed[0], moving[0])}
    place = {name: n for n, name in enumerate(fixed)}
    return dict(sorted(both.items(), key=lambda item: place[item[1][0]]))


def _taken(both: Mapping[str, tuple[str, str]], name: str) -> bool:
    return any(name in pair for pair in both.values())


def _keys(names: Sequence[str], side: Sequence[str], *, short: bool) -> dict[tuple[str, ...], str]:
    """Words of each name to the name; `short` without those that all names of the side share. Two alike: neither."""
    words = {name: _words(name) for name in side}
    front = back = 0
    if short and len(words) > 1:
        front = _shared(list(words.values()))
        back = _shared([w[::-1] for w in words.values()])
    found: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        own = words[name]
        found.setdefault(tuple(own[front : len(own) - back] if len(own) > front + back else own), []).append(name)
    return {key: held[0] for key, held in found.items() if len(held) == 1}


def _shared(lists: Sequence[Sequence[str]]) -> int:
    """How many words all lists begin with."""
    return next((n for n, row in enumerate(zip(*lists, strict=False)) if len(set(row)) > 1), min(map(len, lists)))


def _words(name: str) -> list[str]:
    words = [w for w in SPLIT.split(name.casefold()) if w]
    kept = [w for w in words if w not in SIDE_WORDS] or words
    return kept[:-1] if len(kept) > 1 and kept[-1].isdigit() else kept
