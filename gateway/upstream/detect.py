"""Find the model servers on this machine, within half a second, by asking their usual ports.

Rule: ask only loopback addresses, with plain GET requests. Anything may listen on these ports, so only a known server's
typical answer counts.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from gateway.config import Detected

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

__all__ = ["PROBES", "Detected", "Probe", "detect", "llamacpp_or_vllm", "lmstudio", "ollama"]

# For all probes together: the gateway must be ready in 0.6 s, and loopback answers in a millisecond or not at all.
WITHIN_S = 0.5

# More than the longest list of models, and small enough to read in that time.
LARGEST_ANSWER = 1024 * 1024
MOST_MODELS = 500
LONGEST_ID = 256


@dataclass(frozen=True, slots=True)
class Probe:
    """A port, and how to recognise the server there."""

    port: int
    recognise: Callable[[Probe], Awaitable[Detected | None]]
    host: str = "127.0.0.1"

    @property
    def root(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


async def detect(environ: Mapping[str, str], probes: Iterable[Probe] | None = None) -> tuple[Detected, ...]:
    """Return the recognised servers, in the order of the probes.

    `OLLAMA_HOST` adds a probe for Ollama, unless it names another machine.
    """
    asked = PROBES if probes is None else tuple(probes)
    if (elsewhere := _ollama_host(environ.get("OLLAMA_HOST", ""))) and elsewhere not in asked:
        asked = (*asked, elsewhere)
    found = await asyncio.gather(*(_answer(probe) for probe in asked))
    return tuple(one for one in found if one is not None)


async def _answer(probe: Probe) -> Detected | None:
    try:
        async with asyncio.timeout(WITHIN_S):
            return await probe.recognise(probe)
    # No server, too slow, not HTTP, endless headers, not JSON, or JSON of another shape.
    except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, RecursionError, msgspec.MsgspecError):
        return None


# Recognising. Sources: ollama `server/routes.go`, llama.cpp
# `tools/server/server-http.cpp`, vLLM `entrypoints/openai/engine/protocol.py`, LM Studio's REST documentation.


class _Listed(msgspec.Struct):
    id: str
    owned_by: str = ""
    max_model_len: int | None = None


class _OpenAIList(msgspec.Struct):
    data: list[_Listed]


async def llamacpp_or_vllm(probe: Probe) -> Detected | None:
    """Recognise llama-server and vLLM by their list of models. A list that names neither is another server's."""
    answer = await _get(probe, "/v1/models")
    is_llamacpp = answer.header("server").lower().startswith("llama.cpp")
    if answer.status == 503 and is_llamacpp:  # still loading: every path answers 503
        return Detected("llamacpp", f"{probe.root}/v1")
    listed = _decoded(answer, _OpenAIList).data
    if listed and (is_llamacpp or all(one.owned_by == "llamacpp" for one in listed)):
        return Detected("llamacpp", f"{probe.root}/v1", _ids(one.id for one in listed))
    if listed and all(one.owned_by == "vllm" for one in listed) and any(one.max_model_len for one in listed):
        return Detected("vllm", f"{probe.root}/v1", _ids(one.id for one in listed))
    return None


class _Version(msgspec.Struct):
    version: str


class _Tag(msgspec.Struct):
    name: str
    remote_host: str = ""
    remote_model: str = ""


class _Tags(msgspec.Struct):
    models: list[_Tag] | None = None  # a nil slice of Go is null


async def ollama(probe: Probe) -> Detected | None:
    """Recognise Ollama. Its cloud models are left out: they are neither local nor free."""
    # In sequence, which takes a millisecond. Concurrent tasks would need an owner to cancel them when one fails.
    version, root, tags = [await _get(probe, path) for path in ("/api/version", "/", "/api/tags")]
    if root.status != 200 or root.body.strip() != b"Ollama is running" or not _decoded(version, _Version).version:
        return None
    local = (tag.name for tag in _decoded(tags, _Tags).models or () if not (tag.remote_host or tag.remote_model))
    return Detected("ollama", f"{probe.root}/v1", _ids(local))


class _Key(msgspec.Struct):
    key: str


class _KeyList(msgspec.Struct):
    models: list[_Key]


class _State(msgspec.Struct):
    id: str
    state: str


class _StateList(msgspec.Struct):
    data: list[_State]


async def lmstudio(probe: Probe) -> Detected | None:
    """Recognise LM Studio by the list of its own API: `/api/v1` since 0.4.0, `/api/v0` before."""
    newer = await _get(probe, "/api/v1/models")
    if newer.status == 200:
        ids = [one.key for one in _decoded(newer, _KeyList).models]
    else:
        ids = [one.id for one in _decoded(await _get(probe, "/api/v0/models"), _StateList).data]
    return Detected("lmstudio", f"{probe.root}/v1", _ids(ids))


PROBES = (
    Probe(8080, llamacpp_or_vllm),
    Probe(9931, llamacpp_or_vllm),  # the default of llama-server since August 2026
    Probe(11434, ollama),
    Probe(1234, lmstudio),
    Probe(8000, llamacpp_or_vllm),
)


def _ids(names: Iterable[str]) -> tuple[str, ...]:
    fit = (name for name in names if 0 < len(name) <= LONGEST_ID and name.isprintable())
    return tuple(dict.fromkeys(fit))[:MOST_MODELS]


def _ollama_host(said: str) -> Probe | None:
    """Read OLLAMA_HOST as Ollama does (`host`, `:port`, `host:port`, a URL); None if it names another machine."""
    said = said.strip().rstrip("/")
    if not said:
        return None
    try:
        parts = urlsplit(said if "://" in said else f"//{said}", scheme="ollama")
        host, port = parts.hostname or "127.0.0.1", parts.port
        # A server may bind to an address to which a client cannot connect.
        host = {"localhost": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        if parts.scheme not in ("ollama", "http") or not ip_address(host).is_loopback:
            return None
    except ValueError:
        return None
    return Probe(port or (80 if parts.scheme == "http" else 11434), ollama, host)


# Asking, by a client of thirty lines: HTTP/1.0, so that answers are not chunked and end with their connection.


@dataclass(frozen=True, slots=True)
class _Response:
    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        for line in self.head.split(b"\r\n")[1:]:
            field, _, value = line.partition(b":")
            if field.strip().lower() == name.encode():
                return value.strip().decode("latin-1")
        return ""


_T = TypeVar("_T")


def _decoded(response: _Response, shape: type[_T]) -> _T:
    if response.status != 200:
        raise ValueError(f"status {response.status}")
    return msgspec.json.decode(response.body, type=shape)


async def _get(probe: Probe, path: str) -> _Response:
    reader, writer = await asyncio.open_connection(probe.host, probe.port)
    try:
        host = probe.root.removeprefix("http://")
        writer.write(f"GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        version, _, rest = head.partition(b" ")
        if not version.startswith(b"HTTP/1.") or not rest[:3].isdigit():
            raise ValueError("not HTTP/1")
        response = _Response(int(rest[:3]), head, b"")
        length = response.header("content-length")
        wanted = int(length) if length.isdecimal() else LARGEST_ANSWER + 1
        body = bytearray()
        while len(body) < wanted and (chunk := await reader.read(65536)):
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise ValueError("too large")
        return _Response(response.status, head, bytes(body))
    finally:
        writer.transport.abort()
