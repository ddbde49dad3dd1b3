"""Route requests by their properties rather than by the model they name: configured rules, and estimated complexity.

A rule sends a request to a role, alias or model. Rules are tried in order, once; the first that holds decides. Without
rules, no rule code runs.
"""

from __future__ import annotations

import string
import unicodedata
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import msgspec

from gateway.core.names import AUTO, AUTO_HARD
from gateway.types import Capability

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping


class Features(msgspec.Struct, frozen=True, gc=False):
    """The properties of a request that rules may test. `looked_at` tells which ones the rules do test."""

    endpoint: str
    """The name of the endpoint: `chat`."""
    model: str
    """The client's own spelling."""
    stream: bool = False
    capabilities: frozenset[Capability] = frozenset()
    """The capabilities that the body needs."""
    prompt_tokens: int = 0
    task: str = ""
    user: str = ""
    headers: Mapping[bytes, bytes] = {}  # msgspec makes a new one for each
    """By lower-case name."""
    language: str = ""
    """See `language_of`."""
    complexity: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """The numbers from `least` to `most`, both included."""

    least: int = 0
    most: int | None = None

    def __contains__(self, number: int) -> bool:
        return self.least <= number and (self.most is None or number <= self.most)


@dataclass(frozen=True, slots=True)
class Rule:
    """Conditions, and the target of requests that fulfil all of them. None or empty: no condition."""

    use: str
    wants: frozenset[Capability] = frozenset()
    spares: frozenset[Capability] = frozenset()
    """Capabilities that the request must not need."""
    stream: bool | None = None
    endpoint: frozenset[str] = frozenset()
    task: tuple[re.Pattern[str], ...] = ()
    user: re.Pattern[str] | None = None
    headers: tuple[tuple[bytes, re.Pattern[str]], ...] = ()
    model: re.Pattern[str] | None = None
    prompt_tokens: Span | None = None
    language: frozenset[str] = frozenset()
    complexity: Span | None = None

    def matches(self, features: Features) -> bool:
        """Tell whether a request fulfils all conditions of the rule."""
        return (
            (not self.endpoint or features.endpoint in self.endpoint)
            and self.wants <= features.capabilities
            and not (self.spares & features.capabilities)
            and (self.stream is None or self.stream == features.stream)
            and (self.model is None or self.model.match(features.model) is not None)
            and (not self.task or any(one.match(features.task) for one in self.task))
            and (self.user is None or self.user.match(features.user) is not None)
            and (self.prompt_tokens is None or features.prompt_tokens in self.prompt_tokens)
            and (self.complexity is None or features.complexity in self.complexity)
            and (not self.language or features.language in self.language)
            and all(
                (value := features.headers.get(name)) is not None and pattern.match(value.decode("latin-1"))
                for name, pattern in self.headers
            )
        )


def choose(rules: Iterable[Rule], features: Features) -> str | None:
    """Return the name that the rules send a request to, or None to keep the requested one.

    The first rule that holds decides, even if its target is the requested name: later rules are not tried then.
    """
    for rule in rules:
        if rule.matches(features):
            return rule.use if rule.use != features.model else None
    return None


def looked_at(rules: Iterable[Rule]) -> frozenset[str]:
    """Return the names of the features that the rules test; no other features need to be computed."""
    empty = Rule("")
    found = {
        one.name for rule in rules for one in fields(rule) if getattr(rule, one.name) != getattr(empty, one.name)
    } - {"use"}
    if found & {"wants", "spares"}:
        found = found - {"wants", "spares"} | {"capabilities"}
    return frozenset(found)


# The complexity of a request. The estimate is crude on purpose: it takes some microseconds before every answer, and a
# wrong choice costs only a little money or quality. docs/routing.md has the same table.

HARD = 40
"""From this complexity on, `auto` means `auto:hard`."""
MOST_READ = 4000
"""Characters of the prompt that are read: half of them at its beginning, half at its end."""

