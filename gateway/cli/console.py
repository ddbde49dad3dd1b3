"""`gateway console`: print a link that signs in to the console once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from gateway.cli import configuration, running, terminal
from gateway.cli.terminal import Mistake

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@configuration.config_option
@terminal.json_option
def console(path: Path | None, *, as_json: bool) -> None:
    """Print a link to the console of the running gateway. It signs in once, within ten minutes.

    The link needs no key: who may write the gateway's state directory may administer the gateway.
    """
    from gateway.config.overlay import state_dir
    from gateway.stores.sessions import LINK_LIVES_S, Sessions

    found = running.running(path)
    file = configuration.find(path) or configuration.USUAL
    folder = state_dir(configuration.environment(file.parent))
    if found is None or folder is None:
        raise Mistake(
            "no gateway has the state directory, so there is no console to open.",
            "Start one with `gateway`. If one runs in another place, set GATEWAY_STATE_DIR as for that one.",
        )
    try:
        secret = Sessions(folder).make_link(time.time())
    except OSError as error:
        raise Mistake(f"{folder} is another user's: {error.strerror}; run this as the user of the gateway") from None
    # A fragment stays in the browser: no log and no Referer has it.
    link = f"http://{terminal.reachable(found.host)}:{found.port}/console#link={secret}"
    if as_json:
        terminal.print_json({"link": link, "expires_in_s": int(LINK_LIVES_S)})
    else:
        click.echo(link)
        click.echo(terminal.dim("It signs in once, within ten minutes. Keep it to yourself."), err=True)
