"""One reading of a host, or none."""

from __future__ import annotations

import pytest

from gateway.core.authority import host_of, host_of_origin, is_loopback

HOSTS = {
    "localhost": "localhost", "LOCALHOST:8400": "localhost", "localhost:": "localhost", "127.0.0.1": "127.0.0.1",
    "127.0.0.1:1": "127.0.0.1", "[::1]": "::1", "[::1]:8400": "::1", "[0:0:0:0:0:0:0:1]": "::1",
    "[2001:DB8::1]:443": "2001:db8::1",
    "gateway": "gateway", "my_gateway.internal:8400": "my_gateway.internal", "a-b.example.": "a-b.example.",
    "gateway.1.example": "gateway.1.example", "1password.example": "1password.example",
}  # fmt: skip
MALFORMED = [
    "", " ", ":8400", "127.0.0.1#evil.example", "127.0.0.1/evil", "127.0.0.1?evil", "127.0.0.1\\@evil.example",
    "127.0.0.1:abc", "127.0.0.1:80:80", "127.0.0.1:-1", "127.0.0.1:65536", "127.0.0.1:999999999999", "127.0.0.1:8a",
    "127.999.1.1", "127.1", "127.0.0.1.", "127.0.0.01", "256.0.0.1", "2130706433", "0x7f.1", "0x7f000001", "example.1",
    "user@localhost", "user:pw@127.0.0.1", "@localhost", "local host", "localhost ", "localhost, evil.example", "a%20b",
    "::1", "[::1", "::1]", "[::1]x", "[::1]8400", "[]", "[127.0.0.1]", "[::1%eth0]", "[::g]", "[v1.x]", "localhost\t",
    "http://localhost", "//localhost", "caf\xe9", "localhost\0", "<script>", '"localhost"', "a" * 301, "\u0661.example",
]  # fmt: skip


@pytest.mark.parametrize(("written", "host"), HOSTS.items())
def test_a_host(written: str, host: str) -> None:
    assert host_of(written) == host


@pytest.mark.parametrize("written", MALFORMED)
def test_no_host(written: str) -> None:
    """Two programs could read it differently, and one of them checks names."""
    assert host_of(written) is None
    assert not is_loopback(host_of(written))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://localhost:3000", "localhost"), ("https://App.example", "app.example"), ("http://[::1]:1", "::1"),
        ("null", None), ("", None), ("file://", None), ("file://localhost", None),
        ("chrome-extension://localhost", None),
        ("http://localhost/", None), ("http://localhost#x", None), ("http://evil.example@localhost", None),
        ("http://localhost:x", None), ("http://", None), ("localhost", None),
    ],
)  # fmt: skip
def test_the_host_of_an_origin(origin: str, host: str | None) -> None:
    assert host_of_origin(origin) == host


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True), ("127.0.0.1", True), ("127.8.9.10", True), ("::1", True),
        (None, False), ("128.0.0.1", False), ("0.0.0.0", False), ("::", False), ("127.999.1.1", False),
        ("localhost.evil.example", False), ("127.0.0.1.nip.io", False), ("169.254.169.254", False),
    ],
)  # fmt: skip
def test_this_machine(host: str | None, here: bool) -> None:
    assert is_loopback(host) is here
