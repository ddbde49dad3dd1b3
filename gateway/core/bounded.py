"""Dicts that strangers could fill: what is kept by names that clients or providers make up has a bound.

A function over plain dicts, because most are read for every call, and a `cachetools` cache takes three times as long
to read. Where reading an entry shall keep it, or entries have a lifetime, take `cachetools`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")


def keep(kept: dict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Write an entry and return its value. Of more than `most` entries, the one written longest ago is forgotten.

    In a full plain dict of some thousand entries, the search for the oldest takes 5 to 20 us, because it passes the
    places of deleted entries. A dict that is usually full should be an `OrderedDict`, which finds the oldest at once,
    although its `get` takes 30 ns longer.
    """
    # A key that is written again moves to the end, so that invented names push out each other and not those in use.
    if key in kept:
        del kept[key]
    elif len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
    return value


def remember(memo: dict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Write an entry of a memo and return its value. A memo of `most` entries is emptied first.

    For results that can be computed again: emptying costs 0.2 us an entry, and strangers who fill a memo with invented
    names would evict the names in use from `keep` as well.
    """
    if len(memo) >= most:
        memo.clear()
    memo[key] = value
    return value
