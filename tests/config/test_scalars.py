"""The small notations of the configuration."""

from __future__ import annotations

import pytest

from gateway.config.scalars import base_url, fraction, header, is_own_host, octets, seconds, webhook


@pytest.mark.parametrize(
    "value, expected",
    [
        (5, 5.0), (0.5, 0.5), ("5", 5.0), ("0.5", 0.5), ("5s", 5.0), ("1.5s", 1.5), ("500ms", 0.5), ("10m", 600.0),
        ("1h30m", 5400.0), ("1m500ms", 60.5), ("24h", 86400.0),
    ],
)  # fmt: skip
def test_durations(value: object, expected: float) -> None:
    """A duration is a number of seconds, or numbers with units from large to small."""
    assert seconds(value) == expected


@pytest.mark.parametrize(
    "value", [0, -1, "0s", "", "s", "5 s", "5sec", "1d", "25h", "-5s", "5s10m", True, None, [], "1e3"]
)
def test_no_durations(value: object) -> None:
    """Anything else is a mistake."""
    with pytest.raises(ValueError, match="duration"):
        seconds(value)


@pytest.mark.parametrize(
    "value, expected",
    [(1024, 1024), ("1024", 1024), ("1KB", 1024), ("1k", 1024), ("1.5MB", 1572864), ("32 MiB", 33554432),
     ("1GB", 1073741824)],
)  # fmt: skip
def test_sizes(value: object, expected: int) -> None:
    """A size is a number of bytes, or one with a unit of 1024."""
    assert octets(value) == expected


@pytest.mark.parametrize("value", [0, -1, 5, "5B", "big", "1TB", "5GB", True, 2048.5, None])
def test_no_sizes(value: object) -> None:
    """Anything else is a mistake."""
    with pytest.raises(ValueError, match="size"):
        octets(value)


@pytest.mark.parametrize(
    "value, expected",
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        ("https://api.example.com/v1/", "https://api.example.com/v1"),
        ("http://[::1]:8080/v1//", "http://[::1]:8080/v1"),
        ("http://ollama:11434", "http://ollama:11434"),
    ],
)
def test_base_urls(value: str, expected: str) -> None:
    """A base URL loses its trailing slash and nothing else."""
    assert base_url(value) == expected


@pytest.mark.parametrize(
    "value, why",
    [
        ("ftp://h/v1", "http://"),
        ("api.example.com/v1", "http://"),
        ("https:///v1", "name a host"),
        ("file:///etc/passwd", "http://"),
        ("https://user:pass@h/v1", "credentials"),
        ("https://h/v1?key=x", "query"),
        ("https://h/v1?", "query"),
        ("https://h/v1#x", "fragment"),
        ("https://h:99999/v1", "not a URL"),
        ("https://[::1/v1", "not a URL"),
        ("https://h/v1 x", "spaces"),
        ("https://h/v1\r\nx: y", "spaces"),
        ("https://hé/v1", "special characters"),
        ("https://h/v1/chat/completions", "leave off /chat/completions"),
        ("https://h/v1/models/", "leave off /models"),
        ("", "http://"),
    ],
)
def test_no_base_urls(value: str, why: str) -> None:
    """What is no plain http(s) URL of an API is refused with the reason."""
    with pytest.raises(ValueError, match=why):
        base_url(value)


@pytest.mark.parametrize(
    "host, own",
    [
        ("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("[::1]", True), ("10.0.0.1", True),
        ("172.16.0.1", True), ("172.31.255.1", True), ("192.168.0.1", True), ("[fd00::1]", True), ("box.local", True),
        ("BOX.LOCAL.", True), ("host.docker.internal", True), ("ollama", True),
        ("172.32.0.1", False), ("8.8.8.8", False), ("169.254.169.254", False), ("api.openai.com", False),
        ("10.0.0.1.example.com", False), ("local.example.com", False), ("[2001:db8::1]", False),
    ],
)  # fmt: skip
def test_own_hosts(host: str, own: bool) -> None:
    """This machine and its private networks are one's own; names are not looked up."""
    assert is_own_host(f"http://{host}:8080/v1") == own


@pytest.mark.parametrize(
    "name, value, why",
    [
        ("", "x", "name"),
        ("a b", "x", "name"),
        ("a:", "x", "name"),
        ("a\r\n", "x", "name"),
        ("x", "a\r\nb: c", "one line"),
        ("x", "a\x00", "one line"),
        ("x", "é", "ASCII"),
        ("Host", "h", "set by the gateway"),
        ("content-length", "0", "set by the gateway"),
        ("Transfer-Encoding", "chunked", "set by the gateway"),
    ],
)
def test_no_headers(name: str, value: str, why: str) -> None:
    """A header cannot break out of its line or change how the message is framed."""
    with pytest.raises(ValueError, match=why):
        header(name, value)


def test_headers() -> None:
    """A header is kept as it goes over the wire."""
    assert header("X-Title", " My\tapp ") == (b"x-title", b"My\tapp")


@pytest.mark.parametrize(("written", "read"), [("", ""), (" ", ""), (" https://h.test/t ", "https://h.test/t")])
def test_webhooks(written: str, read: str) -> None:
    """A variable that is not set leaves an empty text, and that is no webhook."""
    assert webhook(written) == read


@pytest.mark.parametrize(("written", "read"), [("20%", 0.2), ("0.5", 0.5), (1, 1.0), ("2.5 %", 0.025)])
def test_shares(written: object, read: float) -> None:
    assert fraction(written) == pytest.approx(read)


@pytest.mark.parametrize("written", ["0%", "101%", 0, 1.5, True, "many"])
def test_no_shares(written: object) -> None:
    with pytest.raises(ValueError, match="a share must be more than 0 and at most 1"):
        fraction(written)
