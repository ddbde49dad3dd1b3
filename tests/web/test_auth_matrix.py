"""Who may use what: every route for everybody who may come, however they carry their key and write the path."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import ANY

import pytest
from starlette.routing import Route

from gateway.errors import Forbidden
from gateway.stores.keyring import Keyring
from gateway.types import BodyKind
from gateway.web.door import Access, Door
from gateway.web.routes import Place, guarded
from tests.faults import Client, request
from tests.web.keyed import Keyed, configured, key, keyed, secret
from tests.web.test_endpoints import END, FORM, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from starlette.requests import Request
    from starlette.responses import Response as Answer

    from gateway.types import Key
    from tests.faults import Response

STATIC = "sk-static-0123456789abcdef0123456789abcdef"
NAME = "role:rlm"
PREFIXES = ("/v1", "")

CALLS = [
    ("/chat/completions", BodyKind.JSON), ("/completions", BodyKind.JSON), ("/responses", BodyKind.JSON),
    ("/embeddings", BodyKind.JSON), ("/moderations", BodyKind.JSON), ("/rerank", BodyKind.JSON),
    ("/images/generations", BodyKind.JSON), ("/images/edits", BodyKind.MULTIPART), ("/audio/speech", BodyKind.JSON),
    ("/audio/transcriptions", BodyKind.MULTIPART), ("/audio/translations", BodyKind.MULTIPART),
    ("/messages", BodyKind.JSON), ("/messages/count_tokens", BodyKind.JSON), ("/fim/completions", BodyKind.JSON),
    ("/responses/compact", BodyKind.JSON), ("/responses/input_tokens", BodyKind.JSON),
]  # fmt: skip


BODY = {"model": NAME, "input": "Hi", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
"""What every operation takes."""


class Row(NamedTuple):
    """A route, who may use it, and how it is asked."""

    access: Access
    target: str = ""
    """Where the path alone does not do."""
    body: BodyKind | None = None
    names: bool = False
    """It is asked for a model by name."""
    admitted: object = "good"
    """What a caller gets who may use it."""


def rows() -> Iterator[tuple[tuple[str, str], Row]]:
    """Yield all that there is. A route that is new wants a row."""
    for path in ("/livez", "/readyz", "/healthz", "/health", "/api/health", "/", "/v1", "/api/hello", "/v1/api/hello"):
        yield ("GET", path), Row(Access.PUBLIC)
    yield ("GET", "/metrics"), Row(Access.METRICS)
    for prefix in PREFIXES:
        yield ("GET", f"{prefix}/models"), Row(Access.CALL)
        yield ("GET", f"{prefix}/models/{{model:path}}"), Row(Access.CALL, f"{prefix}/models/{NAME}", names=True)
        # This gateway has no ledger; a caller who gets so far has been admitted.
        yield ("GET", f"{prefix}/usage"), Row(Access.CALL, admitted=(503, "state_unavailable"))
        yield ("POST", f"{prefix}/outcomes"), Row(Access.CALL, body=BodyKind.JSON, admitted=(400, "invalid_request"))
        yield ("GET", f"{prefix}/explain"), Row(Access.CALL, f"{prefix}/explain?model={NAME}", names=True)
        for method, rest in (("GET", ""), ("DELETE", ""), ("GET", "/input_items"), ("POST", "/cancel")):
            place = f"{prefix}/responses/{{response_id}}{rest}"
            yield (
                (method, place),
                Row(Access.CALL, place.replace("{response_id}", "resp_none"), admitted=(404, "not_found")),
            )
        for path, body in CALLS:
            # The provider speaks chats alone, to which a compaction has no translation.
            admitted = (400, "no_capable_upstream") if path == "/responses/compact" else "good"
            yield ("POST", prefix + path), Row(Access.CALL, body=body, names=True, admitted=admitted)


ROWS = dict(rows())
ROWS |= {("HEAD", path): row for (method, path), row in ROWS.items() if method == "GET"}

PRINCIPALS: dict[str, str | None] = {
    "none": None,
    "malformed": "' OR 1=1 --",
    "unknown": secret("nobody"),
    "a digest": key("virtual").digest.hex(),
    "static": STATIC,
    "virtual": secret("virtual"),
    "expired": secret("expired"),
    "revoked": secret("revoked"),
    "replaced": secret("replaced"),
    "admin": secret("admin"),
    "limited": secret("limited"),
}
GOOD = "good"
# Of a route that is for whoever may make calls.
DECISIONS = {
    "none": (401, "invalid_api_key"),
    "malformed": (401, "invalid_api_key"),
    "unknown": (401, "invalid_api_key"),
    "a digest": (401, "invalid_api_key"),
    "static": GOOD,
    "virtual": GOOD,
    "expired": (401, "expired_api_key"),
    "revoked": (401, "revoked_api_key"),
    "replaced": (401, "expired_api_key"),
    "admin": (403, "forbidden"),
    "limited": (403, "model_not_allowed"),
}


def the_keys() -> tuple[Key, ...]:
    return (
        key("virtual"),
        key("expired", expires_at=time.time() - 1),
        key("revoked", revoked_at=time.time()),
        key("replaced"),
        key("admin", may_admin=True),
        key("limited", routes=("other:*",)),
    )


def decision_of(row: Row, principal: str) -> object:
    if row.access in (Access.PUBLIC, Access.METRICS):
        return GOOD
    if principal == "limited" and not row.names:
        return row.admitted
    return row.admitted if DECISIONS[principal] == GOOD else DECISIONS[principal]


def asked(method: str, path: str, row: Row, headers: Mapping[str, str], *, target: str = "") -> bytes:
    target = target or row.target or path
    if row.body is BodyKind.MULTIPART:
        return request(method, target, headers={**FORM, **headers}, body=part("model", NAME.encode()) + END)
    return request(method, target, BODY if row.body else None, headers)


class Asking:
    """One client after the other, as the gateway closes connections."""

    def __init__(self, gate: Keyed) -> None:
        self._gate = gate
        self._client: Client | None = None

    async def __call__(self, whole: bytes) -> Response:
        self._gate.forgive()
        if self._client is None:
            self._client = await Client(self._gate.running.port).__aenter__()
        await self._client.send(whole)
        response = await self._client.response(to_head=whole.startswith(b"HEAD "))
        if response.headers.get("connection") == "close" or whole.startswith(b"HEAD "):
            await self.end()
        return response

    async def end(self) -> None:
        if self._client is not None:
            await self._client.__aexit__()
            self._client = None

    async def decision(self, whole: bytes) -> object:
        response = await self(whole)
        if response.status == 200:
            return GOOD
        if whole.startswith(b"HEAD "):
            return response.status
        # Anthropic's errors have a type by their status, and no code.
        return response.status, response.json["error"].get("code", ANY)


def carried(principal: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield the ways to carry the key of a principal."""
    sent = PRINCIPALS[principal]
    if sent is None:
        yield "nothing", {}
        return
    yield "authorization", {"authorization": f"Bearer {sent}"}
    yield "x-api-key", {"x-api-key": sent}
    yield "api-key", {"api-key": sent}


