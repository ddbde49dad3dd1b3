"""A gateway with virtual keys, whose keyring is kept fresh like the real one's."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.core.keys import digest_of
from gateway.stores.keyring import Keyring
from gateway.stores.keys import SQLiteKeys
from gateway.types import Key
from gateway.web.routes import Web
from tests.faults import chat_json
from tests.proxy.scene import proxied

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from gateway.core.cors import Cors
    from tests.faults import Answer, FaultyUpstream
    from tests.serving import Running


def secret(name: str) -> str:
    """Return the secret of the key of this name."""
    return f"sk-gw-{name:x<43}"


def key(name: str, **more: Any) -> Key:
    """Return a key that has `secret(name)`."""
    return Key(id=f"key_{name}", name=name, digest=digest_of(secret(name).encode()), hint="xxxx", **more)


@dataclass(frozen=True, slots=True)
class Keyed:
    """What a test needs of it."""

    running: Running
    upstream: FaultyUpstream
    store: SQLiteKeys
    keyring: Keyring
    web: Web

    def forgive(self) -> None:
        """Forget who has failed: a table of refusals is no attack."""
        self.web.door._failures.clear()


@dataclass(frozen=True, slots=True)
class Admitting:
    """What a configuration says of callers, in the place of a ruleset."""

    api_keys: frozenset[bytes]
    cors: Cors | None = None
    admin_keys: frozenset[bytes] = frozenset()
    console_hosts: frozenset[str] = frozenset()


@dataclass(slots=True)
class Configured:
    """A gateway, as far as a door asks."""

    now: Admitting


def configured(*digests: bytes) -> Configured:
    """Return a gateway whose configuration has the keys with these digests."""
    return Configured(Admitting(frozenset(digests)))


@asynccontextmanager
async def keyed(
    folder: Path,
    *keys: Key,
    server: str = "{}",
    defaults: str = "",
    extra: str = "",
    answer: Answer | None = None,
    strict: bool = True,
) -> AsyncIterator[Keyed]:
    """Serve with these keys in a store in `folder`, which others may change meanwhile."""
    store = SQLiteKeys(folder / "keys.sqlite")
    for one in keys:
        store.insert(one)
    keyring = Keyring(SQLiteKeys(folder / "keys.sqlite"))
    served = proxied(answer or chat_json(), server=server, defaults=defaults, extra=extra, strict=strict, speaks="chat")
    async with served as (running, (upstream,)):
        app = running.app
        app._web = Web(running.gateway, keyring)
        await keyring.refresh()
        fresh = asyncio.get_running_loop().create_task(keyring.run())
        try:
            yield Keyed(running, upstream, store, keyring, app._web)
        finally:
            fresh.cancel()
            await asyncio.wait([fresh])
            keyring.close()
            store.close()
