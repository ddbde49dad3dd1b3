"""Detection against real servers on loopback: honest imitations of each kind, and hostile ones."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from gateway.upstream.detect import PROBES, Detected, Probe, detect, llamacpp_or_vllm, lmstudio, ollama

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]
    Recognise = Callable[[Probe], Awaitable[Detected | None]]


def answer(body: Any, status: int = 200, headers: str = "") -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return f"HTTP/1.1 {status} X\r\ncontent-length: {len(raw)}\r\n{headers}\r\n".encode() + raw


def pages(**by_path: bytes) -> Handler:
    """Serve fixed answers; `__` in a name stands for a slash."""
    known = {name.replace("__", "/"): raw for name, raw in by_path.items()}

    async def handle(path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(known.get(path, answer(b"404 page not found", 404)))
        await writer.drain()

    return handle


def always(raw: bytes) -> Handler:
    async def handle(_path: str, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return handle


async def silent(_path: str, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(5)


async def slow_drip(_path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(100):
        writer.write(b" ")
        await asyncio.sleep(0.05)


async def endless(_path: str, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n[")
    for _ in range(100):
        writer.write(b'"x",' * 65536)
        await writer.drain()


@asynccontextmanager
async def serving(handle: Handler) -> AsyncIterator[int]:
    """Listen on a free port of loopback; yield it."""
    conversations: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        conversations.add(task)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"GET /") and b"\r\nhost: " in head.lower()
            await handle(head.split()[1].decode(), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the probe has seen enough
        finally:
            writer.transport.abort()
            conversations.discard(task)

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tuple(conversations):
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)


def models(*ids: str, **more: Any) -> dict[str, Any]:
    return {"object": "list", "data": [{"id": one, "object": "model", **more} for one in ids]}


LLAMA = "Server: llama.cpp\r\n"
OLLAMA_ROOT = answer(b"Ollama is running")
OLLAMA_VERSION = answer({"version": "0.31.0"})
TAGS = {"models": [{"name": "gemma3:4b", "size": 1}, {"name": "gpt-oss:120b-cloud", "remote_host": "https://o.test"}]}


@pytest.mark.parametrize(
    "recognise, handle, kind, ids",
    [
        (llamacpp_or_vllm, pages(__v1__models=answer(models("q.gguf"), headers=LLAMA)), "llamacpp", ("q.gguf",)),
        (llamacpp_or_vllm, pages(__v1__models=answer(models("q", owned_by="llamacpp"))), "llamacpp", ("q",)),
        (llamacpp_or_vllm, always(answer({"error": {"code": 503}}, 503, LLAMA)), "llamacpp", ()),  # it is loading
        (
            llamacpp_or_vllm,
            pages(__v1__models=answer(models("Qwen/Q", "lora", owned_by="vllm", max_model_len=4096))),
            "vllm",
            ("Qwen/Q", "lora"),
        ),
        (
            ollama,
            pages(__=OLLAMA_ROOT, __api__version=OLLAMA_VERSION, __api__tags=answer(TAGS)),
            "ollama",
            ("gemma3:4b",),  # the cloud model is neither local nor free
        ),
        (
            ollama,
            pages(__=OLLAMA_ROOT, __api__version=OLLAMA_VERSION, __api__tags=answer({"models": None})),
            "ollama",
            (),
        ),
        (lmstudio, pages(__api__v1__models=answer({"models": [{"key": "a/b"}]})), "lmstudio", ("a/b",)),
        (lmstudio, pages(__api__v0__models=answer({"data": [{"id": "c", "state": "loaded"}]})), "lmstudio", ("c",)),
        (  # the end of the connection is the end of the body
            llamacpp_or_vllm,
            always(b"HTTP/1.0 200 OK\r\nserver: llama.cpp\r\n\r\n" + json.dumps(models("q")).encode()),
            "llamacpp",
            ("q",),
        ),
    ],
)
async def test_servers_are_recognised(recognise: Recognise, handle: Handler, kind: str, ids: tuple[str, ...]) -> None:
    """Each kind of local server is known by its own answers, with the models it lists."""
    async with serving(handle) as port:
        assert await detect({}, [Probe(port, recognise)]) == (Detected(kind, f"http://127.0.0.1:{port}/v1", ids),)


@pytest.mark.parametrize("recognise", [llamacpp_or_vllm, ollama, lmstudio])
@pytest.mark.parametrize(
    "handle",
    [
        silent,
        slow_drip,
        endless,
        always(b""),
        always(b"220 smtp.example.com ESMTP\r\n\r\n"),
        always(b"HTTP/1.1 \xff\xff\xff\r\n\r\n"),
        always(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 50_000 + b"\r\n"),
        always(answer(b"<!doctype html><title>Django</title>")),
        always(answer(b"{")),
        always(answer(b"[" * 100_000)),
        always(answer([])),
        always(answer({"data": None, "models": 5, "version": None})),
        always(answer({"data": [{"id": 5}]})),
        always(answer(models("x"))),  # some other OpenAI-compatible server, perhaps this very gateway
        always(answer(models("x", owned_by="vllm"))),  # says so, but is not shaped like it
        always(answer(models("x"), 302, "location: http://127.0.0.1:1/\r\n")),
        always(answer({"error": "Unauthorized"}, 401)),
        pages(__=OLLAMA_ROOT),
        pages(__=OLLAMA_ROOT, __api__version=OLLAMA_VERSION),
        pages(__api__version=OLLAMA_VERSION, __api__tags=answer(TAGS)),
    ],
)
async def test_strangers_are_not_recognised(recognise: Recognise, handle: Handler) -> None:
    """Whatever else listens there is passed over, within the time that is allowed."""
    async with serving(handle) as port:
        started = time.monotonic()
        assert await detect({}, [Probe(port, recognise)]) == ()
        assert time.monotonic() - started < 0.8  # 0.5, and what a busy machine adds


async def test_a_silent_server_does_not_hide_the_others() -> None:
    """All ports are asked at once: one that never answers costs its own place and not the others'."""
    async with AsyncExitStack() as stack:
        quiet = [Probe(await stack.enter_async_context(serving(silent)), ollama) for _ in range(10)]
        good = await stack.enter_async_context(serving(always(answer(models("q"), headers=LLAMA))))
        started = time.monotonic()
        found = await detect({}, [*quiet, Probe(good, llamacpp_or_vllm)])
        assert time.monotonic() - started < 0.8
        assert [one.base_url for one in found] == [f"http://127.0.0.1:{good}/v1"]


