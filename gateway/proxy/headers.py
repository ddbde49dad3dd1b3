"""Which headers pass, in either direction (RFC 9110 section 7.6.1).

Rule: towards an upstream by permission, so that no credential, cookie or client identity leaks; towards the client
by exception, so that what an upstream says about limits and requests arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.types import Header

TO_UPSTREAM = frozenset({
    b"accept", b"accept-language", b"openai-beta", b"anthropic-beta", b"anthropic-version", b"http-referer",
    b"x-title", b"x-openrouter-title", b"x-openrouter-metadata", b"x-client-request-id", b"idempotency-key",
    b"traceparent", b"tracestate",
})  # fmt: skip

_NOT_TO_CLIENT = frozenset({
    b"connection", b"keep-alive", b"proxy-authenticate", b"proxy-authorization", b"proxy-connection", b"te",
    b"trailer", b"transfer-encoding", b"upgrade",
    # The gateway frames the body itself, and a provider's cookies are between it and us.
    b"content-length", b"set-cookie", b"set-cookie2", b"alt-svc",
    # Its own words. The upstream's request id passes as x-upstream-request-id.
    b"x-request-id",
})  # fmt: skip

# What a connection header says as a rule: nothing of other headers.
_USUAL = frozenset({b"close", b"keep-alive"})


def forwarded(headers: Sequence[Header], fields: Mapping[bytes, bytes]) -> bytes:
    """Return the header lines of a request that go to an upstream. `fields`: the headers by name."""
    passing = TO_UPSTREAM & fields.keys()
    connection = fields.get(b"connection")
    if connection is not None and connection.lower() not in _USUAL:
        passing -= {token.strip().lower() for token in connection.split(b",")}
    if len(fields) == len(headers):  # none is repeated; nearly all of many are of no interest
        return _lines([(name, fields[name]) for name in sorted(passing)])
    return _lines([header for header in headers if header[0] in passing])


def relayed(headers: Iterable[Header], fields: Mapping[bytes, bytes]) -> bytes:
    """Return the header lines of an upstream's answer that go to the client. `fields`: the headers by name."""
    kept = [header for header in headers if header[0] not in _NOT_TO_CLIENT]
    if (identity := fields.get(b"x-request-id")) is not None:
        kept.append((b"x-upstream-request-id", identity))
    connection = fields.get(b"connection")
    if connection is not None and connection.lower() not in _USUAL:
        named = {token.strip().lower() for token in connection.split(b",")}
        kept = [header for header in kept if header[0] not in named]
    lines = _lines(kept)
    if lines.find(b"x-gateway-") >= 0:
        lines = _lines([header for header in kept if not header[0].startswith(b"x-gateway-")])
    return lines


def _lines(headers: list[Header]) -> bytes:
    return b"\r\n".join([*map(b": ".join, headers), b""])


def value_of(headers: Iterable[Header], name: bytes) -> bytes | None:
    """Return the first value of a header, or None."""
    for found, value in headers:
        if found == name:
            return value
    return None


def safe(text: str) -> bytes:
    """A name as a header value: printable ASCII, anything else as an escape, at most 256 bytes."""
    escaped = text.encode("ascii", "backslashreplace")[:256]
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in escaped)
