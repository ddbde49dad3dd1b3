"""What must be true of every gateway that a test runs, whatever the test is about. `serving` checks it at its end."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from gateway.core import outcome as o
from gateway.dialects.endpoints import ENDPOINTS
from gateway.proxy.downstream import SCOPE_KEY, ClientGone
from gateway.stores.memory import Memory
from gateway.upstream.client import USER_AGENT
from tests.faults.upstream import FaultyUpstream

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, MutableMapping

    from gateway.app import App
    from gateway.proxy.downstream import Downstream
    from gateway.types import Attempt, Header, Settlement, Upstream, Usage
    from tests.faults.upstream import Request

    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Any]]
    Send = Callable[[Any], Awaitable[None]]

# These attempts were never begun: an allowance or a budget prevented them.
PREVENTED = frozenset({o.NO_BUDGET, o.OVER_BUDGET, o.AT_LIMIT})
# Of these attempts no request can have arrived.
UNSENT = PREVENTED | {o.NO_CONNECT, o.CONNECT_TIMEOUT}
# The clock is read a few times around the start of an attempt.
CLOCKS_DIFFER_S = 0.000_01

_OPERATIONS = tuple(endpoint.path for endpoint in ENDPOINTS)
_PATHS = frozenset(prefix + path for prefix in ("", "/v1") for path in _OPERATIONS)


class Remembering(Memory):
    """The memory of a gateway, which counts the attempts that begin and end."""

    def __init__(self, *, keeps: bool) -> None:
        """`keeps`: False to forget at once what an attempt taught; calls at the same time are then strangers too."""
        super().__init__()
        self._keeps = keeps
        self.begins: Counter[str] = Counter()
        """By upstream id."""
        self.ends: Counter[str] = Counter()

    def begin(self, upstream: Upstream, wall: float, now: float, *, is_retry: bool) -> bool:
        begun = super().begin(upstream, wall, now, is_retry=is_retry)
        self.begins[upstream.id] += begun
        return begun

    def end(
        self, upstream: Upstream, attempt: Attempt, headers: list[Header], usage: Usage | None, wall: float
    ) -> None:
        super().end(upstream, attempt, headers, usage, wall)
        self.ends[upstream.id] += 1
        self._forget()

    def heard(self, upstream: Upstream, attempt: Attempt, headers: list[Header], wall: float) -> None:
        super().heard(upstream, attempt, headers, wall)
        self._forget()

    def teach(self, attempt: Attempt, wall: float) -> None:
        """Take an attempt for one that a call has just made."""
        upstream = attempt.candidate.upstream
        super().begin(upstream, wall, wall, is_retry=False)
        super().end(upstream, attempt, [], None, wall)

    def _forget(self) -> None:
        if self._keeps:
            return
        self.facts.clear()  # but not `in_flight`: what is under way stays under way
        self.quotas.clear()
        self.allowances.clear()
        self.begun.clear()
        self.trends.clear()
        self._tallies.clear()
        self._looked_at.clear()


class Watched:
    """The client's side of a call, which notes what is written to it behind an end."""

    __slots__ = ("_client", "_end", "late")

    _client: Downstream
    _end: str
    late: list[str]

    def __init__(self, client: Downstream) -> None:
        object.__setattr__(self, "_client", client)
        object.__setattr__(self, "_end", "")
        object.__setattr__(self, "late", [])

    def __getattr__(self, name: str) -> Any:  # all else is the client's
        return getattr(self._client, name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(self._client, name, value)

    def _note(self, what: str, *, ends: bool) -> None:
        if self._end:
            self.late.append(f"{what} after {self._end}")
        elif ends:
            object.__setattr__(self, "_end", what)

    def respond(self, status: int, lines: bytes, body: bytes) -> None:
        self._note("respond", ends=True)
        self._client.respond(status, lines, body)

    def start(self, status: int, lines: bytes, length: int | None) -> None:
        self._note("start", ends=False)
        self._client.start(status, lines, length)

    def write(self, chunk: bytes) -> bool:
        self._note("write", ends=False)
        return self._client.write(chunk)

    def finish(self) -> None:
        self._note("finish", ends=True)
        self._client.finish()

    def abort(self) -> None:
        if not self._end:
            self._note("abort", ends=True)
        self._client.abort()


class Audit:
    """An ASGI application around a gateway's, which watches the calls go through and come to their ends."""

    _going_on: ClassVar[set[Audit]] = set()
    """An upstream that several gateways of a test ask does not know which of them did."""

    def __init__(self, app: App, *, remember: bool) -> None:
        """`remember`: False to make the gateway forget at once what an attempt taught."""
        self.settlements: list[Settlement] = []
        self.failures: list[Exception] = []
        """Of calls that ended in a traceback."""
        self.listeners_left = 0
        """Calls that still listen to their client: the connection is to serve the next request."""
        self.late: list[str] = []
        """What was written to a client behind the end of its answer, or after its connection was broken off."""
        self._app = app
        self._gateway = app.gateway
        self.memory = app.gateway.memory = Remembering(keeps=remember)
        self.memory.turned = app.gateway.notices.turned
        app.gateway.listeners = (*app.gateway.listeners, self.settlements.append)
        self._exposed = ""
        self._calls = 0
        self._odd_calls = 0
        """To paths that may or may not be an operation's."""
        self._is_alone = not Audit._going_on
        for other in Audit._going_on:
            other._is_alone = False
        Audit._going_on.add(self)
        self._seen_before = {port: len(one.requests) for port, one in FaultyUpstream.live.items()}

    def __repr__(self) -> str:
        return f"<Audit of {self._calls} calls, {len(self.settlements)} settled>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_call = scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in _PATHS
        self._calls += is_call
        self._odd_calls += scope["type"] == "http" and not is_call
        client = None
        if SCOPE_KEY in scope.get("extensions", {}):
            client = scope["extensions"][SCOPE_KEY] = Watched(scope["extensions"][SCOPE_KEY])
        try:
            await self._app(scope, receive, send)
        except ClientGone:
            self._calls -= is_call  # it never became one
            raise
        except Exception as error:
            self.failures.append(error)
            raise
        finally:
            if client is not None:
                self.late += client.late
                self.listeners_left += client.on_hang_up is not None or client.on_writable is not None

    def close(self) -> None:
        """The last call is over; what is counted can still be read."""
        Audit._going_on.discard(self)
        self._exposed = self._gateway.metrics.expose().decode()

    def check(self) -> None:
        """Look at everything, once the gateway is closed.

        Raises:
            AssertionError: something is not as it must be; it says what.
        """
        if problems := list(self._problems()):
            raise AssertionError("\n".join(problems))

    def _problems(self) -> Iterator[str]:
        yield from (f"a call ended in a traceback: {error!r}" for error in self.failures)
        yield from (f"a client was written to too late: {late}" for late in self.late)
        if self.listeners_left:
            yield f"{self.listeners_left} calls still listen to a client that they are through with"
        yield from self._left_behind()
        for settlement in self.settlements:
            yield from _contradictions(settlement)
        yield from self._miscounted()
        yield from self._unseen()

    def _left_behind(self) -> Iterator[str]:
        if self.memory.in_flight:
            yield f"the memory believes attempts to be under way: {self.memory.in_flight}"
        if self._gateway.books.under_way:
            yield f"the books believe attempts to be under way: {self._gateway.books.under_way}"

    def _miscounted(self) -> Iterator[str]:
        recorded = Counter(
            attempt.candidate.upstream.id
            for settlement in self.settlements
            for attempt in settlement.attempts
            if attempt.outcome not in PREVENTED
        )
        begins, ends = +self.memory.begins, +self.memory.ends
        if not recorded == begins == ends:
            yield f"attempts recorded: {recorded}, begun: {begins}, ended: {ends}"
        counted: Counter[str] = Counter()
        for line in self._exposed.splitlines():
            name, _, value = line.rpartition(" ")
            if name.startswith(("gateway_attempts_total{", "gateway_requests_total{", "gateway_in_flight_requests{")):
                counted[name.partition("{")[0]] += int(float(value))
        if counted["gateway_in_flight_requests"]:
            yield f"the metrics believe {counted['gateway_in_flight_requests']} calls to be under way"
        attempts = sum(len(settlement.attempts) for settlement in self.settlements)
        if counted["gateway_attempts_total"] != attempts:
            yield f"attempts in the metrics: {counted['gateway_attempts_total']}, in the settlements: {attempts}"
        answered = counted["gateway_requests_total"]
        calls = self._calls + sum(bool(settlement.parent) for settlement in self.settlements)  # those from within
        if not calls <= answered <= calls + self._odd_calls:
            yield f"calls in the metrics: {answered}, that came in: {calls} (and {self._odd_calls} others)"

    def _unseen(self) -> Iterator[str]:
        """Compare what is recorded with what the scripted upstreams saw, as far as only this gateway talks to them."""
        certain: Counter[int] = Counter()
        possible: Counter[int] = Counter()
        for settlement in self.settlements:
            for attempt in settlement.attempts:
                port = _port_of(attempt)
                possible[port] += attempt.outcome not in UNSENT
                certain[port] += attempt.status is not None
        for port, upstream in FaultyUpstream.live.items():
            requests = upstream.requests[self._seen_before.get(port, 0) :]
            seen = sum(_is_of_a_call(one) for one in requests)
            least = 0 if upstream.answers_unasked else certain[port]
            if self._is_alone and not least <= seen <= possible[port]:
                yield f"port {port} saw {seen} requests; recorded are {certain[port]} answered of {possible[port]} sent"


def _contradictions(settlement: Settlement) -> Iterator[str]:
    """Yield what cannot be true of one call."""
    if not 200 <= settlement.status <= 599:
        yield f"a call was settled with status {settlement.status}: {settlement}"
    begun = sum(attempt.outcome not in PREVENTED for attempt in settlement.attempts)
    if len(settlement.receipts) != begun:
        yield f"{begun} attempts were begun, and have {len(settlement.receipts)} receipts: {settlement}"
    ended_at = 0.0
    for attempt in settlement.attempts:
        if attempt.ended_at - attempt.duration_s < ended_at - CLOCKS_DIFFER_S:
            yield f"an attempt began before the one before it had ended: {settlement.attempts}"
        ended_at = attempt.ended_at


def _is_of_a_call(request: Request) -> bool:
    """Whether the gateway sent it for a client; not a test by itself, and no probe."""
    path = request.target.partition("?")[0]
    return request.method == "POST" and path.endswith(_OPERATIONS) and request.headers.get("user-agent") == USER_AGENT


def _port_of(attempt: Attempt) -> int:
    provider = attempt.candidate.upstream.provider
    return int(provider.base_url.partition("//")[2].partition("/")[0].rpartition(":")[2] or 0)
