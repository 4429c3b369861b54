"""Attacks on the server's door, each refused; the owner gets in once, with one page."""

import asyncio

import pytest

pytest.importorskip("aiohttp")
from aiohttp import CookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from valor_workbench.security import COOKIE, Guard, check_exposure
from valorlib.core.errors import InputError

SECRET = "key"


def serve(check, **settings):
    """Run check(client, guard) against a server with a page, a file, a POST route and a websocket."""

    async def go():
        guard = Guard(SECRET, **settings)
        app = web.Application()
        guard.install(app)

        async def answer(request):
            return web.Response(text="inside")

        async def socket(request):
            ws = web.WebSocketResponse()
            await ws.prepare(request)
            async for message in ws:
                await ws.send_str(message.data)
            return ws

        app.add_routes([web.get("/index.html", answer), web.get("/file.js", answer), web.post("/upload", answer)])
        app.add_routes([web.get("/ws", socket)])
        async with TestClient(TestServer(app), cookie_jar=CookieJar(unsafe=True)) as client:
            await check(client, guard)

    asyncio.run(go())


def origin_of(client):
    return str(client.make_url("/")).rstrip("/")


async def enter(client, guard):
    return await client.get("/", params={"token": guard.token}, allow_redirects=False)


def test_the_link_lets_a_browser_in_and_the_page_gets_its_key():
    async def check(client, guard):
        answer = await enter(client, guard)
        assert answer.status == 302
        cookie = answer.cookies[COOKIE]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Strict"
        page = await client.get("/")
        assert page.status == 200
        assert page.url.query["secret"] == SECRET
        assert await page.text() == "inside"

    serve(check)


def test_a_reload_without_the_key_in_the_address_gets_it_again():
    async def check(client, guard):
        await enter(client, guard)
        page = await client.get("/index.html")
        assert page.url.query["secret"] == SECRET

    serve(check)


@pytest.mark.parametrize("path", ["/", "/index.html", "/file.js", "/ws", "/upload", "/download/x/y"])
def test_without_the_cookie_nothing_is_served(path):
    async def check(client, guard):
        answer = await client.get(path, headers={"Origin": origin_of(client)})
        assert answer.status == 403
        assert "link that the terminal printed" in await answer.text()

    serve(check)


def test_a_wrong_token_and_a_wrong_cookie_are_refused():
    async def check(client, guard):
        assert (await client.get("/", params={"token": "guess"})).status == 403
        assert (await client.get("/file.js", cookies={COOKIE: "guess"})).status == 403

    serve(check)


def test_the_link_works_once():
    async def check(client, guard):
        assert (await enter(client, guard)).status == 302
        client.session.cookie_jar.clear()
        answer = await enter(client, guard)
        assert answer.status == 403
        assert "used before" in await answer.text()

    serve(check)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_wrong_host_is_refused_even_with_the_cookie(host):
    async def check(client, guard):
        await enter(client, guard)
        assert (await client.get("/file.js", headers={"Host": host})).status == 403

    serve(check)


def test_a_tunnel_may_change_the_port():
    async def check(client, guard):
        await enter(client, guard)
        assert (await client.get("/file.js", headers={"Host": "localhost:9999"})).status == 200

    serve(check)


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:1", "null", "https://127.0.0.1"])
def test_a_wrong_origin_is_refused_on_the_websocket_and_on_uploads(origin):
    async def check(client, guard):
        await enter(client, guard)
        assert (await client.get("/ws", headers={"Origin": origin})).status == 403
        assert (await client.post("/upload", headers={"Origin": origin})).status == 403

    serve(check)


def test_a_missing_origin_is_refused_where_something_changes():
    async def check(client, guard):
        await enter(client, guard)
        assert (await client.get("/ws")).status == 403
        assert (await client.post("/upload")).status == 403
        assert (await client.post("/upload", headers={"Origin": origin_of(client)})).status == 200

    serve(check)


def test_a_request_another_site_made_is_refused():
    async def check(client, guard):
        await enter(client, guard)
        assert (await client.get("/file.js", headers={"Sec-Fetch-Site": "cross-site"})).status == 403

    serve(check)


def test_a_second_tab_is_told_so_and_may_take_over():
    async def check(client, guard):
        await enter(client, guard)
        headers = {"Origin": origin_of(client)}
        first = await client.ws_connect("/ws", headers=headers)
        assert guard.has_live_page
        page = await client.get("/")
        assert page.status == 409
        assert "another tab" in await page.text()
        assert (await client.get("/ws", headers=headers)).status == 409
        assert (await client.get("/", params={"take": "1"})).status == 200
        assert not guard.has_live_page
        await first.close()

    serve(check)


def test_a_closed_tab_makes_room():
    async def check(client, guard):
        await enter(client, guard)
        headers = {"Origin": origin_of(client)}
        for _ in range(2):
            socket = await client.ws_connect("/ws", headers=headers)
            await socket.send_str("hello")
            assert (await socket.receive()).data == "hello"
            await socket.close()

    serve(check)


def test_every_answer_carries_the_protecting_headers():
    async def check(client, guard):
        refused = await client.get("/")
        await enter(client, guard)
        for answer in (refused, await client.get("/file.js"), await client.get("/nothing")):
            policy = answer.headers["Content-Security-Policy"]
            assert "default-src 'self'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "http:" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"

    serve(check)


def test_a_password_replaces_the_link_and_guessing_is_slowed_down():
    async def check(client, guard):
        assert (await enter(client, guard)).status == 401
        headers = {"Origin": origin_of(client)}
        for _ in range(5):
            assert (await client.post("/login", data={"password": "guess"}, headers=headers)).status == 401
        blocked = await client.post("/login", data={"password": "correct horse"}, headers=headers)
        assert blocked.status == 429
        guard._blocked_until = 0.0
        answer = await client.post("/login", data={"password": "correct horse"}, headers=headers, allow_redirects=False)
        assert answer.status == 302
        assert (await client.get("/file.js")).status == 200

    serve(check, password="correct horse")


def test_this_computer_alone_needs_nothing():
    for host in ("127.0.0.1", "localhost", "::1", "[::1]"):
        assert check_exposure(host, allow_remote=False, password=None, certificate=None, key=None) is None


@pytest.mark.parametrize("missing", ["allow_remote", "password", "certificate", "key"])
def test_another_address_needs_flag_password_and_tls_together(missing, tmp_path):
    given = {"allow_remote": True, "password": "long enough now", "certificate": tmp_path / "c", "key": tmp_path / "k"}
    given[missing] = None if missing != "allow_remote" else False
    with pytest.raises(InputError, match="SSH tunnel"):
        check_exposure("0.0.0.0", **given)


def test_a_short_password_and_a_missing_certificate_are_refused(tmp_path):
    files = {"certificate": tmp_path / "c", "key": tmp_path / "k"}
    with pytest.raises(InputError, match="12 characters"):
        check_exposure("0.0.0.0", allow_remote=True, password="short", **files)
    with pytest.raises(InputError, match="certificate"):
        check_exposure("0.0.0.0", allow_remote=True, password="long enough now", **files)
