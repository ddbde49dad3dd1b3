"""How providers and roles are, and the switch of a role: checked first, then live."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import EVIL, Served, Visit, answering, served, visiting
from tests.browser.test_configuring import make_live

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("switching"), answering("Hi")) as found:
        assert found.call("role:rlm") == 200
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        found.allowed = ("400", "404", "412")
        yield found


def first_of(visit: Visit) -> str:
    first: str = visit.served.run(visit.served.scene.get("/status"))["roles"][0]["serves"]
    return first


def test_who_serves_each_role(visit: Visit) -> None:
    """On the first page and in the list of roles; the name leads to the role."""
    visit.sign_in()
    page = visit.page
    card = page.get_by_role("listitem").filter(has=page.get_by_role("link", name="role:rlm", exact=True))
    card.get_by_text("a/x").wait_for()
    card.get_by_text("then b/y").wait_for()
    visit.accessible()
    card.get_by_role("link").click()
    page.get_by_role("link", name=re.compile("^rlm.*a.x$")).wait_for()


def test_what_was_heard_of_a_provider(visit: Visit) -> None:
    """What is left, its key and its latest sign of life; and a breaker with its upstream and the last error."""
    visit.sign_in("/providers?name=a")
    page = visit.page
    page.get_by_text("640 of 1,000, resets in").first.wait_for()
    page.get_by_text("none needed").wait_for()
    page.get_by_text(re.compile(r"\d m?s ago")).first.wait_for()

    def broken(route: Any) -> None:
        said = route.fetch().json()
        provider = said["providers"][0]
        provider.update(reachable=False, last_error=EVIL, error_share=0.5, breakers={"a/x": "open"})
        route.fulfill(json=said)

    page.route("**/admin/v1/status", broken)
    page.reload()
    page.get_by_role("link", name=re.compile("^a.*onerror")).wait_for()
    page.get_by_text("50 % of recent attempts").wait_for()
    page.get_by_text("a/x").first.wait_for()
    visit.accessible()


def test_a_switch_is_checked_and_then_live(visit: Visit) -> None:
    """The checks stand above the difference, and an answer is paid for once; the new model comes first at once."""
    asked: list[dict[str, Any]] = []

    def noted(route: Any) -> None:  # the gateway of these tests makes no calls of its own
        asked.append(route.request.post_data_json)
        said = route.fetch(post_data={**asked[-1], "call": False}).json()
        if asked[-1]["call"]:
            said["steps"].append({"step": "call", "ok": True, "detail": f"it answers {EVIL}"})
        route.fulfill(json=said)

    visit.sign_in("/roles?name=rlm")
    page = visit.page
    page.route("**/admin/v1/switch*", noted)
    form = page.get_by_role("form", name="Switch rlm")
    form.get_by_label("To", exact=True).fill("b/z")
    form.get_by_label("Ask it for one tiny answer").check()
    form.get_by_role("button", name="Check the switch").click()
    checks = page.get_by_role("dialog").get_by_role("list", name="Checks").get_by_role("listitem")
    checks.filter(has_text="The provider lists it").wait_for()
    checks.filter(has_text=f"it answers {EVIL}").wait_for()
    page.get_by_text("a/x → b/z").wait_for()
    page.get_by_label("Difference as YAML").get_by_text("b/z").first.wait_for()
    visit.accessible()
    assert first_of(visit) == "a/x"
    make_live(visit)
    assert first_of(visit) == "b/z"
    assert [(one["call"], one.get("force")) for one in asked] == [(True, None), (False, False)]
    page.get_by_role("link", name=re.compile("^rlm.*b.z$")).wait_for()


def test_a_switch_that_fails_a_check(visit: Visit) -> None:
    """It is made only by a button that says so; an unknown name is told beside its field."""
    visit.sign_in("/roles?name=rlm")
    page = visit.page
    form = page.get_by_role("form", name="Switch rlm")
    form.get_by_label("To", exact=True).fill(EVIL)
    form.get_by_role("button", name="Check the switch").click()
    form.get_by_role("alert").first.wait_for()
    form.get_by_label("To", exact=True).fill("a/gone")
    form.get_by_role("button", name="Check the switch").click()
    page.get_by_text("it is not in the provider's list").wait_for()
    visit.picture("switch")
    assert page.get_by_role("button", name="Make it live").count() == 0
    visit.served.run(visit.served.scene.edit("PUT", "/aliases/meanwhile", "a/x"))
    page.get_by_role("button", name="Switch although a check fails").click()
    page.get_by_text("Somebody else changed the configuration").wait_for()
    page.get_by_role("button", name="Compare again").click()
    page.get_by_text("Somebody else changed").wait_for(state="detached")
    page.get_by_role("button", name="Switch although a check fails").click()
    page.get_by_text("It is live").wait_for()
    assert first_of(visit) == "a/gone"
