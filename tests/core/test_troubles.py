"""What people are told of."""

from __future__ import annotations

import pytest

from gateway.core.troubles import Trouble, sentence_of, trouble_of
from gateway.core.turns import Turn, What


@pytest.mark.parametrize(
    ("what", "reason", "trouble"),
    [
        (What.EJECTED, "server_error", Trouble.EJECTED),
        (What.SET_ASIDE, "no_credit", Trouble.NO_CREDIT),
        (What.SET_ASIDE, "quota_exhausted", Trouble.QUOTA),
        (What.SET_ASIDE, "rate_limited", None),  # it passes by itself
        (What.RETURNED, "no_credit", None),
    ],
)
def test_troubles(what: What, reason: str, trouble: Trouble | None) -> None:
    assert trouble_of(Turn("shop/m", what, reason, 30.0)) is trouble


def test_each_has_its_words() -> None:
    assert {one: sentence_of(one, "shop", "why", 30.4) for one in Trouble} == {
        Trouble.EJECTED: "shop is ejected: why; next probe in 30 s",
        Trouble.DEGRADED: "shop is degraded: why",
        Trouble.NO_CREDIT: "shop has no credit left; the gateway leaves it alone and looks again in 30 s",
        Trouble.QUOTA: "the quota of shop is used up; the gateway leaves it alone for 30 s",
    }
