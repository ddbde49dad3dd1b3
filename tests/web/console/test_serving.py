"""The console's files, signing in and out, and what a signed-in browser may do, over sockets."""

from __future__ import annotations

import gzip
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.stores.sessions import Sessions
from gateway.web.console.serving import POLICY, served
from gateway.web.console.visitors import token_of
from gateway.web.door import Access
from tests.faults import Client, request
from tests.web.admin.scene import ADMIN, CALLER, Scene, administered

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults import Response

LARGEST_FIRST_PAINT = 150 * 1024


class Browser:
    """As much of a browser as keeps a cookie."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.cookie = ""
        self.token = ""

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        sent = {"content-type": "application/json", "host": f"127.0.0.1:{self.scene.running.port}"}
        sent |= {"cookie": self.cookie} if self.cookie else {}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = None if body is None else json.dumps(body).encode()
        async with Client(self.scene.running.port) as client:
            await client.send(request(method, path, headers=sent, body=content))
            return await client.response()

    async def sign_in(self, **said: str) -> Response:
        response = await self.ask("POST", "/console/session", said)
        if response.status == 200:
            self.cookie = response.headers["set-cookie"].partition(";")[0]
            self.token = response.json["token"]
        return response


async def test_the_first_page_is_small_and_guarded(tmp_path: Path) -> None:
    """Three files paint it, compressed; every one says what the browser is to refuse."""
    async with administered(tmp_path) as scene:
        browser, total = Browser(scene), 0
        for path in ("/console", "/console/assets/style.css", "/console/assets/app.js", "/console/assets/icon.svg"):
            response = await browser.ask("GET", path, accept_encoding="gzip")
            assert response.status == 200
            assert response.headers["content-security-policy"] == POLICY
            assert response.headers["x-content-type-options"] == "nosniff"
            total += len(response.body)
            assert gzip.decompress(response.body) == (await browser.ask("GET", path)).body
            again = await browser.ask("GET", path, if_none_match=response.headers["etag"])
            assert again.status == 304
        assert total <= LARGEST_FIRST_PAINT
        assert "unsafe" not in POLICY
        for page in ("/console/calls", "/console/models?search=x"):
            assert (await browser.ask("GET", page)).body == served("index.html").body
        assert (await browser.ask("GET", "/console/assets/other.js")).status == 404


async def test_what_is_open_to_everyone(tmp_path: Path) -> None:
    """A route that is new here shows nothing to those who are not signed in, or belongs to the admin API."""
    async with administered(tmp_path) as scene:
        found = {(method, path, access) for method, path, access in scene.running.app._web.routes if "console" in path}
        paths = [("GET", f"/console{rest}") for rest in ("", "/session", "/assets/{name}", "/{page:path}")]
        paths += [("HEAD", path) for _, path in paths]
        paths += [("POST", "/console/session"), ("DELETE", "/console/session")]
        assert found == {(method, path, Access.PUBLIC) for method, path in paths}


async def test_a_key_signs_in_and_signing_out_ends_it(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        browser = Browser(scene)
        assert (await browser.ask("GET", "/console/session")).json["signed_in"] is False
        assert (await browser.ask("GET", "/admin/v1/providers")).status == 401
        response = await browser.sign_in(key=ADMIN)
        said = response.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=strict" in said
        assert "secure" not in said
        assert (await browser.ask("GET", "/console/session")).json["token"] == browser.token
        assert (await browser.ask("GET", "/admin/v1/providers")).status == 200
        assert (await browser.ask("DELETE", "/console/session", x_gateway_console=browser.token)).status == 200
        assert (await browser.ask("GET", "/admin/v1/providers")).status == 401


async def test_a_link_signs_in_once(tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        sessions = scene.running.app.sessions
        secret, old = sessions.make_link(time.time()), sessions.make_link(time.time() - 601)
        assert (await Browser(scene).sign_in(link=old)).json["error"]["code"] == "console_link"
        browser = Browser(scene)
        assert (await browser.sign_in(link=secret)).status == 200
        assert (await browser.ask("GET", "/admin/v1/providers")).status == 200
        assert (await Browser(scene).sign_in(link=secret)).status == 401


@pytest.mark.parametrize("key", ["", CALLER, "sk-unknown-0123456789", "ключ"])
async def test_other_keys_do_not_sign_in(key: str, tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        response = await Browser(scene).sign_in(key=key)
        assert response.status in (401, 403)
        assert "set-cookie" not in response.headers


async def test_a_change_needs_the_token(tmp_path: Path) -> None:
    """A cookie alone reads; it changes nothing and spends nothing."""
    async with administered(tmp_path) as scene:
        browser = Browser(scene)
        await browser.sign_in(key=ADMIN)
        call = {"model": "main", "messages": [{"role": "user", "content": "Hi"}]}
        for token, status in (("", 403), (token_of("another"), 403), (browser.token, 200)):
            changed = await browser.ask(
                "PUT", "/admin/v1/aliases/fast", "a/x", if_match="*", x_gateway_console=token
            )  # fmt: skip
            called = await browser.ask("POST", "/v1/chat/completions", call, x_gateway_console=token)
            assert (changed.status, called.status) == (status, status)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"sec_fetch_site": "same-origin"}, 200),
        ({"host": "localhost:1"}, 200),
        ({"host": "192.0.2.7"}, 200),
    ],
)
async def test_pages_of_other_sites_use_no_session(headers: dict[str, str], status: int, tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        browser = Browser(scene)
        await browser.sign_in(key=ADMIN)
        assert (await browser.ask("GET", "/admin/v1/providers", **headers)).status == status
        assert (await browser.ask("GET", "/console/session", **headers)).status == status


async def test_guesses_are_counted(tmp_path: Path) -> None:
    """Signing in is no way around the limit on failures of an address."""
    async with administered(tmp_path) as scene:
        browser = Browser(scene)
        found = [(await browser.sign_in(key=f"sk-guess-{number:020}")).status for number in range(25)]
        assert found[-1] == 429


@pytest.mark.parametrize("body", [{"kee": "x"}, ["key"], {"key": "x" * 5000}])
async def test_other_bodies_are_refused(body: object, tmp_path: Path) -> None:
    async with administered(tmp_path) as scene:
        response = await Browser(scene).ask("POST", "/console/session", body)
        assert response.status in (400, 413)


def test_sessions_without_a_state_directory() -> None:
    """They live as long as the process."""
    sessions = Sessions(None)
    secret = sessions.begin("", 0.0)
    assert sessions.find(secret, 1.0) is not None
    assert sessions.find(secret, 1e6) is None
