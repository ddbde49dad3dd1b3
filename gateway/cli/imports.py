"""`gateway import`: another program's configuration as a gateway.yaml."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli import configuration
from gateway.cli.check import show
from gateway.cli.terminal import Unusable, careful, count


@click.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE...")
@click.option("--output", type=click.Path(path_type=Path), default=configuration.USUAL, show_default=True)
@click.option("--force", is_flag=True, help="Replace the output if it exists.")
def import_(files: tuple[Path, ...], output: Path, *, force: bool) -> None:
    """Write a gateway.yaml from other programs' FILEs.

    It reads LiteLLM's config.yaml, providers.yaml with harness.yaml, TOML with providers, models, roles and fallback, a
    .env with LLM_PROVIDER, agents' JSON with fallbackModel, OpenRouter's lists and claude-code-router's config.json.
    Every line that is not carried over is named. Keys in clear text are never copied.
    """
    from gateway.config.imports import Unreadable, dotenv, imported
    from gateway.config.overlay import text_of
    from gateway.errors import ConfigError

    if output.exists() and not force:
        raise Unusable(f"{output} exists; write elsewhere with --output, or replace it with --force")
    try:
        found = imported([(str(file), text_of(file)) for file in files])
    except Unreadable as error:
        raise Unusable(str(error)) from None
    except ConfigError as error:
        raise Unusable(*error.problems) from None
    _replace(output, found.text)
    click.echo(f"{output}: written from {', '.join(map(str, files))}")
    for line in found.left:
        click.echo(f"  {careful('not carried over')}: {line}", err=True)
    if found.left:
        click.echo(f"  {count(len(found.left), 'setting')} not carried over; {output} lists them at its end", err=True)
    for file, title in zip(files, found.formats, strict=True):
        if title == dotenv.TITLE and file.resolve() != output.resolve().with_name(".env"):
            click.echo(
                f"  {careful('copy')} {file} to {output.with_name('.env')}: its values are read from there", err=True
            )
    show(configuration.read_file(output))


def _replace(output: Path, text: str) -> None:
    """Write a file. One that was there before stays if the new one has mistakes, which is then left beside it.

    Raises:
        Unusable: it cannot be written. BrokenConfiguration: it has mistakes.
    """
    beside = output.with_name(f"{output.name}.new")
    try:
        beside.write_text(text, encoding="utf-8")
        if output.exists():
            configuration.read_file(beside)
        beside.replace(output)
    except OSError as error:
        raise Unusable(f"{output} cannot be written: {error.strerror}") from None
    except configuration.BrokenConfiguration:
        click.echo(f"{output} stays as it is, because what was imported has mistakes; it is in {beside}", err=True)
        raise
