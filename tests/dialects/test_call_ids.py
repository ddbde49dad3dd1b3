"""Every call of a tool has an id of its own."""

from __future__ import annotations

from gateway.dialects.call_ids import CallIds


def test_the_provider_s_own_id_stays_where_it_is_one() -> None:
    ids = CallIds("n0")
    said = ["a", "", "b", "a", "", "a"]
    assert [ids.give(one, "call") for one in said] == ["a", "call_n001", "b", "call_n003", "call_n004", "call_n005"]


def test_choices_are_answers_of_their_own() -> None:
    ids = CallIds("n0")
    assert [ids.give("a", "call", choice) for choice in (0, 1, 0)] == ["a", "a", "call_n002"]
