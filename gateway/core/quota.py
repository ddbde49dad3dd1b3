"""Read the rest of a provider's limits from its answers, including successful ones, before it answers 429.

Rule: nothing here knows which provider it serves. A header's name says what is limited and over which window. Where
providers use one name in two senses (Azure's resets, Groq's requests per day), its value or another header decides.

Source: recorded answers in tests/fixtures; docs/providers.md lists the dialects.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.bounded import remember
from gateway.core.waits import parse_wait

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gateway.types import Header

# A hostile or broken provider must not park an upstream for longer than a day.
LONGEST_RESET_S = 86_400.0
LARGEST = 10**12
# The assumed window where no header names one.
USUAL_WINDOW_S = 60.0
# Resets are told in whole seconds by some, so two answers about one window may differ by this much.
_SAME_WINDOW_S = 1.0

_WINDOWS = (("10-second", 10.0), ("minute", 60.0), ("hour", 3600.0), ("day", 86_400.0), ("month", 30 * 86_400.0))
_KINDS = frozenset({"limit", "remaining", "reset", "renewalperiod"})
_AMOUNT = re.compile(r"\d{1,18}(?:\.\d{1,9})?")
# Upstreams choose the header names, so the table of their meanings is bounded.
_MOST_NAMES = 512
_meanings: dict[bytes, tuple[str, str] | None] = {}


class Limit(msgspec.Struct, frozen=True, gc=False):
    """The rest of one limit, as stated by an answer."""

    unit: str
    """The provider's name for it: `requests`, `tokens`, `input-tokens`, `requests-day`."""
    remaining: float
    observed_at: float
    """Wall-clock seconds, like all times here."""
    reset_at: float
    limit: float | None = None
    refills: bool = False
    """The limit refills continuously until `reset_at` (a token bucket), rather than all at once then."""
    asked_at: float = 0.0
    """When the answered attempt began; `remaining` does not count later attempts. 0: the same as `observed_at`."""
    window_s: float = USUAL_WINDOW_S
    """The length of the limit's window."""
    is_declared: bool = False
    """The operator declared the limit, and the gateway itself counts: the count is right, and is not to be exceeded."""

    @property
    def counted_to(self) -> float:
        """The time up to which `remaining` counts the attempts that have begun."""
        return self.asked_at or self.observed_at

    def left(self, now: float) -> float:
        """Return how much is left at `now`: everything after the reset; before it, a share if the limit refills."""
        if now >= self.reset_at:
            return LARGEST if self.limit is None else self.limit
        if self.refills and self.limit is not None:
            share = (now - self.observed_at) / max(self.reset_at - self.observed_at, 0.001)
            return self.remaining + (self.limit - self.remaining) * max(0.0, share)
        return self.remaining

    def ready_at(self, need: float, now: float) -> float:
        """Return when `need` will be left. If the limit is smaller than `need`, return the reset."""
        if self.left(now) >= need:
            return now
        if self.refills and self.limit is not None and self.limit > self.remaining:
            share = (min(need, self.limit) - self.remaining) / (self.limit - self.remaining)
            return self.observed_at + share * (self.reset_at - self.observed_at)
        return self.reset_at


class Shortage(NamedTuple):
    """The limit that a call has to wait for the longest."""

    until: float
    why: str
    is_certain: bool
    """The gateway itself counts the limit. Of other limits, it knows only what answers have said."""


