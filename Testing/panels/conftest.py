"""The host, one a session; each test gets an empty scene and a new panel."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")
pytest.importorskip("PySide6", reason="PySide6 is not installed")


@pytest.fixture(scope="session")
def app() -> Any:
    """slicer.app with views beside it."""
    from host import install, views

    application = install.install()
    if application.layoutManager() is None:
        application._layout = views.qSlicerLayoutManager()
    return application


@pytest.fixture
def open_panel(app: Any) -> Iterator[Callable[..., Any]]:
    """Opens a module's panel; whatever a test leaves behind is cleared, and no slot may have raised."""
    from host import driving

    driving.clear_scene()
    driving.slot_errors()
    opened = []

    def open_it(name: str, **size: int) -> Any:
        opened.append(name)
        return driving.open_panel(name, **size)

    yield open_it
    for name in opened:
        driving.close_panel(name)
    driving.clear_scene()
    errors = driving.slot_errors()
    assert not errors, "\n".join(errors)


@cache
def breast_case() -> Any:
    from valorlib.demo import make_pair

    return make_pair(3, size="small", lesions=2)


@cache
def organ_case() -> Any:
    from valorlib.demo_organs import make_organs

    return make_organs(0, spacing_mm=4.0)


@cache
def therapy_case(spacing_mm: float = 6.0) -> Any:
    from valorlib.demo_rt import make_rt_case

    return make_rt_case(0, spacing_mm=spacing_mm)


@pytest.fixture
def breast(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small generated pair; the sample data module hands out this one."""
    import valorlib.demo

    case = breast_case()
    monkeypatch.setattr(valorlib.demo, "make_pair", lambda *_args, **_options: case)
    return case


@pytest.fixture
def organs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Small generated organs; the sample data module hands out these."""
    import valorlib.demo_organs

    case = organ_case()
    monkeypatch.setattr(valorlib.demo_organs, "make_organs", lambda *_args, **_options: case)
    return case


@pytest.fixture
def therapy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A small generated radiotherapy case; the sample data module hands out this one."""
    import valorlib.demo_rt

    case = therapy_case()
    monkeypatch.setattr(valorlib.demo_rt, "make_rt_case", lambda *_args, **_options: case)
    return case


@pytest.fixture
def coarse_therapy(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As `therapy`, with so few voxels that a run takes two seconds."""
    import valorlib.demo_rt

    case = therapy_case(9.0)
    monkeypatch.setattr(valorlib.demo_rt, "make_rt_case", lambda *_args, **_options: case)
    return case


@pytest.fixture
def panel(open_panel: Callable[..., Any], breast: Any) -> Any:
    """The registration panel with a small pair, quick options."""
    from host import driving

    widget = open_panel("VALORRegistration")
    from VALORPanels import samples

    samples.loadBreastPair()
    driving.spin()
    widget._parameterNode.preset = "quick"
    widget.methods.load()
    return widget
