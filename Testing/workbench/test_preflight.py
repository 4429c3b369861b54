"""The check that this computer can draw: in a child process, so that a missing library is a sentence and no crash."""

import sys

import pytest

from valor_workbench import app, preflight

CRASH = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"


def test_this_computer_can_draw():
    renderer, problem = preflight.check_drawing()
    assert problem == ""
    assert renderer


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (CRASH, "libegl1 libegl-mesa0"),
        ("import sys; sys.exit('libEGL.so.1: cannot open shared object file')", "libegl1 libegl-mesa0"),
        ("import no_such_module_at_all", "pip install"),
        ("import time; time.sleep(30)", "did not answer"),
    ],
    ids=["segmentation fault", "missing library", "missing VTK", "hangs"],
)
def test_what_is_missing_is_one_sentence_that_names_the_package(monkeypatch, probe, words):
    monkeypatch.setattr(preflight, "_PROBE", probe)
    renderer, problem = preflight.check_drawing(wait_s=3.0)
    assert renderer == ""
    assert words in problem
    assert "\n" not in problem


def test_the_command_ends_with_that_sentence_before_anything_is_drawn(monkeypatch, capsys):
    monkeypatch.setattr(preflight, "_PROBE", CRASH)
    monkeypatch.setattr(app, "_import_heavy", lambda: None)
    before = "valor_workbench.bench" in sys.modules
    assert app.main([], open_browser=False) == 1
    assert capsys.readouterr().err.startswith("OpenGL is missing on this computer; install the packages libegl1")
    assert ("valor_workbench.bench" in sys.modules) == before
