"""A gateway that can be administered, with its files in a folder."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gateway.app import App
from gateway.background.reloading import News, Reader
from gateway.config import load
from gateway.config.restart import held_back
from tests.faults import Client, FaultyUpstream, chat_json, request
from tests.serving import serving

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
    from pathlib import Path

    from gateway.config import Config
    from gateway.web.admin.table import Row
    from tests.faults import Response
    from tests.serving import Running

ADMIN = "sk-admin-0123456789abcdef"
CALLER = "sk-caller-0123456789abcdef"
LITERAL = "sk-literal-0123456789abcdef"
SENTINEL = "sk-sentinel-0123456789abcdef"


class Files:
    """The source of the configuration, as the command line's: the same file, again."""

    def __init__(self, file: Path, environ: dict[str, str], running: Config) -> None:
        self._file = file
        self._environ = environ
        self._running = running

    def stamp(self) -> Hashable:
        return ()

    def load(self) -> tuple[Config, tuple[str, ...]]:
        return held_back(self._running, self._running, load(self._file, self._environ))


@dataclass(frozen=True, slots=True)
class Scene:
    """A gateway with an administrator."""

    running: Running
    upstream: FaultyUpstream
    folder: Path
    stack: AsyncExitStack
    """What is closed at the end."""

    @property
    def rows(self) -> dict[tuple[str, str], Row]:
        """The table of routes."""
        return {(row.method, row.path): row for row in self.running.app.admin.rows}

    async def ask(
        self, method: str, path: str, body: object = None, *, key: str | None = ADMIN, version: str | None = None
    ) -> Response:
        """Return the answer to a request. `version`: for If-Match."""
        headers = {} if key is None else {"x-api-key": key}
        if version is not None:
            headers["if-match"] = version
        prefix = "" if path.startswith("/api/") else "/admin/v1"
        content = None if body is None else json.dumps(body).encode()
        async with Client(self.running.port) as client:
            await client.send(request(method, f"{prefix}{path}", headers=headers, body=content))
            return await client.response()

    async def get(self, path: str) -> Any:
        """Return the body of a GET."""
        response = await self.ask("GET", path)
        assert response.status == 200, response.body
        return response.json

    async def edit(self, method: str, path: str, body: object = None) -> Any:
        """Make a change of any version, and return its body."""
        response = await self.ask(method, path, body, version="*")
        assert response.status == 200, response.body
        return response.json

    async def version(self) -> str:
        """Return the present version of the configuration."""
        found: str = (await self.get("/config"))["version"]
        return found


async def eventually(reached: Callable[[], Awaitable[object]], within_s: float = 10.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(within_s):
        while not await reached():  # noqa: ASYNC110  # what happens elsewhere in the gateway tells nobody
            await asyncio.sleep(0.01)


def text_of(upstream: FaultyUpstream, server: str = "") -> str:
    """Return a gateway.yaml with a bit of everything."""
    return (
        f"server: {{admin_keys: [{ADMIN}], api_keys: [{CALLER}]{server}}}\n"
        f"providers:\n"
        f"  a: {{kind: vllm, base_url: '{upstream.base_url}', models: [x, y], probe: false, discover: false}}\n"
        f"  b: {{kind: openai, base_url: '{upstream.base_url}', api_key: {LITERAL}, probe: false, discover: false}}\n"
        "models: {main: a/x, other: {model: b/y, params: {temperature: 1}}}\n"
        "roles: {rlm: {models: [main, other]}, only: other}\n"
        "fallback: {main: [other]}\n"
        "presets: {calm: {temperature: 0.1}}\n"
        "rules: [{when: {images: true}, use: other}]\n"
        "budgets: [{scope: total, limit_usd: 100}]\n"
        "experiments: {cooler: {on: main, arms: {usual: {}, cool: {params: {temperature: 0.1}}}}}\n"
    )


@asynccontextmanager
async def administered(folder: Path, *, answer: Any = None) -> AsyncIterator[Scene]:
    """Serve a configuration in a folder; the second time, with what is left there."""
    environ = {"GATEWAY_STATE_DIR": str(folder / "state")}
    async with FaultyUpstream(answer or chat_json("Hi"), strict=False) as upstream:
        file = folder / "gateway.yaml"
        file.write_text(text_of(upstream))

        def make(config: Config) -> App:
            reader = Reader(Files(file, environ, config), config, (), News())
            return App(config, discover=False, reader=reader, environ=environ)

        async with serving(load(file, environ), make=make, remember=True) as running, AsyncExitStack() as stack:
            await running.app._keyring.refresh()
            yield Scene(running, upstream, folder, stack)
