"""Outcomes: the end of an attempt, and of a call."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from gateway.types.providers import Header
    from gateway.types.routing import Candidate


class Blame(StrEnum):
    """The cause of an outcome. Only `UPSTREAM` counts against an upstream's health."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    GATEWAY = "gateway"
    """The operator must fix it: a bad key, no credit, a model that the provider does not have."""
    NOBODY = "nobody"


class About(StrEnum):
    """The subject of a refusal or failure. It alone decides which upstreams are set aside (`core.facts`)."""

    CALL = "call"
    """This call: its size, its content, its parameters. Nothing is set aside; another upstream may take it."""
    MODEL = "model"
    """This model at this provider: missing, retired, not allowed. The upstream is set aside."""
    ALLOWANCE = "allowance"
    """A rate limit or a quota. All upstreams that share the limit are set aside."""
    CREDIT = "credit"
    """The account's money. All its upstreams that need money are set aside."""
    ACCOUNT = "account"
    """The account itself: its key, or its right to be served. All its upstreams are set aside."""
    PROVIDER = "provider"
    """The upstream as a whole. It counts against the upstream's health; the breaker decides."""
    CLOCK = "clock"
    """The deadline that we gave the whole call. Nothing is set aside."""
    NOBODY = "nobody"


class Then(StrEnum):
    """The next step after an outcome."""

    RELAY = "relay"
    AGAIN = "again"
    """The same upstream once more, on a fresh connection."""
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The result of an attempt. `core.outcome` has the only object for each, so outcomes are compared by identity."""

    name: str
    """The name as a metric label and in the ledger."""
    blame: Blame
    then: Then
    about: About
    aside_s: float = 0.0
    """How long the subject is set aside if the refusal itself gives no time."""
    sent: bool = True
    """False: no request went out, because there was no connection or the attempt was not made at all."""

    @property
    def was_made(self) -> bool:
        """False for an attempt that a budget prevented; it uses up none of `max_attempts`."""
        return self.sent or self.about is About.PROVIDER


@dataclass(frozen=True, slots=True)
class UpstreamError:
    """An error body, in one shape for all providers."""

    message: str = ""
    type: str | None = None
    code: str | None = None
    per_day: bool = False
    """A daily quota is used up (Gemini's `quotaId`, Groq's "requests per day (RPD)")."""
    retry_after_s: float | None = None
    """The wait before a retry, if the body states it (Gemini's `retryDelay`, "try again in 20ms")."""
    param: str | None = None
    """The offending request field (OpenAI's `param`)."""
    behind: str | None = None
    """The provider behind this provider that refused (OpenRouter's `metadata.provider_name`)."""
    flagged: bool = False
    """The content was refused, according to structured fields (OpenRouter's `metadata.reasons`, Azure's filter)."""
    page: bool = False
    """The body is a web page or empty: a proxy in front of the API may have answered."""
    headers: tuple[Header, ...] = ()
    """Header lines that the body repeats (OpenRouter's `metadata.headers`)."""
    resets_at: float | None = None
    """When the limit ends, in wall-clock seconds, if the body names a date."""
    until_midnight: bool = False
    """The used-up quota is renewed at 00:00 UTC."""


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One request to one upstream, after it ended or was committed to."""

    candidate: Candidate
    outcome: Outcome
    status: int | None = None
    """HTTP status of the answer; None if there was none."""
    message: str = ""
    """The error message of the upstream or the socket, for people."""
    retry_after_s: float | None = None
    first_byte_s: float | None = None
    """From the start of the attempt, in seconds."""
    first_token_s: float | None = None
    duration_s: float = 0.0
    ended_at: float = 0.0
    """On the monotonic clock."""
    limits: tuple[Header, ...] = ()
    """Header lines about limits from the body of a refusal."""
