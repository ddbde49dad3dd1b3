"""docs/providers.md says for every outcome what is set aside, for whom and for how long, as the code has it."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from gateway.core import breaker
from gateway.core import outcome as o
from gateway.core.facts import LONGEST_REST_S, SHORTEST_S, aside_for_s, shared_by
from gateway.core.waits import LONGEST_WAIT_S
from gateway.types import Ability, About, LimitScope, Outcome, Provider, Upstream

DOC = Path(__file__).parents[2] / "docs" / "providers.md"
MARK = "<!-- made by tests/core/test_set_aside.py -->\n"
WHAT = {
    About.CALL: ("this call", "nothing"),
    About.MODEL: ("this model at this provider", "the upstream"),
    About.ALLOWANCE: ("a rate limit or a quota", "all that share it: the model, the account, or its free models"),
    About.CREDIT: (
        "the account's money", "all models of the account (at OpenRouter its free ones only if one of them was refused)"
    ),
    About.ACCOUNT: ("the account itself", "all models of the account"),
    About.PROVIDER: ("the upstream as a whole", "the upstream, once it has failed several times in a row"),
    About.CLOCK: ("our own deadline", "nothing"),
    About.NOBODY: ("nothing at the provider", "nothing"),
}  # fmt: skip


def how_long(outcome: Outcome) -> str:
    """For how long, in words."""
    if outcome.about is About.PROVIDER:
        tries = breaker.TRIP_FAILURES if outcome.sent else breaker.TRIP_LOCAL_FAILURES
        span = f"{breaker.EJECT_S:g} to {breaker.LONGEST_EJECT_S:g} s"
        said = f"; with a `Retry-After` at once, at most {LONGEST_REST_S / 60:g} min" if outcome.sent else ""
        return f"{span} after {tries} failures{said}"
    if outcome.aside_s == 0.0:
        return "\u2013"
    unsaid = f"{outcome.aside_s:g} s" if outcome.aside_s < 120 else f"{outcome.aside_s / 60:g} min"
    if outcome.about is About.ALLOWANCE:
        return f"as long as the provider says, {SHORTEST_S:g} s to {LONGEST_WAIT_S / 3600:g} h; else {unsaid}"
    return unsaid


def table() -> str:
    """The table of the documentation."""
    lines = ["| About | Outcomes | Set aside | For how long |", "|---|---|---|---|"]
    for about in About:
        mine = sorted((one for one in o.ALL if one.about is about and one is not o.OK), key=how_long)
        for span, outcomes in groupby(mine, key=how_long):
            what, whom = WHAT[about]
            names = ", ".join(f"`{one.name}`" for one in outcomes)
            lines.append(f"| `{about.value}`: {what} | {names} | {whom} | {span} |")
    return "\n".join(lines)


def test_the_table_of_the_documentation() -> None:
    """It cannot go stale: this test makes it."""
    _, mark, rest = DOC.read_text(encoding="utf-8").partition(MARK)
    assert mark, f"{DOC} has lost its mark"
    assert rest.startswith(table() + "\n"), f"the table should be:\n{table()}"


@pytest.mark.parametrize("outcome", o.ALL, ids=lambda one: one.name)
def test_what_the_words_of_the_table_say(outcome: Outcome) -> None:
    """The words are those of the functions that decide."""
    whom = WHAT[outcome.about][1]
    shared = Upstream(Provider("or", "x", "http://x/v1", limit_scope=LimitScope.FREE_ACCOUNT), "f", Ability(free=True))
    paid = Upstream(Provider("or", "x", "http://x/v1", limit_scope=LimitScope.FREE_ACCOUNT), "m")
    assert bool(aside_for_s(outcome, None)) == (whom not in ("nothing", WHAT[About.PROVIDER][1]))
    assert bool(shared_by(shared, outcome)) == ("account" in whom)
    assert ("or:unpaid" in shared_by(paid, outcome)) == (outcome.about is About.ACCOUNT)
    assert ("or:unpaid" in shared_by(shared, outcome)) == (outcome.about in (About.ACCOUNT, About.CREDIT))
