"""Which headers pass, in either direction (RFC 9110 section 7.6.1).

Rule: an upstream gets only listed headers, so that no credential, cookie or client identity leaks. A client gets all
headers but the listed ones, so that an upstream's rate limits and request ids arrive.
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

# RFC 9110 section 7.6.1, and the framing of the body, which the gateway does itself.
_HOP_BY_HOP = frozenset({
    b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade",
    b"content-length",
})  # fmt: skip
OWN = frozenset({
    b"x-request-id", b"x-upstream-request-id", b"x-should-retry", b"access-control-allow-origin",
    b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods",
    b"access-control-allow-private-network", b"access-control-expose-headers", b"access-control-max-age",
})  # fmt: skip
"""Headers that the gateway sets itself, beside x-gateway-*. The upstream's values are dropped, so none is sent twice.

The upstream's own request id passes as x-upstream-request-id. The openai SDKs ignore x-should-retry with two values.
"""
# Headers about the upstream's own site. Relayed, they would apply to the gateway: browsers would apply HSTS and
# clear-site-data to its host name, SDKs would follow a redirect, a proxy in front would obey x-accel-redirect.
_OF_ITS_SITE = frozenset({
    b"set-cookie", b"set-cookie2", b"set-login", b"clear-site-data", b"activate-storage-access",
    b"www-authenticate", b"proxy-authenticate", b"proxy-authorization", b"authentication-info",
    b"proxy-authentication-info", b"authorization", b"cookie",
    b"location", b"content-location", b"refresh", b"link", b"sourcemap", b"x-sourcemap", b"speculation-rules",
    b"strict-transport-security", b"public-key-pins", b"public-key-pins-report-only", b"expect-ct", b"alt-svc",
    b"alt-used", b"content-security-policy", b"content-security-policy-report-only", b"x-content-security-policy",
    b"x-webkit-csp", b"x-frame-options", b"x-xss-protection", b"x-permitted-cross-domain-policies",
    b"permissions-policy", b"permissions-policy-report-only", b"feature-policy", b"document-policy",
    b"document-policy-report-only", b"require-document-policy", b"integrity-policy", b"integrity-policy-report-only",
    b"referrer-policy", b"origin-agent-cluster", b"cross-origin-embedder-policy",
    b"cross-origin-embedder-policy-report-only", b"cross-origin-opener-policy",
    b"cross-origin-opener-policy-report-only", b"cross-origin-resource-policy", b"timing-allow-origin",
    b"access-control-request-headers", b"access-control-request-method", b"service-worker-allowed", b"origin-trial",
    b"accept-ch", b"critical-ch", b"supports-loading-mode", b"observe-browsing-topics", b"x-dns-prefetch-control",
    b"report-to", b"reporting-endpoints", b"nel", b"x-robots-tag",
    b"server", b"via", b"x-powered-by", b"x-aspnet-version", b"x-aspnetmvc-version", b"x-generator",
    b"x-accel-redirect", b"x-accel-expires", b"x-accel-limit-rate", b"x-accel-charset", b"x-sendfile",
    b"x-lighttpd-send-file", b"x-reproxy-url",
})  # fmt: skip
_NOT_TO_CLIENT = _HOP_BY_HOP | OWN | _OF_ITS_SITE

# Usual `Connection` values, which name no other header.
_USUAL = frozenset({b"close", b"keep-alive"})


def forwarded(headers: Sequence[Header], fields: Mapping[bytes, bytes]) -> bytes:
    """Return the header lines of a request that go to an upstream. `fields`: the headers by name."""
    passing = TO_UPSTREAM.intersection(fields)
    connection = fields.get(b"connection")
    if connection is not None and connection.lower() not in _USUAL:
        passing -= {token.strip().lower() for token in connection.split(b",")}
    if len(fields) == len(headers):  # no header is repeated; of many headers only a few pass
        lines = b""
        for name in sorted(passing) if len(passing) > 1 else passing:
            lines += b"%b: %b\r\n" % (name, fields[name])
        return lines
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
    lines = b"\r\n".join([*map(b": ".join, kept), b""])
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
    """Return a name as a header value: printable ASCII, other characters escaped, at most 256 bytes."""
    escaped = text.encode("ascii", "backslashreplace")[:256]
    return bytes(byte if 0x20 <= byte < 0x7F else 0x3F for byte in escaped)
