"""A session counts for its own gateway's pages only, and ends with the key that it stands for."""

from __future__ import annotations

import pytest

from gateway.core.keys import ADMINISTRATOR, CONFIG, digest_of
from gateway.errors import Forbidden
from gateway.stores.keyring import Keyring
from gateway.stores.sessions import Sessions
from gateway.web.console.visitors import Visitors, cookie_name, object_to_origin, secret_in
from tests.web.keyed import Admitting, Configured

KEY = digest_of(b"sk-admin-0123456789abcdef")


def visitors(*, admin: bool = True, api: bool = False) -> tuple[Visitors, Configured]:
    some = frozenset({KEY})
    configured = Configured(Admitting(some if api else frozenset(), admin_keys=some if admin else frozenset()))
    return Visitors(configured, Keyring(None), Sessions(None), lambda: 1.0), configured


def test_a_session_ends_with_its_key() -> None:
    found, configured = visitors()
    secret = found.sessions.begin(KEY.hex(), 0.0)
    assert found.key_of(secret) is ADMINISTRATOR
    configured.now = Admitting(frozenset())
    assert found.key_of(secret) is None


def test_a_client_key_administers_only_without_admin_keys() -> None:
    found, configured = visitors(admin=False, api=True)
    secret = found.sessions.begin(KEY.hex(), 0.0)
    assert found.key_of(secret) is CONFIG
    configured.now = Admitting(frozenset({KEY}), admin_keys=frozenset({digest_of(b"another")}))
    assert found.key_of(secret) is None


def test_a_link_stands_for_the_owner_of_the_state_directory() -> None:
    found, _ = visitors(admin=False)
    assert found.key_of(found.sessions.begin("", 0.0)) is ADMINISTRATOR


@pytest.mark.parametrize(
    ("cookie", "secret"),
    [
        (b"gateway_session_8400=abc", "abc"),
        (b"a=b; gateway_session_8400=abc; c=d", "abc"),
        (b"gateway_session_8401=abc", None),
        (b"xgateway_session_8400=abc", None),
        ("gateway_session_8400=é".encode(), None),
        (b"", None),
    ],
)
def test_two_gateways_on_one_machine_do_not_share_a_cookie(cookie: bytes, secret: str | None) -> None:
    assert secret_in({b"cookie": cookie}, {"server": ("127.0.0.1", 8400)}) == secret


def test_a_socket_without_a_port_has_a_cookie_too() -> None:
    assert cookie_name({"server": None}) == "gateway_session_0"


@pytest.mark.parametrize("host", [b"", b"evil.example", b"127.0.0.1.evil.example", b"127.0.0.1#evil.example"])
def test_a_name_that_may_be_rebound_is_no_host(host: bytes) -> None:
    with pytest.raises(Forbidden, match="console_hosts"):
        object_to_origin({b"host": host}, ())


def test_a_listed_name_is_a_host() -> None:
    object_to_origin({b"host": b"Gateway.example:443", b"origin": b"https://gateway.example:443"}, {"gateway.example"})
