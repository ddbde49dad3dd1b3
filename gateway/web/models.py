"""`GET /models`: every name a client may ask for, in one object that OpenAI's and Anthropic's SDKs both read.

Anthropic's SDKs send `anthropic-version`. They get no more than their own fields, and pages as at Anthropic
(https://platform.claude.com/docs/en/api/models/list, read in November 2026).
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from gateway.core.keys import may_ask, not_allowed
from gateway.core.names import AUTO_HARD, nearest, quoted
from gateway.errors import BadRequest, ModelNotFound, Refusal
from gateway.kinds import kind_of
from gateway.types import Capability, RouteKind
from gateway.web.answers import json_answer
from gateway.web.door import CALLER
from gateway.web.explain import planned

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.catalog import Refresh
    from gateway.core.names import Directory
    from gateway.proxy.gateway import Gateway
    from gateway.types import Ability, Key, Route

_MOST_LISTED = 1_000_000
_PAGE, _LONGEST_PAGE = 20, 1000
_ANTHROPIC = "anthropic-version"
# The owner of the names that are not a provider's: roles, aliases, auto.
_GATEWAY = "gateway"


class Models:
    """The two model endpoints."""

    def __init__(self, gateway: Gateway, refreshed: Callable[[], Mapping[str, Refresh]] = dict) -> None:
        """`refreshed`: returns the last request for each provider's list of models."""
        self._gateway = gateway
        self._refreshed = refreshed
        self._since = datetime.now(UTC).replace(microsecond=0)

    async def every(self, request: Request) -> Response:
        """List every name that the caller may ask for. With a `limit` the list is paged.

        `provider`, `free` and `q` leave out models of other providers, models that cost, and names without the words.
        """
        anthropic = _ANTHROPIC in request.headers
        usual, most = (_PAGE, _LONGEST_PAGE) if anthropic else (_MOST_LISTED, _MOST_LISTED)
        limit = _limit(request.query_params.get("limit", str(usual)), most)
        key = request.scope[CALLER]
        directory, query = self._gateway.now.directory, request.query_params
        wanted = _filter(query, directory.providers)
        listed = [one for one in names(directory) if may_ask(key, one.name) and wanted(one)]
        owners = {one.owner for one in listed}
        read_at = [one.at for name, one in self._refreshed().items() if name in owners]
        after, before = request.query_params.get("after_id"), request.query_params.get("before_id")
        if after is not None:
            listed = listed[_place(listed, after) + 1 :]
        elif before is not None:
            listed = listed[: _place(listed, before)]
        page = listed[:limit] if before is None or after is not None else listed[-limit:]
        response = json_answer({
            **({} if anthropic else {"object": "list"}),
            "data": [self._entry(one, anthropic=anthropic) for one in page],
            "has_more": len(page) < len(listed),
            "first_id": page[0].name if page else None,
            "last_id": page[-1].name if page else None,
        })  # fmt: skip
        if read_at:
            response.headers["x-refreshed-at"] = str(int(min(read_at)))
        return response

    async def one(self, request: Request) -> Response:
        """Return one model. Its id may contain slashes, plain or as %2F."""
        name = request.path_params["model"]
        if not may_ask(key := request.scope[CALLER], name):
            raise not_allowed(key, name)
        directory, anthropic = self._gateway.now.directory, _ANTHROPIC in request.headers
        for one in names(directory):
            if name == one.name or (one.name.partition("/")[2] == name and name in directory.bare):
                serving = self._serving(key, one) if one.owner == _GATEWAY and not anthropic else {}
                return json_answer(self._entry(one, anthropic=anthropic) | serving)
        raise ModelNotFound(f'unknown model "{name}"; GET /v1/models lists what there is', param="model")

    def _serving(self, key: Key, named: Named) -> dict[str, Any]:
        """Return who would answer a plain chat under a name now, and who would be asked next."""
        try:
            order = planned(self._gateway, key, named.name, {})["candidates"]
        except Refusal:  # such as a role of embeddings, over a provider without chats
            order = []
        first, *others = [one["label"] for one in order] or [None]
        return {"served_by": first, "fallbacks": others}

    def _entry(self, named: Named, *, anthropic: bool) -> dict[str, Any]:
        common = {
            "id": named.name,
            "type": "model",
            "display_name": named.name,
            "description": named.description,
            "created_at": self._since.isoformat().replace("+00:00", "Z"),
        }
        if anthropic:
            ability = named.ability
            return common | {"max_input_tokens": ability.context_tokens, "max_tokens": ability.max_output_tokens}
        refresh = self._refreshed().get(named.owner)
        return common | {
            "object": "model",
            "created": int(self._since.timestamp()),
            "owned_by": named.owner,
            **({} if refresh is None else _of_list(named, refresh)),
            **_known(named.ability),
        }


