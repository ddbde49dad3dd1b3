"""`gateway keys`: create, list, rotate and revoke virtual keys, whether or not a gateway runs."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gateway.cli import configuration, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gateway.config import Config
    from gateway.stores.keys import KeyStore
    from gateway.types import Key

T = TypeVar("T")

_WINDOWS = ("hour", "day", "week", "month", "lifetime")
_HEAD = ("ID", "NAME", "STATE", "SECRET", "MAY USE", "LIMITS", "EXPIRES", "LABELS")
_COUNT = click.IntRange(1, 10**9)


@click.group()
def keys() -> None:
    """Create keys for clients, each with its own name, limits and expiry.

    As soon as one key exists that is not revoked, every client needs a key. A running gateway notices every change
    within a second; calls under way go on.
    """


@keys.command()
@click.argument("name", default="")
@click.option("--routes", metavar="LIST", multiple=True, help="Models it may use: role:*,openai/gpt-*. Default: all.")
@click.option("--budget", metavar="USD", help="What it may spend, such as 5 or 0.50.")
@click.option("--window", type=click.Choice(_WINDOWS), help="The period of the budget. Default: a month.")
@click.option("--rpm", type=_COUNT, metavar="N", help="Requests a minute.")
@click.option("--tpm", metavar="N", help="Tokens a minute, such as 200k.")
@click.option("--streams", type=_COUNT, metavar="N", help="Calls under way at once.")
@click.option("--expires", metavar="WHEN", help="After 12h, 30d, 2w; or at the start of a day (UTC): 2027-01-31.")
@click.option("--label", metavar="NAME=VALUE", multiple=True, help="For budgets and reports. Repeat for more.")
@click.option("--admin", is_flag=True, help="It administers the gateway, and makes no calls.")
@configuration.config_option
@terminal.json_option
def create(name: str, path: Path | None, *, as_json: bool, **said: Any) -> None:
    """Create a key. Its secret is printed once and never stored."""
    from gateway.stores.keys import NameTaken

    config = _config(path)
    secret, key = _made(name, **said)
    with _store(config) as store:
        try:
            store.insert(key)
        except NameTaken:
            raise Mistake(
                f'there is a key "{key.name}" already; revoke it, rotate it, or choose another name'
            ) from None
        _note(config, store)
    _warn_of_unknown(key, config)
    _show_secret(key, secret, as_json=as_json)


@keys.command("list")
@configuration.config_option
@terminal.json_option
def list_keys(path: Path | None, *, as_json: bool) -> None:
    """Show all keys, the oldest first. Of each secret, only the last four characters are shown."""
    now = time.time()
    with _store(_config(path)) as store:
        kept = store.all()
    known = [one.key for one in kept]
    for one in kept:
        if one.problem:
            click.echo(f"note: {_called(one.key)} cannot be read and is refused: {one.problem}", err=True)
    if as_json:
        terminal.print_json([_described(key, now) for key in known])
    elif known:
        terminal.print_table(_HEAD, [_row(key, now) for key in known])
    else:
        click.echo("There are no keys; `gateway keys create NAME` makes one.")


@keys.command()
@click.argument("key", metavar="ID|NAME")
@configuration.config_option
@terminal.json_option
def revoke(key: str, path: Path | None, *, as_json: bool) -> None:
    """Revoke a key for good. New requests are refused within a second; calls under way go on."""
    now = time.time()
    with _store(_config(path)) as store:
        found = _found(store, key)
        if not store.revoke(found.id, now):
            raise _is_revoked(found)
        is_last = not any(kept.key.revoked_at is None for kept in store.all())
    if as_json:
        terminal.print_json({"id": found.id, "name": found.name or None, "revoked_at": now})
        return
    click.echo(f"revoked {_called(found)}")
    if is_last:
        click.echo("It was the last key: without server.api_keys, callers on this machine need no key now.", err=True)


@keys.command()
@click.argument("key", metavar="ID|NAME")
@click.option(
    "--grace", metavar="TIME", default="0", help="How long the old secret stays valid: 1h, 7d. Default: not at all."
)
@configuration.config_option
@terminal.json_option
def rotate(key: str, grace: str, path: Path | None, *, as_json: bool) -> None:
    """Give a key a new secret. Its id, limits and spending stay."""
    import msgspec

    from gateway.control.keys import hint_of, new_secret
    from gateway.core.keys import KeyState, digest_of, moment, read_duration, state_of

    now = time.time()
    until = now + _read("--grace", read_duration, grace)
    secret = new_secret()
    with _store(_config(path)) as store:
        found = _found(store, key)
        if state_of(found, now) is KeyState.EXPIRED:
            raise Mistake(f"{_called(found)} expired at {moment(found.expires_at or now)}; create another")
        found = msgspec.structs.replace(found, digest=digest_of(secret.encode()), hint=hint_of(secret))
        if not store.rotate(found.id, found.digest, found.hint, until):
            raise _is_revoked(found)
    _show_secret(found, secret, as_json=as_json)
    if not as_json and until > now:
        click.echo(f"The old secret is valid until {moment(until)}.", err=True)


@keys.command()
@configuration.config_option
def forget(path: Path | None) -> None:
    """Forget lost keys whose store was emptied or deleted on purpose.

    A gateway that had keys stays closed when their store is lost. After this command and a restart, callers on this
    machine need no key until one is created.
    """
    from gateway.core.keys import ring_of
    from gateway.stores.keys_seen import seen_beside
    from gateway.stores.store import StoreError

    config = _config(path)
    with _store(config) as store:
        store.forget_lost()
        if ring_of(store.all()).wants_key:
            raise Mistake("there are active keys; revoke the ones that should no longer count")
    try:
        seen_beside(config.ledger).write(frozenset())
    except StoreError as error:
        raise Mistake(str(error)) from None
    click.echo("Forgotten. After its next start, the gateway asks callers on this machine for no key.")


# -- creating keys


# The options, by the fields of a key.
_OPTIONS = {"name": "the name", "labels": "--label"}


def _made(name: str, *, label: tuple[str, ...], **said: Any) -> tuple[str, Key]:
    from gateway.control.keys import Wanted, WrongField, new_key

    if said["window"] is not None and said["budget"] is None:
        raise Mistake("--window is the period of a budget; state its amount with --budget")
    if said["admin"] and any(said[one] for one in ("routes", "budget", "rpm", "tpm", "streams")):
        raise Mistake("an --admin key makes no calls, so it has no routes and no limits")
    try:
        return new_key(Wanted(name=name, labels=label, **said), time.time())
    except WrongField as wrong:
        raise Mistake(f"{_OPTIONS.get(wrong.field, f'--{wrong.field}')}: {wrong}") from None


def _read(option: str, read: Callable[[Any], T], text: object) -> T:
    try:
        return read(text)
    except ValueError as error:
        raise Mistake(f"{option}: {error}") from None


def _warn_of_unknown(key: Key, config: Config) -> None:
    """Warn of unknown names: one may be a model yet to be discovered, but more often it is a slip."""
    from gateway.core.names import quoted, resolve
    from gateway.errors import ModelNotFound

    if not configuration.has_file(config):  # `_config` did not look for servers on this machine
        return
    for pattern in key.routes:
        try:
            if "*" not in pattern:
                resolve(pattern, config.directory)
        except ModelNotFound as error:
            click.echo(f"note: {quoted(pattern)} is unknown at present: {error.message}", err=True)


# -- the store


def _config(path: Path | None) -> Config:
    """Return the configuration. Without a file, servers on this machine are not looked for."""
    file = configuration.find(path)
    return configuration.read_file(file) if file is not None else configuration.without_file(())


@contextmanager
def _store(config: Config) -> Iterator[KeyStore]:
    """Open the store of keys.

    Raises:
        Mistake: there is no place for keys, or it cannot be used.
    """
    from gateway.stores.opening import open_keys
    from gateway.stores.store import StoreError

    try:
        store = open_keys(config.ledger)
        if store is None:
            raise Mistake("there is no place for keys; set GATEWAY_STATE_DIR to a directory")
        try:
            yield store
        finally:
            store.close()
    except StoreError as error:
        raise Mistake(str(error)) from None


def _note(config: Config, store: KeyStore) -> None:
    """Write the ids of the active keys to disk, so that a gateway stays closed if their store is lost."""
    from gateway.core.keys import ring_of
    from gateway.stores.keys_seen import seen_beside
    from gateway.stores.store import StoreError

    if config.ledger.database_url:  # the database itself remembers that there were keys
        return
    try:
        seen_beside(config.ledger).write(ring_of(store.all()).active)
    except StoreError as error:
        click.echo(f"note: {error}", err=True)


def _found(store: KeyStore, text: str) -> Key:
    from gateway.core.keys import find

    try:
        return find(text, [kept.key for kept in store.all()])
    except ValueError as error:
        raise Mistake(str(error)) from None


def _is_revoked(key: Key) -> Mistake:
    from gateway.core.keys import moment

    when = "" if key.revoked_at is None else f" at {moment(key.revoked_at)}"
    return Mistake(f"{_called(key)} is revoked already{when}, which cannot be undone; create another")


# -- output


def _called(key: Key) -> str:
    return f'key "{key.name}" ({key.id})' if key.name else f"key {key.id}"


def _show_secret(key: Key, secret: str, *, as_json: bool) -> None:
    if as_json:
        terminal.print_json({**_described(key, time.time()), "key": secret})
        return
    # Only the secret goes to standard output, so that scripts can read it.
    click.echo(f"{_called(key)}, {_limits(key) or 'without limits'}. Its secret is shown only once:", err=True)
    click.echo(secret)


def _row(key: Key, now: float) -> tuple[str, ...]:
    from gateway.core.keys import moment, state_of

    return (
        key.id,
        key.name or "-",
        state_of(key, now).value,
        f"…{key.hint}",
        "administration" if key.may_admin else ", ".join(key.routes) or "anything",
        _limits(key) or "-",
        "-" if key.expires_at is None else moment(key.expires_at),
        ", ".join(f"{name}={value}" for name, value in key.labels) or "-",
    )


def _limits(key: Key) -> str:
    from gateway.core.money import short_usd
    from gateway.types import Window

    said = []
    if key.budget_nanousd is not None:
        each = "" if key.budget_window is Window.LIFETIME else f" a{'n' * (key.budget_window is Window.HOUR)} "
        said.append(f"{short_usd(key.budget_nanousd)}{each}{key.budget_window.value if each else ' in all'}")
    if key.requests_per_min is not None:
        said.append(f"{key.requests_per_min} requests/min")
    if key.tokens_per_min is not None:
        said.append(f"{key.tokens_per_min} tokens/min")
    if key.max_streams is not None:
        said.append(f"{key.max_streams} at once")
    return ", ".join(said)


def _described(key: Key, now: float) -> dict[str, Any]:
    from gateway.core.keys import state_of

    return {
        "id": key.id,
        "name": key.name or None,
        "state": state_of(key, now).value,
        "hint": key.hint,
        "routes": key.routes,
        "budget_nanousd": key.budget_nanousd,
        "budget_window": None if key.budget_nanousd is None else key.budget_window.value,
        "requests_per_min": key.requests_per_min,
        "tokens_per_min": key.tokens_per_min,
        "max_streams": key.max_streams,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "created_at": key.created_at,
        "labels": dict(key.labels),
        "admin": key.may_admin,
    }
