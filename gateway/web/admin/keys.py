"""Virtual keys: listed, created and revoked, in the store that `gateway keys` uses."""

from __future__ import annotations

from contextlib import closing
from time import time
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from gateway.control.keys import Wanted, WrongField, new_key
from gateway.control.refusals import Unstored
from gateway.core.keys import ring_of, state_of
from gateway.core.names import quoted
from gateway.errors import BadRequest, NotFound
from gateway.stores.keys import NameTaken
from gateway.stores.keys_seen import seen_beside
from gateway.stores.opening import open_keys
from gateway.stores.overlay import Step
from gateway.stores.store import StoreError
from gateway.web.admin.control import in_thread
from gateway.web.admin.table import Effect, Row, Strict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gateway.stores.keys import KeyStore
    from gateway.types import Key
    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class NewKey(Strict, frozen=True, kw_only=True):
    """A virtual key. Its secret is in the answer, once."""

    name: Annotated[str, Meta(max_length=64)] = ""
    routes: tuple[str, ...] = ()
    budget_usd: str | float | None = None
    window: Literal["hour", "day", "week", "month", "lifetime"] = "month"
    rpm: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    tpm: Annotated[int, Meta(ge=1, le=10**12)] | None = None
    streams: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    expires: str | None = None
    labels: tuple[str, ...] = ()
    admin: bool = False


class KeyInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A virtual key. `secret` is there once: in the answer that creates the key."""

    id: str
    name: str
    state: str
    hint: str
    routes: list[str]
    budget_nanousd: int | None
    window: str
    rpm: int | None
    tpm: int | None
    streams: int | None
    expires_at: float | None
    created_at: float
    labels: list[str]
    admin: bool
    secret: str | None = None
    stored: bool = True


class KeyList(msgspec.Struct, kw_only=True, frozen=True):
    """All virtual keys, the oldest first."""

    data: list[KeyInfo]
    object: Literal["list"] = "list"


T = TypeVar("T")


class Keys:
    """The handlers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the routes."""
        yield Row("GET", "/keys", "keys", "List all virtual keys, without their secrets.", self.every, KeyList)
        yield Row(
            "POST", "/keys", "keys", "Create a virtual key. Its secret is in the answer, once.", self.create,
            KeyInfo, Effect.ACT, body=NewKey, rehearses=True,
        )  # fmt: skip
        yield Row(
            "DELETE", "/keys/{id}", "keys", "Revoke a virtual key for good.", self.revoke, KeyInfo, Effect.ACT,
            rehearses=True,
        )  # fmt: skip

    async def every(self, _: Asked) -> KeyList:
        found = await self._use(lambda store: [one.key for one in store.all()])
        return KeyList(data=[_info(key) for key in found])

    async def create(self, asked: Asked) -> KeyInfo:
        said = asked.body
        wanted = Wanted(
            said.name, said.routes, said.budget_usd, None if said.budget_usd is None else said.window, said.rpm,
            said.tpm, said.streams, said.expires, said.labels, said.admin,
        )  # fmt: skip
        try:
            secret, key = new_key(wanted, time())
        except WrongField as wrong:
            param = "budget_usd" if wrong.field == "budget" else wrong.field
            raise BadRequest(f'"{param}": {wrong}', param=param) from None

        def create(store: KeyStore) -> None:
            if key.name and any(one.key.name == key.name and one.key.revoked_at is None for one in store.all()):
                raise NameTaken
            if not asked.dry_run:
                store.insert(key)

        try:
            await self._use(create)
        except NameTaken:
            words = f"there is a key {quoted(key.name)} already; revoke it, or choose another name"
            raise BadRequest(words, param="name", status=409, code="name_taken") from None
        await self._control.keyring.refresh()
        if not asked.dry_run:
            await self._control.note(asked, Step(f"keys.{key.id}", "created", after=key.name or None))
        return _info(key, None if asked.dry_run else secret, stored=not asked.dry_run)

    async def revoke(self, asked: Asked) -> KeyInfo:
        identity = asked.path["id"]

        def revoke(store: KeyStore) -> Key:
            found = next((one.key for one in store.all() if one.key.id == identity), None)
            if found is None or found.revoked_at is not None:
                raise NotFound(f"there is no active key with the id {quoted(identity[:100])}", param="id")
            if not asked.dry_run:
                store.revoke(identity, time())
            return next(one.key for one in store.all() if one.key.id == identity)

        found = await self._use(revoke)
        await self._control.keyring.refresh()
        if not asked.dry_run:
            await self._control.note(asked, Step(f"keys.{identity}", "revoked", before=found.name or None))
        return _info(found, stored=not asked.dry_run)

    async def _use(self, do: Callable[[KeyStore], T]) -> T:
        """Do something with the store of keys, in a thread."""
        settings = self._control.gateway.now.config.ledger

        def use() -> T:
            try:
                store = open_keys(settings)
                if store is None:
                    raise Unstored("there is no place for keys; set GATEWAY_STATE_DIR to a directory")
                with closing(store):
                    result = do(store)
                    if not settings.database_url:  # the database itself remembers that there were keys
                        seen_beside(settings).write(ring_of(store.all()).active)
            except StoreError as error:
                raise Unstored(str(error)) from error
            return result

        return await in_thread(use)


def _info(key: Key, secret: str | None = None, *, stored: bool = True) -> KeyInfo:
    return KeyInfo(
        id=key.id,
        name=key.name,
        state=state_of(key, time()).value,
        hint=key.hint,
        routes=list(key.routes),
        budget_nanousd=key.budget_nanousd,
        window=key.budget_window.value,
        rpm=key.requests_per_min,
        tpm=key.tokens_per_min,
        streams=key.max_streams,
        expires_at=key.expires_at,
        created_at=key.created_at,
        labels=[f"{name}={value}" for name, value in key.labels],
        admin=key.may_admin,
        secret=secret,
        stored=stored,
    )
