"""Providers, roles and models, changed as a user changes them: compared first, then live."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.catalog import Refresh
from gateway.types import Ability
from tests.browser.console import EVIL, Served, Visit, answering, served, visiting
from tests.web.admin.scene import SENTINEL

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("configuring"), answering("Hi")) as found:
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        found.allowed = ("400", "412")
        yield found


def make_live(visit: Visit) -> None:
    visit.page.get_by_role("button", name="Make it live").click()
    visit.page.get_by_text("It is live").wait_for()


def test_a_provider_is_added_tested_and_switched(visit: Visit) -> None:
    """The form has the fields of its kind; the key is written, and shown nowhere afterwards."""
    visit.sign_in("/providers?add=yes")
    page = visit.page
    page.get_by_label("Kind").select_option("runpod")
    page.get_by_text("deploy a Serverless endpoint").wait_for()
    page.get_by_role("button", name="Review and add").click()
    page.get_by_text("Endpoint id is needed").wait_for()
    visit.accessible()
    page.get_by_label("Kind").select_option("openai")
    page.get_by_label("Name").fill("fresh")
    page.get_by_label("API key").fill(SENTINEL)
    page.get_by_label("Base URL").fill(EVIL)
    page.get_by_role("button", name="Review and add").click()
    page.get_by_role("alert").first.wait_for()
    page.get_by_label("Base URL").fill(visit.served.scene.upstream.base_url)
    page.get_by_role("button", name="Review and add").click()
    page.get_by_label("Difference as YAML").get_by_text("fresh:").wait_for()
    make_live(visit)
    assert "name=fresh" in page.url
    page.get_by_role("button", name="Test the connection").click()
    page.get_by_text("It works").wait_for()
    page.get_by_label("Its 3 models").wait_for()
    assert SENTINEL not in page.content()
    visit.picture("providers")
    page.get_by_role("button", name="Switch off").click()
    make_live(visit)
    page.get_by_role("button", name="Activate").click()
    make_live(visit)
    page.get_by_role("button", name="Remove").click()
    make_live(visit)
    page.get_by_role("link", name=re.compile("^fresh")).wait_for(state="detached")


def test_a_role_is_put_in_order_by_keyboard(visit: Visit) -> None:
    """Alt with an arrow moves a model; the plan beside it follows once the change is live."""
    visit.sign_in("/roles?name=rlm")
    page = visit.page
    models = page.get_by_role("list", name="Models, the preferred first").get_by_role("listitem")
    models.filter(has_text="other").focus()
    page.keyboard.press("Alt+ArrowUp")
    page.get_by_text("other is now number 1 of 2").wait_for(state="attached")
    assert models.first.inner_text().split()[1] == "other"
    visit.accessible()
    visit.picture("roles")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_label("Difference as YAML").wait_for()
    visit.picture("review")
    make_live(visit)
    assert visit.served.run(visit.served.scene.get("/roles/rlm"))["value"]["models"] == ["other", "main"]


def test_a_role_is_put_in_order_by_dragging(visit: Visit) -> None:
    visit.sign_in("/roles?name=rlm")
    models = visit.page.get_by_role("list", name="Models, the preferred first").get_by_role("listitem")
    first = models.first.inner_text().split()[1]
    models.first.drag_to(models.last)
    visit.page.get_by_text(f"{first} is now number 2 of 2").wait_for(state="attached")


def test_a_mistake_is_told_beside_its_field(visit: Visit) -> None:
    visit.sign_in("/roles?add=yes")
    page = visit.page
    page.get_by_label("Name").fill("bad")
    page.get_by_label("Add a model").fill(EVIL)
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_label("Policy").fill("cheepest")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_text("cheapest", exact=False).last.wait_for()
    page.get_by_role("alert").first.wait_for()


def test_somebody_else_was_faster(visit: Visit) -> None:
    """The change waits, is compared again, and is then made."""
    visit.sign_in("/roles?add=yes")
    page = visit.page
    page.get_by_label("Name").fill("second")
    page.get_by_label("Add a model").fill("main")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_role("button", name="Review the change").click()
    page.get_by_label("Difference as YAML").wait_for()
    visit.served.run(visit.served.scene.edit("PUT", "/aliases/meanwhile", "a/x"))
    page.get_by_role("button", name="Make it live").click()
    page.get_by_text("Somebody else changed the configuration").wait_for()
    page.get_by_role("button", name="Compare again").click()
    page.get_by_text("Somebody else changed").wait_for(state="detached")
    make_live(visit)


def test_what_a_change_breaks_is_said_before(visit: Visit) -> None:
    visit.sign_in("/providers?name=b")
    visit.page.get_by_role("button", name="Switch off").click()
    visit.page.get_by_text("This breaks:").wait_for()
    visit.accessible()


def test_a_model_is_found_and_promoted(visit: Visit) -> None:
    """The search is in the address; the new alias is compared and live."""
    visit.sign_in("/models")
    page = visit.page
    page.get_by_label("Search").fill("y")
    page.wait_for_url(re.compile(r"search=y"))
    page.get_by_role("link", name="Promote y").first.wait_for()
    visit.accessible()
    page.get_by_role("link", name="Promote y").first.click()
    page.get_by_label("Alias").fill("quick")
    page.get_by_role("button", name="Review the change").click()
    make_live(visit)
    assert visit.served.run(visit.served.scene.get("/aliases/quick"))["value"].endswith("/y")


def test_models_that_end(visit: Visit) -> None:
    """A date from a provider's list, and a model that the list has no more; both are told above the table and in it."""
    app, gateway = visit.served.scene.running.app, visit.served.scene.running.gateway
    before = gateway.now
    gateway.now = before.with_found({"b": {"y": Ability(retires_at=4_102_358_400.0, replacement=EVIL)}})
    app._discovery._state["a"] = Refresh(time.time(), missing={"x": time.time()})
    try:
        visit.sign_in("/models")
        page = visit.page
        notice = page.get_by_role("status").filter(has_text="Models of the configuration that end")
        notice.get_by_text(f"b/y: retires on 2099-12-31; its provider names {EVIL} in its place · used by").wait_for()
        notice.get_by_text("a/x: not in its provider's list since 20").wait_for()
        page.get_by_label("State").select_option("true")
        page.wait_for_url(re.compile("ending=true"))
        page.get_by_role("row").filter(has_text="retires on 2099-12-31").wait_for()
        visit.accessible()
        visit.picture("models")
    finally:
        gateway.now = before
        del app._discovery._state["a"]