_LENGTHS = ((32_000, 40), (8_000, 30), (2_000, 20), (500, 10))
_NEEDS: Mapping[Capability, int] = {
    Capability.REASONING: 30,
    Capability.TOOLS: 15,
    Capability.VISION: 10,
    Capability.AUDIO: 5,
    Capability.JSON_SCHEMA: 5,
}
_CODE_FENCE = 10
_TURNS = ((20, 10), (6, 5))
_HARD_WORD, _MORE_HARD_WORDS, _MOST_HARD_WORDS = 40, 10, 55
_WORKING_WORD, _MOST_WORKING_WORDS = 10, 20
_EASY_WORD = -15


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Words and phrases in lower case. Phrases are matched after splitting into words, so "step-by-step" matches too.
_HARD_WORDS = _words(
    """
    prove proof proofs theorem lemma derive refactor refactored refactoring debug debugging deadlock traceback
    stacktrace architect architecture tradeoff tradeoffs vulnerability vulnerabilities optimize optimise
    optimizing optimising optimization optimisation migrate migration
    """
)
_HARD_PHRASES = (
    "step by step", "root cause", "race condition", "stack trace", "trade off", "trade offs", "reverse engineer",
    "think hard", "think carefully", "think deeply", "formally verify", "formal verification",
)  # fmt: skip
_WORKING_WORDS = _words(
    """
    implement implementation algorithm algorithms analyze analyse analysis design compare evaluate plan strategy
    calculate equation concurrent concurrency review
    """
)
_WORKING_PHRASES = ("explain why", "unit test", "unit tests")
_EASY_WORDS = _words(
    """
    translate summarize summarise summary tldr classify categorize categorise extract rephrase paraphrase rewrite
    spellcheck proofread hello hi hey thanks
    """
)
_EASY_PHRASES = ("yes or no", "one word", "one sentence", "thank you", "tl dr", "spell check")
_APART = str.maketrans(dict.fromkeys(string.punctuation + "\u2013\u2014\u2018\u2019\u201c\u201d\u201e\u2026", " "))


def complexity(
    text: str, *, prompt_tokens: int = 0, turns: int = 1, capabilities: frozenset[Capability] = frozenset()
) -> int:
    """Return the estimated complexity of a request, from 0 to 100.

    `text`: the user's last message. `turns`: the number of messages.
    """
    if len(text) > MOST_READ:
        text = f"{text[: MOST_READ // 2]}\n{text[-MOST_READ // 2 :]}"
    score = next((points for tokens, points in _LENGTHS if prompt_tokens >= tokens), 0)
    score += next((points for most, points in _TURNS if turns > most), 0)
    score += sum(points for need, points in _NEEDS.items() if need in capabilities)
    if "```" in text:
        score += _CODE_FENCE
    words = text.lower().translate(_APART).split()
    line = f" {' '.join(words)} "
    if hard := _occurring(_HARD_WORDS, _HARD_PHRASES, words, line):
        score += min(_HARD_WORD + _MORE_HARD_WORDS * (hard - 1), _MOST_HARD_WORDS)
    elif _occurring(_EASY_WORDS, _EASY_PHRASES, words, line):
        score += _EASY_WORD
    score += min(_WORKING_WORD * _occurring(_WORKING_WORDS, _WORKING_PHRASES, words, line), _MOST_WORKING_WORDS)
    return max(0, min(score, 100))


def _occurring(known: frozenset[str], phrases: tuple[str, ...], words: list[str], line: str) -> int:
    """Return how many different words and phrases occur."""
    return len(known.intersection(words)) + sum(f" {phrase} " in line for phrase in phrases)


def auto_route(name: str, complexity: int) -> str:
    """Return `auto:hard` for a complex request for `auto`; return every other name unchanged."""
    return AUTO_HARD if name == AUTO and complexity >= HARD else name


# The script of a letter, by the first word of its Unicode name, and the language that stands for it.
_SCRIPTS: Mapping[str, str] = {
    "LATIN": "latin",
    "CYRILLIC": "ru",
    "CJK": "zh",
    "HIRAGANA": "ja",
    "KATAKANA": "ja",
    "HANGUL": "ko",
    "ARABIC": "ar",
    "HEBREW": "he",
    "GREEK": "el",
    "DEVANAGARI": "hi",
    "THAI": "th",
}
LANGUAGES = tuple(dict.fromkeys(_SCRIPTS.values()))
_LETTERS_READ = 400
# The share of letters in another script that decides: Latin letters (code, names, English) are in every prompt.
_ENOUGH = 0.2


def language_of(text: str) -> str:
    """Return a language code for the script of a text: `zh`, `ru` (anything Cyrillic), `latin`, or "".

    The code stands for the script: Ukrainian is `ru` here, Persian `ar`; English, French and Vietnamese are `latin`.
    """
    found: Counter[str] = Counter()
    letters = 0
    for char in text[:MOST_READ]:
        if char.isalpha():
            letters += 1
            script = "LATIN" if char < "\u0250" else unicodedata.name(char, "").partition(" ")[0]
            found[_SCRIPTS.get(script, "")] += 1
            if letters >= _LETTERS_READ:
                break
    if not letters:
        return ""
    others = {one: number for one, number in found.items() if one not in ("latin", "")}
    if sum(others.values()) < _ENOUGH * letters:
        return "latin" if found["latin"] else ""
    # Japanese texts contain Chinese characters, but Chinese texts contain no Japanese ones.
    return "ja" if others.get("ja", 0) >= 0.1 * sum(others.values()) else max(others, key=lambda one: others[one])
