"""`gateway init`: write a first gateway.yaml and .env, and test what they say.

Rule: everything is asked before anything is written, and no file is ever replaced.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from gateway.cli import configuration
from gateway.cli.check import ask, show, show_findings
from gateway.cli.terminal import Mistake, Unusable, bold, careful, count
from gateway.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gateway.config import Detected
    from gateway.kinds import SignIn

# One key for many makers' models, some of them free.
FIRST = next(kind for kind in KINDS.values() if kind.free_by_name)
KEY = FIRST.key_vars[0]
LOCAL, SKIP = "local", "skip"
WAYS = (FIRST.name, LOCAL, SKIP)
_ASKED = f"""
  {bold("1")}  {FIRST.title}: one key for hundreds of models, some of them free
  {bold("2")}  A model on this machine: no key, and nothing leaves it
  {bold("3")}  Neither now: use what was found
"""


@dataclass(frozen=True, slots=True)
class Ground:
    """What there is already."""

    environ: Mapping[str, str]
    """With the `.env` beside the file to be written."""
    servers: Sequence[Detected]

    @property
    def keys(self) -> list[str]:
        """The variables that hold keys of providers."""
        named = (next((name for name in kind.key_vars if self.environ.get(name)), "") for kind in KINDS.values())
        return [name for name in dict.fromkeys(named) if name]


@click.command()
@click.option("--way", type=click.Choice(WAYS), help="Do not ask how to begin.")
@click.option("--yes", is_flag=True, help="Ask nothing: use what is found. For scripts.")
@click.option("--output", type=click.Path(path_type=Path), default=configuration.USUAL, show_default=True)
@click.option("--no-test", is_flag=True, help="Do not ask the providers whether they can be used.")
@click.pass_context
def init(ctx: click.Context, way: str | None, output: Path, *, yes: bool, no_test: bool) -> None:
    """Write a first gateway.yaml, and .env for a key.

    It looks for model servers on this machine and for API keys, asks how to begin, and tests what it has written. A
    file that exists is never changed, but .env gets a line for the key if you agree.

    Exit status: 2 if nothing was written, 1 if a provider cannot be used as written, else 0.
    """
    from gateway.config.first_file import first_file
    from gateway.errors import ConfigError

    if output.exists():
        raise Unusable(f"{output} exists; `gateway check` checks it, and --output writes another file")
    ground = Ground(configuration.environment(output.parent), configuration.detected())
    click.echo(_found(ground))
    chosen = way or _way(ground, asks=not yes)
    environ, secret, servers = dict(ground.environ), "", ground.servers
    if chosen == FIRST.name and not environ.get(KEY):
        secret = environ[KEY] = _key(asks=not yes)
    elif chosen == LOCAL and not servers:
        servers = (_planned(asks=not yes),)
    try:
        text = first_file(environ, servers)
    except ConfigError as error:
        raise Unusable(*error.problems) from None
    beside = output.with_name(".env")
    is_kept = bool(secret) and _keep(beside, secret)
    _write(output, text, 0o644)
    click.echo(f"{output}: written")
    if is_kept:
        click.echo(f"{beside}: {KEY} written")
    elif secret:
        click.echo(f"  {careful('not kept')}: write {KEY}=… into {beside} or the environment")
        os.environ[KEY] = secret  # for the test
    config = configuration.read_file(output)
    show(config)
    findings = () if no_test else ask(config)
    show_findings(findings)
    named = "" if output == configuration.USUAL else f" run --config {output}"
    click.echo(f"\nNext: {bold(f'gateway{named}')} serves, and `gateway connect` prints the lines for your client.")
    ctx.exit(1 if any(one.problem for one in findings) else 0)


# -- what there is, and what to do


def _found(ground: Ground) -> str:
    found = [
        f"{KINDS[one.kind].title or one.kind} at {one.base_url} ({count(len(one.models), 'model')})"
        for one in ground.servers
    ]
    return f"Found: {', '.join([*found, *ground.keys]) or 'no model server on this machine, and no API key'}."


def _way(ground: Ground, *, asks: bool) -> str:
    """Return how to begin. A script is not asked: it uses the findings."""
    if not asks:
        return FIRST.name if ground.environ.get(KEY) else LOCAL if ground.servers else SKIP
    if not _is_terminal():
        raise Unusable("there is no terminal to ask on; --yes uses what is found, --way says how to begin")
    click.echo(_ASKED)
    usual = "3" if ground.keys or ground.servers else "1"
    said = click.prompt("How to begin", type=click.Choice(["1", "2", "3"]), default=usual)
    return WAYS[int(said) - 1]


def _key(*, asks: bool) -> str:
    if not asks or not _is_terminal():
        raise Unusable(f"{KEY} is not set; set it, write it into .env, or leave out --yes on a terminal")
    click.echo(f"\n{FIRST.guide[0]}")
    if FIRST.sign_in is not None:
        click.echo("Or press Enter, and sign in with the browser, which brings a key.")
    while True:
        said = str(click.prompt("Its key (not shown)", hide_input=True, default="", show_default=False)).strip()
        if not said and FIRST.sign_in is not None:
            said = _signed_in(FIRST.sign_in)
        if said and said.isascii() and said.isprintable() and not any(one in said for one in " \"'#"):
            return said
        click.echo("That is no key: a key is one word of letters, digits and dashes.")


def _signed_in(sign_in: SignIn) -> str:
    """Return a key that a browser brought; empty, with the reason shown, if it brought none."""
    from gateway.cli.login import key_from_browser

    try:
        return key_from_browser(sign_in, FIRST.base_url, FIRST.title)
    except Mistake as mistake:
        click.echo(mistake.message)
        return ""


def _planned(*, asks: bool) -> Detected:
    """Return the server that is going to run here, once the printed command has been run."""
    from gateway.config import Detected

    known = [(kind, small) for kind in KINDS.values() if (small := kind.small_model) is not None]
    kind, small = next((one for one in known if shutil.which(one[1].command[0])), known[0])
    title, program = kind.title or kind.name, small.command[0]
    click.echo(f"\nNo server runs here. A small model for {title}, {small.size}:\n\n  {' '.join(small.command)}\n")
    if not shutil.which(program):
        click.echo(f"{title} is not installed; it comes from {small.install}")
    elif small.serves:
        click.echo("Run it in a terminal of its own: it is the server.")
    elif asks and _is_terminal() and click.confirm("Run this now?", default=False):
        _run(small.command)
    else:
        click.echo(f"Start {title}, then run it.")
    return Detected(kind.name, kind.base_url, (small.model,))


def _run(command: Sequence[str]) -> None:
    try:
        status = subprocess.run(command, check=False).returncode  # noqa: S603  # ours, and agreed to
    except OSError as error:
        raise Mistake(f"{command[0]} cannot be run: {error.strerror}") from None
    if status:
        click.echo(f"  {careful('it failed')} (exit status {status}); start its server, then run it again")


def _is_terminal() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()


# -- writing


def _keep(beside: Path, secret: str) -> bool:
    """Write the key into `.env`. False: the file exists, and the user wants it left alone."""
    line = f"{KEY}={secret}\n"
    if not beside.exists():
        _write(beside, line, 0o600)
        return True
    if not click.confirm(f"{beside} exists. Add a line with {KEY} to it?", default=True):
        return False
    try:
        with beside.open("r+", encoding="utf-8") as file:
            before = file.read()
            file.write(line if not before or before.endswith("\n") else f"\n{line}")
    except (OSError, UnicodeDecodeError) as error:
        _cannot(beside, error)
    return True


def _write(path: Path, text: str, mode: int) -> None:
    """Write a new file, whole or not at all.

    Raises:
        Unusable: the file exists by now, or cannot be written.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
            try:
                file.write(text)
                file.flush()
            except BaseException:
                path.unlink()
                raise
    except OSError as error:
        _cannot(path, error)


def _cannot(path: Path, error: Exception) -> NoReturn:
    raise Unusable(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from None
