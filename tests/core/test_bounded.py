"""Dicts with a bound."""

from __future__ import annotations

from gateway.core.bounded import keep, remember


def test_the_oldest_is_forgotten() -> None:
    """The one written longest ago, however often it was read since."""
    kept: dict[str, int | None] = {}
    assert [keep(kept, name, value, 3) for value, name in enumerate("abcd")] == [0, 1, 2, 3]
    assert kept == {"b": 1, "c": 2, "d": 3}


def test_writing_again_keeps() -> None:
    """It pushes out nothing, and a value of None counts like any other."""
    kept: dict[str, int | None] = {}
    for name in "abc":
        keep(kept, name, None, 3)
    keep(kept, "a", 5, 3)
    assert list(kept.items()) == [("b", None), ("c", None), ("a", 5)]
    keep(kept, "d", 6, 3)
    assert list(kept) == ["c", "a", "d"]


def test_a_full_memo_is_emptied() -> None:
    """The entry that finds it full is its first; until then nothing is forgotten."""
    memo: dict[str, int] = {}
    assert [remember(memo, name, value, 3) for value, name in enumerate("abc")] == [0, 1, 2]
    assert memo == {"a": 0, "b": 1, "c": 2}
    assert remember(memo, "d", 3, 3) == 3
    assert memo == {"d": 3}
