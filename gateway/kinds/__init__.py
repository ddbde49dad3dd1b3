"""The facts about each kind of provider: one frozen row per kind, which all other modules read.

Rule: no other module decides anything by the name of a kind; tests/test_kinds.py enforces it. docs/providers.md says
how to add a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.kinds.kind import BalanceApi, BillApi, Kind, ListApi, Models, Publishers, Question, SignIn
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
    "SignIn",
    "kind_named",
    "kind_of",
]

KINDS: Mapping[str, Kind] = {row.name: row for row in ROWS}
"""Every kind by its name, in the order of preference where nothing is configured."""

_OTHER = KINDS[OTHER]


def kind_of(provider: Provider) -> Kind:
    """Return the row of a provider's kind."""
    return KINDS.get(provider.kind, _OTHER)


def kind_named(name: str) -> Kind:
    """Return the kind of this name; the generic `openai-compatible` for an unknown name."""
    return KINDS.get(name, _OTHER)
