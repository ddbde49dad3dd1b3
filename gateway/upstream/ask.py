"""Try a provider out: which models it lists, one short chat, one short stream.

Rule: whatever happens is a value that says what to do about it. Nothing is asked that costs more than a greeting.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import httpx
import msgspec

from gateway.catalog import MOST_MODELS, model_id
from gateway.core import outcome as o
from gateway.core.explain import Problem, problem
from gateway.dialects.upstream_error import read_error
from gateway.kinds import kind_of
from gateway.types import UpstreamError
from gateway.upstream.client import USER_AGENT, Client
from gateway.upstream.greeting import Greeted, Greeting, conversation_head
from gateway.upstream.transport import Malformed, Transport, address, header_lines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping
    from types import TracebackType

    from gateway.types import Candidate, Outcome, Provider, Timeouts, Usage

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
    """None: it was not asked, or cannot be told: no key is sent, or the list is open to everyone."""
    location: str = ""
    """Where a redirect points, which is not followed: it would carry the key there."""


@dataclass(frozen=True, slots=True)
class Chat:
    """What came of one chat."""

    problem: Problem | None
    latency_s: float
    status: int | None = None
    usage: Usage | None = None
    text: str = ""
    """What the model said."""


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
    texts: tuple[str, ...] = ()
    """What the model said, as the events divided it."""


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
        if not (kind_of(provider).discover or provider.discover):
            return await self._health(provider) if check_key else Listing(None, 0.0, offered=False)
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
        """Tell whether conversations are served below the base URL. The request names no model, and so runs none."""
        head = conversation_head(provider)
        url = address(provider, head.path)
        request = self._http.build_request("POST", url, json={}, headers=header_lines(provider, head))
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
                greeting, response = await self._generate(candidate, stream=False)
                greeted = Greeted(greeting)
                greeted.head(response.status_code, response.headers)
                greeted.receive(await _read(response))
                _check(greeted, provider, model)
        except _Failed as failed:
            return Chat(failed.problem, monotonic() - started, failed.status)
        return Chat(None, monotonic() - started, response.status_code, greeted.usage, greeted.text)

    async def stream(self, candidate: Candidate) -> Stream:
        """Ask for one short answer as a stream, and follow it to its end."""
        provider, model = candidate.upstream.provider, candidate.upstream.model
        started = monotonic()
        first_at: float | None = None
        greeted: Greeted | None = None
        found: Problem | None = None
        status: int | None = None
        try:
            async with _in_words(provider, model, _longest_s(provider.timeouts)):
                greeting, response = await self._generate(candidate, stream=True)
                status = response.status_code
                greeted = Greeted(greeting)
                greeted.head(status, response.headers)
                async with aclosing(_pieces(response)) as pieces:
                    async for piece in pieces:
                        greeted.receive(piece)
                        if first_at is None and greeted.has_begun:
                            first_at = monotonic()
                        if greeted.has_ended:
                            break
                _check(greeted, provider, model)
        except _Failed as failed:
            found, status = failed.problem, failed.status or status
        took_s = monotonic() - started
        first_s = first_at - started if first_at is not None else None
        if greeted is None:
            return Stream(found, took_s, status)
        return Stream(found, took_s, status, greeted.usage, first_s, greeted.events, tuple(greeted.texts))

    # -- the list of models

    async def _pages(self, provider: Provider) -> list[object]:
        """Return the entries of all pages, MOST_MODELS at most. Only Anthropic's list has more than one page."""
        found: list[object] = []
        query: dict[str, str] = {}
        for _ in range(MOST_PAGES):
            value = await self._json(provider, list_url(provider), query)
            if not is_listing(value):
                said = UpstreamError("JSON that is no list of models")
                raise _Failed(o.WRONG_CONTENT, provider, "", said, 200)
            found += entries_in(value)
            last = value.get("last_id") if isinstance(value, dict) and value.get("has_more") is True else None
            if not isinstance(last, str) or last == query.get("after_id") or len(found) >= MOST_MODELS:
                break
            query = {"limit": "1000", "after_id": last}
        return found[:MOST_MODELS]

    async def _health(self, provider: Provider) -> Listing:
        """Ask a provider without a free list for its health, if the answer tells whether the key is accepted."""
        question = kind_of(provider).health
        url = question.url(provider.base_url, provider.query)
        if url is None or not question.needs_key:
            return Listing(None, 0.0, offered=False)
        started = monotonic()
        try:
            async with _in_words(provider, "", LIST_WITHIN_S):
                await self._json(provider, url)
        except _Failed as failed:
            return Listing(failed.problem, monotonic() - started, failed.status, offered=False)
        return Listing(None, monotonic() - started, offered=False, key_accepted=True)

    async def _is_key_accepted(self, provider: Provider) -> bool | None:
        """Tell whether the key counted when the list was given: only if it is not given without one."""
        if not provider.headers:
            return None
        if path := kind_of(provider).key_check:
            await self._json(provider, address(provider, path))
            return True
        with suppress(httpx.RequestError):
            async with self._http.stream("GET", list_url(provider)) as response:
                return True if response.status_code in (401, 403) else None
        return None

    async def _json(self, provider: Provider, address: str, query: Mapping[str, str] | None = None) -> Any:
        """Return what a GET answers, decoded."""
        url = httpx.URL(address)
        url = url.copy_merge_params(query) if query else url
        request = self._http.build_request("GET", url, headers=header_lines(provider, conversation_head(provider)))
        body = await _read(await self._send(request, provider, "the list of models"))
        try:
            return msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise _Failed(o.WRONG_CONTENT, provider, "", read_error(body[:300]), 200) from None

    # -- an answer

    async def _generate(self, candidate: Candidate, *, stream: bool) -> tuple[Greeting, httpx.Response]:
        """Open a chat; once more with the other spelling of the limit where the model insists on it."""
        provider, model = candidate.upstream.provider, candidate.upstream.model
        greeting = Greeting(candidate, stream=stream)
        try:
            return greeting, await self._send(self._post(provider, greeting), provider, model)
        except _Failed as failed:
            if failed.status != 400 or "max_completion_tokens" not in failed.said.message:
                raise
        greeting.spell_limit()
        return greeting, await self._send(self._post(provider, greeting), provider, model)

    def _post(self, provider: Provider, greeting: Greeting) -> httpx.Request:
        timers = provider.timeouts
        timeout = httpx.Timeout(max(timers.first_byte_s, timers.idle_s), connect=timers.connect_s)
        url = address(provider, greeting.head.path)
        headers = [(b"content-type", b"application/json"), *header_lines(provider, greeting.head)]
        return self._http.build_request("POST", url, content=greeting.body, headers=headers, timeout=timeout)

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


def list_url(provider: Provider) -> str:
    """Return the URL of a provider's list of models."""
    return provider.models_url or address(provider, "/models")


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


def _check(greeted: Greeted, provider: Provider, model: str) -> None:
    """Raise `_Failed` unless the answer, of which all has come, is a whole one."""
    wrong = greeted.end()
    if wrong is not None:
        outcome, message, said = wrong
        raise _Failed(outcome, provider, model, said or UpstreamError(message), 200)


async def _read(response: httpx.Response) -> bytes:
    """Return the body, or the beginning of an absurd one."""
    return b"".join([piece async for piece in _pieces(response)])


async def _pieces(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Yield the body as it comes, or the beginning of an absurd one, and close the answer."""
    size = 0
    try:
        async for piece in response.aiter_bytes():
            yield piece
            size += len(piece)
            if size > LARGEST_ANSWER:
                break
    finally:
        await response.aclose()


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
