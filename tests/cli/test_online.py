"""`gateway check --online` compares the configuration with what the providers say, and runs no model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from gateway.catalog import is_listed
from gateway.cli.online import finding, look
from gateway.config import load
from gateway.types import Provider
from gateway.upstream.ask import Listing
from tests.cli.command import gateway_async
from tests.faults import FaultyUpstream, error_json, json_answer, refuse_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults import Answer, Request, Script


@pytest.mark.parametrize(
    ("model", "listed", "known"),
    [
        ("a", ["a"], True),
        ("a", ["b"], False),
        ("gemma3", ["gemma3:latest"], True),  # Ollama
        ("gemma3", ["gemma3:4b"], False),
        ("models/gemini-3", ["gemini-3"], True),
        ("x/y:nitro", ["x/y"], True),  # OpenRouter: how to route, not what
        ("x/y:free", ["x/y"], False),  # OpenRouter: another model
        ("claude-sonnet-5", ["claude-sonnet-5-20260301"], True),
        ("claude-sonnet-5", ["claude-sonnet-5-mini"], False),
    ],
)
def test_is_listed(model: str, listed: list[str], known: bool) -> None:
    """A model may be asked for under a name that is not in the list."""
    assert is_listed(model, listed) is known


def shop(kind: str = "openai", *, key: bool = True) -> Provider:
    return Provider("shop", kind, "https://shop.example/v1", headers=((b"authorization", b"Bearer k"),) if key else ())


@pytest.mark.parametrize(
    ("provider", "listing", "configured", "problem", "detail"),
    [
        (shop(), Listing(None, 0.1, 200, ("a", "b"), key_accepted=True), ["a"], "",
         "answers in 100 ms, 2 models listed, key accepted"),
        (shop(), Listing(None, 1.25, 200, ("a",)), [], "",
         "answers in 1.2 s, 1 model listed, only a call can tell whether the key is valid (`gateway test`)"),
        (shop(key=False), Listing(None, 0.1, 200, ("a",)), [], "", "answers in 100 ms, 1 model listed"),
        (shop(key=False), Listing(None, 0.1, 200, ("gpt-5-mini",)), ["gpt-5-mino"],
         'no model "gpt-5-mino", perhaps "gpt-5-mini"?',
         'no model "gpt-5-mino", perhaps "gpt-5-mini"?, answers in 100 ms, 1 model listed'),
        (shop("azure", key=False), Listing(None, 0.1, 200, ("gpt-5",)), ["mine"], "",
         "answers in 100 ms, 1 model listed, not in the list, which may be harmless: mine"),
        (shop("runpod"), Listing(None, 0.0, offered=False), ["a"], "",
         "it has no free list of models, so nothing was compared"),
    ],
)  # fmt: skip
def test_findings(provider: Provider, listing: Listing, configured: list[str], problem: str, detail: str) -> None:
    """What the list says about the configuration, in a line."""
    found = finding(provider, listing, configured, 0.0)
    assert (found.problem, found.detail) == (problem, detail)
    assert found.verdict == ("FAILED" if problem else "ok")
    assert found.as_json()["ok"] is (problem == "")


def test_what_a_list_says_of_the_end_of_a_model() -> None:
    """A configured model with a date is warned of, which is no mistake; an embedding model is no part of OpenRouter's
    list."""
    entries = ({"id": "x/old", "expiration_date": "2026-12-31"}, {"id": "x/other", "expiration_date": "2026-12-31"})
    listing = Listing(None, 0.1, 200, ("x/old", "x/other"), entries=entries)
    found = finding(shop("openrouter"), listing, ["x/old", "x/embed-3"], 0.0)
    assert (found.verdict, found.warnings) == ("ok", ("shop/x/old retires on 2026-12-31",))
    assert "may be harmless: x/embed-3" in found.detail
    assert found.as_json()["warnings"] == list(found.warnings)


async def test_check_online(tmp_path: Path) -> None:
    """Every usable provider is asked for its list and for nothing that costs; one that disagrees makes status 1."""

    def picky(request: Request) -> Script:
        known = request.headers.get("authorization") == "Bearer sk-good-0123456789"
        return json_answer({"data": [{"id": "a"}]}) if known else error_json(401)

    async with FaultyUpstream(picky) as upstream:
        with refuse_port() as port:
            (tmp_path / "gateway.yaml").write_text(
                "providers:\n"
                f"  good: {{base_url: '{upstream.base_url}', api_key: sk-good-0123456789, models: [a]}}\n"
                f"  bad: {{base_url: '{upstream.base_url}', api_key: sk-bad-0123456789}}\n"
                f"  lacks: {{base_url: '{upstream.base_url}', api_key: sk-good-0123456789, models: [b]}}\n"
                f"  gone: {{kind: llamacpp, base_url: 'http://127.0.0.1:{port}/v1'}}\n"
                "  openai: {api_key: ''}\n"
            )
            done = await gateway_async("check", "--online", cwd=tmp_path)
            told = await gateway_async("check", "--online", "--json", cwd=tmp_path)
        assert (done.status, told.status, done.err) == (1, 1, "")
        lines = {line.split()[0]: line for line in done.out.splitlines()[3:7]}
        assert "ok" in lines["good"]
        assert "key accepted" in lines["good"]
        assert "bad did not accept the key (HTTP 401: scripted); check its api_key" in lines["bad"]
        assert 'no model "b"' in lines["lacks"]
        assert "gone cannot be reached" in lines["gone"]
        assert "is its server running at http://127.0.0.1:" in lines["gone"]
        assert done.out.endswith("1 passed, 3 failed\n")
        assert "sk-" not in done.out
        assert [one["ok"] for one in told.json["online"]] == [True, False, False, False]
        assert {request.method for request in upstream.requests} == {"GET"}


async def test_check_online_when_all_is_well(tmp_path: Path) -> None:
    """A model that is going to be retired is told below its provider."""
    entry = {"id": "a", "deprecation": "2099-12-01T12:00:00Z", "deprecation_replacement_model": "b"}
    async with FaultyUpstream(json_answer({"data": [entry]})) as upstream:
        (tmp_path / "gateway.yaml").write_text(f"providers: {{good: {{base_url: '{upstream.base_url}', models: [a]}}}}")
        done = await gateway_async("check", "--online", cwd=tmp_path)
        assert done.status == 0
        assert "warning: good/a retires on 2099-12-01; its provider names b in its place\n" in done.out
        assert done.out.endswith("1 passed, 0 failed\n")


LIST = json_answer({"object": "list", "data": [{"id": "a"}]})
HTML = json_answer(b"<html>Welcome!</html>", headers={"content-type": "text/html"})


def serves(*paths: str, otherwise: Script | None = None, key: str = "k") -> Callable[[Request], Script]:
    """A server whose API is at one of these paths, and that has something else to say everywhere else."""

    def answer(asked: Request) -> Script:
        if asked.target.split("?")[0] not in [f"{path}/models" for path in paths]:
            return otherwise or error_json(404, {"error": {"message": "Not Found", "code": 404}})
        given = asked.headers.get("authorization", asked.headers.get("x-api-key", ""))
        return LIST if given.removeprefix("Bearer ") == key else error_json(401)

    return answer


@pytest.mark.parametrize("kind", ["openai", "openai-compatible", "litellm", "anthropic", "vllm"])
@pytest.mark.parametrize(
    ("path", "answer", "problem", "meant"),
    [
        ("/v1", serves("/v1"), "", None),
        ("", serves("", "/v1"), "", None),  # answers with and without
        ("", serves("/v1"), "has no list of models at {base}/models (HTTP 404)", "/v1"),
        ("/v1/v1", serves("/v1"), "has no list of models at {base}/models (HTTP 404)", "/v1"),
        ("/v1", serves(""), "has no list of models", ""),
        ("/v1", serves("/openai/v1"), "has no list of models", "/openai/v1"),
        ("/v1", serves("/api/v1"), "has no list of models", "/api/v1"),
        ("/v1/chat", serves("/v1"), "has no list of models", "/v1"),
        ("/nope", serves(), "has no list of models", None),
        ("/nope", serves(otherwise=error_json(405)), "has no list of models at {base}/models (HTTP 405)", None),
        ("", serves("/v1", otherwise=HTML), "did not answer like an OpenAI-compatible API", "/v1"),  # a web interface
        ("/nope", serves(otherwise=HTML), "did not answer like an OpenAI-compatible API", None),
        ("", serves("/v1", otherwise=json_answer({"error": "Unexpected endpoint"})),  # LM Studio
         "did not answer like an OpenAI-compatible API (HTTP 200: JSON that is no list of models)", "/v1"),
        ("", serves("/v1", otherwise=json_answer({"status": "ok"})),
         "did not answer like an OpenAI-compatible API", "/v1"),
        ("", serves("/v1", otherwise=error_json(403, {"message": "Missing Authentication Token"})),  # AWS' gateway
         "forbids this request", "/v1"),
        ("", serves("/v1", key="another"), "has no list of models", "/v1"),  # the key is the next mistake
        ("/v1", error_json(301, headers={"location": "/api/v1/models"}),
         "did not answer like an OpenAI-compatible API", "/api/v1"),
        ("/v1", error_json(302, headers={"location": "/login"}), "did not answer", None),
    ],
)  # fmt: skip
async def test_a_wrong_base_url(
    tmp_path: Path, kind: str, path: str, answer: Answer, problem: str, meant: str | None
) -> None:
    """An address without the API is a failure that names the base URL which was probably meant."""
    async with FaultyUpstream(answer) as upstream:
        origin = upstream.base_url.removesuffix("/v1")
        file = tmp_path / "gateway.yaml"
        file.write_text(f"providers: {{shop: {{kind: {kind}, base_url: '{origin}{path}', api_key: k}}}}")
        (found,) = await look(load(file, {}).directory)
    assert problem.format(base=f"{origin}{path}") in found.problem
    assert bool(found.problem) is bool(problem)
    assert found.base_url == (None if meant is None else f"{origin}{meant}")
    assert meant is None or found.problem.endswith(f"its base_url is probably {origin}{meant}")
    assert not problem or meant is not None or "base_url" in found.problem


@pytest.mark.parametrize("status", [400, 401, 422])
async def test_an_api_without_a_list(tmp_path: Path, status: int) -> None:
    """A server of unknown kind may serve chats only: an empty request, which runs no model, tells."""

    def chats(asked: Request) -> Script:
        return error_json(status if asked.target == "/v1/chat/completions" else 404)

    async with FaultyUpstream(chats) as upstream:
        file = tmp_path / "gateway.yaml"
        file.write_text(f"providers: {{shop: {{base_url: '{upstream.base_url}'}}}}")
        (found,) = await look(load(file, {}).directory)
        assert (found.problem, found.detail) == (
            "", "it serves chats and has no list of models, so nothing was compared"
        )  # fmt: skip
        assert [one.body for one in upstream.requests] == [b"", b"{}"]


async def plain_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one request like a server that knows no TLS, and takes a hello for a bad request."""
    head = await reader.readuntil(b"\r\n\r\n") if (first := await reader.read(1)) != b"\x16" else b""
    body = b'{"data": [{"id": "a"}]}'
    good = first + head.split(b"\r\n")[0] == b"GET /v1/models HTTP/1.1" and b"authorization" not in head.lower()
    status = b"200 OK" if good else b"400 Bad Request"
    writer.write(b"HTTP/1.1 %b\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (status, len(body), body))
    await writer.drain()
    writer.close()


async def test_a_wrong_place(tmp_path: Path) -> None:
    """A wrong scheme is recognised; a wrong port and host are failures; the key goes nowhere in the clear."""
    server = await asyncio.start_server(plain_only, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with refuse_port() as refused:
            file = tmp_path / "gateway.yaml"
            file.write_text(
                "providers:\n"
                f"  tls: {{kind: openai, base_url: 'https://127.0.0.1:{port}/v1', api_key: k}}\n"
                f"  port: {{kind: openai, base_url: 'http://127.0.0.1:{refused}/v1', api_key: k}}\n"
                "  host: {kind: openai, base_url: 'https://nobody.invalid/v1', api_key: k}\n"
            )
            tls, gone, host = await look(load(file, {}).directory)
    assert (tls.base_url, "cannot be reached" in tls.problem) == (f"http://127.0.0.1:{port}/v1", True)
    assert (gone.base_url, "cannot be reached" in gone.problem) == (None, True)
    assert (host.base_url, "cannot be reached" in host.problem) == (None, True)


async def test_the_command_fails_for_a_wrong_base_url(tmp_path: Path) -> None:
    """Status 1, and the line to write."""
    async with FaultyUpstream(serves("/v1")) as upstream:
        origin = upstream.base_url.removesuffix("/v1")
        (tmp_path / "gateway.yaml").write_text(f"providers: {{shop: {{base_url: '{origin}', api_key: k}}}}")
        done = await gateway_async("check", "--online", cwd=tmp_path)
        assert done.status == 1
        assert f"its base_url is probably {origin}/v1" in done.out
        told = await gateway_async("check", "--online", "--json", cwd=tmp_path)
        assert told.json["online"][0]["probable_base_url"] == f"{origin}/v1"


async def test_a_list_at_another_path(tmp_path: Path) -> None:
    """`models_url` is asked in place of `/models`; where nothing is there, it is named."""

    def picky(request: Request) -> Script:
        return json_answer({"data": [{"id": "a"}]}) if request.target == "/api/list" else error_json(404)

    async with FaultyUpstream(picky) as upstream:
        text = f"providers: {{it: {{base_url: '{upstream.base_url}', models: [a], models_url: {{}}}}}}"
        (tmp_path / "gateway.yaml").write_text(text.replace("{}", "/api/list"))
        done = await gateway_async("check", "--online", cwd=tmp_path)
        assert (done.status, "1 model listed" in done.out) == (0, True)
        assert {request.target for request in upstream.requests} == {"/api/list"}
        (tmp_path / "gateway.yaml").write_text(text.replace("{}", "/api/lsit"))
        done = await gateway_async("check", "--online", cwd=tmp_path)
        assert (done.status, "/api/lsit (HTTP 404); check the models_url" in done.out) == (1, True)
