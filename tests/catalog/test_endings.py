"""The end of models, as providers' lists tell it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.catalog import Ending, Refresh, missing_since, nowhere, only, records, retiring, unlisted
from gateway.catalog.endings import ending_of
from gateway.types import Ability, Provider, Upstream
from tests.serving import config_of

if TYPE_CHECKING:
    from collections.abc import Sequence

DAY = 86_400.0
YEAR = 365 * DAY
SHOP = Provider("shop", "openai", "https://shop.test/v1")


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        (Ending("shop/a", YEAR, is_gone=False), "retires on 1971-01-01"),
        (Ending("shop/a", YEAR, is_gone=False, replacement="b"),
         "retires on 1971-01-01; its provider names b in its place"),
        (Ending("shop/a", DAY, is_gone=False), "was to retire on 1970-01-02"),
        (Ending("shop/a", marked_by="genai-prices 1"), "deprecated, says genai-prices 1"),
        (Ending("shop/a", DAY, is_gone=True), "not in its provider's list since 1970-01-02"),
    ],
)  # fmt: skip
def test_words(ending: Ending, words: str) -> None:
    assert ending.words(30 * DAY) == words


def test_a_list_without_the_model_says_more_than_a_date() -> None:
    upstream = Upstream(SHOP, "a", Ability(retires_at=YEAR, replacement="b"))
    assert ending_of(upstream, {}) == Ending("shop/a", YEAR, is_gone=False, replacement="b")
    assert ending_of(upstream, {}, "a table") == ending_of(upstream, {})
    assert ending_of(Upstream(SHOP, "a"), {}, "a table") == Ending("shop/a", marked_by="a table")
    assert ending_of(upstream, {"a": 3.0}) == Ending("shop/a", 3.0, is_gone=True)
    assert ending_of(Upstream(SHOP, "a"), {"b": 3.0}) is None


@pytest.mark.parametrize(
    ("provider", "models", "listed", "gone"),
    [
        (SHOP, ["a", "b"], ["a"], ["b"]),
        (SHOP, ["a"], [], []),  # a server that has just started
        (replace(SHOP, kind="azure"), ["mine"], ["gpt-5"], []),  # it lists base models, not deployments
        (replace(SHOP, model_override="x"), ["a"], ["b"], []),
        (replace(SHOP, kind="openrouter"), ["x/gone", "x/text-embedding-3"], ["x/y"], ["x/gone"]),
        (replace(SHOP, kind="ollama"), ["gemma3"], ["gemma3:latest"], []),
    ],
)
def test_unlisted(provider: Provider, models: Sequence[str], listed: Sequence[str], gone: Sequence[str]) -> None:
    """Only what the list should have."""
    assert list(unlisted(provider, models, listed)) == gone


def test_since_when() -> None:
    assert missing_since(["a", "b"], {"a": 1.0, "c": 1.0}, 5.0) == {"a": 1.0, "b": 5.0}


def test_retiring() -> None:
    """Of the models that are asked about, under the names that the list has for them."""
    ends = Ability(retires_at=DAY)
    found = {"a": ends, "b:latest": ends, "c": Ability(), "d": ends}
    told = retiring(SHOP, ["models/a", "b", "c", "e"], found, nowhere)
    assert [one.upstream for one in told] == ["shop/models/a", "shop/b"]
    assert [one.marked_by for one in retiring(SHOP, ["c"], found, lambda _: "a table")] == ["a table"]


def test_rows_have_the_endings_of_their_upstreams() -> None:
    yaml = "providers: {one: {kind: openai, api_key: k}, two: {kind: openai, api_key: k}}\nmodels: {x: one/m, y: two/m}"
    configured = config_of(yaml, {}).directory
    directory = configured.with_discovered({"one": {"m": Ability(retires_at=YEAR)}, "two": {"n": Ability()}})
    state = {"one": Refresh(9.0), "two": Refresh(9.0, missing={"m": 7.0})}
    (row, other) = records(directory, state, lambda _: "a table")  # which is asked about configured models only
    assert row.endings == (Ending("one/m", YEAR, is_gone=False), Ending("two/m", 7.0, is_gone=True))
    assert other.endings == ()
    assert only((row, other), ending=True) == (row,)
