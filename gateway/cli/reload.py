"""`gateway reload`: make the gateway on this machine reload its configuration, and print the result."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import click

from gateway.cli import configuration, running, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path

    from gateway.cli.state import Holder

WITHIN_S = 15.0
_LOOK_EVERY_S = 0.05


@click.command()
@configuration.config_option
@terminal.json_option
def reload(path: Path | None, *, as_json: bool) -> None:
    """Have the running gateway read its configuration again. Calls under way keep what they began with.

    Exit status 1 if the configuration has mistakes, which are named; then the version in use stays.
    """
    found = running.running(path)
    if found is None:
        raise Mistake(
            "no gateway has the state directory, so there is none to tell.",
            "If one runs in another place, set GATEWAY_STATE_DIR as for that one, or send its process SIGHUP.",
        )
    _say(told(found), as_json=as_json)


def told(found: Holder) -> dict[str, Any]:
    """Have a gateway read its configuration, and return the state of the configuration after it.

    Raises:
        Mistake: the gateway cannot be told, or has not read it in time.
    """
    if not hasattr(signal, "SIGHUP"):
        raise Mistake("there is no SIGHUP here; the gateway reads its files by itself when they change")
    before = _configuration(found).get("readings", -1)
    try:
        os.kill(found.pid, signal.SIGHUP)
    except PermissionError:
        raise Mistake(f"the gateway (pid {found.pid}) is another user's; send it SIGHUP as that user") from None
    return _outcome(found, before)


def _outcome(found: Holder, before: int) -> dict[str, Any]:
    """Wait until the configuration has been read once more, and return its state.

    Raises:
        Mistake: the configuration has not been read in time.
    """
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        said = _configuration(found)
        if said.get("readings", -1) > before:
            return said
        time.sleep(_LOOK_EVERY_S)
    raise Mistake(f"the gateway (pid {found.pid}) has not read its configuration within {WITHIN_S:g} s; see its log")


def _configuration(found: Holder) -> dict[str, Any]:
    said = running.readyz(found.host, found.port).body.get("configuration")
    return said if isinstance(said, dict) else {}


def _say(said: dict[str, Any], *, as_json: bool) -> None:
    error, version = said["error"], said["version"]
    if as_json:
        terminal.print_json(said)
    elif not error:
        click.echo(f"version {version} of {said.get('source', 'the configuration')} is in use")
    if error:
        raise Mistake(*([] if as_json else error.splitlines()), f"version {version} stays in use")
    if not as_json:
        for one in said.get("after_restart", ()):
            click.echo(one)
