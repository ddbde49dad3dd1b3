"""Who may come in: with keys, whoever has one; without, whoever is here and is no page of somebody else."""

from __future__ import annotations

import asyncio
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from gateway.core.keys import ADMINISTRATOR, CONFIG, LOCAL, Kept, digest_of, ring_of
from gateway.errors import Forbidden, Refusal, Unauthorized
from gateway.stores.keyring import Keyring
from gateway.stores.keys import SQLiteKeys
from gateway.web.door import MOST_ADDRESSES, Access, Door
from tests.cli.command import gateway_async
from tests.faults import (
    DONE,
    ROLE,
    Client,
    Pause,
    chat,
    chat_json,
    delta,
    finish,
    request,
    stream_head,
)
from tests.proxy.scene import ROLE_NAME, ask, proxied
from tests.web.keyed import Admitting, Configured, configured, key, keyed, secret

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.types import Key

KEY = "sk-gateway-0123456789abcdef0123456789abcdef"
OTHER = "sk-gateway-fedcba9876543210fedcba9876543210"
SERVER = f"{{api_keys: [{KEY}, {OTHER}]}}"

CARRIERS = {
    "bearer": {"authorization": f"Bearer {KEY}"},
    "bearer in lower case": {"authorization": f"bearer {KEY}"},
    "x-api-key": {"x-api-key": KEY},
    "api-key": {"api-key": KEY},
    "the same twice": {"authorization": f"Bearer {KEY}", "x-api-key": KEY},
    "another one": {"x-api-key": OTHER},
}
REFUSED = {
    "none": {},
    "an empty bearer": {"authorization": "Bearer "},
    "only the scheme": {"authorization": "Bearer"},
    "basic": {"authorization": f"Basic {KEY}"},
    "no scheme": {"authorization": KEY},
    "an unknown key": {"authorization": "Bearer sk-wrong"},
    "part of a key": {"authorization": f"Bearer {KEY[:-1]}"},
    "a key and more": {"authorization": f"Bearer {KEY}x"},
    "another case": {"authorization": f"Bearer {KEY.upper()}"},
    "an empty x-api-key": {"x-api-key": ""},
    "a cookie": {"cookie": f"authorization=Bearer {KEY}"},
    "a proxy credential": {"proxy-authorization": f"Bearer {KEY}"},
    "not ASCII": {"authorization": "Bearer caf\xe9\xff"},
    "SQL": {"authorization": "Bearer ' OR 1=1 --"},
    "100 KB short of the limit": {"authorization": "Bearer " + "x" * 30_000},
}
PLACES = [
    ("POST", "/v1/chat/completions"), ("POST", "/chat/completions"), ("POST", "/v1/embeddings"),
    ("POST", "/v1/audio/transcriptions"), ("GET", "/v1/models"), ("GET", "/models"), ("GET", "/v1/models/role:rlm"),
    ("POST", "//v1/chat/completions"), ("POST", "/v1//chat/completions"),
]  # fmt: skip


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_every_carrier_opens(carrier: str) -> None:
    """SDKs disagree about where a key goes. None of it reaches the upstream."""
    async with proxied(chat_json(), server=SERVER) as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, headers=CARRIERS[carrier]))
        assert response.status == 200
        assert KEY.encode() not in upstream.requests[0].incoming.head
        assert OTHER.encode() not in upstream.requests[0].incoming.head
        assert (await ask(running, request("GET", "/v1/models", headers=CARRIERS[carrier]))).status == 200


