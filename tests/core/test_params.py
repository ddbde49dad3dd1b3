"""Parameters are merged level by level, and decide the values before they adapt the fields."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.params import UNBOUND, applied, changes_to, clamped, merged, repaired
from gateway.types import Bounds, Params, Provider


@pytest.mark.parametrize(
    "outer, inner, defaults, forced",
    [
        (Params({"a": b"1"}), Params(), {"a": b"1"}, {}),
        (Params({"a": b"1", "b": b"1"}), Params({"a": b"2"}), {"a": b"2", "b": b"1"}, {}),
        (Params({"a": b"1"}), Params({"a": b"null"}), {}, {}),
        (Params(forced={"a": b"1"}), Params({"a": b"2"}), {"a": b"2"}, {"a": b"1"}),
        (Params(forced={"a": b"1"}), Params(forced={"a": b"2"}), {}, {"a": b"2"}),
        (Params(forced={"a": b"1"}), Params(forced={"a": b"null"}), {}, {}),
    ],
)
def test_merging_values(outer: Params, inner: Params, defaults: dict[str, bytes], forced: dict[str, bytes]) -> None:
    """The inner level wins key by key, `null` takes away, and only force undoes force."""
    assert merged(outer, inner) == Params(defaults, forced)


def drop(*names: str) -> Params:
    return Params(drops=frozenset(names))


def rename(**names: str) -> Params:
    return Params(renames=names)


def clamp(least: float | None = None, most: float | None = None) -> Params:
    return Params(clamps={"t": Bounds(least, most)})


@pytest.mark.parametrize(
    "outer, inner, together",
    [
        (drop("a"), drop("b"), drop("a", "b")),
        (drop("a"), Params(), drop("a")),
        (rename(a="b", c="d"), rename(a="e"), rename(a="e", c="d")),
        (rename(a="b"), rename(a=""), Params()),
        (clamp(0, 2), clamp(0, 1), clamp(0, 1)),
        (clamp(0, 1), clamp(0, 2), clamp(0, 1)),
        (clamp(0), clamp(None, 1), clamp(0, 1)),
        (clamp(0, 1), clamp(3, 4), clamp(1, 1)),
        (clamp(5), clamp(None, 1), clamp(5, 5)),
        (clamp(0, 1), Params(clamps={"t": UNBOUND}), Params()),
    ],
)
def test_merging_what_adapts(outer: Params, inner: Params, together: Params) -> None:
    """Drops add up, a rename replaces another, both bounds hold, and each can be taken away but a drop."""
    assert merged(outer, inner) == together


@pytest.mark.parametrize(
    "value, least, most, kept",
    [
        ("0.5", 0, 1, "0.5"),
        ("1.0", 0, 1, "1.0"),
        ("1e0", 0, 1, "1e0"),
        ("1.5", 0, 1, "1"),
        ("-1", 0, 1, "0"),
        ("2", 0.5, 1.5, "1.5"),
        ("9", None, 8, "8"),
        ("9", 10, None, "10"),
        ("-9", None, 8, "-9"),
        ("123456789012345678901234567890", None, 8, "8"),
        ("null", 0, 1, "null"),
        ("true", 2, 3, "true"),
        ('"9"', 0, 1, '"9"'),
        ("[9]", 0, 1, "[9]"),
        ("NaN", 0, 1, "NaN"),
    ],
)
def test_a_number_within_its_bounds(value: str, least: float | None, most: float | None, kept: str) -> None:
    """A number within them keeps its spelling, and what is no number is the provider's to refuse."""
    found = clamped(sent := value.encode(), Bounds(least, most))
    assert found == kept.encode()
    assert (found is sent) == (value == kept)


MAX = Params(renames={"max_tokens": "max_completion_tokens"})


