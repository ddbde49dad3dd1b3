"""Check the head of a request for protocol errors, before anything acts on it (RFC 9110, RFC 9112)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.core.authority import host_of
from gateway.core.bounded import remember
from gateway.errors import BadRequest, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.types import Header

LARGEST_HEAD = 32 * 1024
MOST_HEADERS = 100
MOST_HOSTS = 1024
_CHUNKED = b"chunked"

_good_hosts: dict[bytes, None] = {}


class HeadTooLarge(Refusal):
    """The request line and headers, or the trailers, are larger than the server reads."""

    status = 431
    code = "headers_too_large"


class UnknownCoding(Refusal):
    """The body has a transfer coding that the server cannot decode."""

    status = 501
    code = "unsupported_transfer_coding"


class ExpectationFailed(Refusal):
    """The `Expect` header has an expectation that the server does not support."""

    status = 417
    code = "expectation_failed"


def objection(
    version: str, headers: Sequence[Header], by_name: Mapping[bytes, bytes], target_host: str | None
) -> Refusal | None:
    """Return why a request is not served, or None.

    `by_name`: the headers by name; the last of repeated headers wins. `target_host`: the host of a target in absolute
    form, as `host_of` returns it; None for any other target.
    """
    host = by_name.get(b"host")
    usual = len(by_name) == len(headers) and host in _good_hosts and target_host is None
    if usual and b"transfer-encoding" not in by_name and b"expect" not in by_name:
        return None  # nearly always
    if len(by_name) != len(headers):
        coding = _joined(headers, b"transfer-encoding")
        if sum(name == b"host" for name, _ in headers) > 1:
            return BadRequest('the header "host" occurs twice; send it once', code="repeated_header")
    else:
        coding = by_name.get(b"transfer-encoding")
    if coding is not None and (coding != _CHUNKED or version == "1.0"):
        refusal = _of_coding(version, coding)
        if refusal is not None:
            return refusal
    if host not in _good_hosts and (refusal := _of_host(version, host)) is not None:
        return refusal
    if target_host is not None and host is not None and target_host != host_of(host.decode("latin-1")):
        # Proxies use the target's host, checks of names use the header's (RFC 9112 section 3.2.2): they must agree.
        return BadRequest("the host of the request target is not the one of the Host header", code="invalid_host")
    if b"expect" in by_name and _tokens(headers, b"expect") != {b"100-continue"}:
        return ExpectationFailed('the only supported expectation is "100-continue"; leave the Expect header out')
    return None


def _of_host(version: str, host: bytes | None) -> Refusal | None:
    if host is None:
        if version == "1.0":
            return None
        return BadRequest("an HTTP/1.1 request needs a Host header; send one", code="invalid_host")
    if host_of(host.decode("latin-1")) is None:
        shown = host[:100].decode("ascii", "backslashreplace")
        return BadRequest(f'the Host header "{shown}" is not a host with an optional port', code="invalid_host")
    remember(_good_hosts, host, None, MOST_HOSTS)
    return None


def _of_coding(version: str, coding: bytes) -> Refusal | None:
    """Check a transfer coding: without a final `chunked` the body has no known end (RFC 9112 sections 6.1, 6.3)."""
    if version == "1.0":
        return BadRequest("HTTP/1.0 has no transfer codings; send content-length", code="invalid_transfer_coding")
    codings = [one.strip().lower() for one in coding.split(b",")]
    codings = [one for one in codings if one]
    if codings == [_CHUNKED]:
        return None
    shown = coding[:100].decode("ascii", "backslashreplace")
    if not codings or codings[-1] != _CHUNKED or _CHUNKED in codings[:-1]:
        message = f'a body of transfer-encoding "{shown}" has no known end; send "chunked"'
        return BadRequest(message, code="invalid_transfer_coding")
    return UnknownCoding(f'the transfer coding "{shown}" is not supported; send "chunked" alone')


def _tokens(headers: Sequence[Header], name: bytes) -> set[bytes]:
    return {token.strip().lower() for token in (_joined(headers, name) or b"").split(b",")}


def _joined(headers: Sequence[Header], name: bytes) -> bytes | None:
    """Return all values of a header as one list (RFC 9110 section 5.3); None if there is none."""
    values = [value for found, value in headers if found == name]
    return b", ".join(values) if values else None
