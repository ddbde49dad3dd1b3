"""How a provider is, from what is known of its upstreams."""

from __future__ import annotations

import pytest

from gateway.catalog import Refresh
from gateway.control.standing import Left, standing_of
from gateway.core.breaker import Breaker, BreakerState
from gateway.core.facts import Facts
from gateway.core.quota import Limit, Quota
from gateway.types import Provider

NOW = 1000.0
A = Provider("a", "vllm", "http://a.test/v1", headers=((b"authorization", b"Bearer k"),))
OPEN = Breaker(BreakerState.OPEN)
GOOD = Facts(good=3.0, bad=1.0, counted_at=900.0, first_token_s=0.5, timed_at=900.0)
EJECTED = Facts(bad=4.0, counted_at=950.0, breaker=OPEN, last_error="HTTP 500", last_error_at=950.0)


@pytest.mark.parametrize(
    ("facts", "refresh", "reachable", "checked"),
    [
        ({}, None, None, None),
        ({}, Refresh(800.0), True, 800.0),
        ({}, Refresh(800.0, "cannot be reached"), False, 800.0),
        ({"a/x": GOOD}, Refresh(800.0, "no list"), True, 900.0),
        ({"a/x": EJECTED}, Refresh(800.0), False, 950.0),
        ({"a/x": EJECTED, "a/y": GOOD}, None, True, 950.0),
        ({"b/x": EJECTED, "a": EJECTED, "a:free": EJECTED}, None, None, None),
    ],
)
def test_reachable(
    facts: dict[str, Facts], refresh: Refresh | None, reachable: bool | None, checked: float | None
) -> None:
    """One model that answers is enough; another provider and facts about accounts say nothing of it."""
    found = standing_of(A, facts, {}, refresh, NOW)
    assert (found.reachable, found.last_check_at) == (reachable, checked)


def test_the_rest() -> None:
    """Errors of all its models together, the fastest one's time, the latest error, breakers and what is left."""
    quotas = {
        "a/x": Quota((Limit("requests", 7.0, 990.0, 1060.0, 10.0), Limit("tokens", 1.0, 900.0, 950.0))),
        "a:free": Quota((Limit("requests-day", 20.0, 990.0, 2000.0),)),
        "ab/x": Quota((Limit("requests", 1.0, 990.0, 1060.0),)),
    }
    found = standing_of(A, {"a/x": GOOD, "a/y": EJECTED}, quotas, None, NOW)
    assert (found.key, found.first_token_s, found.error_share) == ("sent", 0.5, 5 / 8)
    assert (found.breakers, found.last_error) == ({"a/y": "open"}, "HTTP 500")
    assert found.quota == (
        Left("a/x", "requests", 7.0, 10.0, 60.0), Left("a:free", "requests-day", 20.0, None, 1000.0)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("provider", "key"),
    [
        (Provider("a", "vllm", "http://a.test/v1"), "none needed"),
        (Provider("a", "openai", "", unusable="no key; set OPENAI_API_KEY"), "no key; set OPENAI_API_KEY"),
    ],
)
def test_the_key(provider: Provider, key: str) -> None:
    assert standing_of(provider, {}, {}, None, NOW).key == key
