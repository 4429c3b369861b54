"""Who may talk to the server: one browser on this computer, with a cookie it got from a one-time link."""

from __future__ import annotations

import asyncio
import logging
import secrets
import ssl
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import quote, urlsplit

from aiohttp import web

from valor_workbench.front import Front
from valorlib.core.errors import InputError

logger = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "valor_session"
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
# 'unsafe-eval': the page's template compiler runs in the browser. base-uri 'none' would break its relative links.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-eval' 'unsafe-inline'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "worker-src 'self' blob:",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "object-src 'none'",
        "base-uri 'self'",
    )
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>VALOR workbench</title>
<style>body{{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em}}
@media(prefers-color-scheme:dark){{body{{background:#1b1d20;color:#eee}}a{{color:#8ab4f8}}}}</style>
<h1>VALOR workbench</h1><p>{text}</p>{more}</html>"""
_LOGIN = """<form method="post" action="/login"><label>Password <input type="password" name="password"
autocomplete="current-password" autofocus></label> <button>Sign in</button></form>"""


def check_exposure(
    host: str, *, allow_remote: bool, password: str | None, certificate: Path | None, key: Path | None
) -> ssl.SSLContext | None:
    """The TLS context to serve with; None on this computer's own address.

    Raises:
        InputError: another address than loopback without the explicit flag, a password and TLS files.
    """
    if host.strip("[]") in ("127.0.0.1", "localhost", "::1"):
        return None
    if not (allow_remote and password and certificate and key):
        raise InputError(
            f"host: expected 127.0.0.1, got {host}; to serve patients' images on a network give --allow-remote, "
            "--password-file, --tls-certificate and --tls-key together (or use an SSH tunnel to 127.0.0.1)"
        )
    if len(password) < 12:
        raise InputError("password: expected at least 12 characters; choose a longer one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise InputError(f"tls: expected a readable certificate and key, got {error}; check both files") from error
    return context


class Guard:
    """Middleware that lets one cookie holder in, on one connection, from this server's own page.

    hosts: names the Host header may carry; any port, because a tunnel may change it.
    secret: the key the page needs for its websocket. password: asked for instead of the one-time link when given.
    front: set before serving; sent instead of the server library's own document.
    """

    def __init__(self, secret: str, *, hosts: tuple[str, ...] = LOOPBACK, password: str | None = None) -> None:
        self.front: Front | None = None
        self.token = secrets.token_urlsafe(32)
        self._cookie = secrets.token_urlsafe(32)
        self._secret = secret
        self._hosts = hosts
        self._password = password
        self._token_spent = password is not None
        self._live: asyncio.Task[object] | None = None
        self._failures = 0
        self._blocked_until = 0.0

    @property
    def has_live_page(self) -> bool:
        """True while a page is connected."""
        return self._live is not None and not self._live.done()

    def install(self, app: web.Application) -> None:
        """Put the guard before every route of the server."""

        @web.middleware  # type: ignore[untyped-decorator]
        async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self.middleware(request, handler)

        app.middlewares.append(guard)
        app.on_response_prepare.append(self._add_headers)
        app.router.add_post("/login", self._login)

    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer or refuse one request."""
        refusal = self._wrong_origin(request)
        if refusal:
            return _page(403, refusal)
        if request.path == "/login" and self._password is not None and request.method == "POST":
            return await handler(request)
        if not self._has_cookie(request):
            return self._enter(request)
        if request.path == "/ws":
            return await self._connect(request, handler)
        if request.path in ("/", "/index.html"):
            return await self._open_page(request, handler)
        if self.front is not None and request.path in self.front.files:
            text, kind = self.front.files[request.path]
            return web.Response(text=text, content_type=kind)
        return await handler(request)

    def _wrong_origin(self, request: web.Request) -> str:
        host = request.headers.get("Host", "")
        if _name_of(host) not in self._hosts:
            return "This address is not one of the workbench's own; open the link printed in the terminal."
        origin = request.headers.get("Origin")
        changes = request.method not in ("GET", "HEAD") or request.path == "/ws"
        own = f"{request.scheme}://{host}"
        if (changes and origin is None) or (origin is not None and origin != own):
            return "Another web page tried to use the workbench; this was refused."
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        if site == "cross-site" and request.path not in ("/", "/index.html"):
            return "Another web page tried to use the workbench; this was refused."
        return ""

    def _has_cookie(self, request: web.Request) -> bool:
        return secrets.compare_digest(request.cookies.get(COOKIE, "").encode(), self._cookie.encode())

    def _enter(self, request: web.Request) -> web.Response:
        if self._password is not None:
            return _page(401, "Sign in to open the workbench.", _LOGIN)
        token = request.query.get("token", "")
        if not token or not secrets.compare_digest(token.encode(), self.token.encode()):
            return _page(403, "Open the link that the terminal printed; it lets this browser in.")
        if self._token_spent:
            return _page(403, "This link was used before. It works once; start the workbench again for a new one.")
        self._token_spent = True
        return self._welcome(request)

    def _welcome(self, request: web.Request) -> web.Response:
        response = web.Response(status=302, headers={"Location": self._entrance(request)})
        response.set_cookie(
            COOKIE, self._cookie, httponly=True, samesite="Strict", path="/", secure=request.scheme == "https"
        )
        return response

    async def _login(self, request: web.Request) -> web.StreamResponse:
        if self._password is None:
            return _page(404, "There is no password here; open the link that the terminal printed.")
        if time.monotonic() < self._blocked_until:
            return _page(429, "Too many wrong passwords; wait a minute and try again.", _LOGIN)
        form = await request.post()
        if secrets.compare_digest(str(form.get("password", "")).encode(), self._password.encode()):
            self._failures = 0
            return self._welcome(request)
        self._failures += 1
        if self._failures % 5 == 0:
            self._blocked_until = time.monotonic() + 60
        return _page(401, "The password is wrong.", _LOGIN)

    async def _open_page(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.query.get("take") == "1" and self._live is not None:
            self._live.cancel()
        if not await self._wait_for_free(2.0):
            return _page(
                409,
                "The workbench is open in another tab. Go on there, or close it and reload this page.",
                '<p><a href="/?take=1">Use it here instead</a></p>',
            )
        given = (request.path, request.query.get("secret"), request.query.get("sessionURL"))
        if given != ("/index.html", self._secret, _socket(request)) or "token" in request.query:
            return web.Response(status=302, headers={"Location": self._entrance(request)})
        if self.front is not None:
            return web.Response(text=self.front.document, content_type="text/html")
        return await handler(request)

    def _entrance(self, request: web.Request) -> str:
        """Address of the page. The address of the websocket spares it a search; a tunnel may have moved the port."""
        return f"/index.html?secret={quote(self._secret)}&sessionURL={quote(_socket(request), safe='')}"

    async def _connect(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not await self._wait_for_free(2.0):
            return _page(409, "The workbench is open in another tab.")
        self._live = asyncio.current_task()
        try:
            return await handler(request)
        finally:
            self._live = None

    async def _wait_for_free(self, wait_s: float) -> bool:
        """A reloaded page may come before its own old connection has gone."""
        end = time.monotonic() + wait_s
        while self.has_live_page and time.monotonic() < end:
            await asyncio.sleep(0.05)
        return not self.has_live_page

    async def _add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        for name, value in HEADERS.items():
            response.headers[name] = value


def _socket(request: web.Request) -> str:
    return f"{'wss' if request.scheme == 'https' else 'ws'}://{request.host}/ws"


def _name_of(host: str) -> str:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
    return f"[{name}]" if ":" in name else name


def _page(status: int, text: str, more: str = "") -> web.Response:
    return web.Response(status=status, text=_PAGE.format(text=text, more=more), content_type="text/html")
