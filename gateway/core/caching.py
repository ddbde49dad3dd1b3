"""Decide whether an answer may be cached, and under which key.

Rule: when in doubt, an answer is not cached; and everything that could change the answer is part of the key. A needless
miss costs a little; a wrong hit costs the trust in all answers.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.params import applied
from gateway.types import Usage  # noqa: TC001  # msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.types import Call, Candidate, Params, Route

# The same model answers the same question the same way here.
_COMPUTES = frozenset({"embeddings", "rerank", "moderations"})
_GENERATES = frozenset({"chat", "completions", "responses", "messages"})

# What an object costs beside its content in CPython 3.11 to 3.13, rounded up; tests/stores/test_cache.py measures it.
CHUNK_OVERHEAD = 48
ENTRY_OVERHEAD = 1024

# Headers that name the caller or the request. No answer depends on them.
_OF_THE_REQUEST = frozenset({
    b"http-referer", b"x-title", b"x-openrouter-title", b"x-client-request-id", b"idempotency-key", b"traceparent",
    b"tracestate",
})  # fmt: skip

# Headers that say who pays. Rotating a key changes no answer.
_CREDENTIALS = frozenset({b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"})

# Headers that hold for one answer at one time only.
_OF_THE_ANSWER = frozenset({
    b"x-request-id", b"x-upstream-request-id", b"request-id", b"x-gateway-attempts", b"x-gateway-plan",
    b"x-gateway-fallback-reason",
    b"x-gateway-cost-usd", b"x-gateway-cache", b"date", b"age", b"retry-after", b"openai-processing-ms",
    b"server-timing", b"ratelimit", b"ratelimit-policy", b"x-should-retry",
})  # fmt: skip
_LIMITS = (b"x-ratelimit-", b"ratelimit-", b"anthropic-ratelimit-")

_temperature = msgspec.json.Decoder(float).decode


class Wish(NamedTuple):
    """Which uses of the cache a client allows."""

    look: bool = True
    """The answer may come from the cache."""
    keep: bool = True
    """The answer may go into the cache."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A complete answer with the status 200, as it was written to a client."""

    stored_at: float
    """Wall-clock seconds, like `expires_at`."""
    expires_at: float
    lines: bytes
    """Its header lines, each with its CRLF, without those that hold for one answer only."""
    chunks: tuple[bytes, ...]
    """Its body, in the pieces in which it was written."""
    length: int | None
    """The announced length of the body; None: chunked."""
    usage: Usage | None = None
    """The usage of the original call."""

    def __repr__(self) -> str:
        return f"<Entry of {sum(map(len, self.chunks))} bytes in {len(self.chunks)} pieces>"


def size_of(entry: Entry) -> int:
    """Return the memory that an entry takes, in bytes, rounded up."""
    return ENTRY_OVERHEAD + len(entry.lines) + sum(len(chunk) + CHUNK_OVERHEAD for chunk in entry.chunks)


def wish_of(headers: Mapping[bytes, bytes]) -> Wish:
    """Read `cache-control` (RFC 9111 section 5.2.1) and `x-gateway-cache: off` of a request."""
    if headers.get(b"x-gateway-cache", b"").strip().lower() == b"off":
        return Wish(look=False, keep=False)
    if (said := headers.get(b"cache-control")) is None:
        return Wish()
    directives = {one.strip().lower() for one in said.split(b",")}
    keep = b"no-store" not in directives
    return Wish(look=keep and b"no-cache" not in directives, keep=keep)


def may_keep(call: Call, route: Route, params: Params) -> bool:
    """Tell whether the answer to a call may be cached: its route allows it, and a second call would bring the same.

    `params`: the parameters that the answering candidate adds to the call.
    """
    policy = route.cache
    if policy is None or call.rest_bytes != 0:
        return False
    if call.endpoint.name in _COMPUTES:
        return True
    if call.endpoint.name not in _GENERATES or _has_memory(call, params):
        return False
    return policy.nondeterministic or _is_deterministic(call, params)


def _has_memory(call: Call, params: Params) -> bool:
    """Tell whether the provider stores the call, or builds on an earlier one."""
    return (
        _value("store", call, params) == b"true"
        or _value("background", call, params) == b"true"
        or _value("previous_response_id", call, params) != b"null"
        or _value("conversation", call, params) != b"null"
    )


def _is_deterministic(call: Call, params: Params) -> bool:
    if _value("seed", call, params) != b"null":
        return True
    try:
        return _temperature(_value("temperature", call, params)) == 0
    except msgspec.MsgspecError:
        return False


def _value(name: str, call: Call, params: Params) -> bytes:
    """Return the JSON value of a field as the upstream will receive it; `null` if it will not."""
    if params.adapts:
        fields = {key: bytes(raw) for key, raw in call.fields.items() if isinstance(raw, msgspec.Raw)}
        return applied(fields, params).get(name, b"null")
    if (forced := params.forced.get(name)) is not None:
        return forced
    if isinstance(sent := call.fields.get(name), msgspec.Raw):
        return bytes(sent)
    return params.defaults.get(name, b"null")


def fingerprint(route: Route) -> bytes:
    """Return a 32-byte digest of everything in a route's configuration that an answer depends on.

    It covers neither credentials nor anything learnt at run time (abilities, prices, health).
    """
    policies = (route.order, sorted(route.needs), route.max_price, route.fails_over_on_policy)
    candidates = [
        (
            one.upstream.id,
            one.upstream.provider.kind,
            one.upstream.provider.base_url,
            one.upstream.provider.query,
            [header for header in one.upstream.provider.headers if header[0] not in _CREDENTIALS],
            one.params.identity,
            one.weight,
            one.rank,
        )
        for one in route.candidates
    ]
    return sha256(msgspec.msgpack.encode((policies, candidates))).digest()


def key_of(
    call: Call,
    route: Route,
    configured: bytes,
    order: Iterable[str],
    caller: str | None,
    forwarded: bytes,
    candidate: Candidate,
) -> bytes:
    """Return the 32-byte key of one candidate's answer to a call.

    `configured`: the route's fingerprint. `order`: the order that the client asks for. `caller`: the only caller who
    may get the answer; None: all may. `forwarded`: the client's header lines that go to the upstream unchanged.
    """
    start, end = call.model_span
    body = memoryview(call.body)  # slices of bytes would copy, and a body may be megabytes
    parts = (
        b"answer 2",
        # Two candidates of one upstream differ only in their parameters.
        candidate.upstream.id.encode(),
        msgspec.msgpack.encode(candidate.params.identity),
        call.endpoint.path.encode(),
        b"stream" if call.stream else b"plain",
        f"{route.name} {route.arm}".encode() if route.arm else route.name.encode(),
        configured,
        ",".join(order).encode(),
        b"everybody" if caller is None else b"key " + caller.encode(),
        _without(forwarded, _OF_THE_REQUEST),
        body[:start],
        body[end:],
    )
    found = sha256(b"".join([b"%d " % len(part) for part in parts]))
    for part in parts:
        found.update(part)
    return found.digest()


def kept_lines(lines: bytes) -> bytes:
    """Return the header lines of an answer without those that hold for it alone."""
    return _without(lines, _OF_THE_ANSWER, _LIMITS)


def _without(lines: bytes, names: frozenset[bytes], prefixes: tuple[bytes, ...] = ()) -> bytes:
    kept = []
    for line in lines.splitlines(keepends=True):
        name = line.partition(b":")[0].lower()
        if name not in names and not (prefixes and name.startswith(prefixes)):
            kept.append(line)
    return b"".join(kept)
