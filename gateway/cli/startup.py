"""Prepare the start of `gateway run`. Network requests and slow imports run side by side."""

from __future__ import annotations

import asyncio
import os
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gateway.cli.configuration import read_file, usable, without_file
from gateway.config.scalars import is_own_host
from gateway.upstream.detect import detect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from gateway.config import Config, Detected
    from gateway.types import Provider

# A server on this machine answers within a millisecond; slower ones are not worth the wait.
WITHIN_S = 0.3


class Prepared(NamedTuple):
    """The configuration and findings at the start."""

    config: Config
    silent: frozenset[str] = frozenset()
    """Names of the local providers that do not answer."""
    unnamed: tuple[Detected, ...] = ()
    """Servers on this machine that the file does not name."""


async def prepare(file: Path | None) -> Prepared:
    """Read the configuration, and look which servers of this machine answer.

    Raises:
        BrokenConfiguration: the configuration has mistakes.
    """
    loop = asyncio.get_running_loop()
    if file is None:
        importing = loop.run_in_executor(None, import_module, "gateway.app")
        servers = await detect(os.environ)
        await importing
        return Prepared(without_file(servers))
    config = read_file(file)
    importing = loop.run_in_executor(None, import_module, "gateway.app")
    providers = config.directory.providers.values()
    silent, servers = await asyncio.gather(silent_ones(usable(providers)), detect(os.environ))
    await importing
    return Prepared(config, silent, tuple(unnamed(servers, providers)))


def unnamed(servers: Iterable[Detected], providers: Collection[Provider]) -> Iterator[Detected]:
    """Yield the servers that no provider is. One that is switched off is named, and so is not spoken of."""
    named = {urlsplit(one.base_url).port for one in providers if is_own_host(one.base_url)}
    for server in servers:
        if urlsplit(server.base_url).port not in named:
            yield server


async def silent_ones(providers: Iterable[Provider]) -> frozenset[str]:
    """Return the names of the providers on this machine or network that accept no connection."""
    near = [one for one in providers if is_own_host(one.base_url)]
    answers = await asyncio.gather(*(_is_there(one.base_url) for one in near))
    return frozenset(one.name for one, there in zip(near, answers, strict=True) if not there)


async def _is_there(base_url: str) -> bool:
    url = urlsplit(base_url)
    try:
        async with asyncio.timeout(WITHIN_S):
            _, writer = await asyncio.open_connection(url.hostname, url.port or (443 if url.scheme == "https" else 80))
    except OSError:  # TimeoutError is one
        return False
    writer.transport.abort()
    return True