@pytest.mark.parametrize(
    "sent, params, expected",
    [
        ({"a": 1}, drop("a"), {}),
        ({"a": 1}, Params({"b": b"2"}, drops=frozenset({"b"})), {"a": 1}),
        ({}, Params(forced={"b": b"2"}, drops=frozenset({"b"})), {}),
        ({"max_tokens": 5}, MAX, {"max_completion_tokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, MAX, {"max_completion_tokens": 6}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, MAX, {"max_completion_tokens": 6}),
        # A default is for the field, whatever name the client gives it.
        ({"max_tokens": 5}, Params({"max_completion_tokens": b"9"}, renames=MAX.renames), {"max_completion_tokens": 5}),
        ({"max_completion_tokens": 5}, Params({"max_tokens": b"9"}, renames=MAX.renames), {"max_completion_tokens": 5}),
        ({}, Params({"max_tokens": b"9"}, renames=MAX.renames), {"max_completion_tokens": 9}),
        # A forced value too.
        ({"max_tokens": 5}, Params({}, {"max_completion_tokens": b"9"}, renames=MAX.renames),
         {"max_completion_tokens": 9}),
        ({"max_completion_tokens": 5}, Params({}, {"max_tokens": b"9"}, renames=MAX.renames),
         {"max_completion_tokens": 9}),
        ({"a": 1, "b": 2}, rename(a="b", b="a"), {"b": 1, "a": 2}),
        ({"a": 1, "b": 2}, rename(a="c", b="c"), {"c": 1}),
        ({"a": 1}, Params(renames={"a": "b"}, drops=frozenset({"b"})), {}),
        ({"a": 1}, Params(renames={"a": "b"}, drops=frozenset({"a"})), {}),
        ({"t": 3}, clamp(0, 1), {"t": 1}),
        ({}, clamp(0, 1), {}),
        ({}, Params({"t": b"3"}, clamps=clamp(0, 1).clamps), {"t": 1}),
        ({"t": 0}, Params({}, {"t": b"3"}, clamps=clamp(0, 1).clamps), {"t": 1}),
        ({"t": 3}, Params(renames={"t": "u"}, clamps=clamp(0, 1).clamps), {"u": 1}),
        ({"u": 3}, Params(renames={"u": "t"}, clamps=clamp(0, 1).clamps), {"t": 1}),
    ],
)  # fmt: skip
def test_what_a_provider_receives(sent: dict[str, int], params: Params, expected: dict[str, int]) -> None:
    """Values are decided first; then drops, renames and clamps hold for all of them."""
    raw = {key: json.dumps(value).encode() for key, value in sent.items()}
    assert {key: json.loads(value) for key, value in applied(raw, params).items()} == expected


names = st.sampled_from("abcd")
whole = st.integers(-3, 3)
fields = st.dictionaries(names, whole.map(lambda one: b"%d" % one))
any_params = st.builds(
    Params,
    fields,
    fields,
    st.frozensets(names),
    st.dictionaries(names, names),
    st.dictionaries(names, st.tuples(whole, whole).map(lambda pair: Bounds(*sorted(pair)))),
)


@given(fields, any_params)
def test_any_parameters(sent: dict[str, bytes], params: Params) -> None:
    """No dropped name is sent, every number is within the bounds of its name, and no field is invented."""
    found = applied(sent, params)
    assert not found.keys() & params.drops
    for name, value in found.items():
        least, most = params.clamps.get(name, UNBOUND)
        assert (least is None or int(value) >= least) and (most is None or int(value) <= most)
    known = {*sent, *params.defaults, *params.forced}
    assert found.keys() <= known | {params.renames[name] for name in known & params.renames.keys()}


@pytest.mark.parametrize(
    "sent, changed",
    [
        ('{"model":"m","messages":[]}', ()),
        ('{"seed":1,"t":0.5}', ("drop seed",)),
        ('{"t":2}', ("clamp t",)),
        ('{"a":2}', ("rename a",)),
        ('{"a":200}', ("rename a", "clamp b")),
    ],
)
def test_changes_are_named(sent: str, changed: tuple[str, ...]) -> None:
    """Only what a call really loses is counted, in the words of the configuration."""
    params = Params(drops=frozenset({"seed"}), renames={"a": "b"}, clamps={"t": Bounds(0, 1), "b": Bounds(None, 100)})
    assert changes_to(msgspec.json.decode(sent, type=dict[str, msgspec.Raw]), params) == changed


def test_parameters_say_whether_they_act() -> None:
    """Also those that worker processes receive."""
    for params, acts, adapts in (
        (Params(), False, False), (Params({"a": b"1"}), True, False), (drop("a"), True, True), (MAX, True, True),
        (clamp(0), True, True),
    ):  # fmt: skip
        sent = pickle.loads(pickle.dumps(params))  # noqa: S301  # our own
        assert (sent, bool(sent), sent.acts, sent.adapts) == (params, acts, acts, adapts)


def test_parameters_have_an_identity() -> None:
    """Equal ones have the same, in whatever order they were written; every other one has its own."""
    kinds = [Params(), Params({"a": b"1"}), Params({}, {"a": b"1"}), drop("a"), rename(a="1"), clamp(1), clamp(None, 1)]
    assert len({one.identity for one in kinds}) == len(kinds)
    assert len({msgspec.msgpack.encode(one.identity) for one in kinds}) == len(kinds)
    assert Params({"a": b"1", "b": b"2"}).identity == Params({"b": b"2", "a": b"1"}).identity


GROQ = Provider("p", "groq", "http://x/v1")


def test_a_call_that_the_gateway_wrote_is_repaired() -> None:
    """With the quirks of its kind in that dialect, unless the operator wants none; its own parameters stay."""
    own = Params({"top_p": b"1"}, drops=frozenset({"user"}))
    found = repaired(own, GROQ, "chat")
    assert found.defaults == own.defaults
    assert found.drops == {"user", "logprobs", "top_logprobs", "logit_bias"}
    for provider, dialect in (
        (GROQ, "responses"), (replace(GROQ, repairs=False), "chat"), (replace(GROQ, kind="vllm"), "chat"),
    ):  # fmt: skip
        assert repaired(own, provider, dialect) is own


@pytest.mark.parametrize(
    "kind, dialect, sent, received",
    [
        ("openai", "chat", {"max_tokens": 5}, {"max_completion_tokens": 5}),
        ("mistral", "chat", {"max_completion_tokens": 5, "seed": 1}, {"max_tokens": 5, "random_seed": 1}),
        ("anthropic", "messages", {"temperature": 2}, {"temperature": 1}),
        ("minimax", "chat", {"temperature": 0}, {"temperature": 0.01}),
        ("gemini", "chat", {"seed": 1, "top_p": 1}, {"top_p": 1}),
    ],
)
def test_what_is_repaired(kind: str, dialect: str, sent: dict[str, int], received: dict[str, float]) -> None:
    raw = {key: json.dumps(value).encode() for key, value in sent.items()}
    found = applied(raw, repaired(Params(), replace(GROQ, kind=kind), dialect))
    assert {key: json.loads(value) for key, value in found.items()} == received