@pytest.mark.parametrize("credential", REFUSED)
async def test_anything_else_stays_outside(credential: str) -> None:
    """At every place, with a challenge; and the refusal does not repeat what was sent."""
    async with proxied(chat_json(), server=SERVER) as (running, (upstream,)), Client(running.port) as client:
        for method, path in PLACES:
            body = {"model": ROLE_NAME} if method == "POST" else None
            await client.send(request(method, path, body, REFUSED[credential]))
            response = await client.response()
            assert response.status == 401, (method, path)
            assert response.json["error"]["code"] == "invalid_api_key"
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert b"sk-" not in response.body
            if response.headers.get("connection") == "close":
                await client.__aexit__()
                client = await Client(running.port).__aenter__()  # noqa: PLW2901
        assert upstream.connections == []


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {KEY}", "x-api-key": OTHER},
        {"authorization": f"Bearer {KEY}", "x-api-key": "sk-wrong"},
        {"authorization": "Bearer sk-wrong", "api-key": KEY},
        {"x-api-key": KEY, "api-key": OTHER},
    ],
)
async def test_two_different_keys_are_ambiguous(headers: dict[str, str]) -> None:
    """Which one counts would depend on who reads them."""
    async with proxied(chat_json(), server=SERVER) as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, headers=headers))
        assert response.status == 400
        assert response.json["error"]["code"] == "ambiguous_credentials"
        assert upstream.connections == []


@pytest.mark.parametrize("second", [KEY, "sk-wrong"])
async def test_one_header_twice_is_ambiguous(second: str) -> None:
    """Proxies before us may have looked at the other one."""
    whole = chat(model=ROLE_NAME, headers={"authorization": f"Bearer {OTHER}"})
    whole = whole.replace(b"\r\n\r\n", f"\r\nauthorization: Bearer {second}\r\n\r\n".encode(), 1)
    async with proxied(chat_json(), server=SERVER) as (running, (upstream,)):
        response = await ask(running, whole)
        assert response.status in {400, 401}
        assert upstream.connections == []


@pytest.mark.parametrize("order", [("127.0.0.1", "evil.example"), ("evil.example", "127.0.0.1")])
@pytest.mark.parametrize("header", ["host", "origin"])
async def test_a_second_host_or_origin_is_refused(header: str, order: tuple[str, str]) -> None:
    """Whichever comes first."""
    lines = "".join(f"{header}: {'http://' * (header == 'origin')}{name}\r\n" for name in order)
    whole = chat(model=ROLE_NAME)
    if header == "host":
        whole = whole.replace(b"host: 127.0.0.1\r\n", b"", 1)
    whole = whole.replace(b"\r\n", b"\r\n" + lines.encode(), 1)
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, whole)
        assert response.status == 400
        assert response.json["error"]["code"] == "repeated_header"
        assert upstream.connections == []


async def test_the_key_is_asked_for_before_the_body_is_read() -> None:
    """A stranger cannot make the gateway hold 30 MB, nor learn which models there are."""
    async with proxied(chat_json(), server=SERVER) as (running, _), Client(running.port) as client:
        headers = {"content-type": "application/json", "content-length": "30000000", "expect": "100-continue"}
        await client.send(request("POST", "/v1/chat/completions", headers=headers))
        response = await client.response(within_s=1)
        assert response.status == 401
        assert response.interim == []


async def test_with_keys_any_host_will_do() -> None:
    """A key is proof enough; the gateway may have any name."""
    headers = {"host": "gateway.example:8400", "authorization": f"Bearer {KEY}", "origin": "https://app.example"}
    async with proxied(chat_json(), server=SERVER) as (running, _):
        assert (await ask(running, chat(model=ROLE_NAME, headers=headers))).status == 200


async def test_what_everyone_may_see_holds_no_secret() -> None:
    """Liveness, readiness and counters are open, and name no key."""
    async with proxied(chat_json(), server=SERVER) as (running, _):
        for path in ("/livez", "/readyz", "/healthz", "/metrics"):
            response = await ask(running, request("GET", path))
            assert response.status == 200
            assert KEY.encode() not in response.body


