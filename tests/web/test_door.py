"""Who may come in: with keys, whoever has one; without, whoever is here and is no page of somebody else."""

from __future__ import annotations

import pytest

from tests.faults import Client, chat, chat_json, request
from tests.proxy.scene import ROLE_NAME, ask, proxied

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
