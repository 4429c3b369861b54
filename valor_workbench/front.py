"""The page's document: names at once all that the page needs, so that nothing is fetched one after the other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape
from pathlib import Path
from posixpath import join, normpath
from typing import Any

_FONT = re.compile(r"url\(['\"]?([^'\")]+\.woff2[^'\")]*)['\"]?\)")
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='7' fill='%231769b8'/%3E%3Cpath d='M4.5 4.5 8 12l3.5-7.5' fill='none' stroke='white' "
    "stroke-width='1.8'/%3E%3C/svg%3E"
)
OWN = ("valor/valor.js",)
"""Our own script; the library's program runs it once it has connected, before it builds the page."""
_VUE = '<script src="vue.global.js"></script>'
_WAITING = (
    '<div id="app"><p style="font:15px system-ui,sans-serif;color:#9aa3ad;text-align:center;margin-top:42vh" '
    'role="status">VALOR workbench is opening</p></div>'
)


def document(server: Any) -> str:
    """The first document of a trame server's page, with links to what its scripts would ask for later."""
    from trame_client.module import vue3

    text = (Path(vue3.www) / "index.html").read_text(encoding="utf-8")
    text = re.sub(r'<div id="app"></div>\s*<script>.*?</script>', _WAITING, text, flags=re.DOTALL)
    text = re.sub(r'<link rel="icon"[^>]*>', f'<link rel="icon" href="{_ICON}" />', text)
    text = re.sub(r"<title>[^<]*</title>", "<title>VALOR workbench</title>", text)
    text = re.sub(r'<meta\s+name="(description|keywords)".*?/>\s*', "", text, flags=re.DOTALL)
    text = text.replace("</head>", "<style>html{background:#121212}</style></head>")
    state = server.state
    scripts, styles = _urls(state["trame__scripts"]), _urls(state["trame__styles"])
    state["trame__scripts"], state["trame__styles"] = list(OWN), []
    fonts = [font for url in styles for font in _fonts(url, server.serve)]
    # In this order: the library's program, a deferred module, runs after the scripts and styles before it.
    lines = [f'<link rel="stylesheet" href="{escape(url)}" />' for url in styles]
    lines += [f'<script defer src="{escape(url)}"></script>' for url in scripts]
    lines += [f'<link rel="preload" as="script" href="{escape(url)}" />' for url in OWN]
    lines += [f'<link rel="preload" as="font" type="font/woff2" crossorigin href="{escape(url)}" />' for url in fonts]
    return text.replace(_VUE, "\n    ".join([_VUE, *lines]))


def _fonts(style: str, served: Mapping[str, str]) -> list[str]:
    """Addresses of the fonts of a style sheet; none when it is not served from a folder."""
    top, _, rest = style.partition("/")
    path = Path(served.get(top, "")) / rest
    if not rest or top not in served or not path.is_file():
        return []
    found = _FONT.findall(path.read_text(encoding="utf-8"))
    return [normpath(join(style.rpartition("/")[0], url.partition("?")[0])) + _query(url) for url in found]


def _query(url: str) -> str:
    _, mark, query = url.partition("?")
    return mark + query


def _urls(entries: Iterable[Any]) -> list[str]:
    return [entry[0] if isinstance(entry, (list, tuple)) else str(entry) for entry in entries]