HOSTS = [
    "evil.example", "evil.example:8400", "localhost.evil.example", "127.0.0.1.evil.example", "127.0.0.1.nip.io",
    "0.0.0.0", "[::]", "192.168.1.5", "10.0.0.1:8400", "169.254.169.254", "localhost@evil.example",
    "evil.example#localhost", "evil.example/localhost", "evil.example\\@localhost", "localhostx", "127.0.0.1x", "",
    "127.1.2.3.4", "[::ffff:8.8.8.8]", "2130706433", "0x7f.1", "caf\xe9",
]  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
async def test_without_keys_a_rebound_name_stays_outside(host: str) -> None:
    """DNS rebinding makes a browser's page talk to loopback, under its own name."""
    async with proxied(chat_json()) as (running, (upstream,)):
        for asked in (
            chat(model=ROLE_NAME, headers={"host": host}),
            request("GET", "/v1/models", headers={"host": host}),
        ):
            response = await ask(running, asked)
            assert response.status in {400, 403}
            assert response.json["error"]["message"]
        assert upstream.connections == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "localhost:8400", "127.0.0.1", "127.0.0.1:1", "[::1]", "[::1]:8400", "LOCALHOST", "127.0.0.53"],
)
async def test_without_keys_this_machine_comes_in(host: str) -> None:
    """Under each of its names."""
    async with proxied(chat_json()) as (running, _):
        assert (await ask(running, chat(model=ROLE_NAME, headers={"host": host}))).status == 200


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403), ("http://localhost.evil.example", 403), ("null", 403), ("", 403),
        ("https://evil.example:443", 403), ("file://", 403), ("chrome-extension://abc", 403), ("http://[::", 403),
        ("http://localhost:3000", 200), ("http://127.0.0.1:8080", 200), ("http://[::1]:3000", 200),
    ],
)  # fmt: skip
async def test_without_keys_a_page_of_another_site_stays_outside(origin: str, status: int) -> None:
    """It would spend the owner's money; a page that this machine serves may come in."""
    async with proxied(chat_json()) as (running, (upstream,)):
        response = await ask(running, chat(model=ROLE_NAME, headers={"origin": origin}))
        assert response.status == status
        assert len(upstream.requests) == (status == 200)


async def test_no_other_site_may_read_an_answer() -> None:
    """No answer carries leave for cross-origin reading unless the upstream itself gave it."""
    async with proxied(chat_json()) as (running, _):
        for asked in (
            chat(model=ROLE_NAME),
            request("GET", "/v1/models"),
            request("OPTIONS", "/v1/chat/completions", headers={"origin": "https://evil.example"}),
        ):
            response = await ask(running, asked)
            assert not any(name.startswith("access-control-") for name, _ in response.fields)


# -- virtual keys


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {secret(name)}"}


async def test_a_virtual_key_opens_and_closes(tmp_path: Path) -> None:
    """Once there is one, this machine needs one too; once all are revoked, only what was revoked stays outside."""
    async with keyed(tmp_path) as gate:
        assert (await ask(gate.running, chat(model=ROLE_NAME))).status == 200
        gate.store.insert(key("ci"))
        await gate.keyring.refresh()
        assert (await ask(gate.running, chat(model=ROLE_NAME))).status == 401
        assert (await ask(gate.running, chat(model=ROLE_NAME, headers=bearer("ci")))).status == 200
        gate.store.revoke("key_ci", time.time())
        await gate.keyring.refresh()
        refused = await ask(gate.running, chat(model=ROLE_NAME, headers=bearer("ci")))
        assert (refused.status, refused.json["error"]["code"]) == (401, "revoked_api_key")
        assert (await ask(gate.running, chat(model=ROLE_NAME))).status == 200


async def test_a_key_is_good_from_any_host(tmp_path: Path) -> None:
    """Like one of the configuration; and those of the configuration stay good beside it."""
    foreign = {"host": "gateway.example", "origin": "https://app.example"}
    async with keyed(tmp_path, key("ci"), server=SERVER) as gate:
        for headers in (bearer("ci"), CARRIERS["x-api-key"]):
            assert (await ask(gate.running, chat(model=ROLE_NAME, headers={**foreign, **headers}))).status == 200