async def replace_secret(gate: Keyed) -> None:
    """Give the key `replaced` another secret, whose grace is over."""
    gate.store.rotate("key_replaced", b"another", "xxxx", time.time() - 1)
    await gate.keyring.refresh()


async def test_every_route_has_a_row(tmp_path: Path) -> None:
    """Whoever adds a route says here who may use it."""
    async with keyed(tmp_path) as gate:
        found = {(method, path): access for method, path, access in gate.web.routes}
        assert found == {place: row.access for place, row in ROWS.items()}


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_every_route_in_every_carrier(principal: str, tmp_path: Path) -> None:
    """What is restricted is so whichever header the key comes in (CVE-2026-45339)."""
    async with keyed(tmp_path, *the_keys(), server=f"{{api_keys: [{STATIC}]}}") as gate:
        await replace_secret(gate)
        ask = Asking(gate)
        for (method, path), row in ROWS.items():
            expected = decision_of(row, principal)
            for carrier, headers in carried(principal):
                found = await ask.decision(asked(method, path, row, headers))
                if method == "HEAD" and isinstance(expected, tuple):
                    assert found == expected[0], (method, path, carrier)
                else:
                    assert found == expected, (method, path, carrier)
        await ask.end()


@pytest.mark.parametrize("principal", [name for name in PRINCIPALS if name != "none"])
async def test_two_credentials_are_nobody(principal: str, tmp_path: Path) -> None:
    """Neither two different ones, nor one header twice; whoever else may be meant."""
    sent = PRINCIPALS[principal]
    async with keyed(tmp_path, *the_keys(), server=f"{{api_keys: [{STATIC}]}}") as gate:
        ask = Asking(gate)
        for (method, path), row in ROWS.items():
            is_open = row.access is not Access.CALL
            different = {"authorization": f"Bearer {sent}", "x-api-key": secret("virtual") + "x"}
            found = await ask.decision(asked(method, path, row, different))
            ambiguous = 400 if method == "HEAD" else (400, "ambiguous_credentials")
            assert found == (GOOD if is_open else ambiguous), (method, path)
            for carrier in ("authorization", "x-api-key", "api-key"):
                value = f"Bearer {sent}" if carrier == "authorization" else sent
                once = asked(method, path, row, {carrier: str(value)})
                twice = once.replace(b"\r\n", f"\r\n{carrier}: Bearer {STATIC}\r\n".encode(), 1)
                found = await ask.decision(twice)
                repeated = 400 if method == "HEAD" else (400, "repeated_header")
                assert found == (GOOD if is_open else repeated), (method, path, carrier)
        await ask.end()


