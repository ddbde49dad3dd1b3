"""Read the small notations of the configuration: durations, sizes, URLs, header fields. Mistakes raise ValueError."""

from __future__ import annotations

import re
from decimal import Decimal
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from gateway.core.durations import duration_s
from gateway.core.money import in_nano
from gateway.core.names import nearest, quoted

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMG]?)(?:i?B)?", re.IGNORECASE)
_TOKENS = re.compile(r"(\d{1,10}(?:\.\d{1,6})?)\s*([km]?)", re.IGNORECASE)
_THOUSANDS = {"": 1, "k": 1000, "m": 1_000_000}
_USD = re.compile(r"\$?(\d{1,6}(?:\.\d{1,9})?)")
_HOURS = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)\s*-\s*([01]?\d|2[0-4]):([0-5]\d)")
_DAY_S = 24 * 3600
_NUMBER = re.compile(r"\d{1,4}(?:\.\d{1,6})?")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_FACTOR = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}

LONGEST_S = 24 * 3600.0
DEAREST_USD = 100_000

# Networks of the user's own servers (RFC 1918, RFC 4193, loopback). Not link-local: clouds have their metadata service
# there.
_OWN = [
    ip_network(net) for net in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")
]

# Headers that the transport writes, or that concern a single connection (RFC 9110 section 7.6.1).
_NOT_OURS_TO_SET = frozenset(
    [
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"),
        *("accept-encoding", "content-length", "content-type", "host"),
    ]
)


def seconds(value: object) -> float:
    """Read a duration: a number of seconds, or "500ms", "30s", "10m", "1h30m"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        total = float(value)
    elif isinstance(value, str) and (said := duration_s(_with_unit(value))) is not None:
        total = said
    else:
        raise ValueError("not a duration; write 30s, 500ms, 10m or 1h30m")
    if not 0 < total <= LONGEST_S:
        raise ValueError("a duration must be longer than 0 and at most 24h")
    return total


def _with_unit(value: str) -> str:
    return value + "s" if value[-1:].isdecimal() else value


def octets(value: object) -> int:
    """Read a size: a number of bytes, or "64KB", "32MB" (1 KB is 1024 bytes)."""
    if isinstance(value, int) and not isinstance(value, bool):
        total = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value.strip())):
        total = int(float(found[1]) * _FACTOR[found[2].upper()])
    else:
        raise ValueError("not a size; write 32MB, 512KB or a number of bytes")
    if not 1024 <= total <= 4 * 1024**3:
        raise ValueError("a size must be at least 1KB and at most 4GB")
    return total


def wait(value: object) -> float:
    """Read a duration that may be 0; otherwise as `seconds`."""
    return 0.0 if value in (0, "0", "0s") and value is not False else seconds(value)


def tokens(value: object) -> int:
    """Read a number of tokens: 131072, or "128k", "1M" (k is 1000, as on model cards)."""
    if isinstance(value, int) and not isinstance(value, bool):
        total = value
    elif isinstance(value, str) and (found := _TOKENS.fullmatch(value.strip())):
        total = round(float(found[1]) * _THOUSANDS[found[2].lower()])
    else:
        raise ValueError("not a number of tokens; write 128k, 1M or 131072")
    if not 1 <= total <= 1_000_000_000:
        raise ValueError("a number of tokens must be at least 1 and at most 1000M")
    return total


def webhook(value: object) -> object:
    """Read the URL of a webhook; empty: none. The URL may contain a secret, so no message repeats it."""
    if isinstance(value, str):
        if not value.strip():  # `${SLACK_WEBHOOK:-}` without the variable
            return ""
        url = urlsplit(value.strip())
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError("must be a URL: https://hooks.example.com/…")
        return value.strip()
    return value


def days(value: object) -> int:
    """Read a number of days: 90, or "90d"."""
    if isinstance(value, str) and value.strip().removesuffix("d").isdecimal():
        value = int(value.strip().removesuffix("d"))
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 36_500:
        raise ValueError("not a number of days; write 90d, at least 1d and at most 36500d")
    return value


def fraction(value: object) -> float:
    """Read a share, `0.2` or `20%`: more than 0 and at most 1."""
    if isinstance(value, str) and _NUMBER.fullmatch(number := value.strip().removesuffix("%").strip()):
        value = float(number) / (100.0 if "%" in value else 1.0)
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= 1:
        raise ValueError("a share must be more than 0 and at most 1; write 0.8 for 80 %")
    return float(value)


def location(value: object) -> object:
    """Read the URL of a database or of Redis. The URL may contain a password, so no message repeats it."""
    if not isinstance(value, str):
        return value
    scheme, found, rest = value.strip().partition("://")
    if value.strip() and not (found and rest and scheme in ("postgresql", "postgres", "redis", "rediss", "unix")):
        raise ValueError("must be a URL: postgresql://user:password@host/name, redis://host:6379/0")
    return value.strip()


def nano_usd(value: object) -> int:
    """Read an amount of money: a number of USD, or "$2", "$0.50"."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        amount = Decimal(str(value))
    elif isinstance(value, str) and (found := _USD.fullmatch(value.strip())):
        amount = Decimal(found[1])
    else:
        raise ValueError('not an amount of USD; write 2, 0.25 or "$2"')
    if not 0 <= amount <= DEAREST_USD:
        raise ValueError(f"an amount must be at least 0 and at most {DEAREST_USD} USD")
    return in_nano(amount)


