"""What sums change by, whichever database they are in."""

from __future__ import annotations

from msgspec.structs import replace

from gateway.stores.sums import changes, short
from tests.stores.attempts import row


def test_all_gateways_change_sums_in_one_order() -> None:
    """Whatever the order of the rows: two that take locks in the same order cannot wait for each other."""
    rows = [row(call, key=key, model=model) for call, key, model in zip(range(5), "baaba", "ababb", strict=True)]
    found = changes({}, rows)
    assert [(one[1], one[5], one[6]) for one in found] == [("a", "a", 1), ("a", "b", 2), ("b", "a", 1), ("b", "b", 1)]


def test_what_does_not_matter_changes_nothing() -> None:
    """A new version that counts like the old one leaves the sums alone."""
    known = row(1)
    assert changes({known.attempt: known}, [replace(known, version=1 << 21, provider_id="other")]) == []
    ((*_, cost, _saved),) = changes({known.attempt: known}, [replace(known, cost_nanousd=400)])
    assert cost == -600


def test_long_names_stay_apart() -> None:
    """They are cut to what an index can hold; names of the usual length stay as they are."""
    assert short("x" * 128) == "x" * 128
    one, other = short("x" * 500 + "a"), short("x" * 500 + "b")
    assert one != other
    assert (len(one), one[:111]) == (128, "x" * 111)
    assert [change[0] == 0 for change in changes({}, [row(1, at=0.0, model="x" * 500)])] == [True]