class Quota(msgspec.Struct, frozen=True, gc=False):
    """All limits of one limit domain."""

    limits: tuple[Limit, ...] = ()
    least_requests: float = LARGEST
    """`remaining` of the scarcest limit on requests: nearly always, a plan need not look further."""
    least_tokens: float = LARGEST
    """The same for tokens."""

    def __post_init__(self) -> None:
        requests = tokens = float(LARGEST)
        for limit in self.limits:
            if "token" in limit.unit:
                tokens = min(tokens, limit.remaining)
            elif "request" in limit.unit:
                requests = min(requests, limit.remaining)
        msgspec.structs.force_setattr(self, "least_requests", requests)
        msgspec.structs.force_setattr(self, "least_tokens", tokens)

    def shortage(
        self, begun: Sequence[float], input_tokens: float, output_tokens: float, now: float
    ) -> Shortage | None:
        """Return what is short for a call that needs this much, and until when; None if nothing is.

        `begun`: when the latest attempts began, ascending. Attempts that `remaining` does not count yet are assumed to
        need as much as this one.
        """
        short: Shortage | None = None
        for limit in self.limits:
            each = _need(limit.unit, input_tokens, output_tokens)
            if limit.remaining >= each * (1 + len(begun)):
                continue  # nearly always
            left = limit.left(now)
            fresh = now >= limit.reset_at
            since = max(limit.reset_at, now - limit.window_s) if fresh else limit.counted_to
            need = each * (1 + len(begun) - bisect_right(begun, since))
            # A call larger than the whole limit is tried once the limit is unused.
            if left < need and not (fresh and need == each):
                # After the reset we count attempts ourselves, and forget each one a window after it began.
                at = begun[-max(1, int(left // each))] + limit.window_s if fresh else limit.ready_at(need, now)
                if at > (now if short is None else short.until):
                    why = f"{limit.unit}: {left:.0f} left, {need:.0f} needed, {at - now:.1f} s to go"
                    short = Shortage(at, why, limit.is_declared)
        return short


NOTHING_KNOWN = Quota()


def after(quota: Quota, limits: Iterable[Limit], now: float) -> Quota:
    """Return the quota after an answer, whose limits replace the known ones unit by unit.

    Answers come out of order, those of long streams late. The answer to the latest request is right. Only of requests
    that overlapped, which the upstream may have counted in another order, the lower rest is right.
    """
    known = {limit.unit: limit for limit in quota.limits}
    for limit in limits:
        ours = known.get(limit.unit)
        # A limit dated in the future was observed before the clock was set back.
        if ours is None or ours.observed_at > now + 1.0:
            known[limit.unit] = limit
            continue
        earlier, later = (ours, limit) if limit.counted_to >= ours.counted_to else (limit, ours)
        if earlier.remaining < later.remaining and _overlapped(earlier, later, now):
            later = msgspec.structs.replace(later, remaining=earlier.remaining, reset_at=earlier.reset_at)
        known[limit.unit] = later
    return Quota(tuple(known.values()))


def _overlapped(earlier: Limit, later: Limit, now: float) -> bool:
    """Tell whether the later request was sent before the answer to the earlier one came, in the same window."""
    return (
        not earlier.refills
        and now < earlier.reset_at
        and later.counted_to < earlier.observed_at
        and abs(later.reset_at - earlier.reset_at) <= _SAME_WINDOW_S
    )


def without_past(quota: Quota, now: float) -> Quota:
    """Return the quota after an answer without limits: drop the limits whose reset has passed."""
    return Quota(tuple(limit for limit in quota.limits if now < limit.reset_at))


def merge(one: Quota, other: Quota) -> Quota:
    """Merge the quotas of two replicas: the later word counts; of two at the same time, the lower. Commutes."""
    known = {limit.unit: limit for limit in one.limits}
    for limit in other.limits:
        ours = known.get(limit.unit)
        if ours is None or _lateness(limit) > _lateness(ours):
            known[limit.unit] = limit
    return Quota(tuple(sorted(known.values(), key=lambda limit: limit.unit)))


def _lateness(limit: Limit) -> tuple[float, ...]:
    # All fields, so that limits which differ never tie.
    return (
        limit.counted_to, limit.observed_at, -limit.remaining, limit.reset_at, limit.limit or 0.0,
        limit.limit is None, limit.refills, limit.window_s, limit.asked_at, limit.is_declared,
    )  # fmt: skip


def read_limits(headers: Iterable[Header], now: float, asked_at: float = 0.0) -> tuple[tuple[Limit, ...], int]:
    """Return the limits that an answer states, and the number of header values that made no sense.

    A limit counts only if it says what remains. Absurd values (negative, not a number, 1e18) are ignored.
    `now`: when the head of the answer came. `asked_at`: when the attempt began.
    """
    found: dict[str, dict[str, str]] | None = None
    for name, value in headers:
        try:
            meaning = _meanings[name]
        except KeyError:
            meaning = _remember(name)
        if meaning is not None:
            found = {} if found is None else found
            found.setdefault(meaning[1], {})[meaning[0]] = value.decode("latin-1").strip()
    if found is None:
        return (), 0
    limits: list[Limit] = []
    ignored = 0
    for unit, said in found.items():
        if unit == "structured":
            limits += _structured(said, now, asked_at)
            ignored += len(_items(said.get("state", ""))) - len(limits)
            continue
        remaining = _amount(said.get("remaining"))
        ignored += "remaining" in said and remaining is None
        if remaining is None:
            continue
        window_s = _window_s(unit, said)
        reset_s, refills, understood = _reset(said, window_s, now)
        ignored += not understood
        limits.append(
            Limit(unit, remaining, now, now + reset_s, _amount(said.get("limit")), refills, asked_at, window_s)
        )
    return tuple(limits), ignored


def _remember(name: bytes) -> tuple[str, str] | None:
    return remember(_meanings, name, _meaning(name.decode("latin-1")), _MOST_NAMES)


def _meaning(name: str) -> tuple[str, str] | None:
    """Return the kind (limit, remaining or reset) and the unit of a header, or None."""
    if name in ("ratelimit", "ratelimit-policy"):
        return ("policy" if name.endswith("policy") else "state"), "structured"
    if name.startswith("anthropic-ratelimit-"):  # the unit stands before the kind
        unit, _, kind = name.removeprefix("anthropic-ratelimit-").rpartition("-")
        return (kind, unit) if kind in _KINDS else None
    for prefix, plain in (
        ("x-ratelimit-", "requests"), ("x-tokenlimit-", "tokens"), ("ratelimit-", "requests"),
        ("x-trial-endpoint-call-", "requests-minute"), ("x-endpoint-monthly-call-", "requests-month"),
    ):  # fmt: skip
        if name.startswith(prefix):
            kind, _, unit = name.removeprefix(prefix).partition("-")
            return (kind, unit.replace("req-", "requests-") or plain) if kind in _KINDS else None
    return None


def _need(unit: str, input_tokens: float, output_tokens: float) -> float:
    if "token" not in unit:
        # Other units (images, pages) are not counted per call.
        return 1.0 if "request" in unit else 0.0
    if "input" in unit or "prompt" in unit:
        return input_tokens
    if "output" in unit or "generated" in unit:
        return output_tokens
    return input_tokens + output_tokens


def _window_s(unit: str, said: dict[str, str]) -> float:
    for word, seconds in _WINDOWS:
        if word in unit:
            return seconds
    # Fireworks states tokens per second, without a reset.
    return 1.0 if "tokens-" in unit and "reset" not in said else USUAL_WINDOW_S


def _reset(said: dict[str, str], window_s: float, now: float) -> tuple[float, bool, bool]:
    """Return the seconds to the reset, whether the limit refills until then, and whether the value made sense."""
    value = said.get("reset")
    if value is None:
        return min(window_s, LONGEST_RESET_S), False, True
    number = _amount(value)
    if number is None:
        wait_s = None if value.isdecimal() else _duration(value, now)
        if wait_s is None:
            return min(window_s, LONGEST_RESET_S), False, False
        return wait_s, value[-1:] == "s", True
    if number > 1e11:
        number = number / 1000 - now
    elif number > 1e9:
        number -= now
    elif (period := _amount(said.get("renewalperiod"))) is not None and number > period:
        number /= 1000  # one of Azure's two stacks counts in milliseconds
    return min(max(number, 0.0), LONGEST_RESET_S), False, True


def _duration(value: str, now: float) -> float | None:
    """Read a reset that is not a number: "6m0s", "17.4s", "2026-08-19T14:34:12Z"."""
    wait_s = parse_wait(value, now)
    if wait_s is None:
        try:
            instant = datetime.fromisoformat(value)
        except ValueError:
            return None
        wait_s = (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp() - now
    return min(max(wait_s, 0.0), LONGEST_RESET_S)


def _amount(value: str | None) -> float | None:
    if value is None or not _AMOUNT.fullmatch(value):
        return None
    number = float(value)
    return number if number <= 2e12 else None


def _structured(said: dict[str, str], now: float, asked_at: float) -> list[Limit]:
    """Read the fields of draft-ietf-httpapi-ratelimit-headers: `RateLimit: "burst";r=50;t=30`."""
    policies = dict(_items(said.get("policy", "")))
    limits: list[Limit] = []
    for name, keys in _items(said.get("state", "")):
        remaining = _amount(keys.get("r"))
        if remaining is None:
            continue
        policy = policies.get(name, {})
        unit = policy.get("qu", "requests").strip('"')
        window_s = _amount(policy.get("w")) or USUAL_WINDOW_S
        reset_s = _amount(keys.get("t"))
        reset_at = now + min(window_s if reset_s is None else reset_s, LONGEST_RESET_S)
        limit = _amount(policy.get("q"))
        limits.append(Limit(f"{unit} ({name})", remaining, now, reset_at, limit, asked_at=asked_at, window_s=window_s))
    return limits


def _items(value: str) -> list[tuple[str, dict[str, str]]]:
    # No regular expression: one that allows spaces everywhere takes 5 s for a hostile value of 60 KB.
    items = []
    for item in value.split(",", 16)[:16]:
        name, *pairs = item.split(";")
        if name.strip():
            keys = (pair.partition("=") for pair in pairs)
            items.append((name.strip().strip('"'), {key.strip(): text.strip() for key, _, text in keys}))
    return items
