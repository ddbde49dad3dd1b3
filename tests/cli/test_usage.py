"""`gateway usage`: the ledger in numbers, for people, for spreadsheets and for programs."""

from __future__ import annotations

import csv
import json
import time
from contextlib import closing
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from gateway.cli import main
from gateway.cli.usage import NOTHING_YET
from gateway.core.ledger import Row, RowState
from gateway.core.reconcile import DAY_S, day_of, start_of
from gateway.stores.sqlite import SQLiteStore
from gateway.types import CostSource, Usage
from tests.background.test_bills import costs
from tests.cli.command import gateway_async
from tests.faults import FaultyUpstream, error_json, json_answer

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.faults import Request, Script

FILE = """
providers:
  openai: {{kind: openai, api_key: sk-secret, admin_key: sk-admin-secret, base_url: "{0}", local: false}}
  deep: {{kind: deepseek, api_key: sk-deep-secret, base_url: "{0}", local: false}}
  groq: {{api_key: gsk-secret}}
"""
KNOWN = "role, hour, day, key, route, endpoint, provider, model, arm"
NOWHERE = "http://127.0.0.1:9/v1"
NOW = time.time()
DOLLAR = 1_000_000_000


def row(number: int, attempt: int = 1, **more: Any) -> Row:
    return Row(
        **{
            "attempt": f"0123456789ab{number:04}/{attempt}", "version": 3 << 20, "state": RowState.SETTLED,
            "at": NOW - 60.0 * number, "request_id": f"req_{number}", "key": "key_0123456789ab", "route": "role:rlm",
            "endpoint": "chat", "provider": "openai", "model": "gpt-5", "outcome": "ok", "status": 200,
            "usage": Usage(input_tokens=1000, output_tokens=100, cached_tokens=250), "usage_is_estimate": False,
            "cost_nanousd": 1_500_000, "cost_source": CostSource.COMPUTED, "call_status": 200,
            "sha256": bytes(range(32)), **more,
        }
    )  # fmt: skip


ROWS = [
    row(1),
    row(2, cost_nanousd=None, cost_source=CostSource.UNKNOWN, key=""),
    row(3, cost_nanousd=123_000, cost_source=CostSource.ESTIMATED, usage_is_estimate=True),
    row(4, status=500, outcome="server_error", call_status=0, cost_nanousd=0, cost_source=CostSource.COMPUTED),
    row(4, 2, provider="home", model="tiny", cost_nanousd=0, cost_source=CostSource.FREE, saved_nanousd=2 * DOLLAR),
    row(5, call_status=502, route="main", model="=cmd()"),
    row(6, state=RowState.IN_DOUBT, outcome="in_doubt", call_status=0, route="\x1b[31mred", sha256=b""),
    row(7, at=NOW - 90 * DAY_S),
]


