"""A gateway.yaml in the making: what several formats say in the same way is put into our words here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from gateway.config import edits
from gateway.kinds import BUILT_IN, KINDS, OTHER, kind_named

if TYPE_CHECKING:
    from collections.abc import Iterable

# Names of kinds elsewhere, LiteLLM's prefixes among them -> ours.
_CALLED = {
    "openai_compatible": OTHER, "openai_like": OTHER, "custom": OTHER, "custom_openai": OTHER, "local": OTHER,
    "claude": "anthropic", "google": "gemini", "google_genai": "gemini", "together_ai": "together",
    "fireworks_ai": "fireworks", "ollama_chat": "ollama", "lm_studio": "lmstudio", "hosted_vllm": "vllm",
    "llama_cpp": "llamacpp", "llama.cpp": "llamacpp", "llamafile": "llamacpp", "cohere_chat": "cohere",
    "nvidia_nim": "nvidia", "text_completion_openai": "openai", "litellm_proxy": "litellm", "azure_openai": "azure",
    "z_ai": "zai", "zhipu": "zai", "kimi": "moonshot", "grok": "xai",
}  # fmt: skip
_ENDPOINT = re.compile(r"/(?:chat/completions|completions|responses|messages|models)/?$")
_COMMENTS = {
    "server": "Where the gateway listens, and the keys that clients present.",
    "defaults": "What holds unless a provider, model or role says otherwise.",
    "providers": "The servers of models. A provider whose key is empty is passed over.",
    "models": "Own names for models.",
    "roles": "Jobs: the first model that can do the job gets the call. Clients ask for role:NAME.",
    "fallback": "Replacements for a name.",
    "budgets": "Limits on spending.",
    "rules": "Where requests go for other reasons than their model. The first that holds decides.",
}


def is_no_key(key: str, provider: str = "") -> bool:
    """Tell whether a key only fills a field that must not be empty, as servers without keys have it."""
    return key.lower() in ("none", "null", "empty", "dummy", "anything", "not-needed", "sk-no-key-required", provider)


def kind_of(name: str) -> str:
    """Return our name of a kind; empty if it is unknown."""
    plain = name.strip().lower()
    found = _CALLED.get(plain.replace("-", "_"), plain if plain in KINDS else plain.replace("_", "-"))
    return found if found in KINDS and found != BUILT_IN else ""


@dataclass(slots=True)
class Draft:
    """The sections so far."""

    server: dict[str, Any] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    providers: dict[str, dict[str, Any]] = field(default_factory=dict)
    models: dict[str, Any] = field(default_factory=dict)
    roles: dict[str, Any] = field(default_factory=dict)
    fallback: dict[str, list[str]] = field(default_factory=dict)
    rules: list[dict[str, Any]] = field(default_factory=list)
    budgets: list[dict[str, Any]] = field(default_factory=list)

    def provider(self, wanted: str, kind: str = "", base_url: str = "", variable: str | None = "", **more: Any) -> str:
        """Add a provider, unless the same one is there, and return its name.

        `variable`: of its key; empty: the usual one of the kind; None: it needs no key.
        """
        said, named = kind_of(kind), kind_of(wanted)
        # "openai_compatible" says less than a name such as litellm or vllm.
        kind = named if said in ("", OTHER) and named else said or OTHER
        kind, base_url = _placed(kind, base_url)
        if kind == OTHER and named not in ("", OTHER):  # the prefix openai/ at somebody else's address
            wanted = (urlsplit(base_url).hostname or "custom").split(".")[0]
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", wanted).strip("-").lower() or kind
        entry: dict[str, Any] = {"kind": kind} if kind != name else {}
        if base_url:
            entry["base_url"] = base_url
        row = kind_named(kind)
        if variable or (variable is not None and row.key_required and row.key_vars):
            entry["api_key"] = f"${{{variable or row.key_vars[0]}:-}}"
        entry |= {key: value for key, value in more.items() if value not in (None, "", [], {})}
        unique, count = name, 1
        while unique in self.providers and self.providers[unique] != entry:
            count += 1
            unique, entry = f"{name}-{count}", {"kind": kind, **entry}
        self.providers[unique] = entry
        return unique

    def target(self, text: str) -> str:
        """Return `provider/model` for `provider:model` or `provider/model`; a known kind becomes a provider."""
        if text in self.models:
            return text
        if text in self.roles:
            return f"role:{text}"
        head, mark, rest = re.match(r"([^:/]*)([:/]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr]  # it matches any text
        if mark and head.lower() in self.providers:
            return f"{head.lower()}/{rest}"
        if mark and head != "role" and (kind := kind_of(head)) and kind_named(kind).base_url:
            return f"{self.provider(kind)}/{rest}"
        return text

    def text(self, sources: Iterable[str], notes: Iterable[str]) -> str:
        """Return the file, with a comment above each section and the notes at its end."""
        parts = [
            "# yaml-language-server: $schema=./gateway.schema.json",
            f"# Made by `gateway import` from {' and '.join(sources)}.",
            "# `gateway check` names every mistake with its line, `gateway explain NAME` says which models a name",
            "# leads to. Keys belong into the environment or into .env.",
        ]
        for section, comment in _COMMENTS.items():
            if content := getattr(self, section):
                parts += ["", f"# {comment}", edits.yaml_of({section: content}).rstrip()]
        if lines := [f"#   {' '.join(note.split())}" for note in notes]:
            parts += ["", "# Not carried over:", *lines]
        return "\n".join(parts) + "\n"


def _placed(kind: str, url: str) -> tuple[str, str]:
    """Return the kind that a URL belongs to, and the URL where it differs from the kind's own."""
    if not url or "${" in url:
        return kind, url
    parts = urlsplit(url)
    known = {urlsplit(one.base_url).hostname: one.name for one in KINDS.values() if one.base_url.startswith("https")}
    kind = known.get(parts.hostname, OTHER if kind_named(kind).base_url.startswith("https") else kind)
    usual = kind_named(kind).base_url
    path = _ENDPOINT.sub("", parts.path).rstrip("/")
    if kind == "gemini" and not path.endswith("/openai"):
        path = urlsplit(usual).path
    if kind == "azure" and not path:
        path = "/openai/v1"
    whole = urlunsplit((parts.scheme, parts.netloc, path or urlsplit(usual).path or "/v1", "", ""))
    return kind, "" if whole == usual else whole
