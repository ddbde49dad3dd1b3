"""Rules: which request goes where, and how hard a request looks."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from gateway.core.rules import (
    HARD,
    LANGUAGES,
    Features,
    Rule,
    Span,
    auto_route,
    choose,
    complexity,
    language_of,
    looked_at,
)
from gateway.types import Capability

VISION, TOOLS, AUDIO = Capability.VISION, Capability.TOOLS, Capability.AUDIO


def features(
    *,
    endpoint: str = "chat",
    model: str = "main",
    stream: bool = False,
    needs: tuple[Capability, ...] = (),
    prompt_tokens: int = 100,
    task: str = "",
    user: str = "",
    headers: dict[bytes, bytes] | None = None,
    language: str = "latin",
    complexity: int = 0,
) -> Features:
    return Features(
        endpoint, model, stream, frozenset(needs), prompt_tokens, task, user, headers or {}, language, complexity
    )


@pytest.mark.parametrize(
    "rule, yes, no",
    [
        (Rule("x", wants=frozenset({VISION})), features(needs=(VISION, TOOLS)), features(needs=(TOOLS,))),
        (Rule("x", spares=frozenset({VISION})), features(needs=(TOOLS,)), features(needs=(VISION,))),
        (Rule("x", stream=True), features(stream=True), features()),
        (Rule("x", stream=False), features(), features(stream=True)),
        (Rule("x", endpoint=frozenset({"chat", "responses"})), features(), features(endpoint="embeddings")),
        (Rule("x", task=(re.compile("a"), re.compile("b.*"))), features(task="bc"), features(task="c")),
        (Rule("x", task=(re.compile("a"),)), features(task="a"), features()),
        (Rule("x", user=re.compile("u-1$")), features(user="u-1"), features(user="u-12")),
        (Rule("x", model=re.compile("gpt-.*")), features(model="gpt-5"), features(model="main")),
        (Rule("x", headers=((b"x-team", re.compile("ml")),)), features(headers={b"x-team": b"ml"}), features()),
        (Rule("x", headers=((b"x-team", re.compile("ml$")),)),
         features(headers={b"x-team": b"ml"}), features(headers={b"x-team": b"ml\xff"})),
        (Rule("x", prompt_tokens=Span(100)), features(), features(prompt_tokens=99)),
        (Rule("x", prompt_tokens=Span(0, 100)), features(), features(prompt_tokens=101)),
        (Rule("x", language=frozenset({"zh", "ja"})), features(language="ja"), features()),
        (Rule("x", language=frozenset({"zh"})), features(language="zh"), features(language="")),
        (Rule("x", complexity=Span(40, 60)), features(complexity=60), features(complexity=39)),
        (Rule("x", stream=True, model=re.compile("m")), features(stream=True), features(model="m")),  # all must hold
        (Rule("x"), features(), features(model="x")),  # nothing is said, so it holds for all but its own target
    ],
)  # fmt: skip
def test_conditions(rule: Rule, yes: Features, no: Features) -> None:
    """A rule matches if all that it says is true of the request."""
    assert (choose([rule], yes), choose([rule], no)) == ("x", None)


IMAGES = Rule("role:vision", wants=frozenset({VISION}))
SUMMARY = Rule("role:memory", task=(re.compile("summarize"),))


@pytest.mark.parametrize(
    "rules, asked, expected",
    [
        ((), features(), None),
        ((IMAGES, SUMMARY), features(needs=(VISION,), task="summarize"), "role:vision"),
        ((SUMMARY, IMAGES), features(needs=(VISION,), task="summarize"), "role:memory"),
        ((IMAGES, SUMMARY), features(task="summarize"), "role:memory"),
        ((IMAGES,), features(model="role:vision", needs=(VISION,)), None),
        # It is where the first rule wants it: the second does not take it away again.
        ((IMAGES, SUMMARY), features(model="role:vision", needs=(VISION,), task="summarize"), None),
    ],
)
def test_the_first_that_holds_decides(rules: tuple[Rule, ...], asked: Features, expected: str | None) -> None:
    """Rules are tried in order and applied once, so that they cannot send a request in a circle."""
    assert choose(rules, asked) == expected


@pytest.mark.parametrize(
    "rules, expected",
    [
        ((), set()),
        ((IMAGES,), {"capabilities"}),
        ((Rule("x", spares=frozenset({AUDIO}), stream=False), SUMMARY), {"capabilities", "stream", "task"}),
        ((Rule("x", complexity=Span(1)), Rule("y", language=frozenset({"zh"}))), {"complexity", "language"}),
        ((Rule("x", headers=((b"a", re.compile("b")),)),), {"headers"}),
    ],
)
def test_what_rules_look_at(rules: tuple[Rule, ...], expected: set[str]) -> None:
    """What no rule asks for need not be found out about a request."""
    assert looked_at(rules) == expected
    assert looked_at(rules) <= set(Features.__struct_fields__)


def test_rules_go_to_worker_processes() -> None:
    """A configuration is sent to workers, patterns and all."""
    rule = Rule("x", model=re.compile("a.*"), complexity=Span(1, 2))
    assert pickle.loads(pickle.dumps(rule)) == rule  # noqa: S301  # our own


@pytest.mark.parametrize(
    "text, given, least, most",
    [
        ("", {}, 0, 0),
        ("Hello!", {}, 0, 0),
        ("What is the capital of France?", {}, 0, 0),
        ("Translate this into German: good morning", {}, 0, 0),
        ("Summarize the following in one sentence.", {"prompt_tokens": 3000}, 0, 10),
        ("Summarize the following.", {"prompt_tokens": 40_000}, 20, 30),  # long stays work
        ("What's in this picture?", {"needs": (VISION,)}, 5, 15),
        ("Book a table for two.", {"needs": (TOOLS,)}, 10, 20),
        ("Implement quicksort.", {}, 10, 20),
        ("Compare these two plans and design a strategy.", {}, 15, 25),
        ("Prove that there are infinitely many primes.", {}, HARD, 60),
        ("Think step-by-step: what is the root cause?", {}, HARD + 5, 60),
        ("Refactor this:\n```python\nx = 1\n```", {}, HARD, 70),
        ("Translate this proof into German.", {}, HARD, 60),  # an easy word does not make hard work easy
        ("What now?", {"needs": (Capability.REASONING,)}, 25, 35),
        ("Fix it.", {"prompt_tokens": 9000, "needs": (TOOLS,), "turns": 30}, HARD, 70),  # an agent, well into its work
        ("Prove, derive, refactor, debug and migrate the theorem; implement the algorithm.",
         {"prompt_tokens": 99_999, "needs": (TOOLS, VISION, Capability.REASONING), "turns": 50}, 100, 100),
        ("improve the bulletproof high plan", {}, 0, 10),  # whole words only
        ("x" * 1_000_000 + " prove it", {}, HARD, 60),  # the end is read too
    ],
)  # fmt: skip
def test_complexity(text: str, given: dict[str, Any], least: int, most: int) -> None:
    """How hard a request looks: its length, what it needs, its words, code and turns."""
    numbers = {name: value for name, value in given.items() if name != "needs"}
    score = complexity(text, capabilities=frozenset(given.get("needs", ())), **numbers)
    assert least <= score <= most, score


@pytest.mark.parametrize(
    "name, score, expected",
    [
        ("auto", HARD - 1, "auto"),
        ("auto", HARD, "auto:hard"),
        ("auto:cheap", 100, "auto:cheap"),
        ("main", 100, "main"),
    ],
)
def test_auto_is_for_simple_requests(name: str, score: int, expected: str) -> None:
    """Only `auto` depends on how hard a request looks."""
    assert auto_route(name, score) == expected


@pytest.mark.parametrize(
    "text, language",
    [
        ("", ""),
        ("12 + 30 = ?", ""),
        ("Good morning", "latin"),
        ("Où est la bibliothèque ? Ç'était là.", "latin"),
        ("Tiếng Việt", "latin"),
        ("你好,请用 Python 写一个函数", "zh"),
        ("これは日本語の文章です", "ja"),
        ("日本語の文章", "ja"),
        ("안녕하세요", "ko"),
        ("Привет, как дела?", "ru"),
        ("مرحبا بالعالم", "ar"),
        ("שלום עולם", "he"),
        ("Καλημέρα", "el"),
        ("नमस्ते दुनिया", "hi"),
        ("สวัสดีชาวโลก", "th"),
        ("Explain the word 'привет' to me, please, and how one uses it among friends", "latin"),
        ("ⴰⵣⵓⵍ", ""),  # a script that nobody listed
    ],
)
def test_language(text: str, language: str) -> None:
    """The script of a prompt stands for a language; words of another script in between do not count."""
    assert language_of(text) == language
    assert language in ("", *LANGUAGES)
