"""Try a provider out: which models it lists, one short chat, one short stream.

Rule: whatever happens is a value that says what to do about it. Nothing is asked that costs more than a greeting.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import httpx
import msgspec

from gateway.catalog import MOST_MODELS, model_id
from gateway.core import outcome as o
from gateway.core import sse
from gateway.core.explain import Problem, problem
from gateway.core.params import applied
from gateway.dialects.chat import CHAT, GRAMMAR
from gateway.dialects.choices import read_answer
from gateway.dialects.events import StreamReader
from gateway.dialects.upstream_error import read_error
from gateway.kinds import kind_of
from gateway.types import Params, UpstreamError
from gateway.upstream.client import USER_AGENT, Client
from gateway.upstream.transport import Malformed, Transport, address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from types import TracebackType

    from gateway.types import Candidate, Outcome, Provider, Timeouts, Usage

# Enough for a model that thinks first to say something, and a small fraction of a cent with any of them.
MOST_TOKENS = 64
GREETING = [{"role": "user", "content": "Say hello."}]

LARGEST_ANSWER = 16 * 1024 * 1024
MOST_PAGES = 20
LIST_WITHIN_S = 15.0

_NO_SUCH_PATH = frozenset({404, 405, 501})


@dataclass(frozen=True, slots=True)
class Listing:
    """What came of asking for the models."""

    problem: Problem | None
    latency_s: float
    status: int | None = None
    models: tuple[str, ...] = ()
    offered: bool = True
    """False: the provider has no list of models, or none that is free. That is no problem."""
    entries: tuple[object, ...] = field(default=(), repr=False)
    """The list as it came, for whoever reads more of it than the ids. It may be large; do not keep it."""
    key_accepted: bool | None = None
    """None: nobody asked, or it cannot be told: no key is sent, or the list is open to everyone."""
    location: str = ""
    """Where a redirect points, which is not followed: it would carry the key there."""


@dataclass(frozen=True, slots=True)
class Chat:
    """What came of one chat."""

    problem: Problem | None
    latency_s: float
    status: int | None = None
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class Stream:
    """What came of one stream."""

    problem: Problem | None
    latency_s: float
    status: int | None = None
    usage: Usage | None = None
    first_token_s: float | None = None
    chunks: int = 0
    """Events that carry data, without `[DONE]`."""


class Asker:
    """Asks providers questions, over connections that end with it: `async with Asker() as asker`."""

    def __init__(self, client: Client | None = None) -> None:
        """`client`: use its connections, and leave them open."""
        self._own = Client() if client is None else None
        self._http = httpx.AsyncClient(
            transport=Transport(client or self._own or Client()),
            headers={"user-agent": USER_AGENT},
            timeout=httpx.Timeout(LIST_WITHIN_S),
            trust_env=False,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
        if self._own is not None:
            self._own.close()

    async def models(self, provider: Provider, *, check_key: bool = False) -> Listing:
        """Ask for the list of models, and on demand whether the key counts."""
        if not kind_of(provider).discover:
            return Listing(None, 0.0, offered=False)
        started = monotonic()
        try:
            async with _in_words(provider, "", LIST_WITHIN_S):
                entries = await self._pages(provider)
                took_s = monotonic() - started
                accepted = await self._is_key_accepted(provider) if check_key else None
        except _Failed as failed:
            offered = failed.status not in _NO_SUCH_PATH
            return Listing(
                failed.problem if offered else None,
                monotonic() - started,
                failed.status,
                offered=offered,
                location=failed.location,
            )
        return Listing(None, took_s, 200, tuple(model_ids(entries)), entries=tuple(entries), key_accepted=accepted)

    async def has_chat(self, provider: Provider) -> bool:
        """Tell whether chats are served below the base URL, by a request that names no model and so runs none."""
        url = address(provider, CHAT.path)
        request = self._http.build_request("POST", url, json={}, headers=list(provider.headers))
        try:
            async with _in_words(provider, "", LIST_WITHIN_S):
                response = await self._http.send(request, stream=True)
                body = await _read(response)
                msgspec.json.decode(body)
        except (_Failed, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False
        return response.status_code not in _NO_SUCH_PATH and response.status_code // 100 in (2, 4)

    async def chat(self, candidate: Candidate) -> Chat:
        """Ask for one short answer as a whole."""
        provider, model = candidate.upstream.provider, candidate.upstream.model
        started = monotonic()
        try:
            async with _in_words(provider, model, _longest_s(provider.timeouts)):
                response = await self._generate(candidate, stream=False)
                usage = _usage_of(await _read(response), provider, model)
        except _Failed as failed:
            return Chat(failed.problem, monotonic() - started, failed.status)
        return Chat(None, monotonic() - started, response.status_code, usage)

    async def stream(self, candidate: Candidate) -> Stream:
        """Ask for one short answer as a stream, and follow it to its end."""
        provider, model = candidate.upstream.provider, candidate.upstream.model
        started = monotonic()
        follower = _Follower(provider, model)
        found: Problem | None = None
        status: int | None = None
        try:
            async with _in_words(provider, model, _longest_s(provider.timeouts)):
                await follower.follow(await self._generate(candidate, stream=True))
        except _Failed as failed:
            found, status = failed.problem, failed.status
        status = status or follower.status
        ended = monotonic()
        first_s = follower.first_token_at - started if follower.first_token_at else None
        return Stream(found, ended - started, status, follower.reader.usage, first_s, follower.chunks)

    # -- the list of models

    async def _pages(self, provider: Provider) -> list[object]:
        """Return the entries of all pages, MOST_MODELS at most. Only Anthropic's list has more than one page."""
        found: list[object] = []
        query: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            value = await self._json(provider, "/models", query)
            if not is_listing(value):
                said = UpstreamError("JSON that is no list of models")
                raise _Failed(o.WRONG_CONTENT, provider, "", said, 200)
            found += entries_in(value)
            last = value.get("last_id") if isinstance(value, dict) and value.get("has_more") is True else None
            if not isinstance(last, str) or last == query.get("after_id") or len(found) >= MOST_MODELS:
                break
            query = {"limit": "1000", "after_id": last}
        return found[:MOST_MODELS]

    async def _is_key_accepted(self, provider: Provider) -> bool | None:
        """Tell whether the key counted when the list was given: only if it is not given without one."""
        if not provider.headers:
            return None
        if path := kind_of(provider).key_check:
            await self._json(provider, path)
            return True
        with suppress(httpx.RequestError):
            async with self._http.stream("GET", address(provider, "/models")) as response:
                return True if response.status_code in (401, 403) else None
        return None

    async def _json(self, provider: Provider, path: str, query: Mapping[str, str] | None = None) -> Any:
        """Return what a GET answers, decoded."""
        url = httpx.URL(address(provider, path))
        url = url.copy_merge_params(query) if query else url
        request = self._http.build_request("GET", url, headers=list(provider.headers))
        body = await _read(await self._send(request, provider, "the list of models"))
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _Failed(o.WRONG_CONTENT, provider, "", read_error(body[:300]), 200) from None

    # -- an answer

    async def _generate(self, candidate: Candidate, *, stream: bool) -> httpx.Response:
        """Open a chat; once more with the other spelling of the limit where the model insists on it."""
        provider, model = candidate.upstream.provider, candidate.upstream.model
        body = _body(candidate, stream=stream)
        try:
            return await self._send(self._post(provider, body), provider, model)
        except _Failed as failed:
            if failed.status != 400 or "max_completion_tokens" not in failed.said.message:
                raise
        body["max_completion_tokens"] = body.pop("max_tokens")
        return await self._send(self._post(provider, body), provider, model)

    def _post(self, provider: Provider, body: Mapping[str, object]) -> httpx.Request:
        timers = provider.timeouts
        timeout = httpx.Timeout(max(timers.first_byte_s, timers.idle_s), connect=timers.connect_s)
        return self._http.build_request(
            "POST", address(provider, CHAT.path), json=body, headers=list(provider.headers), timeout=timeout
        )

    async def _send(self, request: httpx.Request, provider: Provider, model: str) -> httpx.Response:
        """Return a good answer, its body unread; the caller reads it to the end or closes it."""
        response = await self._http.send(request, stream=True)
        if response.status_code == 200:
            return response
        said = read_error(await _read(response))
        failed = _Failed(o.classify(response.status_code, said), provider, model, said, response.status_code)
        if response.status_code // 100 == 3:
            failed.location = response.headers.get("location", "")
        raise failed