async def test_a_revoked_key_is_refused_within_a_second_and_its_stream_goes_on(tmp_path: Path) -> None:
    """The command runs in another process, and several gateways see it. What has begun is paid for, and ends whole."""
    slow = [part for n in range(4) for part in (delta(f"{n} "), Pause(1.0))]
    pace = (stream_head(), ROLE, *slow, finish(), DONE)
    env = {"GATEWAY_STATE_DIR": str(tmp_path)}
    async with (
        keyed(tmp_path, key("ci"), key("laptop"), answer=pace, strict=False) as gate,
        keyed(tmp_path) as other,
        Client(gate.running.port) as streaming,
    ):
        await streaming.send(chat(model=ROLE_NAME, stream=True, headers=bearer("ci")))
        under_way = await streaming.head()
        for one in (gate, other):
            assert (await ask(one.running, request(headers=bearer("ci")))).status == 200
        done = await gateway_async("keys", "revoke", "ci", cwd=tmp_path, env=env)
        assert (done.status, done.err) == (0, "")
        revoked_at = time.monotonic()
        for one in (gate, other):
            while (await ask(one.running, request(headers=bearer("ci")))).status == 200:
                assert time.monotonic() - revoked_at < 1.0
                await asyncio.sleep(0.02)
            assert (await ask(one.running, request(headers=bearer("laptop")))).status == 200
        assert time.monotonic() - revoked_at < 1.0
        assert len(gate.upstream.requests) == 1
        await streaming.finish(under_way)
        assert under_way.status == 200
        assert under_way.complete
        assert under_way.body.endswith(b"data: [DONE]\n\n")


async def test_a_rotated_secret_is_good_for_its_grace(tmp_path: Path) -> None:
    """Both are the same key meanwhile."""
    async with keyed(tmp_path, key("ci", routes=("role:*",))) as gate:
        gate.store.rotate("key_ci", digest_of(secret("new").encode()), "xxxx", time.time() + 0.5)
        await gate.keyring.refresh()
        for name in ("ci", "new"):
            assert (await ask(gate.running, request(headers=bearer(name)))).status == 200
        await asyncio.sleep(0.6)
        refused = await ask(gate.running, request(headers=bearer("ci")))
        assert (refused.status, refused.json["error"]["code"]) == (401, "expired_api_key")
        assert "was replaced" in refused.json["error"]["message"]
        assert (await ask(gate.running, request(headers=bearer("new")))).status == 200


async def test_a_key_expires_by_itself(tmp_path: Path) -> None:
    """Also one that has been seen before, and nobody comes in without a key because of it."""
    async with keyed(tmp_path, key("ci", expires_at=time.time() + 0.4)) as gate:
        assert (await ask(gate.running, request(headers=bearer("ci")))).status == 200
        await asyncio.sleep(0.5)
        refused = await ask(gate.running, request(headers=bearer("ci")))
        assert (refused.status, refused.json["error"]["code"]) == (401, "expired_api_key")
        assert (await ask(gate.running, request())).status == 401


NAMES = "models: {main: first/m, other: first/m}\nrules: [{when: {task: x}, use: other}]"


@pytest.mark.parametrize(
    ("asked", "headers", "named"),
    [
        ({"model": "main"}, {}, None),
        ({"model": "other"}, {}, "other"),
        ({"model": "first/m"}, {}, "first/m"),
        ({"model": "main", "models": ["main", "first/m"]}, {}, "first/m"),
        ({"model": "main"}, {"x-gateway-fallback": "main, other"}, "other"),
        ({"model": "nothing"}, {}, "nothing"),  # nor does it learn what there is
        ({"model": "main"}, {"x-gateway-task": "x"}, None),  # the operator's rule may send it anywhere
        ({"model": "other"}, {"x-gateway-task": "x"}, "other"),
    ],
)
async def test_a_key_is_for_the_names_it_was_given(
    asked: dict[str, str], headers: dict[str, str], named: str | None, tmp_path: Path
) -> None:
    """Every name that the client says is asked about, and none that the configuration makes of it."""
    async with keyed(tmp_path, key("ci", routes=("role:*", "main")), extra=NAMES) as gate:
        response = await ask(gate.running, chat(**asked, headers={**bearer("ci"), **headers}))  # type: ignore[arg-type]  # JSON
        if named is None:
            assert response.status == 200
            return
        error = response.json["error"]
        assert (response.status, error["code"], error["param"]) == (403, "model_not_allowed", "model")
        assert error["message"] == f'the API key "ci" may not use "{named}"; it may use role:*, main'
        assert gate.upstream.requests == []


