"""The playground, money, keys, the configuration and the lines for clients."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core.reconcile import Comparison, Statement, Verdict
from gateway.stores.importer import EVERY_S, IDLE_EVERY_S
from gateway.stores.statements import Kept, Statements
from tests.browser.console import EVIL, Served, Visit, answering, served, visiting

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    async def prepare(scene: Any) -> None:
        price = {"input": 1, "output": 2}
        await scene.edit("PUT", "/aliases/priced", {"model": "a/x", "price": price})

    with served(tmp_path_factory.mktemp("using"), answering("Pixel, Byte", " and Ada."), prepare) as found:
        for _ in range(3):
            assert found.call("priced") == 200
        yield found


@pytest.fixture
def visit(running: Served, browser: Any) -> Iterator[Visit]:
    with visiting(running, browser) as found:
        yield found


def test_a_prompt_side_by_side_with_its_cost(visit: Visit) -> None:
    """The estimate is there while one types; the answer stays text and has its cost; the address has no prompt."""
    visit.sign_in("/play?model=priced&beside=role:rlm")
    page = visit.page
    page.get_by_label("Prompt", exact=True).fill("Three names for a cat?")
    page.get_by_text("About 6 tokens in").first.wait_for()
    page.get_by_text("at most about $").first.wait_for()
    page.get_by_role("button", name="Send").click()
    lanes = page.get_by_role("region", name="Answer of")
    for lane in (lanes.nth(0), lanes.nth(1)):
        lane.get_by_text("Pixel, Byte and Ada.").wait_for()
        lane.get_by_text("its attempts").wait_for()
        lane.locator(".cost").filter(has_text="$").wait_for()
    visit.accessible()
    visit.picture("playground")
    page.get_by_label("Prompt", exact=True).fill("something evil")
    page.get_by_role("button", name="Send").click()
    lanes.nth(1).get_by_text(EVIL).wait_for()
    lanes.nth(0).get_by_text("As a command").click()
    lanes.nth(0).get_by_text("$GATEWAY_API_KEY").wait_for()
    assert "evil" not in page.url
    assert page.evaluate("[localStorage.length, sessionStorage.length]") == [0, 0]


def test_a_provider_that_hangs_can_be_stopped(visit: Visit) -> None:
    visit.sign_in("/play?model=main")
    page = visit.page
    page.get_by_label("Parameters").fill("{")
    page.get_by_text("this is no JSON").wait_for()
    page.get_by_label("Parameters").fill("")
    page.get_by_label("Prompt", exact=True).fill("please hang")
    page.keyboard.press("Control+Enter")
    page.get_by_text("Waiting for the first token").wait_for()
    page.get_by_role("button", name="Stop").click()
    page.get_by_text("Stopped.").wait_for()


def test_a_call_under_way_is_cancelled(visit: Visit) -> None:
    """The table shows it while it waits; its client gets an error."""
    visit.sign_in("/calls")
    page = visit.page
    waiting = visit.served.begin("priced", "please hang")
    page.get_by_role("button", name="Cancel the call to priced").click()
    page.get_by_text("No call is under way.").wait_for()
    assert waiting.result(10) >= 400
    page.get_by_role("row").filter(has_text="cancelled").first.wait_for()


def test_a_call_that_began_before_the_page_shows_its_end(visit: Visit) -> None:
    """The ledger has it as under way when the page is loaded; the event of its end replaces that row."""
    waiting = visit.served.begin("priced", "please hang")
    time.sleep(IDLE_EVERY_S + EVERY_S)
    visit.sign_in("/calls")
    page = visit.page
    begun = page.get_by_role("table", name="Calls").get_by_role("row").filter(has_text="under way")
    begun.wait_for()
    ended = page.get_by_role("row").filter(has_text="cancelled")
    before = ended.count()
    page.get_by_role("button", name="Cancel the call to priced").click()
    begun.wait_for(state="detached")
    assert waiting.result(10) >= 400
    ended.nth(before).wait_for()


def test_money_by_name_and_a_budget(visit: Visit) -> None:
    visit.allowed = ("400",)
    visit.sign_in("/money?by=route")
    page = visit.page
    page.get_by_role("cell", name="priced").wait_for()
    page.get_by_role("img", name="Cost by time").wait_for()
    visit.accessible()
    visit.picture("money")
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Export as CSV").click()
    assert waiting.value.suggested_filename == "gateway-route.csv"
    form = page.get_by_role("form", name="New budget")
    form.get_by_label("Limit in USD").fill("much")
    form.get_by_role("button").click()
    page.get_by_role("alert").first.wait_for()
    form.get_by_label("Limit in USD").fill("5")
    form.get_by_role("button").click()
    page.get_by_role("button", name="Make it live").click()
    page.get_by_text("It is live").wait_for()
    page.get_by_text("total: $5 for each day").wait_for()


def test_bills_beside_what_is_booked(visit: Visit) -> None:
    """The last comparison is shown with its days; a provider that cannot be asked says why; one may ask at once."""
    days = (
        Comparison("2026-11-16", "openai", Verdict.AGREES, 10**9, 10**9),
        Comparison("2026-11-17", "openai", Verdict.DRIFT, 10**9, 3 * 10**9, attempts=3, requests=9, unpriced=1),
    )
    silent = Statement(EVIL, time.time(), (), silent="its API does not tell what it bills")
    kept = Statements(visit.served.scene.folder / "state")
    kept.write(Kept((Statement("openai", time.time(), days), silent)))
    visit.sign_in("/money")
    page = visit.page
    page.get_by_text("drift: +$2.00").wait_for()
    drifted = page.get_by_role("region", name="Bills of openai").get_by_role("row").filter(has_text="2026-11-17")
    assert "1 without a price, 3 of 9 requests came through here" in drifted.inner_text()
    page.get_by_text(EVIL).wait_for()
    page.get_by_text("not compared: its API does not tell what it bills").wait_for()
    visit.accessible()
    page.get_by_role("button", name="Compare now").click()
    page.get_by_text("Nothing was compared yet").wait_for()


def test_a_key_is_made_shown_once_and_revoked(visit: Visit) -> None:
    visit.allowed = ("400",)
    visit.sign_in("/keys")
    page = visit.page
    page.get_by_role("button", name="Make a key").click()
    page.get_by_label("Name").fill("ci")
    page.get_by_label("Expires after").fill("soon")
    page.get_by_role("button", name="Make the key").click()
    page.get_by_role("alert").first.wait_for()
    page.get_by_label("Expires after").fill("90d")
    page.get_by_label("May use").fill("role:*, main")
    visit.accessible()
    page.get_by_role("button", name="Make the key").click()
    secret = page.get_by_label("Secret").inner_text()
    assert secret.startswith("sk-gw-")
    page.get_by_role("button", name="I have copied it").click()
    page.get_by_role("cell", name="role:*, main").wait_for()
    assert secret not in page.content()
    page.get_by_role("button", name="Revoke ci").click()
    page.get_by_role("button", name="Revoke for good").click()
    page.get_by_role("cell", name=re.compile("revoked")).wait_for()


def test_a_change_is_reverted(visit: Visit) -> None:
    """What was changed at run time is listed with its difference; the history remembers who did what."""
    visit.served.run(visit.served.scene.edit("PUT", "/presets/odd", {"stop": EVIL}))
    visit.sign_in("/configuration")
    page = visit.page
    page.get_by_label("Difference as YAML").get_by_text("odd").first.wait_for()
    visit.accessible()
    page.get_by_role("button", name="Revert presets.odd").click()
    page.get_by_role("button", name="Make it live").click()
    page.get_by_text("It is live").wait_for()
    page.get_by_role("button", name="Revert presets.odd").wait_for(state="detached")
    page.get_by_role("button", name="History").click()
    page.get_by_text("presets.odd").first.wait_for()
    assert "view=history" in page.url
    page.get_by_role("button", name="In effect").click()
    page.get_by_label("Configuration", exact=True).get_by_text("providers:").wait_for()


def test_a_file_with_a_mistake_is_told_with_its_line(visit: Visit) -> None:
    file = visit.served.scene.folder / "gateway.yaml"
    good = file.read_text()
    file.write_text(good + "nonsense: 1\n")
    try:
        visit.sign_in("/configuration")
        page = visit.page
        page.get_by_role("button", name="Read the files again").click()
        page.get_by_text(re.compile(r"gateway\.yaml:\d+")).first.wait_for()
    finally:
        file.write_text(good)
        page.get_by_role("button", name="Read the files again").click()
        page.get_by_text(re.compile(r"gateway\.yaml:\d+")).first.wait_for(state="detached")


def test_the_lines_for_a_client(visit: Visit) -> None:
    visit.allowed = ("404", "400")
    visit.sign_in("/connect?model=role:rlm")
    page = visit.page
    page.get_by_label("Client", exact=True).select_option("codex")
    page.get_by_text(visit.served.url).first.wait_for()
    page.get_by_role("button", name="Test").click()
    page.get_by_text("It answers, and has role:rlm").wait_for()
    visit.accessible()


PAGES = (
    "", "calls", "roles", "providers", "models", "money", "play", "keys", "experiments", "configuration", "connect",
    "start",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_at_360_px(scheme: str, running: Served, browser: Any) -> None:
    """Nothing is wider than the window, and axe has nothing serious to say, in light and dark."""
    with visiting(running, browser, viewport={"width": 360, "height": 740}, color_scheme=scheme) as visit:
        visit.sign_in()
        for name in PAGES:
            visit.open(f"/{name}")
            visit.page.get_by_role("heading", level=1).wait_for()
            visit.page.wait_for_load_state("load")
            visit.page.locator(".loading").first.wait_for(state="detached")
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360, name
            visit.accessible()
            if scheme == "dark" and not name:
                visit.picture("now-narrow-dark")


def hostile(value: Any, place: str = "") -> Any:
    """Return a JSON value with markup in every text that no page computes with."""
    if isinstance(value, dict):
        return {name: hostile(inner, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner, place) for inner in value]
    return value + EVIL if isinstance(value, str) and place not in ("day", "hour", "version") else value


def test_every_text_of_the_api_stays_text(visit: Visit) -> None:
    """Whatever a provider, a client or a colleague can write into an answer, on every page."""
    page = visit.page
    visit.allowed = ("404", "400", "409")

    def spoiled(route: Any) -> None:
        answer = route.fetch()
        route.fulfill(response=answer, body=json.dumps(hostile(answer.json())))

    visit.sign_in()
    page.route(re.compile(r"/admin/v1/(?!events)"), spoiled)
    for name in (*PAGES, "configuration?view=history", "configuration?view=effective", "calls?call=x"):
        page.goto(f"{visit.url}/console/{name}")
        page.get_by_role("heading", level=1).wait_for()
        page.locator(".loading").first.wait_for(state="detached")
        if name not in ("start", "keys", "play"):  # they show texts of the gateway's own until somebody chooses
            assert page.get_by_text(EVIL).count(), name
        assert page.evaluate("document.querySelectorAll('#console img, #console script').length") == 0