@pytest.fixture
def file(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a configuration whose ledger is in the current directory, and not there yet."""
    monkeypatch.setenv("GATEWAY_STATE_DIR", str(here))
    path = here / "gateway.yaml"
    configure(path, NOWHERE)
    return path


def configure(file: Path, base_url: str) -> None:
    file.write_text(FILE.format(base_url))


@pytest.fixture
def ledger(file: Path) -> Path:
    """Return a configuration whose ledger has ROWS."""
    write(file, ROWS)
    return file


def write(file: Path, rows: list[Row]) -> None:
    with closing(SQLiteStore(file.parent / "ledger.sqlite")) as store:
        store.write(rows)


def run(*args: str) -> Result:
    return CliRunner().invoke(main, ["usage", *args], catch_exceptions=False)


def groups(*args: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("--json", *args).output)["groups"]
    return found


def test_by_model(ledger: Path) -> None:
    """The dearest first; what has no price is counted, what is estimated is marked, and all is added up."""
    title, *table = run().output.splitlines()
    assert title.startswith("Since ")
    assert title.endswith(" UTC, by model")
    head, gpt, cmd, tiny, total = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table]
    assert head == [
        "MODEL", "REQUESTS", "ATTEMPTS", "INPUT", "CACHED", "OUTPUT", "COST", "SAVED", "ERRORS", "FALLBACKS",
        "IN DOUBT",
    ]  # fmt: skip
    assert gpt == ["gpt-5", "3", "5", "5,000", "25%", "500", "$0.00312 ~20% + 1 unpriced", "-", "0%", "0%", "1"]
    assert cmd == ["=cmd()", "1", "1", "1,000", "25%", "100", "$0.0015", "-", "100%", "0%", "-"]
    assert tiny == ["tiny", "1", "1", "1,000", "25%", "100", "$0.00", "$2.00", "0%", "100%", "-"]
    assert total == [
        "TOTAL",
        "5",
        "7",
        "7,000",
        "25%",
        "700",
        "$0.00462 ~14.3% + 1 unpriced",
        "$2.00",
        "20%",
        "20%",
        "1",
    ]


def test_by_role_and_day(ledger: Path) -> None:
    """Only what was asked of a role, in the order of time."""
    found = groups("--by", "role, day", "--since", "100d")
    assert [one["role"] for one in found] == ["role:rlm"] * len(found)
    assert [one["day"] for one in found] == sorted(one["day"] for one in found)
    assert found[0]["day"] == day_of(NOW - 90 * DAY_S)
    assert sum(one["attempts"] for one in found) == 6


@pytest.mark.parametrize(
    ("args", "attempts"),
    [
        ((), 7),
        (("--since", "2000-01-01"), 8),
        (("--since", "100d", "--until", "30d"), 1),
        (("--where", "provider=home"), 1),
        (("--where", "provider=openai", "--where", "model=gpt-5"), 5),
        (("--where", "role=rlm"), 5),
        (("--where", "role=role:rlm"), 5),
        (("--where", "key=-"), 1),
        (("--where", "key=key_0123456789ab"), 6),
        (("--where", "model=nobody"), 0),
    ],
)
def test_which_calls(ledger: Path, args: tuple[str, ...], attempts: int) -> None:
    assert json.loads(run("--json", "--by", "", *args).output)["total"]["attempts"] == attempts


def test_json(ledger: Path) -> None:
    """Integers, and money as decimal text beside them; no float."""
    text = run("--json", "--by", "key").output
    said = json.loads(text, parse_float=lambda number: pytest.fail(f"a float: {number}"))
    assert (said["by"], said["until"]) == (["key"], None)
    assert [one["key"] for one in said["groups"]] == ["key_0123456789ab", "-"]
    assert said["groups"][0]["cost_nanousd"] == 4_623_000
    assert said["groups"][0]["cost_usd"] == "0.004623"
    assert said["total"]["unpriced"] == 1


def test_csv(ledger: Path) -> None:
    """A name that a spreadsheet would run is text there."""
    rows = list(csv.DictReader(StringIO(run("--csv").output)))
    assert [one["model"] for one in rows] == ["gpt-5", "'=cmd()", "tiny"]
    assert (rows[0]["cost_nanousd"], rows[0]["cost_usd"], rows[0]["requests"]) == ("3123000", "0.003123", "3")


def test_the_latest_calls(ledger: Path) -> None:
    """One line for each attempt, the newest first; nothing in a name reaches the terminal as a command."""
    _, *lines = run("--calls", "7").output.splitlines()
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert cells[0][1:] == [
        "req_1", "role:rlm", "openai/gpt-5", "ok", "1,000 + 100", "$0.0015", "computed", "000102030405",
    ]  # fmt: skip
    assert cells[1][6:8] == ["unknown", "unknown"]
    assert cells[2][5] == "~1,000 + ~100"
    assert {one[1] for one in cells[3:5]} == {"req_4", "req_4 #2"}
    assert cells[6][2:] == [
        "\N{REPLACEMENT CHARACTER}[31mred", "openai/gpt-5", "in_doubt", "1,000 + 100", "$0.0015", "computed", "-",
    ]  # fmt: skip
    assert len(run("--calls", "2", "--where", "provider=home").output.splitlines()) == 2
    said = json.loads(run("--calls", "1", "--json").output)
    assert said[0]["sha256"] == bytes(range(32)).hex()
    assert (said[0]["cost_nanousd"], said[0]["cost_usd"]) == (1_500_000, "0.0015")
    assert run("--calls", "1", "--csv").output.splitlines()[1].startswith("0123456789ab0001/1,")


@pytest.mark.parametrize("args", [(), ("--calls", "3"), ("--by", "key,hour")])
def test_before_the_first_call(file: Path, args: tuple[str, ...]) -> None:
    """It is no failure, and nothing is made."""
    done = run(*args)
    assert (done.exit_code, done.output) == (0, f"{NOTHING_YET}\n")
    assert [one.name for one in file.parent.iterdir()] == ["gateway.yaml"]
    assert json.loads(run("--json").output)["groups"] == []
    assert run("--csv").output.startswith("model,requests,attempts,")


def test_when_nothing_fits(ledger: Path) -> None:
    done = run("--where", "model=nobody")
    assert done.exit_code == 0
    assert done.output.startswith("No matching calls since ")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--by", "modle"), 'usage cannot be grouped or filtered by "modle"; did you mean "model"?'),
        (("--by", "zzzz"), f'usage cannot be grouped or filtered by "zzzz"; there are {KNOWN}'),
        (("--since", "soon"), '"soon" is not a time; write 7d, 24h, today, yesterday, 2026-11-01 or 2026-11-01T05:00'),
        (("--since", "2026-01-02", "--until", "2026-01-01"),
         "the period from 2026-01-02 00:00:00 to 2026-01-01 00:00:00 UTC is empty; --until must be later"),
        (("--where", "provider"), '"provider" is not a condition; write it like provider=openai'),
        (("--where", "colour=red"), f'usage cannot be grouped or filtered by "colour"; there are {KNOWN}'),
        (("--where", "role=a", "--where", "route=b"), '"--where route=…" is given twice; a call has only one route'),
        (("--where", "day=monday"), '"monday" is not a valid day; write it as 2026-11-21'),
        (("--csv", "--json"), "--csv and --json exclude each other"),
        (("--calls", "3", "--by", "day"),
         "--calls lists the latest attempts; it can only be combined with --where"),
        (("--calls", "3", "--reconcile"), "--calls and --reconcile exclude each other"),
        (("--reconcile", "--by", "day"),
         "--reconcile compares days and providers; it can only be combined with --since and --until"),
    ],
)  # fmt: skip
def test_mistakes(ledger: Path, args: tuple[str, ...], said: str) -> None:
    """Each is named with its remedy, on standard error."""
    done = run(*args)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"{said}\n")


def test_without_a_ledger(file: Path) -> None:
    file.write_text("ledger: {enabled: false}\n" + FILE.format(NOWHERE))
    done = run()
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("the ledger is switched off; remove `ledger.enabled: false`")


def test_without_a_place_for_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GATEWAY_STATE_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "")
    assert run().stderr == "there is no place for the ledger; set GATEWAY_STATE_DIR to a directory\n"


def test_what_is_no_ledger(file: Path) -> None:
    (file.parent / "ledger.sqlite").write_text("this is not a database, whatever it is called" * 50)
    done = run()
    assert (done.exit_code, done.stdout) == (1, "")
    assert "it is not a SQLite database; move it away" in done.stderr


def test_it_reads_while_the_gateway_writes(ledger: Path) -> None:
    """The gateway need not be stopped."""
    with closing(SQLiteStore(ledger.parent / "ledger.sqlite")) as store:
        store.write([row(8)])
        assert json.loads(run("--json", "--by", "").output)["total"]["attempts"] == 8


# -- against the providers


def billing(request: Request) -> Script:
    path = request.target.partition("?")[0]
    if path == "/user/balance":
        return json_answer({"balance_infos": [{"currency": "CNY", "total_balance": "110.00"}]})
    if path == "/v1/organization/costs":
        days = [day_of(NOW - back * DAY_S) for back in (3, 2)]
        return json_answer(costs((days[0], [2]), (days[1], [1.5])))
    return error_json(404)


def booked() -> list[Row]:
    noons = [start_of(day_of(NOW - back * DAY_S)) + DAY_S / 2 for back in (3, 2)]
    return [
        row(1, at=noons[0], cost_nanousd=2 * DOLLAR),
        row(2, at=noons[1], cost_nanousd=DOLLAR),
        row(3, at=noons[1], cost_nanousd=None, cost_source=CostSource.UNKNOWN),
        row(4, at=noons[1], provider="groq", cost_nanousd=5 * DOLLAR),
        row(5, at=noons[0] - 99 * DAY_S),
    ]


async def test_reconcile(file: Path) -> None:
    """Day by day where the bill is told, and why not where it is not; a drift is status 1."""
    write(file, booked())
    env = {"GATEWAY_STATE_DIR": str(file.parent)}
    async with FaultyUpstream() as upstream:
        upstream.always(billing)
        configure(file, upstream.base_url)
        done = await gateway_async("usage", "--reconcile", cwd=file.parent, env=env)
        again = await gateway_async("usage", "--reconcile", "--json", cwd=file.parent, env=env)
        sheet = await gateway_async("usage", "--reconcile", "--csv", cwd=file.parent, env=env)
    assert done.err == ""
    assert done.status == 1
    table, _, remarks = done.out.partition("\n\n")
    head, agrees, drift = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in table.splitlines()]
    assert head == ["DAY", "PROVIDER", "BOOKED", "BILLED", "DRIFT", "VERDICT"]
    assert agrees[1:] == ["openai", "$2.00", "$2.00", "0", "agrees"]
    assert drift[1:] == ["openai", "$1.00", "$1.50", "+$0.50 (+50%)", "DRIFT", "1 unpriced"]
    assert remarks.splitlines() == [
        "deep: $0.00 booked, not compared: its API does not tell what it bills",
        "groq: $5.00 booked, not compared: its API does not tell what it bills",
        "deep: 110.00 CNY left",
    ]
    accounts = {one["provider"]: one for one in again.json["accounts"]}
    assert accounts["openai"]["days"][1]["drift_nanousd"] == DOLLAR // 2
    assert again.json["balances"]["deep"]["funds"] == {"CNY": "110.00"}
    assert [one["verdict"] for one in csv.DictReader(StringIO(sheet.out))] == ["agrees", "drift", "not told"]
    assert "secret" not in done.out + again.out + sheet.out


async def test_who_does_not_answer(file: Path) -> None:
    """It is said why, without a secret, and is status 1."""
    write(file, booked())
    async with FaultyUpstream() as upstream:
        upstream.always(error_json(401, {"error": "sk-admin-secret is no key"}))
        configure(file, upstream.base_url)
        env = {"GATEWAY_STATE_DIR": str(file.parent)}
        done = await gateway_async("usage", "--reconcile", cwd=file.parent, env=env)
    assert done.status == 1
    assert "openai: $3.00 booked, not compared: HTTP 401: it does not accept the admin_key\n" in done.out
    assert "deep: its balance is unknown: HTTP 401\n" in done.out
    assert "secret" not in done.out + done.err


def test_by_what_requests_say(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only by what the configuration records; names of metadata keep their case."""
    file.write_text(file.read_text() + "ledger: {record: [user, metadata.Source]}\n")
    tags = '{"user":"u1","metadata.Source":"ide"}'
    with SQLiteStore(file.parent / "ledger.sqlite") as store:
        store.write([row(1, tags=tags, arm="x/a"), row(2)])
    shown = CliRunner().invoke(main, ["usage", "--by", "user,metadata.Source,arm", "--config", str(file), "--json"])
    groups = json.loads(shown.output)["groups"]
    assert {(one["user"], one["metadata.Source"], one["arm"]) for one in groups} == {("u1", "ide", "x/a"), ("", "", "")}
    shown = CliRunner().invoke(main, ["usage", "--calls", "9", "--where", "user=u1", "--config", str(file), "--json"])
    assert [one["tags"]["user"] for one in json.loads(shown.output)] == ["u1"]
    refused = CliRunner().invoke(main, ["usage", "--by", "metadata.team", "--config", str(file)])
    assert refused.exit_code == 1
    assert "add it to ledger.record in gateway.yaml" in " ".join(refused.output.split())
