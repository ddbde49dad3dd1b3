"""A gateway and its upstream in a thread, and a browser that reports whatever it should not have to."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import Client, Pause, chat_json, chat_stream, json_answer, request
from tests.web.admin.scene import ADMIN, CALLER, administered

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from concurrent.futures import Future

    from playwright.sync_api import ConsoleMessage, Dialog, Page
    from playwright.sync_api import Request as BrowserRequest

    from tests.faults import Request
    from tests.web.admin.scene import Scene

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"
WITHIN_MS = 8000


@dataclass(slots=True)
class Served:
    """A gateway that is served from another thread."""

    scene: Scene
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.scene.running.port}"

    def run(self, made: Awaitable[Any]) -> Any:
        """Return the result of something that is awaited in the gateway's loop."""

        async def awaited() -> Any:
            return await made

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(20)

    def begin(self, model: str = "main", prompt: str = "Hi") -> Future[int]:
        """Make a call as a client would, and return what will be its status."""
        body = {"model": model, "messages": [{"role": "user", "content": prompt}]}

        async def made() -> int:
            async with Client(self.scene.running.port) as client:
                headers = {"authorization": f"Bearer {CALLER}"}
                await client.send(request("POST", "/v1/chat/completions", body, headers))
                return (await client.response(within_s=20)).status

        return asyncio.run_coroutine_threadsafe(made(), self.loop)

    def call(self, model: str = "main") -> int:
        """Make a call, and return its status."""
        return self.begin(model).result(20)


@contextmanager
def served(
    folder: Path, answer: Any = None, prepare: Callable[[Scene], Awaitable[None]] | None = None
) -> Iterator[Served]:
    """Serve a gateway until the block ends."""
    ready: threading.Event = threading.Event()
    found: list[Any] = []

    async def serve() -> None:
        done = asyncio.Event()
        async with administered(folder, answer=answer) as scene:
            if prepare is not None:
                await prepare(scene)
            found.extend([Served(scene, asyncio.get_running_loop()), done])
            ready.set()
            await done.wait()

    def whole() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            found.append(error)
            ready.set()
            raise

    thread = threading.Thread(target=whole)
    thread.start()
    ready.wait(20)
    if isinstance(found[0], BaseException):
        raise found[0]
    try:
        yield found[0]
    finally:
        found[0].loop.call_soon_threadsafe(found[1].set)
        thread.join(20)


LEFT = {
    "x-ratelimit-limit-requests": "1000", "x-ratelimit-remaining-requests": "640", "x-ratelimit-reset-requests": "4h",
    "x-ratelimit-limit-tokens": "90000", "x-ratelimit-remaining-tokens": "81000", "x-ratelimit-reset-tokens": "42s",
}  # fmt: skip


def answering(*texts: str) -> Callable[[Request], Any]:
    """Return an upstream's answer that says what is left, streams if it is asked to, and lists its models."""

    def answer(request: Request) -> Any:
        if request.target.endswith("/models"):
            listed = [{"id": name, "object": "model"} for name in ("x", "y", "z")]
            return json_answer({"object": "list", "data": listed})
        if b"please hang" in request.body:
            return [Pause(30)]
        said = (EVIL,) if b"evil" in request.body else texts
        if json.loads(request.body).get("stream"):
            return chat_stream(*said)
        return chat_json("".join(said), LEFT)

    return answer


@dataclass(slots=True)
class Visit:
    """A page, and what went wrong in it."""

    page: Page
    url: str
    """Of the gateway."""
    wrong: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()
    """Parts of messages of the browser that a test expects, such as of a refused request."""
    running: Served | None = None

    @property
    def served(self) -> Served:
        """The gateway, if it is served by this process."""
        assert self.running is not None
        return self.running

    def open(self, path: str = "") -> None:
        """Go to a page of the console."""
        self.page.goto(f"{self.url}/console{path}")

    def sign_in(self, path: str = "") -> None:
        """Go to a page with a one-time link."""
        sessions = self.served.scene.running.app.sessions
        self.page.goto(f"{self.served.url}/console{path}#link={sessions.make_link(time.time())}")
        self.page.get_by_role("navigation", name="Pages").wait_for()

    def check(self) -> None:
        """Fail if the browser complained."""
        unexpected = [one for one in self.wrong if not any(part in one for part in self.allowed)]
        assert not unexpected, unexpected

    def accessible(self) -> None:
        """Fail if axe finds something serious."""
        source = (Path(__file__).parent / "vendor" / "axe.min.js").read_text(encoding="utf-8")
        self.page.evaluate(source + "\nnull")
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']}).then((said) => said.violations)")
        serious = [
            f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert not serious, serious

    def picture(self, name: str) -> None:
        """Keep a picture for the documents, if they are asked for."""
        if os.environ.get("GATEWAY_PICTURES"):
            PICTURES.mkdir(exist_ok=True)
            self.page.screenshot(path=PICTURES / f"{name}.png")


def needs_chromium() -> str:
    """Return Chromium's path, or skip; in CI, fail."""
    if CHROMIUM is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed")
        pytest.skip("chromium is not installed")
    return CHROMIUM


def _listen(visit: Visit) -> None:
    """Note errors and warnings of the browser, such as of its policy, dialogs, and requests to anybody else."""

    def said(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            visit.wrong.append(message.text)

    def opened(dialog: Dialog) -> None:
        visit.wrong.append(f"a dialog of the browser: {dialog.message}")
        dialog.dismiss()

    def asked(request: BrowserRequest) -> None:
        if not request.url.startswith((visit.url, "blob:")):
            visit.wrong.append(f"a request elsewhere: {request.url}")

    visit.page.on("console", said)
    visit.page.on("pageerror", lambda error: visit.wrong.append(f"page error: {error}"))
    visit.page.on("dialog", opened)
    visit.page.on("request", asked)


@contextmanager
def visiting_at(url: str, browser: Any, running: Served | None = None, **context: Any) -> Iterator[Visit]:
    """Open a page of its own, and check at the end that the browser had nothing to say against it."""
    made = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **context})
    made.grant_permissions(["clipboard-read", "clipboard-write"], origin=url)
    page = made.new_page()
    page.set_default_timeout(WITHIN_MS)
    visit = Visit(page, url, running=running)
    _listen(visit)
    try:
        yield visit
        visit.check()
    finally:
        made.close()


@contextmanager
def visiting(running: Served, browser: Any, **context: Any) -> Iterator[Visit]:
    """Open a page on a gateway of this process."""
    with visiting_at(running.url, browser, running, **context) as visit:
        yield visit


__all__ = [
    "ADMIN",
    "CALLER",
    "EVIL",
    "Served",
    "Visit",
    "answering",
    "needs_chromium",
    "served",
    "visiting",
    "visiting_at",
]
