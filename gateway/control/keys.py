"""Make a virtual key from what a user or a client wants of it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.config import scalars
from gateway.core import keys as core
from gateway.types import Key, Window

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class WrongField(ValueError):
    """A field of a key is wrong. `field`: its name in `Wanted`."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True)
class Wanted:
    """A key as it is asked for; the notations are those of `gateway keys create`."""

    name: str = ""
    routes: tuple[str, ...] = ()
    budget: str | float | None = None
    """In USD."""
    window: str | None = None
    rpm: int | None = None
    tpm: str | int | None = None
    streams: int | None = None
    expires: str | None = None
    labels: tuple[str, ...] = ()
    admin: bool = False


def new_key(wanted: Wanted, now: float) -> tuple[str, Key]:
    """Return a new secret and its key. `now`: wall-clock seconds.

    Raises:
        WrongField: a field is wrong.
    """
    if wanted.window is not None and wanted.budget is None:
        raise WrongField("window", "the window is the period of a budget, and there is no budget")
    if wanted.admin and any((wanted.routes, wanted.budget, wanted.rpm, wanted.tpm, wanted.streams)):
        raise WrongField("admin", "a key for administration makes no calls, so it has no routes and no limits")
    secret = new_secret()
    return secret, Key(
        id=core.id_of(secrets.token_bytes(core.ID_BYTES)),
        name=_read("name", core.read_name, wanted.name) if wanted.name else "",
        digest=core.digest_of(secret.encode()),
        hint=hint_of(secret),
        routes=_read("routes", core.read_routes, wanted.routes),
        budget_nanousd=None if wanted.budget is None else _read("budget", scalars.nano_usd, wanted.budget),
        budget_window=Window(wanted.window or Window.MONTH),
        requests_per_min=wanted.rpm,
        tokens_per_min=None if wanted.tpm is None else _read("tpm", scalars.tokens, wanted.tpm),
        max_streams=wanted.streams,
        expires_at=None
        if wanted.expires is None
        else _read("expires", lambda text: core.read_expiry(text, now), wanted.expires),
        created_at=now,
        labels=_read("labels", core.read_labels, wanted.labels),
        may_admin=wanted.admin,
    )


def new_secret() -> str:
    """Return a secret that nobody has."""
    return core.secret_of(secrets.token_bytes(core.SECRET_BYTES))


def hint_of(secret: str) -> str:
    """Return the part of a secret that may be shown."""
    return secret[-core.HINT_CHARACTERS :]


def _read(field: str, read: Callable[[Any], T], value: object) -> T:
    try:
        return read(value)
    except ValueError as error:
        raise WrongField(field, str(error)) from None
