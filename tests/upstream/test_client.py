"""Where requests of a provider go, and over what."""

from __future__ import annotations

import ssl

from gateway.upstream.client import Client
from gateway.upstream.h1 import Pool


def test_providers_are_met_with_tls_1_2_or_newer() -> None:
    """Older versions are broken (RFC 8996). Names and chains are checked, and HTTP/2 is not offered."""
    pool = Client().origin("https://api.example.com/v1")
    assert isinstance(pool, Pool)
    context = pool._tls
    assert context is not None
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED
