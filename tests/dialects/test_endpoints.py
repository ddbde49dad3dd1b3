"""The registry of dialects and operations agrees with itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gateway.dialects.endpoints import DIALECTS, ENDPOINTS, FIM, dialect_of

if TYPE_CHECKING:
    from gateway.types import Endpoint


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: one.name)
def test_an_operation_belongs_to_the_dialect_that_it_names(endpoint: Endpoint) -> None:
    """And a dialect whose streams can be asked for their usage says by which field."""
    dialect = dialect_of(endpoint)
    assert endpoint in dialect.endpoints
    # Only Mistral serves FIM, which refuses the field and says the usage unasked.
    assert (dialect.words.usage is not None and endpoint is not FIM) == endpoint.usage_on_request


def test_no_name_or_path_stands_for_two_operations() -> None:
    assert len({one.name for one in ENDPOINTS}) == len({one.path for one in ENDPOINTS}) == len(ENDPOINTS)
    assert all(name == one.name for name, one in DIALECTS.items())


def test_a_dialect_says_what_it_is() -> None:
    assert repr(DIALECTS["chat"]) == "<Dialect chat, with a codec>"
    assert repr(DIALECTS["plain"]) == "<Dialect plain>"
