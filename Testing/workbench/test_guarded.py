"""Handlers the page can call by name, called with what no page of ours would send."""

import pytest

pytest.importorskip("trame_server")
from valor_workbench.logic.guarded import Guarded
from valor_workbench.logic.session import Session
from valor_workbench.logic.uncertainty import goals_of
from valorlib.core.errors import InputError


class Sentences:
    """Stands for a session: keeps the sentences a page would show."""

    guarded = Session.guarded

    def __init__(self):
        self.said = []

    def fail(self, text):
        self.said.append(text)


class Logic:
    _secret = "kept"

    def jump(self, at):
        return [float(v) for v in at][:3]

    def refuse(self):
        raise InputError("scans: expected two")


@pytest.mark.parametrize("arguments", [(), (None,), ({"a": 1},), ("x",), ([{}],), (1, 2, 3), ([None, "<img>"],)])
def test_a_forged_call_becomes_a_sentence(arguments):
    session = Sentences()
    Guarded(session, Logic()).jump(*arguments)
    assert len(session.said) == 1
    assert "<" not in session.said[0]


def test_a_refusal_is_shown_as_it_is_and_a_good_call_says_nothing():
    session = Sentences()
    door = Guarded(session, Logic())
    door.refuse()
    door.jump([1, 2, 3])
    assert session.said == ["scans: expected two"]


def test_what_is_private_stays_private():
    with pytest.raises(AttributeError):
        _ = Guarded(Sentences(), Logic())._secret


def test_goals_are_read_line_by_line():
    assert goals_of("target: D95% >= 57 Gy\n\n rectum : V50Gy <= 50 %") == (
        ("target", "D95% >= 57 Gy"),
        ("rectum", "V50Gy <= 50 %"),
    )
    with pytest.raises(InputError, match="lines like"):
        goals_of("D95% >= 57 Gy")
