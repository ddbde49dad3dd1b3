"""Compare the configuration with what the providers say: is the key good, are the models there?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gateway.cli.configuration import usable
from gateway.cli.terminal import count, seconds
from gateway.types import RouteKind
from gateway.upstream.ask import Asker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.core.names import Directory
    from gateway.types import Provider
    from gateway.upstream.ask import Listing

# Their lists name other things than what a call names: Azure's base models instead of one's deployments; whatever
# file a llama.cpp server was started with, which it serves under any name.
_NAMED_OTHERWISE = frozenset({"azure", "llamacpp", "runpod"})

# A model may be asked for under a name that is not in the list: Ollama's `:latest`, OpenRouter's ways of routing,
# and Anthropic's names without their date.
_ROUTING = re.compile(r":(nitro|floor|online|exacto|extended)$")
_DATE = re.compile(r"-20\d{6}$")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a provider says about its part of the configuration."""

    name: str
    problem: str
    """Empty if there is none."""
    detail: str
    models: int = 0
    key_accepted: bool | None = None

    @property
    def verdict(self) -> str:
        return "FAILED" if self.problem else "ok"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "provider": self.name,
            "ok": not self.problem,
            "problem": self.problem or None,
            "models_listed": self.models,
            "key_accepted": self.key_accepted,
        }


async def look(directory: Directory) -> tuple[Finding, ...]:
    """Ask every usable provider for its models, all at once."""
    async with Asker() as asker:
        asked = usable(directory.providers.values())
        found = await asyncio.gather(*(asker.models(provider, check_key=True) for provider in asked))
    return tuple(
        finding(provider, listing, configured_models(provider, directory))
        for provider, listing in zip(asked, found, strict=True)
    )


def configured_models(provider: Provider, directory: Directory) -> list[str]:
    """Return the models of a provider that the configuration names."""
    return [
        candidate.upstream.model
        for route in directory.routes.values()
        if route.kind is RouteKind.MODEL
        for candidate in route.candidates
        if candidate.upstream.provider is provider
    ]


def finding(provider: Provider, listing: Listing, configured: Sequence[str]) -> Finding:
    """Put together what a provider's list says about the configuration."""
    if listing.problem is not None:
        return Finding(provider.name, str(listing.problem), str(listing.problem))
    took = seconds(listing.latency_s)
    if not listing.offered:
        return Finding(provider.name, "", "it has no list of models that is free, so nothing was compared")
    said = [f"answers in {took}", f"{count(len(listing.models), 'model')} listed"]
    if listing.key_accepted:
        said.append("key accepted")
    elif provider.headers:
        said.append("whether the key is good only a call can tell (`gateway test`)")
    missing = [model for model in configured if not is_listed(model, listing.models)]
    problem = ""
    if missing and provider.kind in _NAMED_OTHERWISE:
        said.append(f"not in the list, which need not mean anything: {', '.join(missing)}")
    elif missing:
        problem = "; ".join(_is_missing(model, listing.models) for model in missing)
        said = [problem, *said]
    return Finding(provider.name, problem, ", ".join(said), len(listing.models), listing.key_accepted)


def is_listed(model: str, listed: Iterable[str]) -> bool:
    """Tell whether a provider that lists these models serves one under this name."""
    names = set(listed)
    wanted = _ROUTING.sub("", model.removeprefix("models/"))
    return (
        wanted in names
        or f"{wanted}:latest" in names
        or any(_DATE.sub("", name) == wanted for name in names if _DATE.search(name))
    )


def _is_missing(model: str, listed: Sequence[str]) -> str:
    near = get_close_matches(model, listed[:2000], n=1, cutoff=0.5)
    return f'no model "{model}"' + (f', perhaps "{near[0]}"?' if near else "")