async def test_nobody_is_there() -> None:
    """A port where nothing listens is the normal case."""
    async with serving(silent) as port:
        pass
    assert await detect({}, [Probe(port, ollama)]) == ()


async def test_names_of_models_are_bounded() -> None:
    """A server cannot fill the directory with endless, unprintable or repeated names."""
    many = models("x" * 300, "a\nb", "", "same", "same", *(f"m{i}" for i in range(600)))
    async with serving(always(answer(many, headers=LLAMA))) as port:
        (found,) = await detect({}, [Probe(port, llamacpp_or_vllm)])
    assert (len(found.models), found.models[:2]) == (500, ("same", "m0"))


@pytest.mark.parametrize(
    "spelling", ["127.0.0.1:{}", "http://localhost:{}", "0.0.0.0:{}", ":{}", "http://127.0.0.1:{}/"]
)
async def test_ollama_host_is_honoured(spelling: str) -> None:
    """OLLAMA_HOST says where else Ollama is, in every spelling Ollama takes."""
    async with serving(pages(__=OLLAMA_ROOT, __api__version=OLLAMA_VERSION, __api__tags=answer(TAGS))) as port:
        (found,) = await detect({"OLLAMA_HOST": spelling.format(port)}, [])
    assert found == Detected("ollama", f"http://127.0.0.1:{port}/v1", ("gemma3:4b",))


@pytest.mark.parametrize(
    "host", ["192.0.2.1:11434", "ollama.example.com", "https://127.0.0.1", "http://[::1", "127.0.0.1:99999", "", " "]
)
async def test_ollama_host_is_not_followed_elsewhere(host: str) -> None:
    """Another machine is never asked, and nonsense is passed over."""
    assert await detect({"OLLAMA_HOST": host}, []) == ()


def test_usual_ports() -> None:
    """The ports that are asked are the ones these servers have by default, on loopback."""
    ports: Mapping[int, object] = {probe.port: probe.recognise for probe in PROBES}
    assert ports == {
        8080: llamacpp_or_vllm,
        9931: llamacpp_or_vllm,
        11434: ollama,
        1234: lmstudio,
        8000: llamacpp_or_vllm,
    }
    assert {probe.host for probe in PROBES} == {"127.0.0.1"}
