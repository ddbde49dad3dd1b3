"""What is known about each kind of provider: one frozen row, which everything else reads.

Rule: no other module names a kind to decide something; tests/test_kinds.py enforces it. docs/providers.md says how to
add a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.kinds.kind import BalanceApi, BillApi, Kind, ListApi, Models, Publishers, Question
from gateway.kinds.rows import BUILT_IN, OTHER, ROWS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.types import Provider

__all__ = [
    "BUILT_IN",
    "KINDS",
    "OTHER",
    "BalanceApi",
    "BillApi",
    "Kind",
    "ListApi",
    "Models",
    "Publishers",
    "Question",
    "kind_named",
    "kind_of",
]

KINDS: Mapping[str, Kind] = {row.name: row for row in ROWS}
"""Every kind by its name, in the order of preference where nothing is configured."""

_OTHER = KINDS[OTHER]


def kind_of(provider: Provider) -> Kind:
    """Return what is known about the kind of a provider."""
    return KINDS.get(provider.kind, _OTHER)


def kind_named(name: str) -> Kind:
    """Return the kind of this name; for a name that is none, any OpenAI-compatible endpoint."""
    return KINDS.get(name, _OTHER)
