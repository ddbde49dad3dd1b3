"""`gateway schema`: the JSON Schema of gateway.yaml, for editors."""

from __future__ import annotations

import click

from gateway.cli.terminal import print_json


@click.command()
def schema() -> None:
    """Print the JSON Schema of gateway.yaml."""
    from gateway.config import schema as of_the_file

    print_json(of_the_file())