class _Follower:
    """Follows one stream and takes its measure."""

    def __init__(self, provider: Provider, model: str) -> None:
        self._upstream = provider, model
        self.reader = StreamReader(GRAMMAR)
        self.status: int | None = None
        self.first_token_at = 0.0
        self.chunks = 0

    async def follow(self, response: httpx.Response) -> None:
        """Read to the end of the stream.

        Raises:
            _Failed: it is no stream, carries an error, or has no end or no content.
        """
        self.status = response.status_code
        try:
            if not response.headers.get("content-type", "").lower().startswith("text/event-stream"):
                raise self._failed(o.WRONG_CONTENT, "a stream was asked for, and the answer is not one")
            async for chunk in response.aiter_bytes():
                self._take(self.reader.feed(chunk))
                if self.reader.ended or self.reader.error:
                    break
            else:
                self._take(self.reader.finish())
        finally:
            await response.aclose()
        if self.reader.error is not None:
            raise self._failed(o.STREAM_ERROR, self.reader.error.message)
        if not self.reader.committed:
            raise self._failed(o.EMPTY, "")
        if not self.reader.complete:
            raise self._failed(o.TRUNCATED, "no finish_reason and no [DONE]")

    def _take(self, whole: bytes) -> None:
        self.chunks += sum(1 for event in sse.events(whole) if event.data not in (None, b"[DONE]"))
        if self.reader.committed and not self.first_token_at:
            self.first_token_at = monotonic()

    def _failed(self, outcome: Outcome, message: str) -> _Failed:
        return _Failed(outcome, *self._upstream, UpstreamError(message), self.status)


