"""The first document of the page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("trame_client")

from valor_workbench.front import OWN, SCRIPTS, STYLES, front

ICONS = """@font-face { font-weight: normal; src: url('../fonts/icons.woff2?v=7') format('woff2') }
@font-face { font-weight: 300; src: url("./thin.ttf") }
.mdi-play::before { content: "1"; }
.mdi-never-used-here::before { content: "2"; }
.mdi-named-by-library::before { content: "3"; }"""


def test_the_document_brings_all_that_the_page_needs_in_two_files(tmp_path):
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "icons.css").write_text(ICONS)
    (tmp_path / "a.js").write_text("first()")
    (tmp_path / "b.js").write_text("second('mdi-named-by-library')")
    state = {
        "trame__scripts": ["lib_1/a.js", ["lib_1/b.js", {"serial": "x"}]],
        "trame__styles": ["lib_1/css/icons.css"],
    }
    made = front(SimpleNamespace(state=state, serve={"lib_1": str(tmp_path)}))
    program, style = made.files[f"/{SCRIPTS}"][0], made.files[f"/{STYLES}"][0]
    assert program.index("var Vue") < program.index("first()") < program.index("second(")
    assert 'url("lib_1/fonts/icons.woff2?v=7")' in style
    assert "mdi-play" in style
    assert "mdi-named-by-library" in style
    assert "mdi-never-used-here" not in style
    text = made.document
    for url in (SCRIPTS, STYLES, "lib_1/fonts/icons.woff2?v=7", *OWN):
        assert f'"{url}"' in text
    assert text.index(f'defer src="{SCRIPTS}"') < text.index('type="module"')
    assert "thin.ttf" not in text
    assert "vue.global.js" not in text
    assert "loading.tpl" not in text
    assert "Kitware" not in text.partition("<noscript>")[0]
    # what the document brings is not fetched and run a second time
    assert state["trame__scripts"] == list(OWN)
    assert state["trame__styles"] == []
