"""What a running gateway cannot change keeps its value, and is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.config.restart import held_back
from tests.serving import config_of

ASKED = config_of("server: {port: 0}", {"GATEWAY_STATE_DIR": "/state"})
# The kernel has chosen a port, and the state directory cannot be written.
RUNNING = replace(
    ASKED, server=replace(ASKED.server, port=40_123), ledger=replace(ASKED.ledger, state_dir=None)
)  # fmt: skip


@pytest.mark.parametrize(
    ("yaml", "environ", "said"),
    [
        ("server: {port: 0}", {}, []),
        ("server: {port: 0, max_body: 1MB, drain: 1s, api_keys: [sk-gateway-0123456789abcdef]}", {}, []),
        ("server: {port: 8500}", {}, ["server.port: 0 -> 8500"]),
        ("server: {port: 0, host: 127.0.0.2, workers: 3}", {},
         ["server.host: 127.0.0.1 -> 127.0.0.2", "server.workers: 1 -> 3"]),
        ("server: {port: 0}\nledger: {enabled: false, durability: strict, content: true, retention: 7}", {},
         ["ledger.enabled: true -> false", "ledger.durability: process -> strict", "ledger.content: false -> true",
          "ledger.retention: 400 -> 7"]),
        ("server: {port: 0}\nstores: {database: 'postgresql://u:secret@h/d', redis: 'redis://:secret@h'}", {},
         ["stores.database", "stores.redis"]),
        ("server: {port: 0}", {"GATEWAY_STATE_DIR": "/other"}, ["GATEWAY_STATE_DIR: /state -> /other"]),
        ("server: {port: 0}\ncache: {max_memory: 1MB}", {}, ["cache.max_memory: 67108864 -> 1048576"]),
    ],
)  # fmt: skip
def test_what_waits_for_a_restart(yaml: str, environ: dict[str, str], said: list[str]) -> None:
    """Compared is what was written, not what became of it; passwords are not shown."""
    fresh = config_of(yaml, {"GATEWAY_STATE_DIR": "/state", **environ})
    config, waits = held_back(ASKED, RUNNING, fresh)
    assert list(waits) == [f"{one} takes effect after a restart" for one in said]
    assert (config.ledger, config.cache) == (RUNNING.ledger, RUNNING.cache)
    assert (config.server.host, config.server.port, config.server.workers) == ("127.0.0.1", 40_123, 1)
    assert config.server.max_body_bytes == fresh.server.max_body_bytes
    assert config.server.api_keys == fresh.server.api_keys
