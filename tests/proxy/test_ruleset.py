"""What follows from a configuration is one value; what is known of providers outlives it as far as it still holds."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gateway.core import facts
from gateway.core import outcome as o
from gateway.core.quota import Limit, Quota
from gateway.dialects.endpoints import CHAT
from gateway.errors import ModelNotFound
from gateway.proxy.ruleset import MOST_REMEMBERED, Moved, fingerprint, make_ruleset, moved
from gateway.stores.memory import OTHERS_WITHIN_S, Memory
from gateway.types import Ability, Attempt, Candidate, Provider, Upstream
from gateway.upstream.client import Client
from tests.serving import config_of

if TYPE_CHECKING:
    from gateway.core.facts import Facts
    from gateway.proxy.ruleset import Found, Ruleset
    from gateway.types import Outcome

NOW = 1_795_239_007.5
YAML = """
server: {api_keys: [sk-gateway-0123456789abcdef]}
providers:
  shop: {kind: openai-compatible, base_url: "http://127.0.0.1:9/v1", api_key: k1}
  own: {kind: llamacpp, base_url: "http://127.0.0.1:8/v1"}
models: {main: shop/large}
roles: {rlm: {models: [own/small, main], needs: [tools]}}
rules: [{when: {task: summarize}, use: "role:rlm"}]
budgets: [{scope: role, name: rlm, limit_usd: 5, window: day}]
"""
LISTED: Found = {"shop": {"novel": Ability()}, "gone": {"old": Ability()}}


def ruleset_of(yaml: str = YAML, found: Found | None = None) -> Ruleset:
    return make_ruleset(config_of(yaml), found or {}, version=3, loaded_at=NOW)


def test_all_of_a_configuration_is_in_it() -> None:
    ruleset = ruleset_of()
    assert repr(ruleset) == f"<Ruleset 3 ({ruleset.fingerprint[:8]}) of {ruleset.config.source}>"
    assert ruleset.looked_at == {"task"}
    assert ruleset.spending.has("budget:role:rlm:day")
    assert len(ruleset.api_keys) == 1
    assert ruleset.resolve("main") is ruleset.resolve("main") is ruleset.directory.routes["main"]


@pytest.mark.parametrize(
    ("change", "is_known"),
    [
        ({}, True),
        ({"api_key: k1": "discover: false"}, False),
        ({"api_key: k1": "enabled: false"}, False),
        ({"shop": "store"}, False),
    ],
)  # fmt: skip
def test_found_models_are_joined_with_a_new_configuration(change: dict[str, str], is_known: bool) -> None:
    """Those of providers that it has and may ask."""
    yaml = YAML
    for old, new in change.items():
        yaml = yaml.replace(old, new)
    directory = ruleset_of(yaml, LISTED).directory
    assert ("novel" in directory.bare) is is_known
    assert "old" not in directory.bare


def test_what_is_found_later_is_no_new_version() -> None:
    """What was worked out before for a name may be wrong now, and where calls go is not."""
    before = ruleset_of()
    with pytest.raises(ModelNotFound):
        before.resolve("novel")
    client, provider = Client(), before.directory.providers["shop"]
    target = before.target(client, provider, CHAT)
    main = before.resolve("main")
    after = before.with_found({"shop": {"novel": Ability(), "large": Ability(context_tokens=512)}})
    assert after.resolve("novel").candidates[0].upstream.id == "shop/novel"
    assert after.resolve("main").candidates[0].upstream.ability.context_tokens == 512
    assert before.resolve("main") is main
    assert (after.version, after.loaded_at, after.fingerprint) == (3, NOW, before.fingerprint)
    assert after.target(client, provider, CHAT) is target


def test_memos_are_bounded() -> None:
    """Clients make up names."""
    ruleset = ruleset_of()
    route = ruleset.resolve("main")
    for number in range(MOST_REMEMBERED + 10):
        ruleset.resolve(f"shop/m{number}")
        upstream = Upstream(ruleset.directory.providers["shop"], f"m{number}")
        assert ruleset.lines(route, upstream) is ruleset.lines(route, upstream)
    assert len(ruleset.routes) <= MOST_REMEMBERED
    assert len(ruleset._lines) <= MOST_REMEMBERED


def test_lines_say_where_an_answer_came_from() -> None:
    ruleset = ruleset_of()
    route = ruleset.resolve("main")
    assert ruleset.lines(route, route.candidates[0].upstream) == (
        b"x-gateway-route: main\r\nx-gateway-provider: shop\r\nx-gateway-model: large\r\n"
    )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("api_key: k1", "api_key: k2"), ("sk-gateway-0123456789abcdef", "sk-gateway-0123456789abcdeg"),
        ("limit_usd: 5", "limit_usd: 6"), ("task: summarize", "task: summarise"),
        ("[own/small, main]", "[main, own/small]"),
        ("needs: [tools]", "needs: [vision]"), (":9/v1", ":7/v1"),
    ],
)  # fmt: skip
def test_each_change_has_its_own_fingerprint(old: str, new: str) -> None:
    """Also one of a secret, which nothing prints."""
    assert old in YAML
    assert finger(YAML.replace(old, new)) != finger(YAML)


def test_a_comment_changes_nothing() -> None:
    assert finger(f"# by hand\n{YAML}") == finger(YAML)


def finger(yaml: str) -> str:
    """Return a fingerprint apart from the source, which is another file for each text."""
    return fingerprint(replace(config_of(yaml), source="gateway.yaml"))


def test_processes_agree_on_a_fingerprint() -> None:
    """The order of a set of strings differs from process to process."""
    script = "from tests.proxy.test_ruleset import *; import sys; sys.stdout.write(finger(YAML))"
    printed = [
        subprocess.run([sys.executable, "-c", script], env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
                       capture_output=True, text=True, check=True).stdout
        for seed in ("1", "2")
    ]  # fmt: skip
    assert printed[0] == printed[1] == finger(YAML)


def provider(name: str, port: int = 9, key: bytes = b"k", *, kind: str = "openai", query: str = "") -> Provider:
    return Provider(name, kind, f"http://127.0.0.1:{port}/v1", ((b"authorization", key),), query=query)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (provider("a"), Moved()),
        (provider("a", key=b"other"), Moved(rekeyed=frozenset("a"))),
        (provider("a", 10), Moved(frozenset("a"))),
        (provider("a", 10, b"other"), Moved(frozenset("a"))),
        (provider("a", kind="vllm"), Moved(frozenset("a"))),
        (provider("a", query="api-version=2"), Moved(frozenset("a"))),
        (provider("b"), Moved(frozenset("a"))),
    ],
)  # fmt: skip
def test_which_providers_are_no_longer_the_same(after: Provider, expected: Moved) -> None:
    """Those that are new have nothing to be forgotten of."""
    assert moved({"a": provider("a")}, {after.name: after, "new": provider("new")}) == expected


A, B = Upstream(provider("a"), "m"), Upstream(provider("ab"), "m")


def attempt(upstream: Upstream, outcome: Outcome) -> Attempt:
    return Attempt(Candidate(upstream), outcome, status=401, duration_s=0.1)


def memory_of(outcome: Outcome) -> Memory:
    """Return a memory in which attempts at both have ended so, beside one at `a` that was well."""
    memory = Memory()
    for upstream in (A, B):
        memory.begin(upstream, NOW, 0.0, is_retry=False)
        memory.end(upstream, attempt(upstream, outcome), [], None, NOW)
        memory.quotas[upstream.domain] = Quota((Limit("requests", 0, NOW, NOW + 60, 10),))
    return memory


def known(memory: Memory) -> dict[str, Facts]:
    return {name: one for name, one in memory.facts.items() if one != facts.UNKNOWN}


@pytest.mark.parametrize(
    ("elsewhere", "rekeyed", "left"),
    [
        ((), (), {"a", "a:unpaid", "a/m", "ab", "ab:unpaid", "ab/m"}),
        (("a",), (), {"ab", "ab:unpaid", "ab/m"}),
        ((), ("a",), {"a/m", "ab", "ab:unpaid", "ab/m"}),
    ],
)  # fmt: skip
def test_what_no_longer_holds_is_forgotten(
    elsewhere: tuple[str, ...], rekeyed: tuple[str, ...], left: set[str]
) -> None:
    """Of another server everything; of the same with another key only what concerns the account."""
    memory = memory_of(o.BAD_CREDENTIAL)
    memory.forget(elsewhere, rekeyed, {"a": provider("a", 10), "ab": provider("ab")}, NOW)
    assert set(known(memory)) == left
    assert set(memory.quotas) == ({"ab/m"} if elsewhere or rekeyed else {"a/m", "ab/m"})
    if rekeyed:
        assert memory.facts["a/m"].usable_at == 0.0


@pytest.mark.parametrize("now", [provider("a", 10), provider("a", key=b"other"), None])
def test_an_attempt_at_a_replaced_provider_teaches_nothing(now: Provider | None) -> None:
    """It ends after the reload, with the old key's refusal. It is no longer under way all the same."""
    memory = Memory()
    memory.begin(A, NOW, 0.0, is_retry=False)
    memory.forget(("a",), (), {} if now is None else {"a": now}, NOW)
    memory.end(A, attempt(A, o.BAD_CREDENTIAL), [], None, NOW)
    assert known(memory) == {}
    assert memory.in_flight == {}
    back = Upstream(now or A.provider, "m")
    memory.forget((), (), {"a": back.provider}, NOW)
    memory.begin(back, NOW, 0.0, is_retry=False)
    memory.end(back, attempt(back, o.BAD_CREDENTIAL), [], None, NOW)
    assert ("a/m" in known(memory)) is (now is not None)


def test_others_do_not_bring_back_what_was_forgotten() -> None:
    """Another worker reads the new configuration a moment later, and until then tells what it knows of the old."""
    other, memory = memory_of(o.BAD_CREDENTIAL), Memory()
    memory.forget((), ("a",), {"a": provider("a", key=b"other")}, NOW)
    memory.merge_in(other.facts, other.quotas, NOW + 1)
    assert set(known(memory)) == {"ab", "ab:unpaid", "ab/m"}
    assert set(memory.quotas) == {"ab/m"}
    memory.merge_in(other.facts, other.quotas, NOW + OTHERS_WITHIN_S)
    assert "a/m" in known(memory)