def test_three_ways_to_begin(visit: Visit) -> None:
    visit.sign_in("/start")
    page = visit.page
    page.get_by_role("button", name="Paste a key").click()
    page.get_by_label("API key").wait_for()
    page.get_by_role("button", name="Name the server").click()
    page.get_by_label("Kind").select_option("ollama")
    page.get_by_text("Start the server.").wait_for()
    visit.accessible()


def tab_to(visit: Visit, name: str) -> None:
    """Press Tab until the focus is on something with this text or label."""
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        focused = visit.page.evaluate(
            "document.activeElement.getAttribute('aria-label') || document.activeElement.textContent.trim()"
        )
        if focused == name:
            return
    raise AssertionError(f"Tab never reaches {name}")


def test_a_change_with_the_keyboard_alone(visit: Visit) -> None:
    """From the navigation to the change and back: the dialog keeps the focus, Escape closes it and gives it back."""
    visit.sign_in()
    page, press = visit.page, visit.page.keyboard.press
    tab_to(visit, "Roles")
    press("Enter")
    page.get_by_role("button", name="Review the change").wait_for()
    tab_to(visit, "Review the change")
    for _ in range(60):
        press("Shift+Tab")
        if page.evaluate("document.activeElement.draggable"):
            break
    press("Alt+ArrowUp")
    tab_to(visit, "Review the change")
    press("Enter")
    page.get_by_role("dialog").wait_for()
    press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("document.activeElement.textContent === 'Review the change'")  # a moment after it is closed
    press("Enter")
    page.get_by_role("dialog").wait_for()
    tab_to(visit, "Make it live")
    press("Enter")
    page.get_by_text("It is live").wait_for()
