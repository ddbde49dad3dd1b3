"""Which headers pass, in either direction (RFC 9110 section 7.6.1).

Rule: towards an upstream by permission, so that no credential, cookie or client identity leaks; towards the client
by exception, so that what an upstream says about limits and requests arrives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def forwarded(headers: Iterable[Header], connection: bytes | None = None) -> bytes:
    """Return the header lines of a request that go to an upstream; `connection` is the value of that header."""
    allowed = TO_UPSTREAM
    if connection is not None and connection.lower() not in (b"keep-alive", b"close"):
        allowed = allowed - {token.strip().lower() for token in connection.split(b",")}
    return b"".join([b"%b: %b\r\n" % header for header in headers if header[0] in allowed])


def relayed(headers: Iterable[Header]) -> bytes:
    """Return the header lines of an upstream's answer that go to the client."""
    lines: list[bytes] = []
    named: list[bytes] = []
    for header in headers:
        name, value = header
        if name not in _NOT_TO_CLIENT:
            if not name.startswith(b"x-gateway-"):
                lines.append(b"%b: %b\r\n" % header)
        elif name == b"x-request-id":
            lines.append(b"x-upstream-request-id: %b\r\n" % value)
        elif name == b"connection":
            named = [token.strip().lower() for token in value.split(b",")]
    if named and named not in ([b"close"], [b"keep-alive"]):
        lines = [line for line in lines if line.partition(b":")[0] not in named]
    return b"".join(lines)


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
