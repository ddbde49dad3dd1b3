"""Calls as they end, one call's attempts, and a table of ten thousand rows."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import EVIL, Served, Visit, served, visiting
from tests.faults import chat_json, error_json

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_IN_DOCUMENT = 120


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    turns = itertools.count()

    def answer(_: Any) -> Any:
        return error_json(500, EVIL) if next(turns) % 4 == 0 else chat_json(EVIL)

    with served(tmp_path_factory.mktemp("calls"), answer) as found:
        for _ in range(4):
            assert found.call("role:rlm") == 200
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        found.sign_in("/calls")
        yield found


def test_one_call_from_the_list_to_its_attempts(visit: Visit) -> None:
    """What the upstream said stays text, and the address names the call, so it can be sent to a colleague."""
    page = visit.page
    page.get_by_label("Which").select_option("with trouble")
    page.get_by_role("row").filter(has_text="role:rlm").get_by_role("link").last.click()
    dialog = page.get_by_role("dialog")
    attempts = dialog.get_by_role("list", name="Attempts").get_by_role("listitem")
    attempts.nth(1).wait_for()
    assert "500" in attempts.first.inner_text()
    dialog.get_by_role("heading", name="The plan, as it was then").wait_for()
    dialog.get_by_text(re.compile("made at .* at most \\d attempts")).wait_for()
    assert dialog.locator(".plan .state").filter(has_text="asked").count() == 2
    dialog.get_by_text("What a call to role:rlm would do now").click()
    dialog.get_by_text("ejected").or_(dialog.get_by_text("% succeed")).first.wait_for()
    dialog.get_by_text("What a call to role:rlm would do now").click()
    dialog.get_by_text("curl http").wait_for()
    assert "only=trouble" in page.url
    assert re.search(r"call=\w+", page.url)
    visit.accessible()
    visit.picture("call")
    page.reload()
    page.get_by_role("dialog").get_by_role("list", name="Attempts").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert "call=" not in page.url


def test_a_call_of_before_the_start(visit: Visit) -> None:
    """Whoever asks later learns plainly that only the attempts are kept."""
    visit.served.scene.running.gateway.plans._kept.clear()
    page = visit.page
    page.get_by_role("row").filter(has_text="role:rlm").get_by_role("link").last.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Its plan is not kept, only its attempts are").wait_for()
    visit.accessible()


def test_a_call_appears_when_it_ends(visit: Visit) -> None:
    page = visit.page
    page.get_by_text("live", exact=True).wait_for()
    page.get_by_role("row").nth(2).wait_for()
    before = int(page.get_by_text(" shown").inner_text().split()[0])
    assert visit.served.call("role:only") in (200, 500)
    page.get_by_text(f"{before + 1} shown").wait_for()
    page.get_by_label("Asked for").fill("role:only-not")
    page.get_by_text("No call matches these filters.").wait_for()


def test_ten_thousand_calls_are_few_elements(visit: Visit) -> None:
    """A scroll to the end shows the last call, and never more rows than fit."""
    one = {
        "attempt": "a/1", "at": 1, "began_at": 1.0, "request_id": "r", "key": EVIL, "route": EVIL, "endpoint": "chat",
        "provider": "a", "model": EVIL, "state": "settled", "outcome": "ok", "about": "", "status": 200,
        "call_status": 200, "input_tokens": 1, "output_tokens": 1, "cached_tokens": 0, "usage_is_estimate": False,
        "cost_nanousd": 1, "cost_usd": "0", "cost_source": "x", "price_source": "", "first_token_ms": 1,
        "duration_ms": 1, "provider_id": "", "sha256": "",
    }  # fmt: skip
    rows = [{**one, "request_id": f"call-{number}", "route": f"{EVIL}{number}"} for number in range(10_000)]
    page = visit.page
    page.route(re.compile(r"/admin/v1/calls\?"), lambda route: route.fulfill(body=json.dumps({"data": rows})))
    page.get_by_label("At most").select_option("10000")
    page.get_by_text("10000 shown").wait_for()
    table = page.get_by_role("table", name="Calls")
    table.evaluate("box => box.scrollTo(0, box.scrollHeight)")
    page.get_by_text(f"{EVIL}9999").first.wait_for()
    assert page.get_by_role("row").count() < MOST_IN_DOCUMENT
    took_ms = table.evaluate(
        """async (box) => {
            const began = performance.now();
            for (let step = 0; step < 30; step++) {
                box.scrollTo(0, step * 9000);
                await new Promise(requestAnimationFrame);
            }
            return (performance.now() - began) / 30;
        }"""
    )
    assert took_ms < 100


def test_a_gateway_that_does_not_answer(visit: Visit) -> None:
    """What was there stays, with the reason and a way to try again."""
    visit.allowed = ("ERR_FAILED", "Failed to load")
    page = visit.page
    page.get_by_role("row").nth(2).wait_for()
    page.route("**/admin/v1/calls?*", lambda route: route.abort())
    page.get_by_label("Provider").fill("a")
    page.get_by_text("the gateway does not answer").first.wait_for()
    page.unroute("**/admin/v1/calls?*")
    page.get_by_role("button", name="Try again").click()
    page.get_by_text("the gateway does not answer").wait_for(state="detached")
