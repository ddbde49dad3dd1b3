"""Normalise the spellings of model ids, so that a family is recognised at every provider."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# No real id is longer; clients may send anything.
LONGEST = 200


class Id(NamedTuple):
    """A model's id, taken apart."""

    name: str
    """Lower case, without publisher, tag and date: `claude-sonnet-4-5`, `llama-3.1-8b-instruct`."""
    tag: str = ""
    """The part after the colon, in lower case: OpenRouter's `free`, Ollama's `8b-instruct-q4_k_m`."""
    tuned: bool = False
    """A customer's fine-tune (`ft:…`), which has the family's abilities but not its price."""

    @property
    def full(self) -> str:
        """Name and tag as one name: Ollama's `qwen3:8b` is `qwen3-8b` elsewhere."""
        return f"{self.name}-{self.tag.replace('_', '-')}" if self.tag else self.name


# `us.anthropic.claude-…` (Bedrock), `meta-llama-3.1-…` (file names), `text-embedding-nomic-…` (LM Studio).
_PUBLISHER = re.compile(
    r"(?:(?:us|eu|apac|global)\.)?(?:anthropic|meta|amazon|mistral|cohere|deepseek|qwen|openai|google)\.(?=[a-z])"
    r"|meta-(?=llama)|text-embedding-(?=nomic|bge|mxbai|embeddinggemma)"
)
# Fireworks writes `llama-v3p1-8b` for Llama 3.1 8B.
_POINT = re.compile(r"(?<=\d)p(?=\d)")
_VERSION = re.compile(r"(?<=[a-z]-)v(?=\d+(?:\.\d+)?-\d+b)")
# `-2024-07-18`, `-20241022`, `@20241022`, `-20241022-v2` (Bedrock). Four digits may be a version: `mistral-large-2411`.
_DATE = re.compile(r"[-@](?:20\d\d-?[01]\d-?[0-3]\d)(?:-v\d+)?(?=-|$)")
# The first version of GPT-4o costs twice as much as the later ones.
_KEPT = "gpt-4o-2024-05-13"
# In thousand millions of parameters, `qwen3-30b-a3b` has 30 (3 of them active), `mixtral-8x7b` 56, `gemma-3n-e4b` 4.
_SIZE = re.compile(r"(?<![a-z0-9.])(?:(\d{1,2})x)?e?(\d{1,4}(?:\.\d{1,2})?)b(?![a-z0-9])")
_SMALL = re.compile(r"(?<![a-z0-9.])(\d{2,3})m(?![a-z0-9])")


def read_id(model: str) -> Id:
    """Take an id apart. An id longer than LONGEST gives an empty one.

    `openai/gpt-4o`, `models/gpt-4o`, `accounts/fireworks/models/gpt-4o`, `gpt-4o-2024-08-06`, `GPT-4o:free` and
    `ft:gpt-4o:acme::1` are all `gpt-4o`.
    """
    if len(model) > LONGEST:
        return Id("")
    name = model.strip().lower()
    tuned = name.startswith("ft:")
    name, _, tag = name.removeprefix("ft:").rpartition("/")[2].partition(":")
    if found := _PUBLISHER.match(name):
        name = name[found.end() :]
    name = name.replace("_", "-")
    if not name.startswith(_KEPT):
        name = _DATE.sub("", name)
    if "p" in name:
        name = _POINT.sub(".", name)
    if "-v" in name:
        name = _VERSION.sub("", name)
    return Id(name.removesuffix(".gguf").removesuffix("-gguf"), "" if tag == "latest" else tag, tuned)


def shown_id(model: str) -> str:
    """Return an id for comparison: in lower case, without its publisher, but with its date and tag.

    `openai/gpt-4o` and `gpt-4o` are one model; `gemma-3-27b-it` and `gemma-3-27b-it:free` differ in price.
    """
    name = model.strip().removesuffix("/").rpartition("/")[2].lower().removesuffix(":latest")
    found = _PUBLISHER.match(name)
    return (name[found.end() :] if found else name) or model


def size_b(one: Id) -> float | None:
    """Return the parameters in thousand millions: the largest such number in name and tag; None if there is none."""
    text = one.full
    sizes = [float(count or 1) * float(each) for count, each in _SIZE.findall(text)]
    if not sizes:
        sizes = [float(each) / 1000 for each in _SMALL.findall(text)]
    return max(sizes, default=None)


# Names that calls may use although the list has only a longer or shorter form: Ollama's names without `:latest`,
# OpenRouter's with a routing suffix, Anthropic's without a date.
_ROUTING = re.compile(r":(nitro|floor|online|exacto|extended)$")
_DATED = re.compile(r"-20\d{6}$")


def is_listed(model: str, listed: Iterable[str]) -> bool:
    """Tell whether a provider with this list serves a model under this name."""
    names = set(listed)
    wanted = _ROUTING.sub("", model.removeprefix("models/"))
    return (
        wanted in names
        or f"{wanted}:latest" in names
        or any(_DATED.sub("", name) == wanted for name in names if _DATED.search(name))
    )
