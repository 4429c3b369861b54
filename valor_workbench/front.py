"""The page's first document, with what it needs in two files, so that a browser asks for it all at once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import Any

OWN = ("valor/valor.js",)
"""Our own script; the library's program runs it once it has connected, before it builds the page."""
SCRIPTS, STYLES = "valor-front.js", "valor-front.css"
_VUE = "vue.global.js"
_URL = re.compile(r"""url\(\s*['"]?(?!data:|#|/)([^'")]+)['"]?\s*\)""")
_FACE = re.compile(r"@font-face\s*\{[^}]*\}")
_ICON_RULE = re.compile(r"\.mdi-([a-z0-9-]+)::?before\s*\{[^}]*\}\s*")
_ICON_NAME = re.compile(r"mdi-([a-z0-9-]+)")
_STYLE_LINK = re.compile(r'<link rel="stylesheet"[^>]*href="\./([^"]+)"[^>]*>\s*')
_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Ccircle cx='8' cy='8' r='7' fill='%231769b8'/%3E%3Cpath d='M4.5 4.5 8 12l3.5-7.5' fill='none' stroke='white' "
    "stroke-width='1.8'/%3E%3C/svg%3E"
)
_WAITING = (
    '<div id="app"><p style="font:15px system-ui,sans-serif;color:#9aa3ad;text-align:center;margin-top:42vh" '
    'role="status">VALOR workbench is opening</p></div>'
)


@dataclass(frozen=True)
class Front:
    """The document, and the files made for it: path to (text, content type)."""

    document: str
    files: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def front(server: Any) -> Front:
    """The document of a trame server's page; the server's lists of scripts and styles are shortened to the rest."""
    from trame_client.module import vue3

    top, state = Path(vue3.www), server.state
    text = (top / "index.html").read_text(encoding="utf-8")
    scripts = _folders(state["trame__scripts"], server.serve)
    styles = _folders(state["trame__styles"], server.serve)
    state["trame__scripts"], state["trame__styles"] = list(OWN), []
    program = ";\n".join(path.read_text(encoding="utf-8") for path in ((top / _VUE), *scripts.values()))
    sheets = {url: (top / url).read_text(encoding="utf-8") for url in _STYLE_LINK.findall(text)}
    sheets |= {url: path.read_text(encoding="utf-8") for url, path in styles.items()}
    style = only_used_icons("\n".join(_moved(url, sheet) for url, sheet in sheets.items()), program)
    files = {f"/{SCRIPTS}": (program, "text/javascript"), f"/{STYLES}": (style, "text/css")}
    return Front(_document(_STYLE_LINK.sub("", text), fonts_of(style)), files)


def _document(text: str, fonts: Iterable[str]) -> str:
    """The library's own document, with our name and files."""
    text = re.sub(r'<div id="app"></div>\s*<script>.*?</script>', _WAITING, text, flags=re.DOTALL)
    text = re.sub(r'<link rel="icon"[^>]*>', f'<link rel="icon" href="{_ICON}" />', text)
    text = re.sub(r"<title>[^<]*</title>", "<title>VALOR workbench</title>", text)
    text = re.sub(r'<meta\s+name="(description|keywords)".*?/>\s*', "", text, flags=re.DOTALL)
    text = text.replace("</head>", "<style>html{background:#121212}</style></head>")
    # In this order: the library's program, a deferred module, runs after the script and the styles before it.
    lines = [f'<script defer src="{SCRIPTS}"></script>', f'<link rel="stylesheet" href="{STYLES}" />']
    lines += [f'<link rel="preload" as="script" href="{escape(url)}" />' for url in OWN]
    lines += [f'<link rel="preload" as="font" crossorigin href="{escape(url)}" />' for url in fonts]
    return text.replace(f'<script src="{_VUE}"></script>', "\n    ".join(lines))


def fonts_of(style: str) -> list[str]:
    """Addresses of the upright fonts of a style sheet, in the two weights that the page writes in."""
    found = []
    for face in _FACE.findall(style):
        urls = [url for kind in (".woff2", ".ttf") for url in _URL.findall(face) if kind in url]
        if urls and re.search(r"font-weight:\s*(400|500|normal)", face) and "italic" not in face:
            found.append(urls[0])
    return found


def only_used_icons(style: str, program: str) -> str:
    """A style sheet without the rules of icons that neither a program nor our page names; there are 7000 of them."""
    own = "".join(path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.rglob("*.py")))
    used = set(_ICON_NAME.findall(program)) | set(_ICON_NAME.findall(own))
    return _ICON_RULE.sub(lambda rule: rule.group(0) if rule.group(1) in used else "", style)


def _moved(url: str, style: str) -> str:
    """A style sheet whose relative addresses hold from the top."""
    return _URL.sub(lambda found: f'url("{normpath(join(dirname(url), found.group(1)))}")', style)


def _folders(entries: Iterable[Any], served: Mapping[str, str]) -> dict[str, Path]:
    """Address of each script or style to its file; an entry may carry settings after its address."""
    urls = [str(entry[0] if isinstance(entry, (list, tuple)) else entry) for entry in entries]
    return {url: Path(served[url.partition("/")[0]]) / url.partition("/")[2] for url in urls}
