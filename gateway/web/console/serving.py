"""Serve the console's files, and sign people in and out.

Rule: nothing here reveals anything to somebody who is not signed in. The pages are the same for everybody, and fill
themselves from the admin API.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
from starlette.responses import Response

from gateway import __version__
from gateway.core.keys import ADMINISTRATOR
from gateway.errors import BadRequest, BodyTooLarge, NotFound, Unauthorized
from gateway.stores.sessions import SESSION_LIVES_S
from gateway.web.answers import json_answer
from gateway.web.console.bundle import script
from gateway.web.console.visitors import cookie_name, object_to_origin, secret_in, token_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request

    from gateway.types import Key
    from gateway.web.console.visitors import Visitors
    from gateway.web.door import Door

    Handle = Callable[[Request], Awaitable[Response]]

ROOT = "/console"
# Trusted Types: the browser itself refuses to read any text as HTML.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
    "trusted-types 'none'"
)
_GUARDS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_LARGEST_BODY = 4096


class SignIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What somebody signs in with: an admin key, or the secret of a one-time link."""

    key: str = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Served:
    """A file as it is sent."""

    body: bytes
    packed: bytes
    tag: str
    media_type: str


class Console:
    """The routes below /console."""

    def __init__(self, visitors: Visitors) -> None:
        self.visitors = visitors

    def places(self, door: Door) -> Iterator[tuple[str, str, Handle]]:
        """Yield the method, the path and the application of each route. `door`: recognises admin keys."""

        async def sign_in(request: Request) -> Response:
            return await self._sign_in(request, door)

        yield "GET", f"{ROOT}/session", self._session
        yield "POST", f"{ROOT}/session", sign_in
        yield "DELETE", f"{ROOT}/session", self._sign_out
        yield "GET", f"{ROOT}/assets/{{name}}", self._asset
        yield "GET", ROOT, self._page
        yield "GET", f"{ROOT}/{{page:path}}", self._page

    async def _page(self, request: Request) -> Response:
        return await _sent(request, "index.html")

    async def _asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _FILES or name == "index.html":
            raise NotFound(f'the console has no file "{name[:100]}"')
        return await _sent(request, name)

    async def _session(self, request: Request) -> Response:
        """Tell a page whether it is signed in, and its token."""
        headers = dict(request.scope["headers"])
        object_to_origin(headers, self.visitors.hosts)
        secret = secret_in(headers, request.scope)
        key = None if secret is None else await asyncio.to_thread(self.visitors.key_of, secret)
        if secret is None or key is None:
            return json_answer({"signed_in": False, "version": __version__})
        return json_answer(_signed_in(secret, key))

    async def _sign_in(self, request: Request, door: Door) -> Response:
        headers = dict(request.scope["headers"])
        object_to_origin(headers, self.visitors.hosts)
        said = await _read(request)
        now, sessions = self.visitors.now(), self.visitors.sessions
        if said.link:
            if not await asyncio.to_thread(sessions.use_link, said.link, now):
                words = "this link was used already, or is older than ten minutes; `gateway console` prints another"
                raise door.failed(request.scope, Unauthorized(words, code="console_link"))
            key, digest = ADMINISTRATOR, ""
        else:
            credential = said.key.strip().encode() or None
            key = door.administrator(request.scope, credential)
            digest = sha256(credential or b"").hexdigest()
        secret = await asyncio.to_thread(sessions.begin, digest, now)
        response = json_answer(_signed_in(secret, key))
        response.set_cookie(
            cookie_name(request.scope), secret, max_age=int(SESSION_LIVES_S), path="/", httponly=True,
            samesite="strict", secure=headers.get(b"x-forwarded-proto", request.scope["scheme"].encode()) == b"https",
        )  # fmt: skip
        return response

    async def _sign_out(self, request: Request) -> Response:
        headers = dict(request.scope["headers"])
        if self.visitors.admit(request.scope, headers) is not None and (secret := secret_in(headers, request.scope)):
            await asyncio.to_thread(self.visitors.sessions.end, secret)
        response = json_answer({"signed_in": False, "version": __version__})
        response.delete_cookie(cookie_name(request.scope), path="/", httponly=True, samesite="strict")
        return response


def _signed_in(secret: str, key: Key) -> dict[str, object]:
    return {"signed_in": True, "version": __version__, "token": token_of(secret), "by": key.name or key.id}


async def _read(request: Request) -> SignIn:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise BadRequest("sign in with JSON")  # a form of another site cannot send this type
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _LARGEST_BODY:
            raise BodyTooLarge(f"at most {_LARGEST_BODY} bytes sign somebody in")
    try:
        return msgspec.json.decode(body, type=SignIn)
    except msgspec.DecodeError as error:
        raise BadRequest(f'send {{"key": …}} or {{"link": …}}: {error}') from None


_FILES = {
    "index.html": ("text/html; charset=utf-8", "src/index.html"),
    "style.css": ("text/css; charset=utf-8", "src/style.css"),
    "icon.svg": ("image/svg+xml", "src/icon.svg"),
    "app.js": ("text/javascript; charset=utf-8", ""),
}


@cache
def served(name: str) -> Served:
    """Return a file, compressed once."""
    media_type, place = _FILES[name]
    root = files("gateway.web.console")
    text = script() if not place else root.joinpath(place).read_text(encoding="utf-8")
    if name == "style.css":
        text += root.joinpath("vendor/uplot.css").read_text(encoding="utf-8")
    body = text.encode()
    return Served(body, gzip.compress(body, 9, mtime=0), f'"{sha256(body).hexdigest()[:32]}"', media_type)


async def _sent(request: Request, name: str) -> Response:
    found = await asyncio.to_thread(served, name)
    headers = {"etag": found.tag, "cache-control": "no-cache", "vary": "accept-encoding", **_GUARDS}
    if found.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
        return Response(found.packed, headers=headers, media_type=found.media_type)
    return Response(found.body, headers=headers, media_type=found.media_type)
