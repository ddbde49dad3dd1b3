"""Say in plain words what is wrong with an upstream, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.core import outcome as o
from gateway.core.names import quoted
from gateway.core.secrets import mask_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gateway.types import Outcome, Provider, UpstreamError


@dataclass(frozen=True, slots=True)
class Problem:
    """What went wrong, and the remedy."""

    outcome: str
    """The name of the outcome, for machines."""
    message: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.message}; {self.remedy}"


_BUSY = "try again later, or let the role fall back to another model"
NO_API = "check its base_url: it ends before /chat/completions, often with /v1"

# What happened, and the remedy. `problem` fills in `{…}`.
_WORDS: Mapping[Outcome, tuple[str, str]] = {
    o.BAD_REQUEST: ("{provider} refused the request", "check the model and its params"),
    o.POLICY: ("{provider} refused the request for its content", "check the account's content settings"),
    o.CONTEXT_LENGTH: ("the context of {model} is too short even for a greeting", "give the model more context"),
    o.RATE_LIMITED: ("{provider} limits the rate", "wait{wait}, then try again"),
    o.QUOTA_EXHAUSTED: ("the quota at {provider} is used up", "wait until it is renewed, or use another provider"),
    o.NO_CREDIT: ("there is no credit left at {provider}", "add credit there, or use another provider"),
    o.BAD_CREDENTIAL: ("{provider} did not accept the key", "check {key}"),
    o.ACCOUNT_BLOCKED: ("{provider} does not serve this account from here", "check the account's status there"),
    o.FORBIDDEN: ("{provider} forbids this request", "check the permissions of {key} there"),
    o.NOT_FOUND: ("{provider} did not find something the request names", "choose another model, or check the base_url"),
    o.ENDPOINT_MISSING: ("{provider} does not serve this endpoint there", NO_API),
    o.UNSUPPORTED: ("{model} does not support this kind of request", "choose another model"),
    o.TOO_LARGE: ("{provider} does not accept a request of that size", "raise the limits of the account there"),
    o.UNAFFORDABLE: (
        "the credit at {provider} does not cover the request",
        "add credit there, or use another provider",
    ),
    o.LOADING: ("{provider} is still loading the model", "try again in a moment"),
    o.MODEL_MISSING: ("{provider} does not serve {model} there", "choose another model, or check the base_url"),
    o.OVERLOADED: ("{provider} is busy or still loading the model", _BUSY),
    o.SERVER_ERROR: ("{provider} failed", _BUSY),
    o.WRONG_CONTENT: ("{provider} did not answer like an OpenAI-compatible API", NO_API),
    o.MALFORMED: ("{provider} does not speak HTTP/1.1", "check its base_url, and whether it is http or https"),
    o.EMPTY: ("{provider} answered without any content", _BUSY),
    o.NO_CONNECT: ("{provider} cannot be reached", "{reach}"),
    o.CONNECT_TIMEOUT: ("{provider} cannot be reached", "{reach}"),
    o.FIRST_BYTE_TIMEOUT: ("{provider} did not answer in time", "allow more time: timeouts.first_byte"),
    o.FIRST_TOKEN_TIMEOUT: ("{provider} sent no content in time", "allow more time: timeouts.first_token"),
    o.TOTAL_TIMEOUT: ("{provider} did not finish in time", _BUSY),
    o.IDLE_TIMEOUT: ("{provider} fell silent in the middle", _BUSY),
    o.BROKEN: ("{provider} broke the connection", _BUSY),
    o.TRUNCATED: ("the stream of {provider} ended before its end", _BUSY),
    o.STREAM_REFUSED: ("{provider} refused the request in the middle of its stream", "check the request's content"),
    o.STREAM_ERROR: ("{provider} failed in the middle of its stream", _BUSY),
}


def problem(
    outcome: Outcome,
    provider: Provider,
    model: str,
    said: UpstreamError,
    *,
    status: int | None = None,
    key: str = "its api_key",
) -> Problem:
    """Put an outcome into words.

    `said`: the error of the upstream or the socket. `key`: where the upstream's key comes from.
    """
    happened, remedy = _WORDS.get(outcome, (f"{{provider}}: {outcome.name}", _BUSY))
    words = {
        "provider": quoted(provider.name)[1:-1],
        "model": quoted(model)[1:-1],
        "key": key,
        "wait": f" {said.retry_after_s:.0f} s" if said.retry_after_s else "",
        "reach": (
            f"is its server running at {provider.base_url}?"
            if provider.local
            else f"check its base_url ({provider.base_url}) and this machine's network"
        ),
    }
    heard = [f"HTTP {status}"] if status else []
    heard += [mask_of(provider).text(said.message)] if said.message else []
    detail = f" ({': '.join(heard)})" if heard else ""
    return Problem(outcome.name, happened.format_map(words) + detail, remedy.format_map(words))
