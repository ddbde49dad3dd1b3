"""Decide about virtual keys: how a secret is made, whether one is good, what it may ask for and what its limits hold.

The secret is 256 random bits, so a fast hash of it is enough to keep (nobody can guess what to hash), and looking a
digest up takes no time that depends on the secret.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from gateway.core.durations import period_s
from gateway.core.names import nearest, quoted
from gateway.core.plan import USUAL_OUTPUT_TOKENS
from gateway.errors import Forbidden, Refusal, Unauthorized
from gateway.types import Charge, Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gateway.types import Needs

PREFIX = "sk-gw-"
SECRET_BYTES = 32
ID_PREFIX = "key_"
ID_BYTES = 6
HINT_CHARACTERS = 4

LOCAL = Key(id="", name="local")
"""Whoever is on this machine, where no key is asked for."""
CONFIG = Key(id="", name="config", may_admin=True)
"""Whoever has one of server.api_keys. It is the operator, and may make calls as well."""

CHALLENGE = ((b"www-authenticate", b'Bearer realm="gateway"'),)

_WINDOW_S = 60
REQUESTS, TOKENS, STREAMS = ":requests", ":tokens", ":streams"
# OpenAI's words for what is limited. It has none for calls at once.
_TYPES = {REQUESTS: "requests", TOKENS: "tokens", STREAMS: "requests"}
# When one of the calls under way ends, nobody knows.
_SOON_S = 1

LONGEST_NAME = 64
LONGEST_PATTERN = 200
MOST_PATTERNS = 64
MOST_LABELS = 16
_LABEL = re.compile(r"([A-Za-z][A-Za-z0-9_.-]{0,62})=([^\s,=][^,=]{0,62})")
# Later dates than it leads to cannot be shown.
_LONGEST_S = 99_999 * 7 * 86_400.0
_RESERVED = (LOCAL.name, CONFIG.name, "-")


# -- secrets


def secret_of(entropy: bytes) -> str:
    """Return the secret that SECRET_BYTES of randomness make: the prefix and 43 characters, safe in URLs and shells."""
    return PREFIX + urlsafe_b64encode(entropy).rstrip(b"=").decode()


def id_of(entropy: bytes) -> str:
    """Return the id that ID_BYTES of randomness make."""
    return ID_PREFIX + entropy.hex()


def digest_of(secret: bytes) -> bytes:
    """Return what is kept of a secret."""
    return sha256(secret).digest()


# -- which secret is whose


class Kept(NamedTuple):
    """A key as it is kept."""

    key: Key
    replaced: tuple[tuple[bytes, float], ...] = ()
    """Digests of the secrets it had before, each with when it ceases to be good (wall-clock seconds)."""
    problem: str = ""
    """Why it cannot be read. Of `key` only the id, name, digest and revocation are known then, as far as they are."""


class Holder(msgspec.Struct, frozen=True):
    """Whom a secret belongs to."""

    key: Key
    until: float
    """When the secret ceases to be good, in wall-clock seconds; infinite if it does not."""
    problem: str = ""
    """Why the key cannot be read. It is never good then."""


@dataclass(frozen=True, slots=True)
class Ring:
    """All keys at one moment."""

    holders: Mapping[bytes, Holder]
    """By digest; those of expired and revoked keys too, so that they can be told apart from unknown ones."""
    wants_key: bool
    """There is a key that nobody has revoked, or none knows whether it was, so nobody comes in without one."""
    active: frozenset[str] = frozenset()
    """The ids of the keys that are not known to be revoked. Expired ones are among them."""
    revoked: frozenset[str] = frozenset()
    """The ids of the others."""


NO_KEYS = Ring({}, wants_key=False)


def ring_of(kept: Iterable[Kept]) -> Ring:
    """Return the ring of all keys."""
    holders: dict[bytes, Holder] = {}
    active: set[str] = set()
    revoked: set[str] = set()
    for key, replaced, problem in kept:
        is_revoked = key.revoked_at is not None
        (revoked if is_revoked else active).add(key.id)
        # Whatever a clock says that is wrong somewhere, what has been revoked is revoked.
        until = -inf if is_revoked or problem else inf if key.expires_at is None else key.expires_at
        for digest, good_until in replaced:
            holders[digest] = Holder(key, min(until, good_until), problem)
        if key.digest:
            holders[key.digest] = Holder(key, until, problem)
    return Ring(holders, bool(active), frozenset(active), frozenset(revoked))


def lost(ring: Ring, known: Iterable[str]) -> frozenset[str]:
    """Return which of the keys that were once known as active keep a ring from opening the gateway to this machine.

    Whoever has keys closes the door by them; only to revoke the last one opens it again. Where that was not seen, the
    store was emptied, truncated, replaced or deleted, which says nothing of what its owner wants.
    """
    return frozenset() if ring.wants_key else frozenset(known) - ring.revoked


class KeyState(StrEnum):
    """Whether a key is good."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