# What may stand beside a request and decides nothing.
BESIDE = {
    "another host": {"host": "evil.example"},
    "a host of this machine": {"host": "localhost"},
    "x-original-url": {"x-original-url": "/livez"},
    "x-rewrite-url": {"x-rewrite-url": "/livez"},
    "x-http-method-override": {"x-http-method-override": "OPTIONS"},
    "x-forwarded-for": {"x-forwarded-for": "127.0.0.1", "x-forwarded-host": "localhost", "x-real-ip": "127.0.0.1"},
    "forwarded-prefix": {"x-forwarded-prefix": "/livez", "x-script-name": "/livez"},
    "a gateway header": {"x-gateway-key": STATIC, "cookie": f"authorization=Bearer {STATIC}"},
}


def written(target: str) -> dict[str, str]:
    """Return the ways to write a target that somebody might take for another."""
    path, mark, query = target.partition("?")
    rest = mark + query
    return {
        "a slash more in front": f"/{path}{rest}",
        "a slash more within": f"{path[:1]}{path[1:].replace('/', '//', 1)}{rest}",
        "a slash more at the end": f"{path}/{rest}",
        "slashes at the end": f"{path}///{rest}",
        "a prefix more": f"/v1{path}{rest}",
        "prefixes and slashes": f"//v1//v1/{path}/{rest}",
        "an encoded prefix": f"/%761{path}{rest}",
        "%2e": f"/%2e{path}{rest}",
        "a detour": f"/livez/..{path}{rest}",
        "an encoded detour": f"/livez/%2e%2e{path}{rest}",
        ";x": f"{path};x{rest}",
        ";x in front": f"/;x{path}{rest}",
        "%2f": f"{path.replace('/', '%2f')}{rest}",
        "absolute": f"http://evil.example{path}{rest}",
        "absolute, elsewhere": f"https://localhost:1{path}{rest}",
        "upper case": f"{path.upper()}{rest}",
        "a query that names another": f"{target}{'&' if mark else '?'}path=/livez&api_key={STATIC}",
        "a NUL": f"{path}%00{rest}",
    }


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_what_stands_beside_decides_nothing(principal: str, tmp_path: Path) -> None:
    """The host, and headers that some proxies take for the path or the method (CVE-2026-49468, CVE-2026-48710)."""
    async with keyed(tmp_path, *the_keys(), server=f"{{api_keys: [{STATIC}]}}") as gate:
        await replace_secret(gate)
        ask = Asking(gate)
        _, headers = next(carried(principal))
        for (method, path), row in ROWS.items():
            plain = await ask.decision(asked(method, path, row, headers))
            for name, beside in BESIDE.items():
                found = await ask.decision(asked(method, path, row, {**headers, **beside}))
                assert found == plain, (method, path, name)
        await ask.end()


@pytest.mark.parametrize("principal", PRINCIPALS)
async def test_another_way_to_write_a_path_opens_nothing(principal: str, tmp_path: Path) -> None:
    """It leads to the same decision, or to no such path; and who is refused never reaches an upstream."""
    async with keyed(tmp_path, *the_keys(), server=f"{{api_keys: [{STATIC}]}}") as gate:
        await replace_secret(gate)
        ask = Asking(gate)
        _, headers = next(carried(principal))
        for (method, path), row in ROWS.items():
            if row.access is not Access.CALL:
                continue
            expected = decision_of(row, principal)
            for name, target in written(row.target or path).items():
                response = await ask(asked(method, path, row, headers, target=target))
                allowed = {400, 404, 405}
                if expected == GOOD:
                    # `/v1/models/x//` asks for another model than `x`, which the limited may not.
                    allowed |= {200, 403} if principal == "limited" else {200}
                else:
                    assert isinstance(expected, tuple)
                    allowed.add(expected[0])
                assert response.status in allowed, (method, target, name)
        if DECISIONS[principal] != GOOD:
            assert gate.upstream.requests == []
        await ask.end()


@pytest.mark.parametrize(
    ("found", "access", "code"),
    [
        (key("virtual"), Access.CALL, None),
        (key("virtual"), Access.ADMIN, "forbidden"),
        (key("admin", may_admin=True), Access.CALL, "forbidden"),
        (key("admin", may_admin=True), Access.ADMIN, None),
    ],
)
async def test_calls_and_administration_are_apart(found: Key, access: Access, code: str | None, tmp_path: Path) -> None:
    """Neither kind of key does for the other."""
    async with keyed(tmp_path, found) as gate:
        lines = [(b"x-api-key", secret(found.name).encode())]
        scope = {"headers": lines, "client": ("10.0.0.1", 1)}
        try:
            assert gate.web.door.admit(scope, dict(lines), access) == found
            assert code is None
        except Forbidden as refusal:
            assert refusal.code == code


async def _answer(_: Request) -> Answer:
    raise AssertionError("nobody is to get here")


def test_a_route_that_does_not_say_who_may_use_it() -> None:
    """The gateway does not start with it."""
    door = Door(configured(), Keyring(None))
    assert guarded([Place("/x", _answer, Access.ADMIN)], door)[0].access is Access.ADMIN
    for route in (Route("/x", _answer), Place("/x", _answer, None)):  # type: ignore[arg-type]  # what is to be refused
        with pytest.raises(TypeError, match="does not say who may use it"):
            guarded([route], door)
