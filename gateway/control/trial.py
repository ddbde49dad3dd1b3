"""Test a provider without a call: is there a key, can it be reached, is the key accepted, what does it list?"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gateway.core.secrets import mask_of
from gateway.kinds import kind_of

if TYPE_CHECKING:
    from gateway.types import Provider
    from gateway.upstream.ask import Asker, Listing

MOST_LISTED = 1000
_NOT_ASKED = "it was not asked"


class Step(NamedTuple):
    """One step of a test."""

    step: str
    """`key`, `reachable`, `key_accepted` or `models`."""
    ok: bool | None
    """None: it cannot be told."""
    detail: str


class Trial(NamedTuple):
    """The result of a test."""

    ok: bool
    steps: tuple[Step, ...]
    models: tuple[str, ...] = ()
    latency_s: float = 0.0


async def tried(asker: Asker, provider: Provider) -> Trial:
    """Test a provider. It is asked for its list of models, and for nothing that costs."""
    if provider.unusable is not None:
        rest = (Step(name, None, _NOT_ASKED) for name in ("reachable", "key_accepted", "models"))
        return Trial(ok=False, steps=(Step("key", ok=False, detail=provider.unusable), *rest))
    listing = await asker.models(provider, check_key=True)
    steps = steps_of(provider, listing)
    return Trial(all(one.ok is not False for one in steps), steps, listing.models[:MOST_LISTED], listing.latency_s)


def steps_of(provider: Provider, listing: Listing) -> tuple[Step, ...]:
    """Return what a provider's answer to the question for its models tells, without secrets."""
    mask = mask_of(provider)
    return tuple(one._replace(detail=mask.text(one.detail)) for one in _steps(provider, listing))


def _steps(provider: Provider, listing: Listing) -> tuple[Step, ...]:
    sent = Step("key", ok=True, detail="a key is sent" if provider.headers else "it needs no key")
    problem = listing.problem
    if not listing.offered and listing.status is None:
        words = "it has no list of models that is free; only a call can tell"
        return sent, *(Step(name, None, words) for name in ("reachable", "key_accepted", "models"))
    if listing.key_accepted and not listing.offered:
        words = "it has no list of models that is free"
        answers = Step("reachable", ok=True, detail=f"it answers in {listing.latency_s * 1000:.0f} ms")
        accepted = Step("key_accepted", ok=True, detail="the key is accepted")
        return sent, answers, accepted, Step("models", None, words)
    if problem is None and not listing.offered:
        place = provider.models_url or f"{provider.base_url}/models"
        words = f"there is no list of models at {place} (HTTP {listing.status})"
        field = "models_url" if provider.models_url else "base_url"
        may_lack = kind_of(provider).may_lack_list
        wrong = Step("models", None if may_lack else False, f"{words}; check the {field}")
        return sent, Step("reachable", ok=True, detail="it answers"), Step("key_accepted", None, words), wrong
    if problem is None:
        known = {True: "the key is accepted", False: "the key is not accepted", None: "only a call can tell"}
        return (
            sent,
            Step("reachable", ok=True, detail=f"it answers in {listing.latency_s * 1000:.0f} ms"),
            Step("key_accepted", listing.key_accepted, known[listing.key_accepted]),
            Step("models", ok=True, detail=f"{len(listing.models)} listed"),
        )
    reached = listing.status is not None
    refused = listing.status in (401, 403)
    return (
        sent,
        Step("reachable", ok=reached, detail=f"it answers with HTTP {listing.status}" if reached else str(problem)),
        Step("key_accepted", False if refused else None, str(problem) if refused else _NOT_ASKED),
        Step("models", ok=False if listing.offered else None, detail=str(problem)),
    )
