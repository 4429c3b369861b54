"""The first document of the page."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("trame_client")

from valor_workbench.front import OWN, document


def test_the_document_asks_at_once_for_all_that_the_page_needs(tmp_path):
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "icons.css").write_text("@font-face { src: url('../fonts/icons.woff2?v=7') format('woff2') }")
    state = {
        "trame__scripts": ["lib_1/a.js", ["lib_1/b.js", {"serial": "x"}]],
        "trame__styles": ["lib_1/css/icons.css"],
    }
    text = document(SimpleNamespace(state=state, serve={"lib_1": str(tmp_path)}))
    for url in ("lib_1/a.js", "lib_1/b.js", "lib_1/css/icons.css", "lib_1/fonts/icons.woff2?v=7", *OWN):
        assert f'"{url}"' in text
    assert text.index("vue.global.js") < text.index('<script defer src="lib_1/a.js">') < text.index('type="module"')
    assert "loading.tpl" not in text
    assert "Kitware" not in text.partition("<noscript>")[0]
    # what the document brings is not fetched and run a second time
    assert state["trame__scripts"] == list(OWN)
    assert state["trame__styles"] == []
