"""Say no for a whole call: what was tried, what was passed over, and when to come back."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import msgspec

from gateway.core.failover import verdict
from gateway.errors import NO_RETRY, NoCandidate, UpstreamsFailed
from gateway.proxy.headers import safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gateway.errors import Refusal
    from gateway.types import Attempt, Header, Plan, Route

# A header is no place for a long list.
LONGEST_PLAN = 4096


def nobody_to_try(route: Route, plan: Plan) -> Refusal:
    """Return the refusal of a call that nobody can take: not able, not usable, or not yet."""
    reasons = "; ".join(f"{one.upstream_id}: {one.reason}" for one in plan.rejected) or "it names none"
    if plan.retry_after_s is not None:
        message = f'every upstream of "{route.name}" is at its limit ({reasons})'
        headers = [retry_after(plan.retry_after_s), NO_RETRY]
        return UpstreamsFailed(message, status=429, code="rate_limit_exceeded", headers=headers)
    if not route.candidates:
        return NoCandidate(f'"{route.name}" has no usable upstream ({reasons})', headers=[NO_RETRY])
    # What the configuration rules out comes first and says nothing about this call.
    contexts = [one.context_tokens for one in plan.rejected[len(route.rejected) :]]
    longest = max((one for one in contexts if one is not None), default=0)
    if longest and None not in contexts:
        # Agents look for this code or this wording; they then shorten the conversation instead of trying again.
        message = (
            f"This model's maximum context length is {longest} tokens, and the prompt of this call is longer; shorten "
            f'it, or give "{route.name}" a model with a longer context ({reasons})'
        )
        return NoCandidate(message, status=400, code="context_length_exceeded", headers=[NO_RETRY])
    message = f'no upstream of "{route.name}" can serve this call ({reasons})'
    return NoCandidate(message, status=400, code="no_capable_upstream", headers=[NO_RETRY])


def everybody_failed(route: Route, attempts: Sequence[Attempt]) -> Refusal:
    """Return the refusal of a call that was tried wherever it could be."""
    said = verdict(attempts)
    headers: list[Header] = [
        (b"x-gateway-route", safe(route.name)),
        (b"x-gateway-attempts", b"%d" % len(attempts)),
        # The official SDKs would try twice more what has just failed everywhere.
        NO_RETRY,
    ]
    if said.retry_after_s is not None:
        headers.append(retry_after(said.retry_after_s))
    tried = "; ".join(
        f"{attempt.candidate.upstream.id}: {attempt.outcome.name}"
        + (f" (HTTP {attempt.status})" if attempt.status else "")
        + (f", {attempt.message}" if attempt.message else "")
        for attempt in attempts
    )
    message = f'every upstream of "{route.name}" failed. Tried {tried}'
    return UpstreamsFailed(message, status=said.status, code=said.code, headers=headers)


def retry_after(wait_s: float) -> Header:
    """Return the header that says when to come back, in whole seconds, never too early."""
    return (b"retry-after", b"%d" % max(1, ceil(wait_s)))


def plan_in_a_header(plan: Plan) -> bytes:
    """Return a plan as one line of JSON: whom it would try, whom not, and why. For `x-gateway-plan`."""
    reasons = plan.reasons or ("",) * len(plan.order)
    value = {
        "order": [
            {"upstream": candidate.upstream.id, **({"why": why} if why else {})}
            for candidate, why in zip(plan.order, reasons, strict=False)
        ],
        "rejected": [{"upstream": one.upstream_id, "why": one.reason} for one in plan.rejected],
    }
    text = msgspec.json.encode(value).decode().encode("ascii", "backslashreplace")
    return text if len(text) <= LONGEST_PLAN else b'{"error":"the plan is too long for a header; use gateway explain"}'
