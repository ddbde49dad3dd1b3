"""Experiments: begun, read, changed and ended on their page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.console import EVIL, Served, Visit, answering, served, visiting
from tests.browser.test_configuring import make_live

if TYPE_CHECKING:
    from collections.abc import Iterator

MEASURED = {"calls": 40, "mean": 1.5, "low": 1.2, "high": 1.8, "median": 1.4, "median_low": 1.1, "median_high": 1.7}
REPORT = {
    "confidence": 0.95,
    "configured": True,
    "arms": [
        {"name": "usual", "calls": 40, "left": 2, "measures": {"latency_s": MEASURED}, "verdicts": {EVIL: 3}},
        {"name": "cool", "calls": 41, "left": 0, "measures": {"latency_s": MEASURED}, "verdicts": {}},
    ],
    "compared": [
        {
            "arm": "cool", "against": "usual", "measure": "latency_s", "difference": 0.4, "low": 0.2, "high": 0.6,
            "verdict": "higher", "more": None, "words": "latency: higher by +0.4 s (0.2 s … 0.6 s)",
        },
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("experiments"), answering("Hi")) as found:
        for _ in range(3):
            assert found.call("main") == 200
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        found.allowed = ("400", "412")
        yield found


def test_a_report_without_a_winner(visit: Visit) -> None:
    """The real calls are too few to say anything, and the page says that; enough of them have their intervals."""
    visit.sign_in("/experiments?name=cooler")
    page = visit.page
    arms = page.get_by_role("region", name="Arms of cooler")
    arms.get_by_role("row", name=re.compile("cool .*temperature.* 50 %")).wait_for()
    page.get_by_text("No winner is declared").wait_for()
    page.get_by_text(re.compile("not enough calls yet", re.IGNORECASE)).first.wait_for()
    page.route("**/experiments/cooler/report*", lambda route: route.fulfill(json=REPORT))
    page.get_by_label("Since").select_option("7d")
    page.get_by_role("list", name="cool beside usual").get_by_text("latency: higher by +0.4 s").wait_for()
    page.get_by_text(f"{EVIL} 3").wait_for()
    assert "since=7d" in page.url
    visit.accessible()
    visit.picture("experiments")


def test_one_is_begun_changed_and_ended(visit: Visit) -> None:
    """Mistakes are beside their fields; each change is compared first; the report of an ended one stays."""
    visit.sign_in("/experiments?add=yes")
    page = visit.page
    page.get_by_label("Name").first.fill("warmer")
    page.get_by_label("Whose calls take part").fill("role:rlm")
    second = page.get_by_role("group", name="Arm 2")
    second.get_by_label("Name").fill("7")
    second.get_by_label("Parameters").fill("{")
    page.get_by_role("button", name="Review the change").click()
    second.get_by_text("an arm needs a name that is no number").wait_for()
    second.get_by_text("this is neither JSON nor a preset").wait_for()
    second.get_by_label("Name").fill("warm")
    second.get_by_label("Parameters").fill('{"temperature": 0.9}')
    second.get_by_label("Weight").fill("-1")
    page.get_by_role("button", name="Review the change").click()
    second.get_by_role("alert").wait_for()
    visit.accessible()
    second.get_by_label("Weight").fill("3")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_label("Difference as YAML").get_by_text("warmer:").wait_for()
    make_live(visit)
    stored = visit.served.run(visit.served.scene.get("/experiments/warmer"))["value"]
    assert stored == {
        "on": "role:rlm", "sticky": "session",
        "arms": {"usual": {}, "warm": {"params": {"temperature": 0.9}, "weight": 3}},
    }  # fmt: skip
    for _ in range(2):
        assert visit.served.call("role:rlm") == 200
    page.get_by_label("How many of them").fill("20%")
    page.get_by_role("button", name="Review the change").click()
    visit.served.run(visit.served.scene.edit("PUT", "/aliases/meanwhile", "a/x"))
    page.get_by_role("button", name="Make it live").click()
    page.get_by_text("Somebody else changed the configuration").wait_for()
    page.get_by_role("button", name="Compare again").click()
    make_live(visit)
    page.get_by_role("row", name=re.compile("warm .* 15 %")).wait_for()
    page.get_by_role("button", name="End the experiment").click()
    make_live(visit)
    page.get_by_role("link", name=re.compile("^warmer.*its report stays")).wait_for()
    page.get_by_role("region", name="Arms, as they were measured").wait_for()


def test_a_mirror(visit: Visit) -> None:
    visit.sign_in("/experiments?add=yes")
    page = visit.page
    page.get_by_label("Name").first.fill("shadow")
    page.get_by_label("Whose calls take part").fill("other")
    page.get_by_label("How", exact=True).select_option("mirror")
    page.get_by_role("group", name="Mirror").get_by_label("Model").fill("a/y")
    page.get_by_role("button", name="Review the change").click()
    page.get_by_text("say what share of the calls is copied").wait_for()
    page.get_by_label("How many of them").fill("5%")
    page.get_by_role("button", name="Review the change").click()
    make_live(visit)
    page.get_by_text("Copies of 5 % of the calls to other").wait_for()
    page.get_by_role("row", name="copy a/y").wait_for()
