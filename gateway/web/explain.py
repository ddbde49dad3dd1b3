"""`GET /v1/explain?model=NAME`: the plan that a call would have now. No request goes upstream."""

from __future__ import annotations

from time import monotonic, time
from typing import TYPE_CHECKING, Any

from gateway.core.account import account_of, experiment_of
from gateway.core.keys import not_allowed
from gateway.core.names import quoted
from gateway.core.plan import Terms, make_plan
from gateway.dialects.endpoints import ENDPOINTS
from gateway.errors import BadRequest
from gateway.proxy.crossing import as_taken
from gateway.types import Capability, Needs
from gateway.web.answers import json_answer
from gateway.web.door import CALLER
from gateway.web.steering import may_name, order_of, route_for

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gateway.proxy.gateway import Gateway
    from gateway.types import Endpoint, Key

_MOST_TOKENS = 10**9


class Explain:
    """Answers with the plan that `make_plan` makes for a real call, and with the facts behind it."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def __call__(self, request: Request) -> Response:
        """Parameters: `model`, `endpoint`; `needs`, `order`, comma-separated; `tokens` of the prompt, `max_tokens`."""
        asked = request.query_params
        if not (name := asked.get("model", "")):
            raise BadRequest('name a "model": a role ("role:NAME"), an alias or a model', param="model")
        if not may_name(key := request.scope[CALLER], name, self._gateway.now.directory):
            raise not_allowed(key, name)
        return json_answer(planned(self._gateway, key, name, asked))


def planned(gateway: Gateway, key: Key, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """Return the plan that a call of a name would have now. `asked`: what the query says of the imagined call.

    Raises:
        ModelNotFound: the name is unknown. BadRequest: the query is wrong.
    """
    ruleset = gateway.now
    config = ruleset.config
    route = as_taken(route_for(key, name, gateway, ruleset), endpoint_of(asked), gateway.spoken)
    needs = needs_of(asked)
    terms = Terms(
        config.max_attempts, config.retries, config.max_wait_s,
        needs=needs, order=order_of(asked.get("order", "")), explain=True,
    )  # fmt: skip
    known = gateway.memory.known
    wall = time()
    plan = make_plan(route, terms, known, monotonic(), wall, gateway.rng)
    tried = experiment_of(ruleset.directory.experiments.get(route.name))
    return {"live": True, **account_of(route, plan, needs, known, wall), **tried}


def endpoint_of(asked: Mapping[str, str]) -> Endpoint:
    """Read the endpoint of the imagined call from the query: chat, unless another is named.

    Raises:
        BadRequest: there is no such endpoint.
    """
    name = asked.get("endpoint") or "chat"
    known = {one.name: one for one in ENDPOINTS}
    if name not in known:
        raise BadRequest(f'"endpoint": there is no {quoted(name)}; there are {", ".join(known)}', param="endpoint")
    return known[name]


def needs_of(asked: Mapping[str, str]) -> Needs:
    """Read the needs of the imagined call from the query.

    Raises:
        BadRequest: a capability is unknown, or a number is malformed.
    """
    wanted = {one.strip().lower() for one in asked.get("needs", "").split(",") if one.strip()}
    if unknown := wanted - set(Capability):
        known = ", ".join(Capability)
        raise BadRequest(f'"needs": there is no {", ".join(sorted(unknown))}; there are {known}', param="needs")
    numbers = {}
    for name in ("tokens", "max_tokens"):
        text = asked.get(name, "0")
        if not text.isdecimal() or len(text) > 10:
            raise BadRequest(f'"{name}" must be a whole number', param=name)
        numbers[name] = min(int(text), _MOST_TOKENS)
    return Needs(frozenset(Capability(one) for one in wanted), numbers["tokens"], numbers["max_tokens"])
