"""Make a configuration without a file, from detected local servers and the API keys in the environment."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gateway.catalog import ability_of
from gateway.config import clients, money, overlay
from gateway.config.kinds import KINDS
from gateway.config.providers import Entry, make_provider
from gateway.config.resolve import DEMO, warnings
from gateway.config.settings import Config, ServerSettings
from gateway.core.declared import Declared, Role, make_directory
from gateway.errors import ConfigError
from gateway.types import Timeouts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gateway.config.settings import Detected
    from gateway.types import Provider

SOURCE = "zero configuration"


@dataclass(frozen=True, slots=True)
class Models:
    """A provider's model for each kind of work. Empty: no model."""

    strong: str = ""
    fast: str = ""
    vision: str = ""
    embedding: str = ""


# Read in November 2026 from the providers' public model lists. The names age, but they are only a start for users
# without a configuration, and a provider's error says so if it no longer knows one. In the order of preference:
# providers with free models come first.
DEFAULT_MODELS: Mapping[str, Models] = {
    "openrouter": Models("openrouter/free", "google/gemma-4-31b-it:free", "google/gemma-4-31b-it:free"),
    "gemini": Models("gemini-3.5-flash", "gemini-3.1-flash-lite", "gemini-3.5-flash", "gemini-embedding-001"),
    "groq": Models("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "cerebras": Models("qwen-3.8-27b", "qwen-3.8-27b"),
    "mistral": Models("mistral-large-latest", "mistral-small-latest", "mistral-medium-latest", "mistral-embed"),
    "nvidia": Models("openai/gpt-oss-120b", "openai/gpt-oss-20b"),
    "zai": Models("glm-5.1", "glm-4.7-flash", "glm-4.6v-flash"),
    "cohere": Models("command-a-plus-05-2026", "command-a-03-2025", "command-a-vision-07-2025", "embed-v4.0"),
    "deepseek": Models("deepseek-v4-pro", "deepseek-v4-flash"),
    "minimax": Models("MiniMax-M3", "MiniMax-M3-highspeed"),
    "moonshot": Models("kimi-k3", "kimi-k2.6"),
    "together": Models("zai-org/GLM-5.3", "google/gemma-4-31B-it", "google/gemma-4-31B-it"),
    "fireworks": Models("accounts/fireworks/models/glm-5p3", "accounts/fireworks/models/glm-5p3-flash"),
    "xai": Models("grok-4.5", "grok-4.3", "grok-4.5"),
    "openai": Models("gpt-5.5", "gpt-5-mini", "gpt-5-mini", "text-embedding-3-small"),
    "anthropic": Models("claude-sonnet-5", "claude-haiku-4-5", "claude-haiku-4-5"),
}

# Parts of the ids of local models that suggest their abilities. Wrong guesses are harmless: the server's error says so.
_EMBEDS = ("embed", "bge-", "/bge", "gte-", "e5-", "minilm")
_SEES = ("-vl", "vision", "llava", "gemma3", "gemma-3", "gemma4", "gemma-4", "minicpm-v", "moondream", "pixtral")


@dataclass(frozen=True, slots=True)
class Job:
    """The work of a role, and whether local models come before rented ones."""

    work: str
    local_first: bool


# Long thinking goes to the strongest model; steady small work stays on a local model if there is one.
JOBS: Mapping[str, Job] = {
    "main": Job("strong", local_first=False),
    "reasoning": Job("strong", local_first=False),
    "planner": Job("strong", local_first=False),
    "rlm": Job("fast", local_first=True),
    "memory": Job("fast", local_first=True),
    "browser": Job("fast", local_first=True),
    "vision": Job("vision", local_first=True),
    "embedding": Job("embedding", local_first=True),
}


def zero(environ: Mapping[str, str], detected: Sequence[Detected] = ()) -> Config:
    """See `gateway.config.zero`."""
    problems: list[str] = []
    server = clients.with_environment(
        ServerSettings(), environ, lambda variable, message: problems.append(f"environment: {variable}: {message}")
    )
    if problems:
        raise ConfigError(problems)
    local = _local_providers(detected, environ)
    rented = _rented_providers(environ)
    work = {one.name: _guessed(_asked_for(one)) for one in local} | {
        one.name: DEFAULT_MODELS[one.kind] for one in rented
    }
    roles = {name: _role(job, local, rented, work) for name, job in JOBS.items()}
    default = _default(local, rented)
    if overlay.existing(environ) is not None:
        config = _with_overlay(environ, (*local, *rented), roles, default)
        return replace(config, warnings=(*config.warnings, *_passed_over(environ)))
    providers = {one.name: one for one in (*local, *rented, DEMO)}
    directory, _ = make_directory(
        Declared(providers=providers, roles=roles, default_provider=default, curated=ability_of, kinds=frozenset(KINDS))
    )
    said = [*warnings(server, providers), *_passed_over(environ)]
    ledger = money.ledger_settings(environ, lambda at, message: problems.append(f"environment: {at[1]}: {message}"))
    if problems:
        raise ConfigError(problems)
    return Config(SOURCE, server, directory, ledger=ledger, warnings=tuple(said))


def _with_overlay(
    environ: Mapping[str, str], providers: Iterable[Provider], roles: Mapping[str, Role], default: str | None
) -> Config:
    """Write the findings in the shape of a file, so that the overlay can be merged over them."""
    from gateway.config.loading import resolved
    from gateway.config.source import Source

    found: dict[str, Any] = {
        "providers": {
            one.name: {"kind": one.kind, "models": list(one.models)}
            | ({"base_url": one.base_url, "local": True} if one.local else {})
            for one in providers
        },
        "roles": {name: {"models": list(role.targets)} for name, role in roles.items() if role.targets},
        "defaults": {"provider": default},
    }
    vacant = {name: role.vacancy for name, role in roles.items() if not role.targets}
    return resolved(Source(found, marks={(): (0, 0)}), SOURCE, environ, vacant=vacant)


def _local_providers(detected: Iterable[Detected], environ: Mapping[str, str]) -> list[Provider]:
    found: dict[str, Provider] = {}
    for one in detected:
        name = (
            one.kind if one.kind not in found else f"{one.kind}-{one.base_url.removesuffix('/v1').rpartition(':')[2]}"
        )
        entry = Entry(one.kind, base_url=one.base_url, models=one.models, local=True)
        found[name] = make_provider(name, entry, environ, Timeouts(), lambda _path, _message: None)
    return list(found.values())


def _rented_providers(environ: Mapping[str, str]) -> list[Provider]:
    found = []
    for kind, models in DEFAULT_MODELS.items():
        if kind == "openai" and _elsewhere(environ):
            continue
        listed = tuple(dict.fromkeys(filter(None, (models.strong, models.fast, models.vision, models.embedding))))
        one = make_provider(kind, Entry(kind, models=listed), environ, Timeouts(), lambda _path, _message: None)
        if not one.unusable and one.headers:
            found.append(one)
    return found


def _elsewhere(environ: Mapping[str, str]) -> bool:
    """Tell whether OPENAI_API_KEY belongs to another endpoint, perhaps to this gateway itself."""
    base = environ.get("OPENAI_BASE_URL", "").strip().rstrip("/")
    return bool(base) and base != KINDS["openai"].base_url


def _passed_over(environ: Mapping[str, str]) -> Iterable[str]:
    if environ.get("OPENAI_API_KEY") and _elsewhere(environ):
        yield (
            "OPENAI_API_KEY is not used, because OPENAI_BASE_URL names another endpoint; configure that endpoint in "
            "gateway.yaml"
        )


def _asked_for(local: Provider) -> tuple[str, ...]:
    # A llama-server that is loading its model lists none, but serves the model under any name.
    return local.models or (("default",) if local.kind == "llamacpp" else ())


def _guessed(models: tuple[str, ...]) -> Models:
    """Guess the work of a local server's models from their ids."""
    lower = {model: model.lower() for model in models}
    embedding = next((one for one in models if any(part in lower[one] for part in _EMBEDS)), "")
    seeing = next((one for one in models if any(part in lower[one] for part in _SEES)), "")
    chat = next((one for one in models if not any(part in lower[one] for part in _EMBEDS)), "")
    return Models(strong=chat, fast=chat, vision=seeing, embedding=embedding)


def _role(job: Job, local: list[Provider], rented: list[Provider], work: Mapping[str, Models]) -> Role:
    order = [*local, *rented] if job.local_first else [*rented, *local]
    if not order:
        return Role(("demo/echo",))
    able = [f"{one.name}/{model}" for one in order if (model := getattr(work[one.name], job.work))]
    if job.work == "embedding":
        # No fallback: vectors of two models cannot be compared.
        return Role(tuple(able[:1]), vacancy="" if able else "no model found makes embeddings")
    if not able:  # a model without the ability will say so itself
        able = [f"{one.name}/{model}" for one in order if (model := work[one.name].strong)]
    return Role(tuple(able), vacancy="" if able else "no model found is for chat")


def _default(local: list[Provider], rented: list[Provider]) -> str | None:
    """Choose the provider for unlisted names: OpenRouter, which serves the most models, or the only provider."""
    names = [one.name for one in (*rented, *local)]
    if "openrouter" in names:
        return "openrouter"
    return (names or ["demo"])[0] if len(names) <= 1 else None
