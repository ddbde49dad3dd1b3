"""Compare the configuration with the providers' answers: are the keys valid, do the models exist?"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from gateway.catalog import configured_models, is_listed, nowhere, read_listing, retiring, unlisted
from gateway.catalog.prices import PriceBook
from gateway.cli.configuration import usable
from gateway.cli.terminal import count, seconds
from gateway.core import outcome as o
from gateway.core.explain import NO_API
from gateway.kinds import kind_of
from gateway.upstream import base_urls
from gateway.upstream.ask import Asker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gateway.core.names import Directory
    from gateway.types import Provider, Upstream
    from gateway.upstream.ask import Listing

# What a request for the list of models comes to at an address where no such API is.
_WRONG_ADDRESS = frozenset(
    one.name
    for one in (
        *(o.WRONG_CONTENT, o.MALFORMED, o.NO_CONNECT, o.CONNECT_TIMEOUT, o.TOTAL_TIMEOUT, o.BROKEN, o.BAD_REQUEST),
    )
)
GUESS_WITHIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of checking one provider's part of the configuration."""

    name: str
    problem: str
    """Empty: no problem."""
    detail: str
    models: int = 0
    key_accepted: bool | None = None
    base_url: str | None = None
    """The base URL that was probably meant in place of the configured one."""
    warnings: tuple[str, ...] = ()
    """Warnings, not mistakes: models that the provider is going to retire."""

    @property
    def verdict(self) -> str:
        return "FAILED" if self.problem else "ok"

    def as_json(self) -> dict[str, Any]:
        """Return the finding as JSON."""
        return {
            "provider": self.name,
            "ok": not self.problem,
            "problem": self.problem or None,
            "models_listed": self.models,
            "key_accepted": self.key_accepted,
            "probable_base_url": self.base_url,
            "warnings": list(self.warnings),
        }


async def look(directory: Directory) -> tuple[Finding, ...]:
    """Ask every usable provider for its models, all at once."""
    book = PriceBook()
    async with Asker() as asker:
        await asyncio.to_thread(book.warm)
        asked = usable(directory.providers.values())
        found = await asyncio.gather(
            *(_look_at(asker, book, provider, configured_models(provider, directory)) for provider in asked)
        )
    return tuple(found)


async def _look_at(asker: Asker, book: PriceBook, provider: Provider, configured: Sequence[str]) -> Finding:
    listing = await asker.models(provider, check_key=True)
    if not _is_elsewhere(listing):
        return finding(provider, listing, configured, time.time(), book.deprecated_by)
    if provider.models_url and listing.problem is None:
        said = f"there is no list of models at {provider.models_url} (HTTP {listing.status}); check the models_url"
        return Finding(provider.name, said, said)
    if listing.problem is None and kind_of(provider).may_lack_list and await asker.has_chat(provider):
        return Finding(provider.name, "", "it serves chats and has no list of models, so nothing was compared")
    return misplaced(provider, listing, await _meant(asker, provider, listing))


def _is_elsewhere(listing: Listing) -> bool:
    """Tell whether an answer suggests a wrong address rather than an API that is out of order."""
    if listing.problem is None:
        return not listing.offered and listing.status is not None
    return listing.offered and (listing.problem.outcome in _WRONG_ADDRESS or listing.status == 403)


async def _meant(asker: Asker, provider: Provider, listing: Listing) -> str:
    """Return the base URL that was probably meant, or "" if no variant of the configured one answers."""
    base = provider.base_url
    if listing.location:
        return base_urls.moved_to(base, listing.location) or ""
    if listing.status is None and (known := base_urls.known_address(base)) is not None:
        return known
    keyless = replace(provider, headers=())
    other = base_urls.other_scheme(base)
    swapped = provider if other.startswith("https:") else keyless  # a guess never sends a key unencrypted
    tried = [replace(provider, base_url=one) for one in base_urls.variants(base, provider.kind)]
    if listing.status in (None, 400):  # nginx answers 400 to http on a port for https
        tried = [] if listing.status is None else tried
        tried += [replace(swapped, base_url=one) for one in (other, *base_urls.variants(other, provider.kind)[:2])]
        tried += [replace(keyless, base_url=one) for one in base_urls.other_ports(base, provider.kind)]
    found = await asyncio.gather(*(_answer(asker, one) for one in tried))
    for wanted in (True, None):  # prefer an address with a list to one that requires another key
        for one, answers in zip(tried, found, strict=True):
            if answers is wanted:
                return one.base_url
    return ""


async def _answer(asker: Asker, provider: Provider) -> bool | None:
    """Tell whether there is a list of models at a base URL. None: there is one, but it requires another key."""
    try:
        async with asyncio.timeout(GUESS_WITHIN_S):
            listing = await asker.models(provider)
    except TimeoutError:
        return False
    if listing.problem is None:
        return listing.offered
    return None if listing.status == 401 else False


def misplaced(provider: Provider, listing: Listing, meant: str) -> Finding:
    """Return the finding that the base URL is wrong, with the right one if it is known."""
    if listing.problem is None:
        said = f"{provider.name} has no list of models at {provider.base_url}/models (HTTP {listing.status})"
    else:
        said = listing.problem.message
    if meant:
        remedy = f"its base_url is probably {meant}"
    else:
        remedy = listing.problem.remedy if listing.problem is not None else NO_API
    return Finding(provider.name, f"{said}; {remedy}", f"{said}; {remedy}", base_url=meant or None)


def finding(
    provider: Provider,
    listing: Listing,
    configured: Sequence[str],
    now: float,
    marked_by: Callable[[Upstream], str] = nowhere,
) -> Finding:
    """Return the finding from a provider's list, read at `now`. `marked_by`: as in `catalog.records`."""
    if listing.problem is not None:
        return Finding(provider.name, str(listing.problem), str(listing.problem))
    took = seconds(listing.latency_s)
    if not listing.offered:
        return Finding(provider.name, "", "it has no free list of models, so nothing was compared")
    said = [f"answers in {took}", f"{count(len(listing.models), 'model')} listed"]
    if listing.key_accepted:
        said.append("key accepted")
    elif provider.headers:
        said.append("only a call can tell whether the key is valid (`gateway test`)")
    missing = [model for model in configured if not is_listed(model, listing.models)]
    wrong = unlisted(provider, missing, listing.models)
    problem = "; ".join(_is_missing(model, listing.models) for model in wrong)
    if harmless := [model for model in missing if model not in wrong]:
        said.append(f"not in the list, which may be harmless: {', '.join(harmless)}")
    endings = retiring(provider, configured, read_listing(provider.kind, listing.entries), marked_by)
    return Finding(
        provider.name, problem, ", ".join([*filter(None, [problem]), *said]), len(listing.models),
        listing.key_accepted, warnings=tuple(f"{one.upstream} {one.words(now)}" for one in endings),
    )  # fmt: skip


def _is_missing(model: str, listed: Sequence[str]) -> str:
    near = get_close_matches(model, listed[:2000], n=1, cutoff=0.5)
    return f'no model "{model}"' + (f', perhaps "{near[0]}"?' if near else "")