def hours(value: object) -> tuple[int, int]:
    """Read hours of the day as seconds after midnight. "16:30-00:30" ends on the next day."""
    found = _HOURS.fullmatch(value.strip()) if isinstance(value, str) else None
    if found is None:
        raise ValueError('not hours of the day; write "16:30-00:30", in UTC')
    from_h, from_m, until_h, until_m = map(int, found.groups())
    since, until = (from_h * 60 + from_m) * 60, (until_h * 60 + until_m) * 60
    if since in (until, _DAY_S) or max(since, until) > _DAY_S:
        raise ValueError("not hours of the day; they must lie between 00:00 and 24:00, and must not be empty")
    return since, until


def time_zone(value: object) -> ZoneInfo:
    """Read the name of a time zone in the system's tz database: `Europe/Berlin`."""
    if not isinstance(value, str):
        raise ValueError("not the name of a time zone; write Europe/Berlin")
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        near = nearest(value, available_timezones())
        raise ValueError(f"unknown time zone {quoted(value)}{near or '; write Europe/Berlin'}") from None


def share(value: object) -> float:
    """Read a weight: a number from 0 to 1000."""
    number = float(value) if isinstance(value, str) and _NUMBER.fullmatch(value) else value
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 <= number <= 1000:
        raise ValueError("a weight is a number from 0 to 1000")
    return float(number)


def base_url(value: str) -> str:
    """Check the base URL of a provider and return it without a trailing slash."""
    if not value.isascii() or any(char <= " " or char in '\\"<>^`{|}\x7f' for char in value):
        raise ValueError("a base URL has no spaces or special characters")
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("not a URL; write something like https://api.example.com/v1") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("a base URL must begin with http:// or https:// and name a host")
    if "@" in parts.netloc:
        raise ValueError("a base URL must not contain credentials; put the key into api_key")
    if "?" in value or "#" in value:
        raise ValueError("a base URL has no query and no fragment")
    path = parts.path.rstrip("/")
    for endpoint in ("/chat/completions", "/completions", "/embeddings", "/models", "/responses"):
        if path.endswith(endpoint):
            raise ValueError(f"a base URL must end before the endpoint; leave off {endpoint}")
    return value.rstrip("/")


def is_own_host(url: str) -> bool:
    """Tell whether a URL leads to this machine or its private network, without a DNS query."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        address = ip_address(host)
    except ValueError:
        # A name without a dot is a service on a container network.
        return "." not in host or host.endswith((".local", ".localhost")) or host == "host.docker.internal"
    return any(address in network for network in _OWN)


def field_name(name: str) -> bytes:
    """Check the name of a header field and return it in lower case."""
    if not _TOKEN.fullmatch(name):
        raise ValueError("not the name of a header")
    return name.lower().encode()


def header(name: str, value: str) -> tuple[bytes, bytes]:
    """Check a header field and return it in its wire form."""
    lower = field_name(name)
    if name.lower() in _NOT_OURS_TO_SET:
        raise ValueError(f"{name} is set by the gateway itself")
    stripped = value.strip()
    if not stripped.isascii() or any((char < " " and char != "\t") or char == "\x7f" for char in stripped):
        raise ValueError("a header value is one line of ASCII")
    return lower, stripped.encode()
