"""Compare the configuration with what the providers say: is the key good, are the models there?"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gateway.cli.configuration import usable
from gateway.cli.terminal import count, seconds
from gateway.core import outcome as o
from gateway.core.explain import NO_API
from gateway.kinds import kind_of
from gateway.types import RouteKind
from gateway.upstream import base_urls
from gateway.upstream.ask import Asker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.core.names import Directory
    from gateway.types import Provider
    from gateway.upstream.ask import Listing

# What a request for the list of models comes to at an address where no such API is.
_WRONG_ADDRESS = frozenset(
    one.name
    for one in (
        *(o.WRONG_CONTENT, o.MALFORMED, o.NO_CONNECT, o.CONNECT_TIMEOUT, o.TOTAL_TIMEOUT, o.BROKEN, o.BAD_REQUEST),
    )
)
GUESS_WITHIN_S = 5.0

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
    base_url: str | None = None
    """The one that was probably meant in place of the configured one."""

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
            "probable_base_url": self.base_url,
        }


async def look(directory: Directory) -> tuple[Finding, ...]:
    """Ask every usable provider for its models, all at once."""
    async with Asker() as asker:
        asked = usable(directory.providers.values())
        found = await asyncio.gather(
            *(_look_at(asker, provider, configured_models(provider, directory)) for provider in asked)
        )
    return tuple(found)


async def _look_at(asker: Asker, provider: Provider, configured: Sequence[str]) -> Finding:
    listing = await asker.models(provider, check_key=True)
    if not _is_elsewhere(listing):
        return finding(provider, listing, configured)
    if listing.problem is None and kind_of(provider).may_lack_list and await asker.has_chat(provider):
        return Finding(provider.name, "", "it serves chats and has no list of models, so nothing was compared")
    return misplaced(provider, listing, await _meant(asker, provider, listing))


def _is_elsewhere(listing: Listing) -> bool:
    """Tell whether an answer is rather that of a wrong address than of an API that is out of order."""
    if listing.problem is None:
        return not listing.offered and listing.status is not None
    return listing.problem.outcome in _WRONG_ADDRESS or listing.status == 403


async def _meant(asker: Asker, provider: Provider, listing: Listing) -> str:
    """Return the base URL that was probably meant; empty if no variant of the configured one answers."""
    base = provider.base_url
    if listing.location:
        return base_urls.moved_to(base, listing.location) or ""
    if listing.status is None and (known := base_urls.known_address(base)) is not None:
        return known
    keyless = replace(provider, headers=())
    other = base_urls.other_scheme(base)
    swapped = provider if other.startswith("https:") else keyless  # a key is never sent in the clear by a guess
    tried = [replace(provider, base_url=one) for one in base_urls.variants(base, provider.kind)]
    if listing.status in (None, 400):  # nginx, asked over http at a port for https, says 400
        tried = [] if listing.status is None else tried
        tried += [replace(swapped, base_url=one) for one in (other, *base_urls.variants(other, provider.kind)[:2])]
        tried += [replace(keyless, base_url=one) for one in base_urls.other_ports(base, provider.kind)]
    found = await asyncio.gather(*(_answer(asker, one) for one in tried))
    for wanted in (True, None):  # one that lists its models before one that only wants a key
        for one, answers in zip(tried, found, strict=True):
            if answers is wanted:
                return one.base_url
    return ""


async def _answer(asker: Asker, provider: Provider) -> bool | None:
    """Tell whether a list of models is there. None: something is, and wants another key."""
    try:
        async with asyncio.timeout(GUESS_WITHIN_S):
            listing = await asker.models(provider)
    except TimeoutError:
        return False
    if listing.problem is None:
        return listing.offered
    return None if listing.status == 401 else False


def misplaced(provider: Provider, listing: Listing, meant: str) -> Finding:
    """Say that nothing serves models at the base URL, and which one does, if that is known."""
    if listing.problem is None:
        said = f"{provider.name} has no list of models at {provider.base_url}/models (HTTP {listing.status})"
    else:
        said = listing.problem.message
    if meant:
        remedy = f"its base_url is probably {meant}"
    else:
        remedy = listing.problem.remedy if listing.problem is not None else NO_API
    return Finding(provider.name, f"{said}; {remedy}", f"{said}; {remedy}", base_url=meant or None)


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
    if missing and kind_of(provider).lists_other_names:
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
