"""Make a `Provider` from its entry and its kind: URL, credentials, timers, and whether it is usable."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from gateway.config import scalars
from gateway.kinds import KINDS
from gateway.types import Params, Provider, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gateway.kinds import Kind
    from gateway.types import LimitScope, Rate

    Complain = Callable[[tuple[str, ...], str], None]


@dataclass(frozen=True, slots=True)
class Entry:
    """The settings of one provider. None or empty: not set."""

    kind: str
    base_url: str | None = None
    models_url: str = ""
    api_key: str | None = field(default=None, repr=False)
    """None: not written. Empty: written, but its variable is empty."""
    key_variables: tuple[str, ...] = ()
    """The variables that the key was read from."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    endpoint_id: str | None = None
    api_version: str | None = None
    timeouts: Mapping[str, float] = field(default_factory=dict)
    """Fields of `types.Timeouts`."""
    model_override: str | None = None
    models: tuple[str, ...] = ()
    local: bool | None = None
    stream_usage: bool | None = None
    strict_max_tokens: bool | None = None
    speaks: tuple[str, ...] = ()
    token_ids: bool | None = None
    quirks: Params = field(default_factory=Params)
    quirk_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repairs: bool = True
    limits: LimitScope | None = None
    rates: tuple[Rate, ...] = ()
    probe: bool | None = None
    discover: bool | None = None
    enabled: bool = True
    admin_key: str = field(default="", repr=False)
    blank: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Blank field -> the empty variables that it was to come from."""


def make_provider(
    name: str,
    entry: Entry,
    environ: Mapping[str, str],
    timeouts: Timeouts,
    complain: Complain,
) -> Provider:
    """Return the provider; `complain(path, message)` about every mistake in its entry.

    A key from the environment is only sent to the URL that it belongs to: with a custom `base_url`, the kind's usual
    variable is not read.
    """
    kind = KINDS[entry.kind]
    url = _url(entry, complain)
    own_url = url == _own_url(entry) or not kind.base_url
    near = url == "demo:" or (bool(url) and scalars.is_own_host(url))

    headers = {
        **_static_headers(entry.quirk_headers, ("quirks", "headers"), complain),
        **_static_headers(entry.headers, ("headers",), complain),
    }
    key = entry.api_key
    if key is None and own_url:
        key = next((found for var in kind.key_vars if (found := environ.get(var, "").strip())), None)
    has_key = kind.key_header.encode() in headers
    if key and key.strip() and not has_key:
        try:
            header = scalars.header(kind.key_header, kind.key_prefix + key.strip())
        except ValueError:
            complain(("api_key",), "the key has characters that a header cannot hold")
        else:
            headers = {header[0]: header[1], **headers}
        has_key = True

    # A written but empty key makes the provider unusable even if its kind needs none: the configuration wants a key.
    needs_key = (kind.key_required and (own_url or not url)) or (entry.api_key is not None and not near)
    variables = entry.key_variables or (kind.key_vars if own_url else ())
    return Provider(
        name=name,
        kind=entry.kind,
        base_url=url,
        models_url=_models_url(entry, url, complain),
        headers=tuple(headers.items()),
        speaks=entry.speaks or kind.speaks,
        query=f"api-version={entry.api_version}" if entry.api_version else "",
        timeouts=merged_timeouts(timeouts, kind.timeouts, entry.timeouts),
        local=near and kind.free_when_local if entry.local is None else entry.local,
        stream_usage=kind.stream_usage if entry.stream_usage is None else entry.stream_usage,
        strict_max_tokens=kind.strict_max_tokens if entry.strict_max_tokens is None else entry.strict_max_tokens,
        token_ids=kind.token_ids if entry.token_ids is None else entry.token_ids,
        quirks=entry.quirks,
        repairs=entry.repairs,
        model_override=entry.model_override,
        limit_scope=kind.limits if entry.limits is None else entry.limits,
        rates=entry.rates,
        probe=kind.probe if entry.probe is None else entry.probe,
        discover=kind.discover if entry.discover is None else entry.discover,
        models=(entry.model_override,) if entry.model_override else entry.models,
        admin_key=entry.admin_key,
        unusable=_why_not(entry, variables, lacks_key=needs_key and not has_key),
    )


def merged_timeouts(*levels: Timeouts | Mapping[str, float]) -> Timeouts:
    """Return the timers with later levels over earlier ones.

    The first token never comes before the first byte, so a level that allows more time for the byte also allows it
    for the token, unless that level sets its own.
    """
    result = Timeouts()
    for level in levels:
        if isinstance(level, Timeouts):
            result = level
            continue
        result = replace(result, **level)
        if "first_token_s" not in level:
            result = replace(result, first_token_s=max(result.first_token_s, result.first_byte_s))
    return result


def _own_url(entry: Entry) -> str:
    return KINDS[entry.kind].base_url.replace("{endpoint_id}", entry.endpoint_id or "")


def _url(entry: Entry, complain: Complain) -> str:
    kind = KINDS[entry.kind]
    if entry.endpoint_id and not kind.endpoint_id_from:
        complain(
            ("endpoint_id",), f"{_only(lambda one: one.endpoint_id_from)} an endpoint_id; this kind is {entry.kind}"
        )
    if entry.api_version and not kind.has_api_version:
        complain(
            ("api_version",), f"{_only(lambda one: one.has_api_version)} an api_version; this kind is {entry.kind}"
        )
    own = _own_url(entry)
    if entry.base_url is not None:
        if kind.built_in:
            complain(("base_url",), "the demo is built in and has no base_url")
        return entry.base_url
    if any(True for _ in _lacking(entry)):
        return ""
    if kind.endpoint_id_from and not entry.endpoint_id:
        complain(("endpoint_id",), f'"endpoint_id" is missing; {kind.endpoint_id_from}')
    elif not own:
        complain(("base_url",), f'"base_url" is missing; the kind {entry.kind} has no default')
    return own


def _models_url(entry: Entry, base_url: str, complain: Complain) -> str:
    """Return the URL of the list of models. It must be on the provider's host, because the key is sent there."""
    if not entry.models_url or not base_url:
        return ""
    said = entry.models_url
    if not said.isascii() or not said.isprintable() or " " in said or "#" in said:
        complain(("models_url",), "a URL has no spaces and no fragment; write a path like /api/models")
        return ""
    found = urljoin(f"{base_url}/", said)
    if urlsplit(found)[:2] != urlsplit(base_url)[:2]:
        complain(("models_url",), "the list of models must be on the host of base_url; write a path like /api/models")
        return ""
    return found


