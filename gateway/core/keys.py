"""Decide about virtual keys: how secrets are made, which are valid, which models they may use, and their limits.

A secret has 256 random bits. Storing a fast hash of it is therefore safe, since no attacker can guess what to hash,
and the time of looking a digest up tells nothing about the secret.
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
"""Callers on this machine while no key is required."""
CONFIG = Key(id="", name="config", may_admin=True)
"""Callers with one of server.api_keys: the operator. Such a key administers only while there are no admin keys."""
ADMINISTRATOR = Key(id="admin", name=CONFIG.name, may_admin=True)
"""Callers with one of server.admin_keys."""
CONSOLE = Key(id="", name="console")
"""Calls from the console by somebody who is signed in there."""

CHALLENGE = ((b"www-authenticate", b'Bearer realm="gateway"'),)

_WINDOW_S = 60
REQUESTS, TOKENS, STREAMS = ":requests", ":tokens", ":streams"
# OpenAI's names for kinds of limits. It has none for concurrent calls.
_TYPES = {REQUESTS: "requests", TOKENS: "tokens", STREAMS: "requests"}
# The `retry-after` when too many calls are under way: their ends cannot be foreseen.
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
    """Return a secret made from SECRET_BYTES of randomness: the prefix and 43 characters, safe in URLs and shells."""
    return PREFIX + urlsafe_b64encode(entropy).rstrip(b"=").decode()


def id_of(entropy: bytes) -> str:
    """Return a key id made from ID_BYTES of randomness."""
    return ID_PREFIX + entropy.hex()


def digest_of(secret: bytes) -> bytes:
    """Return the digest that is stored in place of a secret."""
    return sha256(secret).digest()


# -- which secret belongs to which key


class Kept(NamedTuple):
    """A key as it is stored."""

    key: Key
    replaced: tuple[tuple[bytes, float], ...] = ()
    """Digests of its earlier secrets, each with the time when it expires (wall-clock seconds)."""
    problem: str = ""
    """Why the key cannot be read. `key` then holds at most the id, name, digest and revocation."""


class Holder(msgspec.Struct, frozen=True):
    """The key that a secret belongs to."""

    key: Key
    until: float
    """When the secret expires, in wall-clock seconds; infinite if it does not."""
    problem: str = ""
    """Why the key cannot be read. An unreadable key is never valid."""


@dataclass(frozen=True, slots=True)
class Ring:
    """All keys at one moment."""

    holders: Mapping[bytes, Holder]
    """By digest. Expired and revoked keys are included, so that they can be told apart from unknown ones."""
    wants_key: bool
    """Callers need a key, because at least one key is not known to be revoked."""
    active: frozenset[str] = frozenset()
    """The ids of all keys that are not known to be revoked, including expired ones."""
    revoked: frozenset[str] = frozenset()
    """The ids of the revoked keys."""


NO_KEYS = Ring({}, wants_key=False)


def ring_of(kept: Iterable[Kept]) -> Ring:
    """Return the ring of all keys."""
    holders: dict[bytes, Holder] = {}
    active: set[str] = set()
    revoked: set[str] = set()
    for key, replaced, problem in kept:
        is_revoked = key.revoked_at is not None
        (revoked if is_revoked else active).add(key.id)
        # A revoked key stays revoked even if a clock is wrong, so its time does not matter.
        until = -inf if is_revoked or problem else inf if key.expires_at is None else key.expires_at
        for digest, good_until in replaced:
            holders[digest] = Holder(key, min(until, good_until), problem)
        if key.digest:
            holders[key.digest] = Holder(key, until, problem)
    return Ring(holders, bool(active), frozenset(active), frozenset(revoked))


def lost(ring: Ring, known: Iterable[str]) -> frozenset[str]:
    """Return the once active keys that have vanished without being revoked, if no active key is left in the ring.

    The first key closes the gateway to callers without one; only revoking the last key opens it again. Keys that vanish
    otherwise mean that the store was emptied, truncated, replaced or deleted, and the gateway must stay closed.
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
    """Return the refusal for a secret that is no longer valid. Its caller knows the secret, so details are safe."""
    key = holder.key
    name = quoted(key.name or key.id)
    if holder.problem and key.revoked_at is None:
        message = f"this gateway cannot read the API key {name}, and its log says why"
        return Unauthorized(f"{message}; ask the operator", code="unreadable_api_key", headers=CHALLENGE)
    match state_of(key, now):
        case KeyState.REVOKED:
            code, message = "revoked_api_key", f"the API key {name} was revoked"
        case KeyState.EXPIRED:
            code, message = "expired_api_key", f"the API key {name} expired at {moment(holder.until)}"
        case KeyState.ACTIVE:
            code = "expired_api_key"
            message = f"this secret of the API key {name} was replaced, and expired at {moment(holder.until)}"
    return Unauthorized(f"{message}; ask the operator of this gateway for a new one", code=code, headers=CHALLENGE)


