"""Refuse a whole call: name the attempts, the rejected upstreams, and when to come back."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import msgspec

from gateway.core import outcome as o
from gateway.core.failover import may_be_retried, verdict
from gateway.core.names import quoted
from gateway.core.plan import NO_TOKEN_IDS
from gateway.errors import NO_RETRY, NoCandidate, UpstreamsFailed
from gateway.proxy.headers import safe
from gateway.types import About

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.errors import Refusal
    from gateway.types import Attempt, Endpoint, Header, Plan, Route

# Bytes of `x-gateway-plan` at most, because proxies and clients limit the size of headers.
LONGEST_PLAN = 4096
# Outcomes that cut an answer short: the error body that is held may be incomplete.
_CUT_SHORT = frozenset({o.BROKEN, o.MALFORMED, o.STALLED, o.TOTAL_TIMEOUT})


def made(attempts: Sequence[Attempt]) -> int:
    """Return the number of attempts that were made, including those without a connection."""
    return sum(attempt.outcome.was_made for attempt in attempts)


def is_ours(last: Attempt) -> bool:
    """Tell whether an upstream's refusal would mislead the client: it is cut short, or about the gateway's key."""
    outcome = last.outcome
    is_about_us = last.status == 401 or outcome.about is About.ACCOUNT or outcome is o.ENDPOINT_MISSING
    return is_about_us or outcome in _CUT_SHORT


def nobody_to_try(route: Route, plan: Plan, endpoint: Endpoint) -> Refusal:
    """Return the refusal of a call without candidates: each is unable, unusable, or at its limit."""
    reasons = "; ".join(f"{one.upstream_id}: {one.reason}" for one in plan.rejected) or "it names none"
    if plan.retry_after_s is not None:
        message = f'every upstream of "{route.name}" is at its limit ({reasons})'
        headers = [retry_after(plan.retry_after_s)]
        if not may_be_retried(o.RATE_LIMITED, plan.retry_after_s):
            headers.append(NO_RETRY)
        return UpstreamsFailed(message, status=429, code="rate_limit_exceeded", headers=headers)
    if not route.candidates:
        return NoCandidate(f'"{route.name}" has no usable upstream ({reasons})', headers=[NO_RETRY])
    # The first rejections come from the configuration and say nothing about this call.
    contexts = [one.context_tokens for one in plan.rejected[len(route.rejected) :]]
    longest = max((one for one in contexts if one is not None), default=0)
    if longest and None not in contexts:
        # Agents look for this code or this wording. They then shorten the conversation instead of trying again.
        message = (
            f"This model's maximum context length is {longest} tokens, and the prompt of this call is longer; shorten "
            f'it, or give "{route.name}" a model with a longer context ({reasons})'
        )
        return NoCandidate(message, status=400, code="context_length_exceeded", headers=[NO_RETRY])
    message = f'no upstream of "{route.name}" can serve this call ({reasons})'
    if any(one.reason == NO_TOKEN_IDS for one in plan.rejected):
        # LangChain's OpenAIEmbeddings sends ids unless told otherwise.
        message += (
            f'; "{endpoint.takes_ids}" holds token ids, which mean other words to another model: send it as text '
            "(LangChain: check_embedding_ctx_length=False)"
        )
        return NoCandidate(
            message, status=400, code="no_capable_upstream", param=endpoint.takes_ids, headers=[NO_RETRY]
        )
    return NoCandidate(message, status=400, code="no_capable_upstream", headers=[NO_RETRY])


def everybody_failed(route: Route, attempts: Sequence[Attempt], endpoint: Endpoint) -> Refusal:
    """Return the refusal of a call whose attempts have all failed."""
    said = verdict(attempts)
    headers: list[Header] = [
        (b"x-gateway-route", safe(route.name)),
        (b"x-gateway-attempts", b"%d" % made(attempts)),
    ]
    if not said.may_be_retried:
        # Without the header the official SDKs would send the call twice more.
        headers.append(NO_RETRY)
    if said.retry_after_s is not None:
        headers.append(retry_after(said.retry_after_s))
    providers = " and ".join(dict.fromkeys(quoted(attempt.candidate.upstream.provider.name) for attempt in attempts))
    match said.code:
        case "upstream_auth_failed":
            # The provider's own words are left out: some providers repeat the refused key.
            happened = f"the gateway's own credential for {providers} was refused; check the key of that provider"
        case "endpoint_not_served":
            happened = (
                f'the gateway serves {endpoint.path}, but the provider behind "{route.name}" ({providers}) does not'
            )
        case _:
            happened = f'every upstream of "{route.name}" failed'
    message = f"{happened}. Tried {'; '.join(map(_in_words, attempts))}"
    failed = UpstreamsFailed(message, status=said.status, code=said.code, headers=headers)
    if said.status in (400, 404, 413):
        failed.type = "invalid_request_error"  # a retry would be refused too; some clients decide by this word
    return failed


def _in_words(attempt: Attempt) -> str:
    status = f" (HTTP {attempt.status})" if attempt.status else ""
    is_safe = attempt.message and attempt.outcome.about is not About.ACCOUNT
    return f"{attempt.candidate.label}: {attempt.outcome.name}{status}{f', {attempt.message}' if is_safe else ''}"


def retry_after(wait_s: float) -> Header:
    """Return a `retry-after` header in whole seconds, rounded up."""
    return (b"retry-after", b"%d" % max(1, ceil(wait_s)))


def plan_in_a_header(plan: Plan) -> bytes:
    """Return a plan as one line of JSON for `x-gateway-plan`: the order, the rejected upstreams, and the reasons."""
    reasons = plan.reasons or ("",) * len(plan.order)
    value = {
        "order": [
            {"upstream": candidate.label, **({"why": why} if why else {})}
            for candidate, why in zip(plan.order, reasons, strict=False)
        ],
        "rejected": [{"upstream": one.upstream_id, "why": one.reason} for one in plan.rejected],
    }
    text = msgspec.json.encode(value).decode().encode("ascii", "backslashreplace")
    return text if len(text) <= LONGEST_PLAN else b'{"error":"the plan is too long for a header; use gateway explain"}'