class _Failed(Exception):
    """A question that got no good answer."""

    def __init__(
        self, outcome: Outcome, provider: Provider, model: str, said: UpstreamError, status: int | None = None
    ) -> None:
        super().__init__(said.message)
        self.said = said
        self.status = status
        self.location = ""
        usual = " or ".join(kind_of(provider).key_vars)
        key = f"its api_key (usually from {usual})" if usual else "its api_key"
        self.problem = problem(outcome, provider, model, said, status=status, key=key)


@asynccontextmanager
async def _in_words(provider: Provider, model: str, within_s: float) -> AsyncIterator[None]:
    """Turn whatever httpx raises, and the end of the time, into `_Failed`."""
    try:
        async with asyncio.timeout(within_s):
            yield
    except TimeoutError:
        raise _Failed(o.TOTAL_TIMEOUT, provider, model, UpstreamError(f"no end within {within_s:g} s")) from None
    except httpx.RequestError as error:
        outcome = next((known for kind, known in _OUTCOMES if isinstance(error, kind)), o.BROKEN)
        raise _Failed(outcome, provider, model, UpstreamError(str(error))) from None


_OUTCOMES: tuple[tuple[type[httpx.RequestError], Outcome], ...] = (
    (httpx.ConnectError, o.NO_CONNECT),
    (httpx.ConnectTimeout, o.CONNECT_TIMEOUT),
    (httpx.ReadTimeout, o.FIRST_BYTE_TIMEOUT),
    (Malformed, o.MALFORMED),
    (httpx.DecodingError, o.WRONG_CONTENT),
)


async def _read(response: httpx.Response) -> bytes:
    """Return the body, or the beginning of an absurd one."""
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                break
    finally:
        await response.aclose()
    return bytes(body)


def _body(candidate: Candidate, *, stream: bool) -> dict[str, object]:
    """Return the greeting with the parameters that the configuration gives the candidate, and our own limit."""
    upstream, params = candidate.upstream, candidate.params
    configured = {**params.defaults, **params.forced}
    body: dict[str, object] = {key: msgspec.json.decode(value) for key, value in configured.items()}
    body.pop("max_completion_tokens", None)
    body |= {"model": upstream.model, "messages": GREETING, "max_tokens": MOST_TOKENS, "stream": stream}
    if stream and upstream.provider.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if params.adapts:
        raw = {key: msgspec.json.encode(value) for key, value in body.items()}
        adapts = Params(drops=params.drops, renames=params.renames, clamps=params.clamps)
        return {key: msgspec.json.decode(value) for key, value in applied(raw, adapts).items()}
    return body


def _usage_of(body: bytes, provider: Provider, model: str) -> Usage | None:
    """Return the usage of a complete answer, if it is one."""
    try:
        read = read_answer(body, CHAT)
        choices = msgspec.json.decode(body, type=_Choices).choices
    except (ValueError, msgspec.ValidationError):
        raise _Failed(o.WRONG_CONTENT, provider, model, read_error(body[:300]), 200) from None
    if read.error is not None:
        raise _Failed(o.classify(200, read.error), provider, model, read.error, 200)
    if not choices:
        raise _Failed(o.EMPTY, provider, model, UpstreamError(), 200)
    return read.usage


class _Choices(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None


def _longest_s(timers: Timeouts) -> float:
    """How long one answer may take. The timer between two bytes alone would wait for ever for a stream of comments."""
    return max(timers.first_byte_s, timers.first_token_s) + timers.idle_s


def entries_in(value: object) -> list[object]:
    """Return the entries of a list of models, in whatever it is wrapped.

    Seen: `{"data": [...]}`, `{"models": [...]}`, a bare array (Together), `data: null` (Ollama without models).
    """
    listed = value.get("data", value.get("models")) if isinstance(value, dict) else value
    return listed if isinstance(listed, list) else []


def is_listing(value: object) -> bool:
    """Tell whether what a GET of `/models` answered is a list of models, be it empty, and not something else."""
    if isinstance(value, dict):
        return any(isinstance(value.get(key, ""), (list, type(None))) for key in ("data", "models"))
    return isinstance(value, list)


def model_ids(value: object) -> list[str]:
    """Return the ids in a list of models, each once. Seen: `models/` before each (Gemini), and `name` for `id`."""
    return list(dict.fromkeys(filter(None, map(model_id, entries_in(value)))))