def state_of(key: Key, now: float) -> KeyState:
    """Return whether a key is good at `now`, in wall-clock seconds."""
    if key.revoked_at is not None:
        return KeyState.REVOKED
    return KeyState.ACTIVE if key.expires_at is None or now < key.expires_at else KeyState.EXPIRED


def no_longer_good(holder: Holder, now: float) -> Unauthorized:
    """Return what the holder of a secret is told that has ceased to be good. It proves to know the secret."""
    key = holder.key
    name = quoted(key.name or key.id)
    if holder.problem and key.revoked_at is None:
        message = f"the API key {name} cannot be read by this gateway, whose log says why"
        return Unauthorized(f"{message}; ask whoever runs it", code="unreadable_api_key", headers=CHALLENGE)
    match state_of(key, now):
        case KeyState.REVOKED:
            code, message = "revoked_api_key", f"the API key {name} was revoked"
        case KeyState.EXPIRED:
            code, message = "expired_api_key", f"the API key {name} expired at {moment(holder.until)}"
        case KeyState.ACTIVE:
            code = "expired_api_key"
            message = f"this secret of the API key {name} was replaced, and good until {moment(holder.until)}"
    return Unauthorized(f"{message}; ask whoever runs this gateway for a new one", code=code, headers=CHALLENGE)


def moment(at: float) -> str:
    """Write wall-clock seconds for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


# -- what it may ask for


def may_ask(key: Key, name: str) -> bool:
    """Tell whether a key may ask for a name, as it is written in `model`."""
    return not key.routes or _match(key.routes, name)


def not_allowed(key: Key, name: str) -> Forbidden:
    """Return what a client is told that asks for something else than its key may."""
    return Forbidden(
        f"the API key {quoted(key.name or key.id)} may not use {quoted(name)}; it may use {', '.join(key.routes)}",
        code="model_not_allowed",
        param="model",
    )


@lru_cache(maxsize=4096)
def _match(patterns: tuple[str, ...], name: str) -> bool:
    return _matcher(patterns)(name) is not None


@lru_cache(maxsize=1024)
def _matcher(patterns: tuple[str, ...]) -> Callable[[str], object]:
    # Only the star means something: names of models may hold brackets (`claude-opus-4[1m]`) and question marks.
    whole = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile(whole, re.DOTALL).fullmatch


# -- its limits


def charges_of(key: Key, needs: Needs, now: float) -> list[Charge]:
    """Return what a call takes of its key's limits at `now`, in wall-clock seconds. Its budget is not among them."""
    if key.requests_per_min is key.tokens_per_min is key.max_streams is None:
        return []
    charges: list[Charge] = []
    start = int(now // _WINDOW_S) * _WINDOW_S
    end = float(start + _WINDOW_S)
    account, name = f"key:{key.id}", quoted(key.name or key.id)
    if (most := key.requests_per_min) is not None:
        what = f"the limit of {most} requests a minute of key {name}"
        charges.append(Charge(account + REQUESTS, start, end, most, 1, what))
    if (most := key.tokens_per_min) is not None:
        tokens = needs.input_tokens + (needs.output_tokens or USUAL_OUTPUT_TOKENS)
        what = f"the limit of {most} tokens a minute of key {name}"
        charges.append(Charge(account + TOKENS, start, end, most, tokens, what))
    if (most := key.max_streams) is not None:
        what = f"the limit of {most} calls at once of key {name}"
        charges.append(Charge(account + STREAMS, 0, inf, most, 1, what, is_concurrency=True))
    return charges


def counts_tokens(charge: Charge) -> bool:
    """Tell whether a charge is of a key's tokens: what it came to is known only when the answer has ended."""
    return charge.account.endswith(TOKENS)


def refusal_of(charge: Charge, now: float, *, left: int = 0) -> Refusal:
    """Return what a client is told when there is no room for a charge of its key.

    `left`: what is neither counted nor held. The headers are OpenAI's, which SDKs and agents act by.
    """
    kind = ":" + charge.account.rpartition(":")[2]
    wait_s = _SOON_S if charge.is_concurrency else max(1, ceil(charge.resets_at - now))
    if charge.is_concurrency:
        message = f"{charge.what} is reached; wait until one of them has ended"
    else:
        of_it = f", and this call may take {charge.amount}" if kind == TOKENS else ""
        message = f"{charge.what} is reached: {left} left{of_it}; try again in {wait_s} s"
    unit = kind[1:].encode()
    headers = [
        (b"retry-after", b"%d" % wait_s),
        (b"x-ratelimit-limit-" + unit, b"%d" % charge.limit),
        (b"x-ratelimit-remaining-" + unit, b"%d" % left),
        (b"x-ratelimit-reset-" + unit, _reset(wait_s)),
    ]
    refusal = Refusal(message, status=429, code="rate_limit_exceeded", headers=headers)
    refusal.type = _TYPES[kind]
    return refusal


def _reset(wait_s: int) -> bytes:
    minutes, seconds = divmod(wait_s, 60)
    return b"%dm%ds" % (minutes, seconds) if minutes else b"%ds" % seconds


# -- what people write; each raises ValueError


def read_name(text: str) -> str:
    """Check the name of a key."""
    name = text.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"a name is one line of 1 to {LONGEST_NAME} characters")
    if name in _RESERVED or name.startswith(ID_PREFIX):
        raise ValueError(f"{quoted(name)} cannot name a key: {', '.join(_RESERVED)} and {ID_PREFIX}… mean others")
    return name


