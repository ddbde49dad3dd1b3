"""Refuse JSON in another encoding than UTF-8, which the gateway would misread."""

from __future__ import annotations

from gateway.errors import UnsupportedMediaType

_UTF_8 = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


def refuse_charset(content_type: bytes) -> None:
    """Check that a content type is UTF-8, the only encoding of JSON between systems (RFC 8259 section 8.1).

    Raises:
        UnsupportedMediaType: the content type names another charset.
    """
    for parameter in content_type.decode("latin-1").split(";")[1:]:
        name, _, value = parameter.partition("=")
        charset = value.strip().strip('"').strip().lower()
        if name.strip().lower() == "charset" and charset not in _UTF_8:
            shown = charset.encode("ascii", "backslashreplace")[:50].decode()
            raise UnsupportedMediaType(f'the charset is "{shown}"; send JSON in UTF-8', code="unsupported_charset")