def _only(has: Callable[[Kind], object]) -> str:
    return f"only the kind {' or '.join(one.name for one in KINDS.values() if has(one))} has"


def _static_headers(written: Mapping[str, str], at: tuple[str, ...], complain: Complain) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in written.items():
        try:
            lower, line = scalars.header(name, value)
        except ValueError as error:
            complain((*at, name), str(error))
        else:
            found[lower] = line
    return found


def _why_not(entry: Entry, variables: tuple[str, ...], *, lacks_key: bool) -> str | None:
    if not entry.enabled:
        return "disabled"
    reasons = [f"no {what}; {_remedy(what, names)}" for what, names in _lacking(entry)]
    if lacks_key:
        reasons.insert(0, f"no key; set {' or '.join(variables)}" if variables else "no key; set its api_key")
    return "; ".join(reasons) or None


def _lacking(entry: Entry) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield what was left blank and the provider cannot be reached without."""
    kind = KINDS[entry.kind]
    for what, names in entry.blank.items():
        if what == "endpoint_id" and (not kind.endpoint_id_from or entry.base_url is not None):
            continue
        if what == "api_version" and not kind.has_api_version:
            continue
        yield what, names


def _remedy(what: str, variables: tuple[str, ...]) -> str:
    return f"set {' and '.join(variables)}" if variables else f"set its {what}, or remove the line"