def read_routes(texts: Iterable[str]) -> tuple[str, ...]:
    """Read comma-separated patterns of what a key may ask for."""
    patterns = tuple(dict.fromkeys(one.strip() for text in texts for one in text.split(",")))
    for pattern in patterns:
        if not 1 <= len(pattern) <= LONGEST_PATTERN or not pattern.isprintable() or " " in pattern:
            raise ValueError(f"{quoted(pattern)} is no pattern; write role:*, openai/gpt-* or the name of a model")
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"{len(patterns)} patterns; a key has at most {MOST_PATTERNS}")
    return patterns


def read_labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read labels, each `name=value`."""
    labels: dict[str, str] = {}
    for text in texts:
        if not (found := _LABEL.fullmatch(text)):
            raise ValueError(f"{quoted(text)} is no label; write name=value, such as team=search")
        if found[1] in labels:
            raise ValueError(f'the label "{found[1]}" stands twice')
        labels[found[1]] = found[2]
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels; a key has at most {MOST_LABELS}")
    return tuple(labels.items())


def read_duration(text: str) -> float:
    """Read how long something lasts, in seconds: 90s, 15m, 1h, 30d, 2w, or 0."""
    if text.strip() == "0":
        return 0.0
    seconds = period_s(text.strip())
    if seconds is None or seconds > _LONGEST_S:
        raise ValueError(f"{quoted(text)} is no duration; write 15m, 1h, 30d or 2w")
    return seconds


def read_expiry(text: str, now: float) -> float:
    """Read when a key expires, in wall-clock seconds: after a duration, or when a day or moment begins (UTC)."""
    if period_s(text.strip()) is not None:
        at = now + read_duration(text)
    else:
        try:
            said = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f"{quoted(text)} is no time; write 30d, 2027-01-31 or 2027-01-31T18:00+01:00") from None
        at = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
    if at <= now:
        raise ValueError(f"{quoted(text)} is over; a key expires later than now")
    return at


def find(text: str, keys: Sequence[Key]) -> Key:
    """Return the key that has this id, else the one that has this name: whoever has it now, else who had it last.

    Raises:
        ValueError: there is none. The message names the nearest.
    """
    named = [key for key in keys if key.name == text]
    for key in (
        *(key for key in keys if key.id == text),
        *(key for key in named if key.revoked_at is None),
        *sorted(named, key=lambda key: -key.created_at),
    ):
        return key
    if not keys:
        raise ValueError(f"there is no key {quoted(text)}, nor any other; `gateway keys create` makes one")
    near = nearest(text, [name for key in keys for name in (key.name, key.id) if name])
    raise ValueError(f"there is no key {quoted(text)}{near or '; `gateway keys list` shows them'}")
