"""The command `gateway`. Without a subcommand, it serves.

Rule: each command imports its modules when it runs, so that `gateway run` starts fast.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from gateway import __version__
from gateway.cli.alias import alias
from gateway.cli.changes import config
from gateway.cli.check import check
from gateway.cli.connect import connect
from gateway.cli.console import console
from gateway.cli.experiments import experiments
from gateway.cli.explain import explain
from gateway.cli.healthcheck import healthcheck
from gateway.cli.imports import import_
from gateway.cli.init import init
from gateway.cli.keys import keys
from gateway.cli.login import login
from gateway.cli.models import models
from gateway.cli.params import params
from gateway.cli.providers import providers
from gateway.cli.reload import reload
from gateway.cli.run import run
from gateway.cli.schema import schema
from gateway.cli.status import status
from gateway.cli.switch import switch
from gateway.cli.test import test
from gateway.cli.usage import usage

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

_OWN_OPTIONS = frozenset({"--help", "-h", "--version"})


class _Gateway(click.Group):
    """A group that lists its commands in the order of their use, and defaults to `run`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if not args or (args[0].startswith("-") and args[0] not in _OWN_OPTIONS):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature of click
        return list(self.commands)


@click.group(cls=_Gateway, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="gateway %(version)s")
@click.pass_context
def main(ctx: click.Context) -> None:
    """One OpenAI-compatible endpoint in front of every model you can reach.

    Without a command it serves: from ./gateway.yaml if that exists, else from the model servers that it finds on this
    machine and the API keys in the environment.
    """
    if os.environ.get("NO_COLOR"):
        ctx.color = False


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(f"gateway {__version__}")


def _commands() -> Sequence[click.Command]:
    return (
        run,
        init,
        login,
        check,
        import_,
        status,
        reload,
        models,
        providers,
        alias,
        params,
        switch,
        config,
        connect,
        console,
        explain,
        experiments,
        keys,
        usage,
        test,
        schema,
        healthcheck,
        version,
    )


for _command in _commands():
    main.add_command(_command)
