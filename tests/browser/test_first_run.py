"""The first visit: a gateway without any configuration, the link that its command prints, and a first answer."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import Visit, visiting_at
from tests.cli.command import command, environment, gateway

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory in which a gateway without a configuration serves."""
    folder = tmp_path_factory.mktemp("first")
    env = environment({"PYTHONUNBUFFERED": "1"}, cwd=folder)
    with subprocess.Popen(command("--port", "0"), cwd=folder, env=env, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            next(line for line in process.stdout if re.search(r"http://\S+:\d+/v1", line))
            os.set_blocking(process.stdout.fileno(), False)
            yield folder
        finally:
            process.terminate()


@pytest.fixture
def visit(folder: Path, browser: Any) -> Iterator[Visit]:
    link = gateway("console", "--json", cwd=folder).json["link"]
    with visiting_at(link.partition("/console")[0], browser) as found:
        found.page.goto(link)
        yield found


def test_from_nothing_to_an_answer(visit: Visit) -> None:
    """The first page says what to do; the way without a key ends in a streamed answer."""
    page = visit.page
    page.get_by_text("No provider is ready").wait_for()
    visit.accessible()
    page.get_by_role("link", name="Begin").click()
    page.get_by_role("heading", name="Three ways to begin").wait_for()
    page.get_by_role("button", name="Paste a key").wait_for()
    visit.picture("begin")
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("Prompt", exact=True).fill("Hello?")
    page.get_by_role("button", name="Send").click()
    page.get_by_text("its attempts").wait_for()
    page.get_by_text("free", exact=False).first.wait_for()


def test_a_provider_without_a_file(visit: Visit) -> None:
    """A provider added in the console is live at once, and kept."""
    page = visit.page
    page.goto(f"{visit.url}/console/start")
    page.get_by_role("button", name="Paste a key").click()
    page.get_by_label("Kind").select_option("groq")
    page.get_by_label("API key").fill("gsk-0123456789abcdef")
    page.get_by_role("button", name="Review and add").click()
    page.get_by_role("button", name="Make it live").click()
    page.wait_for_url(re.compile("name=groq"))
    page.get_by_role("heading", name="groq").wait_for()
