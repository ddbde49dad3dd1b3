"""What a virtual key is, what it may ask for, and what its limits hold."""

from __future__ import annotations

from hashlib import sha256
from math import inf
from typing import TYPE_CHECKING, Any

import pytest

from gateway.core import keys
from gateway.core.keys import Kept, State, charges_of, find, may_ask, refusal_of, ring_of
from gateway.types import Charge, Key, Needs

if TYPE_CHECKING:
    from collections.abc import Callable

NOW = 1_790_000_000.0
MINUTE = int(NOW // 60) * 60


def key(name: str = "ci", **more: Any) -> Key:
    return Key(id=f"key_{name}", name=name, digest=name.encode(), **more)


def test_a_secret_is_256_bits_that_need_no_quoting() -> None:
    """It can be told by its beginning, and pasted anywhere."""
    secret = keys.secret_of(bytes(range(256))[-32:])
    assert secret.startswith("sk-gw-")
    assert len(secret) == len("sk-gw-") + 43
    assert secret.replace("-", "").replace("_", "").isalnum()
    assert keys.secret_of(bytes(31) + b"\1") != keys.secret_of(bytes(32))
    assert keys.digest_of(b"x") == sha256(b"x").digest()
    assert keys.id_of(b"\0\1\2\3\4\xff") == "key_0001020304ff"


@pytest.mark.parametrize(
    ("found", "at", "state"),
    [
        (key(), NOW, State.ACTIVE),
        (key(expires_at=NOW + 1), NOW, State.ACTIVE),
        (key(expires_at=NOW), NOW, State.EXPIRED),
        (key(revoked_at=NOW), NOW - 60, State.REVOKED),  # the clock of whoever revoked it was ahead
        (key(revoked_at=NOW - 1, expires_at=NOW - 2), NOW, State.REVOKED),
    ],
)
def test_state(found: Key, at: float, state: State) -> None:
    """Revoked is revoked, whatever a clock says."""
    assert keys.state_of(found, at) == state


@pytest.mark.parametrize(
    ("kept", "until"),
    [
        (Kept(key()), {b"ci": inf}),
        (Kept(key(expires_at=NOW)), {b"ci": NOW}),
        (Kept(key(revoked_at=NOW)), {b"ci": -inf}),
        (Kept(key(), ((b"old", NOW + 9),)), {b"ci": inf, b"old": NOW + 9}),
        (Kept(key(expires_at=NOW + 5), ((b"old", NOW + 9),)), {b"ci": NOW + 5, b"old": NOW + 5}),
        (Kept(key(revoked_at=NOW), ((b"old", NOW + 9),)), {b"ci": -inf, b"old": -inf}),
    ],
)
def test_how_long_a_secret_is_good(kept: Kept, until: dict[bytes, float]) -> None:
    """As long as its key, and a replaced one for its grace at most."""
    assert {digest: holder.until for digest, holder in ring_of([kept]).holders.items()} == until


@pytest.mark.parametrize(
    ("those", "wants_key"),
    [((), False), ((key(),), True), ((key(expires_at=1.0),), True), ((key(revoked_at=1.0),), False)],
)
def test_a_key_that_is_not_revoked_closes_the_door(those: tuple[Key, ...], wants_key: bool) -> None:
    """Also one that has expired: with time nothing may open by itself."""
    assert ring_of(map(Kept, those)).wants_key is wants_key


@pytest.mark.parametrize(
    ("held", "until", "code", "says"),
    [
        (key(revoked_at=NOW), -inf, "revoked_api_key", '"ci" was revoked'),
        (key(expires_at=NOW), NOW, "expired_api_key", '"ci" expired at 2026-09-21 14:13 UTC'),
        (key(), NOW - 60, "expired_api_key", '"ci" was replaced, and expired at 2026-09-21 14:12 UTC'),
        (key(""), NOW, "expired_api_key", '"key_" was replaced'),
    ],
)
def test_why_a_secret_is_no_longer_good(held: Key, until: float, code: str, says: str) -> None:
    """Its holder learns what to do."""
    refusal = keys.no_longer_good(keys.Holder(held, until), NOW)
    assert (refusal.status, refusal.code) == (401, code)
    assert says in refusal.message
    assert refusal.headers == keys.CHALLENGE


@pytest.mark.parametrize(
    ("routes", "may", "may_not"),
    [
        ((), ("anything", "role:rlm", ""), ()),
        (("role:*",), ("role:rlm", "role:"), ("rlm", "xrole:rlm", "Role:rlm", "")),
        (("openai/gpt-*", "main"), ("openai/gpt-5", "openai/gpt-", "main"), ("openai/o3", "main2", "openai:gpt-5")),
        (("*:free",), ("openrouter/x/y:free",), ("openrouter/x/y:freed", "openrouter/x")),
        (("*",), ("a", "a\nb", ""), ()),
        (("claude[1m]",), ("claude[1m]",), ("claude1", "claudem")),
        (("a.b?",), ("a.b?",), ("axb?", "a.bc")),
        (("a*b*c",), ("abc", "a--b--c"), ("acb",)),
    ],
)
def test_what_a_key_may_ask_for(routes: tuple[str, ...], may: tuple[str, ...], may_not: tuple[str, ...]) -> None:
    """The name as it is written; only the star stands for something else."""
    held = key(routes=routes)
    assert [name for name in (*may, *may_not) if may_ask(held, name)] == list(may)


def test_a_refused_name() -> None:
    """The answer says what would not be refused, and a stranger's line break stays out of the log."""
    refusal = keys.not_allowed(key(routes=("role:*", "main")), "gpt-5\nroot")
    assert (refusal.status, refusal.code, refusal.param) == (403, "model_not_allowed", "model")
    assert refusal.message == 'the API key "ci" may not use "gpt-5\ufffdroot"; it may use role:*, main'


NEEDS = Needs(input_tokens=100, output_tokens=50)


@pytest.mark.parametrize(
    ("limits", "needs", "charges"),
    [
        ({}, NEEDS, []),
        ({"budget_nanousd": 5}, NEEDS, []),
        ({"requests_per_min": 60}, NEEDS, [("key:key_ci:requests", MINUTE, MINUTE + 60.0, 60, 1, False)]),
        ({"tokens_per_min": 900}, NEEDS, [("key:key_ci:tokens", MINUTE, MINUTE + 60.0, 900, 150, False)]),
        ({"tokens_per_min": 900}, Needs(), [("key:key_ci:tokens", MINUTE, MINUTE + 60.0, 900, 256, False)]),
        ({"max_streams": 2}, NEEDS, [("key:key_ci:streams", 0, inf, 2, 1, True)]),
    ],
)
def test_charges(limits: dict[str, Any], needs: Needs, charges: list[tuple[object, ...]]) -> None:
    """Minutes are the clock's; what the client does not limit is taken for a usual answer."""
    found = charges_of(key(**limits), needs, NOW)
    assert [
        (one.account, one.window_start, one.resets_at, one.limit, one.amount, one.is_concurrency) for one in found
    ] == charges


def test_charges_of_a_key_with_every_limit() -> None:
    """They are held together, and only one of them is of tokens."""
    found = charges_of(key(requests_per_min=1, tokens_per_min=2, max_streams=3), NEEDS, NOW)
    assert [keys.counts_tokens(one) for one in found] == [False, True, False]


@pytest.mark.parametrize(
    ("limits", "at", "left", "kind", "headers"),
    [
        (
            {"requests_per_min": 60}, MINUTE + 47.5, 0, "requests",
            {"retry-after": "13", "x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0",
             "x-ratelimit-reset-requests": "13s"},
        ),
        (
            {"tokens_per_min": 900}, MINUTE, 30, "tokens",
            {"retry-after": "60", "x-ratelimit-limit-tokens": "900", "x-ratelimit-remaining-tokens": "30",
             "x-ratelimit-reset-tokens": "1m0s"},
        ),
        (
            {"max_streams": 2}, MINUTE, 0, "requests",
            {"retry-after": "1", "x-ratelimit-limit-streams": "2", "x-ratelimit-remaining-streams": "0",
             "x-ratelimit-reset-streams": "1s"},
        ),
    ],
)  # fmt: skip
def test_a_limit_that_is_reached(
    limits: dict[str, Any], at: float, left: int, kind: str, headers: dict[str, str]
) -> None:
    """In OpenAI's words, so that SDKs wait as long as they must."""
    (charge,) = charges_of(key(**limits), NEEDS, at)
    refusal = refusal_of(charge, at, left=left)
    assert (refusal.status, refusal.type, refusal.code) == (429, kind, "rate_limit_exceeded")
    assert {name.decode(): value.decode() for name, value in refusal.headers} == headers
    assert 'of key "ci" is reached' in refusal.message


def test_a_window_that_is_over_by_now_is_worth_another_try() -> None:
    """Never in the past."""
    charge = Charge("key:k:requests", 0, 60.0, 1, 1, "it")
    assert dict(refusal_of(charge, 99.0).headers)[b"retry-after"] == b"1"


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (keys.read_name, " laptop of Jane ", "laptop of Jane"),
        (keys.read_routes, ("role:*, main", "main", "a/b*"), ("role:*", "main", "a/b*")),
        (keys.read_labels, ("team=search", "cost.center=4 2"), (("team", "search"), ("cost.center", "4 2"))),
        (keys.read_duration, "90s", 90.0),
        (keys.read_duration, "1h", 3600.0),
        (keys.read_duration, "2w", 1_209_600.0),
        (keys.read_duration, "0", 0.0),
        (lambda text: keys.read_expiry(text, NOW), "30d", NOW + 30 * 86_400),
        (lambda text: keys.read_expiry(text, NOW), "2027-01-31", 1_801_353_600.0),
        (lambda text: keys.read_expiry(text, NOW), "2027-01-31T01:00+01:00", 1_801_353_600.0),
    ],
)
def test_what_people_write(read: Callable[[object], object], text: object, value: object) -> None:
    """Names, patterns, labels and times."""
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "says"),
    [
        (keys.read_name, " ", "1 to 64 characters"),
        (keys.read_name, "x" * 65, "1 to 64 characters"),
        (keys.read_name, "a\nb", "one line"),
        (keys.read_name, "key_7f", "cannot name a key"),
        (keys.read_name, "local", "cannot name a key"),
        (keys.read_routes, ("role:*,",), "is not a pattern"),
        (keys.read_routes, ("a b",), "is not a pattern"),
        (keys.read_routes, [str(n) for n in range(65)], "at most 64"),
        (keys.read_labels, ("team",), "write name=value"),
        (keys.read_labels, ("a=1", "a=2"), "is given twice"),
        (keys.read_labels, [f"a{n}=1" for n in range(17)], "at most 16"),
        (keys.read_duration, "1 month", "write 15m, 1h, 30d or 2w"),
        (keys.read_duration, "-1h", "not a duration"),
        (lambda text: keys.read_expiry(text, NOW), "soon", "write 30d, 2027-01-31"),
        (lambda text: keys.read_expiry(text, NOW), "2020-01-01", "in the future"),
        (lambda text: keys.read_expiry(text, NOW), "0d", "in the future"),
    ],
)
def test_what_people_cannot_mean(read: Callable[[object], object], text: object, says: str) -> None:
    """The message shows how it is written."""
    with pytest.raises(ValueError, match=says):
        read(text)


def test_find() -> None:
    """An id, a name; of two keys of one name the one that is in force, else the later one."""
    first, second = (key("ci", revoked_at=NOW, created_at=at) for at in (1.0, 2.0))
    third = Key(id="key_3", name="ci", created_at=0.5)
    assert find("key_3", [first, third]) is third
    assert find("ci", [first, second, third]) is third
    assert find("ci", [first, second]) is second
    with pytest.raises(ValueError, match='there is no key "laptp"; did you mean "laptop"'):
        find("laptp", [Key(id="key_4", name="laptop")])
    with pytest.raises(ValueError, match="and no other key"):
        find("ci", [])