async def test_a_key_sees_what_it_may_use(tmp_path: Path) -> None:
    """In the list, in its pages, one by one, and of the plans."""
    async with keyed(tmp_path, key("ci", routes=("role:*", "main")), key("all"), extra=NAMES) as gate:
        for name, seen in (("ci", ["role:rlm", "main"]), ("all", ["role:rlm", "main", "other", "first/m"])):
            for target in ("/v1/models", "/v1/models?limit=100"):
                listed = (await ask(gate.running, request("GET", target, headers=bearer(name)))).json["data"]
                assert [one["id"] for one in listed if not one["id"].startswith("auto")][:4] == seen
        for target, status in (
            ("/v1/models/main", 200), ("/v1/models/other", 403), ("/v1/models/m", 403), ("/v1/models/no-such", 403),
            ("/v1/explain?model=main", 200), ("/v1/explain?model=other", 403), ("/v1/explain?model=no-such", 403),
        ):  # fmt: skip
            assert (await ask(gate.running, request("GET", target, headers=bearer("ci")))).status == status, target


async def test_who_fails_too_often_is_answered_shortly(tmp_path: Path) -> None:
    """By its address, until the window is over; a good key from there is as good as ever."""
    async with keyed(tmp_path, key("ci")) as gate, Client(gate.running.port) as client:

        async def status(name: str, within: Client = client) -> int:
            await within.send(request(headers=bearer(name)))
            response = await within.response()
            if response.status == 429:
                assert response.json["error"]["code"] == "too_many_failures"
                assert 1 <= int(response.headers["retry-after"]) <= 10
            return response.status

        assert [await status(f"wrong{n}") for n in range(22)] == [401] * 20 + [429] * 2
        assert await status("ci") == 200
        async with Client(gate.running.port, source="127.0.0.2") as neighbour:
            assert await status("wrong", neighbour) == 401


