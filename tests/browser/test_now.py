"""Signing in, the frame around all pages, and the page that says whether one can work now."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import ADMIN, Served, Visit, answering, served, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("now"), answering("Hi")) as found:
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        yield found


def test_an_admin_key_signs_in(visit: Visit) -> None:
    """A wrong key is told beside the field; the key is in no address and no storage."""
    visit.allowed = ("401",)
    visit.open("/")
    page = visit.page
    page.get_by_label("Admin key").fill("sk-wrong")
    page.keyboard.press("Enter")
    page.get_by_role("alert").get_by_text("unknown API key").wait_for()
    visit.accessible()
    page.get_by_label("Admin key").fill(ADMIN)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Can I work now?").wait_for()
    assert ADMIN not in page.url
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_a_link_signs_in_and_leaves_the_address(visit: Visit) -> None:
    """The first paint takes six requests at most, and the answer is on the first line."""
    asked: list[str] = []
    visit.page.on("request", lambda one: asked.append(one.url))
    visit.sign_in()
    assert "#" not in visit.page.url
    assert len([one for one in asked if "/admin/" not in one]) <= 6
    visit.page.get_by_text("Yes").wait_for()
    visit.page.get_by_text("live", exact=True).wait_for()
    visit.accessible()


def test_what_happens_is_shown_at_once(visit: Visit) -> None:
    visit.sign_in()
    visit.page.get_by_text("live", exact=True).wait_for()
    for name in ("role:rlm", "main", "role:rlm"):
        assert visit.served.call(name) == 200
    visit.page.get_by_role("listitem").filter(has_text="role:rlm").first.wait_for()
    visit.page.get_by_text("640 of 1,000, resets in").first.wait_for()
    visit.picture("now")


def test_a_provider_that_is_switched_off_says_so(visit: Visit) -> None:
    visit.sign_in()
    visit.served.run(visit.served.scene.edit("POST", "/providers/b/disable"))
    visit.page.get_by_role("listitem").filter(has_text="switched off").wait_for()
    visit.served.run(visit.served.scene.edit("POST", "/providers/b/enable"))


def test_signing_out_and_an_ended_session(visit: Visit) -> None:
    """A session that ends elsewhere asks for a key over the page, which stays."""
    visit.allowed = ("401",)
    visit.sign_in()
    sessions = visit.served.scene.running.app.sessions
    assert sessions._folder is not None
    for one in sessions._folder.glob("session-*"):
        one.unlink()
    visit.served.call()
    dialog = visit.page.get_by_role("dialog", name="Your session has ended")
    dialog.wait_for()
    dialog.get_by_label("Admin key").fill(ADMIN)
    dialog.get_by_role("button", name="Sign in").click()
    dialog.wait_for(state="detached")
    visit.page.get_by_role("alert").wait_for(state="detached")
    visit.page.get_by_role("button", name="Sign out").click()
    visit.page.get_by_label("Admin key").wait_for()


def test_keyboard_alone(visit: Visit) -> None:
    visit.sign_in()
    visit.page.keyboard.press("Tab")
    assert visit.page.evaluate("document.activeElement.textContent") == "Skip to the page"
    visit.page.keyboard.press("Enter")
    visit.page.get_by_role("heading", name="Can I work now?").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_page_in_both_schemes(scheme: str, running: Served, browser: Any) -> None:
    """At 360 px nothing is wider than the window, and colours have their contrast in the dark too."""
    with visiting(running, browser, viewport={"width": 360, "height": 740}, color_scheme=scheme) as visit:
        visit.sign_in()
        visit.page.get_by_role("heading", name="Can I work now?").wait_for()
        visit.page.get_by_role("link", name=re.compile("^a$")).first.wait_for()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
        visit.page.get_by_role("button", name="Menu").click()
        visit.page.get_by_role("button", name="Sign out").wait_for()
        visit.accessible()


def test_a_lost_connection_is_told_and_comes_back(visit: Visit) -> None:
    """What was known stays on the page."""
    visit.allowed = ("ERR_", "Failed to load")
    visit.sign_in()
    page = visit.page
    page.get_by_text("live", exact=True).wait_for()
    page.route("**/admin/v1/**", lambda route: route.abort())
    server = visit.served.scene.running.server.server_state

    def cut() -> None:
        for connection in list(server.connections):
            connection.transport.abort()

    visit.served.loop.call_soon_threadsafe(cut)
    page.get_by_text("The connection to the gateway is lost").wait_for()
    page.get_by_role("heading", name="Providers").wait_for()
    visit.served.run(visit.served.scene.edit("PUT", "/providers/meanwhile", {"kind": "ollama"}))
    page.unroute("**/admin/v1/**")
    page.get_by_text("live", exact=True).wait_for()
    page.get_by_role("link", name="meanwhile").first.wait_for()  # what was missed is asked for
    page.get_by_text("The connection to the gateway is lost").wait_for(state="detached")
