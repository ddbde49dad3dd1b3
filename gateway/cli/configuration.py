"""Find and read the configuration of a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.terminal import Unusable, count
from gateway.kinds import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.config import Config, Detected
    from gateway.types import Provider

VARIABLE = "GATEWAY_CONFIG"
USUAL = Path("gateway.yaml")

config_option = click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help=f"The configuration file. Default: ${VARIABLE}, else ./{USUAL}, else whatever this machine offers.",
)


class BrokenConfiguration(Unusable):
    """A configuration with mistakes; the message lists them all."""

    def __init__(self, source: str, problems: Sequence[str]) -> None:
        super().__init__(*problems, f"{source}: {count(len(problems), 'mistake')}")
        self.source = source
        self.problems = tuple(problems)


def find(path: Path | None) -> Path | None:
    """Return the configuration file, or None if there is none. A file named by the user may not exist."""
    if path is not None:
        return path
    if named := os.environ.get(VARIABLE, "").strip():
        return Path(named)
    return USUAL if USUAL.exists() else None


def read(path: Path | None) -> Config:
    """Return the configuration for `--config PATH`; None: the default one.

    Raises:
        BrokenConfiguration: the configuration has mistakes.
    """
    file = find(path)
    return read_file(file) if file is not None else without_file(detected())


def read_file(file: Path) -> Config:
    """Load a file.

    Raises:
        BrokenConfiguration: the file has mistakes.
    """
    from gateway.config import load
    from gateway.errors import ConfigError

    try:
        return load(file, os.environ)
    except ConfigError as error:
        raise BrokenConfiguration(str(file), error.problems) from None


def without_file(servers: Sequence[Detected]) -> Config:
    """Return a configuration made from local servers and the environment.

    Raises:
        BrokenConfiguration: the environment has mistakes.
    """
    from gateway.errors import ConfigError

    try:
        return zero(servers)
    except ConfigError as error:
        raise BrokenConfiguration("environment", error.problems) from None


def zero(servers: Sequence[Detected]) -> Config:
    """Make do with local servers, the environment and the `.env` of the current directory.

    Raises:
        ConfigError: they have mistakes.
    """
    from gateway.config import zero as made_of

    return made_of(environment(Path()), servers)


def environment(folder: Path) -> Mapping[str, str]:
    """Return the environment, and what a `.env` in a folder adds to it. It overrides nothing.

    Lines that are none are passed over. They are mistakes beside a configuration file, whose reading names them.
    """
    try:
        text = (folder / ".env").read_text("utf-8-sig")
    except (OSError, ValueError):
        return os.environ
    from gateway.config.environment import parse_dotenv

    found, _ = parse_dotenv(text)
    return {**found, **os.environ}


def detected() -> tuple[Detected, ...]:
    """Return the model servers that run on this machine. Takes half a second at most."""
    import asyncio

    from gateway.upstream.detect import detect

    return asyncio.run(detect(os.environ))


def has_file(config: Config) -> bool:
    """Tell whether the configuration comes from a file."""
    from gateway.config.without_file import SOURCE

    return config.source != SOURCE


def usable(providers: Iterable[Provider]) -> list[Provider]:
    """Return the providers that can be asked, without the built-in demo."""
    return [one for one in providers if one.unusable is None and not kind_of(one).built_in]