def test_failures_are_forgotten_with_their_window() -> None:
    """Of each address by itself, of IPv6 by the network that one owner has; and there are never too many of them."""
    now = [1000.0]
    keyring = Keyring(None)
    keyring.ring = ring_of([Kept(key("ci"))])
    door = Door(configured(), keyring, lambda: now[0])

    def status(address: str) -> int:
        with pytest.raises(Refusal) as refused:
            door.admit({"headers": [], "client": (address, 1)}, {})
        return refused.value.status

    assert [status("10.0.0.1") for _ in range(21)] == [401] * 20 + [429]
    assert [status(f"2001:db8::{n:x}") for n in range(21)] == [401] * 20 + [429]
    assert status("2001:db8:0:1::1") == 401
    assert status("::ffff:10.0.0.1") == 429
    now[0] += 10.1
    assert status("10.0.0.1") == 401
    now[0] -= 3600.0  # the clock was set back
    assert status("10.0.0.1") == 401
    for number in range(3 * MOST_ADDRESSES):
        status(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    assert len(door._failures) == MOST_ADDRESSES


def test_strangers_do_not_fill_what_is_remembered() -> None:
    """Only secrets that are good are, and they are forgotten when a key changes."""
    keyring = Keyring(None)
    keyring.ring = ring_of([Kept(key("ci"))])
    door = Door(configured(), keyring)
    for number in range(1000):
        with pytest.raises(Refusal):
            admitted(door, f"{number}")
    assert admitted(door, secret("ci")).name == "ci"
    assert len(door._admitted) == 1
    keyring.ring = ring_of([Kept(key("ci", revoked_at=1.0)), Kept(key("laptop"))])
    with pytest.raises(Refusal):
        admitted(door, secret("ci"))
    assert door._admitted == {}


def admitted(door: Door, credential: str) -> Key:
    lines = [(b"authorization", b"Bearer " + credential.encode())]
    return door.admit({"headers": lines, "client": ("10.0.0.1", 1)}, dict(lines))


def test_who_it_is() -> None:
    """Nobody is anybody by default."""
    keyring = Keyring(None)
    here = {"headers": [(b"host", b"localhost")], "client": ("127.0.0.1", 1)}
    assert Door(configured(), keyring).admit(here, {b"host": b"localhost"}) is LOCAL
    assert admitted(Door(configured(digest_of(KEY.encode())), keyring), KEY) is CONFIG
    with pytest.raises(Unauthorized, match="GATEWAY_ADMIN_KEY"):  # not even on this machine
        Door(configured(), keyring).admit(here, {b"host": b"localhost"}, Access.ADMIN)
    assert repr(Door(configured(), keyring)) == "<Door 0 configured, 0 virtual>"


ADMIN = "sk-admin-0123456789abcdef"


@pytest.mark.parametrize(
    ("api_keys", "admin_keys", "sent", "for_calls", "for_admin"),
    [
        ((), (ADMIN,), None, LOCAL, Unauthorized),  # calls on this machine need no key because of an admin key
        ((), (ADMIN,), ADMIN, LOCAL, ADMINISTRATOR),
        ((), (ADMIN,), KEY, LOCAL, Unauthorized),
        ((KEY,), (), KEY, CONFIG, CONFIG),
        ((KEY,), (ADMIN,), KEY, CONFIG, Forbidden),  # a client's key does not administer once there is a key for that
        ((KEY,), (ADMIN,), ADMIN, Forbidden, ADMINISTRATOR),
        ((KEY, ADMIN), (ADMIN,), ADMIN, CONFIG, ADMINISTRATOR),
        ((), (), None, LOCAL, Unauthorized),
    ],
)
def test_keys_for_administration(
    api_keys: tuple[str, ...], admin_keys: tuple[str, ...], sent: str | None, for_calls: object, for_admin: object
) -> None:
    digests = [frozenset(digest_of(one.encode()) for one in keys) for keys in (api_keys, admin_keys)]
    door = Door(Configured(Admitting(digests[0], admin_keys=digests[1])), Keyring(None))
    lines = [(b"host", b"localhost"), *([(b"x-api-key", sent.encode())] if sent else [])]
    scope = {"headers": lines, "client": ("127.0.0.1", 1)}
    for access, expected in ((Access.CALL, for_calls), (Access.ADMIN, for_admin)) * 2:
        try:
            assert door.admit(scope, dict(lines), access) is expected
        except Refusal as refused:
            assert type(refused) is expected


def test_while_nobody_knows_the_keys(tmp_path: Path) -> None:
    """A caller may have a good one or may need one: come back later, except with one of the configuration."""
    keyring = Keyring(SQLiteKeys(tmp_path / "keys.sqlite"))
    door = Door(configured(digest_of(KEY.encode())), keyring)
    assert admitted(door, KEY) is CONFIG
    with pytest.raises(Refusal) as refused:
        admitted(door, secret("ci"))
    assert (refused.value.status, refused.value.code) == (503, "keys_unavailable")
    with pytest.raises(Refusal) as refused:
        Door(configured(), keyring).admit({"headers": [], "client": ("127.0.0.1", 1)}, {})
    assert (refused.value.status, refused.value.code) == (503, "keys_unavailable")
    keyring.close()


def test_any_bytes_are_refused_with_a_status() -> None:
    """Whatever stands in the headers: a good key or a refusal, and nothing that nobody expected."""
    rng = Random(7)
    keyring = Keyring(None)
    keyring.ring = ring_of([Kept(key("ci"))])
    door = Door(configured(), keyring)
    words = [b"Bearer ", b"bearer", b" ", b"\0", b"'", b"--", b"\xff", b"\t", b",", b"Basic ", secret("ci").encode()]
    for _ in range(20_000):
        lines = [
            (rng.choice([b"authorization", b"x-api-key", b"api-key"]), b"".join(rng.choices(words, k=rng.randrange(5))))
            for _ in range(rng.randrange(1, 4))
        ]
        try:
            found = door.admit({"headers": lines, "client": ("10.0.0.1", 1)}, dict(lines))
        except Refusal as refusal:
            assert refusal.status in (400, 401, 429)
        else:
            assert found.name == "ci"
            assert any(secret("ci").encode() in value for _, value in lines)