def moment(at: float) -> str:
    """Write wall-clock seconds for people."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


# -- what a key may ask for


def may_ask(key: Key, name: str) -> bool:
    """Tell whether a key may use a name, as the client writes it in `model`."""
    return not key.routes or _match(key.routes, name)


def not_allowed(key: Key, name: str) -> Forbidden:
    """Return the refusal for a client whose key may not use a name."""
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
    # Only `*` is special: model names may contain brackets (`claude-opus-4[1m]`) and question marks.
    whole = "|".join(".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
    return re.compile(whole, re.DOTALL).fullmatch


# -- the limits of a key


def charges_of(key: Key, needs: Needs, now: float) -> list[Charge]:
    """Return what a call takes from its key's rate limits at `now` (wall-clock seconds). Budgets are separate."""
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
    """Tell whether a charge counts tokens: its real amount is known only after the answer has ended."""
    return charge.account.endswith(TOKENS)


def refusal_of(charge: Charge, now: float, *, left: int = 0) -> Refusal:
    """Return the refusal when a key's limit has no room for a charge.

    `left`: the part of the limit that is neither counted nor held. The headers are OpenAI's, which SDKs and agents
    understand.
    """
    kind = ":" + charge.account.rpartition(":")[2]
    wait_s = _SOON_S if charge.is_concurrency else max(1, ceil(charge.resets_at - now))
    if charge.is_concurrency:
        message = f"{charge.what} is reached; wait until one of these calls has ended"
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


# -- reading what people write; each function raises ValueError


def read_name(text: str) -> str:
    """Check the name of a key."""
    name = text.strip()
    if not 1 <= len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"a name is one line of 1 to {LONGEST_NAME} characters")
    if name in _RESERVED or name.startswith(ID_PREFIX):
        raise ValueError(f"{quoted(name)} cannot name a key: {', '.join(_RESERVED)} and {ID_PREFIX}… are reserved")
    return name


def read_routes(texts: Iterable[str]) -> tuple[str, ...]:
    """Read comma-separated patterns of the names that a key may use."""
    patterns = tuple(dict.fromkeys(one.strip() for text in texts for one in text.split(",")))
    for pattern in patterns:
        if not 1 <= len(pattern) <= LONGEST_PATTERN or not pattern.isprintable() or " " in pattern:
            raise ValueError(f"{quoted(pattern)} is not a pattern; write role:*, openai/gpt-* or the name of a model")
    if len(patterns) > MOST_PATTERNS:
        raise ValueError(f"{len(patterns)} patterns; a key has at most {MOST_PATTERNS}")
    return patterns


def read_labels(texts: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Read labels, each `name=value`."""
    labels: dict[str, str] = {}
    for text in texts:
        if not (found := _LABEL.fullmatch(text)):
            raise ValueError(f"{quoted(text)} is not a label; write name=value, such as team=search")
        if found[1] in labels:
            raise ValueError(f'the label "{found[1]}" is given twice')
        labels[found[1]] = found[2]
    if len(labels) > MOST_LABELS:
        raise ValueError(f"{len(labels)} labels; a key has at most {MOST_LABELS}")
    return tuple(labels.items())


def read_duration(text: str) -> float:
    """Read a duration in seconds: 90s, 15m, 1h, 30d, 2w, or 0."""
    if text.strip() == "0":
        return 0.0
    seconds = period_s(text.strip())
    if seconds is None or seconds > _LONGEST_S:
        raise ValueError(f"{quoted(text)} is not a duration; write 15m, 1h, 30d or 2w")
    return seconds


def read_expiry(text: str, now: float) -> float:
    """Read when a key expires, in wall-clock seconds: after a duration, or when a day or moment begins (UTC)."""
    if period_s(text.strip()) is not None:
        at = now + read_duration(text)
    else:
        try:
            said = datetime.fromisoformat(text.strip())
        except ValueError:
            message = f"{quoted(text)} is not a time; write 30d, 2027-01-31 or 2027-01-31T18:00+01:00"
            raise ValueError(message) from None
        at = (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
    if at <= now:
        raise ValueError(f"{quoted(text)} is in the past; a key must expire in the future")
    return at


def find(text: str, keys: Sequence[Key]) -> Key:
    """Return the key with this id, else the key with this name; of several, an unrevoked one, else the newest.

    Raises:
        ValueError: there is no such key. The message names the nearest.
    """
    named = [key for key in keys if key.name == text]
    for key in (
        *(key for key in keys if key.id == text),
        *(key for key in named if key.revoked_at is None),
        *sorted(named, key=lambda key: -key.created_at),
    ):
        return key
    if not keys:
        raise ValueError(f"there is no key {quoted(text)}, and no other key; `gateway keys create` makes one")
    near = nearest(text, [name for key in keys for name in (key.name, key.id) if name])
    raise ValueError(f"there is no key {quoted(text)}{near or '; `gateway keys list` shows them'}")
