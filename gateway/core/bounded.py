"""Dicts that strangers could fill: what is kept by names that clients or providers make up has a bound.

A function over plain dicts, because most are read for every call, and a `cachetools` cache takes three times as long
to read. Where reading an entry shall keep it, or entries have a lifetime, take `cachetools`.

A dict that strangers can keep full should be an `OrderedDict`: its oldest entry is found at once, while a plain dict of
some thousand entries is searched for 5 to 20 us, past the places of the deleted ones. Both are read equally fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Key = TypeVar("Key", bound="Hashable")
Value = TypeVar("Value")


def keep(kept: dict[Key, Value], key: Key, value: Value, most: int) -> Value:
    """Write an entry and return its value. Of more than `most` entries, the one written longest ago is forgotten."""
    # A key that is written again moves to the end, so that invented names push out each other and not those in use.
    if key in kept:
        del kept[key]
    elif len(kept) >= most:
        del kept[next(iter(kept))]
    kept[key] = value
    return value