def _of_list(named: Named, refresh: Refresh) -> dict[str, Any]:
    """Return what the reading of the provider's list says, besides the model's abilities."""
    since = refresh.missing.get(named.name.removeprefix(f"{named.owner}/"))
    return {"refreshed_at": int(refresh.at), **({} if since is None else {"unlisted_since": int(since)})}


def _limit(said: str, most: int) -> int:
    if not (said.isascii() and said.isdecimal() and len(said) < 10) or not 0 < int(said) <= most:
        raise BadRequest(f'"limit" must be a whole number from 1 to {most}', param="limit")
    return int(said)


def _filter(query: Mapping[str, str], providers: Collection[str]) -> Callable[[Named], bool]:
    """Return whether a name is wanted.

    Raises:
        BadRequest: a parameter is wrong.
    """
    provider, words = query.get("provider", ""), query.get("q", "").lower().split()
    if provider and provider not in providers:
        near = nearest(provider, providers)
        raise BadRequest(f"there is no provider {quoted(provider[:100])}{near}", param="provider")
    free = query.get("free", "false").lower()
    if free not in _FLAGS:
        raise BadRequest('"free" must be true or false', param="free")

    def wanted(named: Named) -> bool:
        if provider and named.owner != provider:
            return False
        if _FLAGS[free] and not named.ability.free:
            return False
        name = named.name.lower()
        return all(word in name for word in words)

    return wanted


_FLAGS = {"true": True, "1": True, "": True, "false": False, "0": False}


def _place(listed: Sequence[Named], name: str) -> int:
    """Return the index of a page's last entry. An entry that is gone counts as the end, else paging might never end."""
    return next((place for place, entry in enumerate(listed) if entry.name == name), len(listed))


def _known(ability: Ability) -> dict[str, Any]:
    """Return the known facts about a model that clients look for, under others' names: OpenRouter's, LiteLLM's, …"""
    known: dict[str, Any] = {}
    if ability.retires_at is not None:
        known["expiration_date"] = datetime.fromtimestamp(ability.retires_at, UTC).strftime("%Y-%m-%d")
        if ability.replacement:
            known["deprecation_replacement_model"] = ability.replacement  # Mistral's name
    if ability.context_tokens is not None:
        known["context_length"] = known["max_input_tokens"] = ability.context_tokens
    if ability.max_output_tokens is not None:
        known["max_output_tokens"] = ability.max_output_tokens
    if ability.has:
        inputs = {Capability.VISION: "image", Capability.AUDIO: "audio"}
        known["architecture"] = {
            "input_modalities": ["text", *(word for one, word in inputs.items() if one in ability.has)]
        }
        supported = {
            Capability.TOOLS: "tools",
            Capability.JSON_SCHEMA: "structured_outputs",
            Capability.REASONING: "reasoning",
        }
        known["supported_parameters"] = [word for one, word in supported.items() if one in ability.has]
        known["mode"] = "embedding" if Capability.EMBEDDINGS in ability.has else "chat"
    if ability.free:
        known["pricing"] = {"prompt": "0", "completion": "0"}
    elif ability.price is not None:
        price = ability.price
        known["pricing"] = {"prompt": _per_token(price.input), "completion": _per_token(price.output)}
        if price.request:  # per call; OpenRouter has no names for the other units
            known["pricing"]["request"] = _per_token(price.request * 1_000_000)
    return known


def _per_token(nanousd_per_mtok: int) -> str:
    """Return a price in USD per token. Decimal, because a float would add digits."""
    return f"{Decimal(nanousd_per_mtok) / 10**15:f}"


class Named(NamedTuple):
    """A name that clients may ask for, its owner, and the ability of its first upstream."""

    name: str
    owner: str
    ability: Ability
    description: str
    """Where the name leads, for model pickers: Claude Code's shows it."""


def names(directory: Directory) -> Iterator[Named]:
    """Yield each name that has a usable upstream: roles, aliases, models, discovered models.

    The built-in demo is listed only without a real provider. In a model picker beside real models it would only be
    chosen by mistake.
    """
    providers = directory.providers.values()
    has_real = any(provider.unusable is None and not kind_of(provider).built_in for provider in providers)
    for kind in RouteKind:
        for name, route in directory.routes.items():
            if route.kind is kind and route.candidates and name != AUTO_HARD:
                first = route.candidates[0].upstream
                if has_real and kind is RouteKind.MODEL and kind_of(first.provider).built_in:
                    continue
                owner = first.provider.name if kind is RouteKind.MODEL else _GATEWAY
                yield Named(name, owner, first.ability, _description(route))
    for upstreams in directory.bare.values():
        for upstream in upstreams:
            if upstream.id not in directory.routes and upstream.provider.unusable is None:
                yield Named(upstream.id, upstream.provider.name, upstream.ability, f"model at {upstream.provider.name}")


def _description(route: Route) -> str:
    first, *others = [one.upstream for one in route.candidates]
    if route.kind is RouteKind.MODEL:
        return f"model at {first.provider.name}"
    return f"{route.kind} for {first.id}{f' and {len(others)} more' if others else ''}"
