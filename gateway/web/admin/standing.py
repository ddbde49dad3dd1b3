"""`GET /status`: how each provider is, and who serves each role now."""

from __future__ import annotations

from dataclasses import asdict
from time import time
from typing import TYPE_CHECKING

import msgspec

from gateway.control.standing import standing_of
from gateway.core.keys import LOCAL
from gateway.core.names import ROLE
from gateway.errors import Refusal
from gateway.kinds import kind_of
from gateway.web.admin.table import Row
from gateway.web.explain import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class QuotaInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The rest of one limit."""

    of: str
    unit: str
    left: float
    limit: float | None
    resets_in_s: float


class StandingInfo(msgspec.Struct, kw_only=True, frozen=True):
    """How a provider is. `reachable`: null if nothing has been heard yet. `breakers`: those that are not closed."""

    name: str
    reachable: bool | None
    key: str
    first_token_s: float | None
    error_share: float
    breakers: dict[str, str]
    quota: list[QuotaInfo]
    last_error: str
    last_check_at: float | None


class RoleInfo(msgspec.Struct, kw_only=True, frozen=True):
    """The upstream that serves a role now, the next ones, and the reasons against the others."""

    role: str
    serves: str | None
    then: list[str]
    why: str


class Standings(msgspec.Struct, kw_only=True, frozen=True):
    """How all providers are, and who serves each role, as the worker that answers knows it."""

    providers: list[StandingInfo]
    roles: list[RoleInfo]


class Standing:
    """The handler."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the route."""
        words = "Tell how each provider is, and who serves each role now."
        yield Row("GET", "/status", "routing", words, self.status, Standings)

    async def status(self, _: Asked) -> Standings:
        gateway, now = self._control.gateway, time()
        refreshed, directory = self._control.refreshed(), gateway.directory
        found = [
            standing_of(one, gateway.memory.facts, gateway.memory.quotas, refreshed.get(one.name), now)
            for one in directory.providers.values()
            if not kind_of(one).built_in
        ]
        roles = [self._serving(name) for name in directory.routes if name.startswith(ROLE)]
        return Standings(
            providers=[
                StandingInfo(
                    **{
                        **asdict(one),
                        "breakers": dict(one.breakers),
                        "quota": [QuotaInfo(**asdict(left)) for left in one.quota],
                    }
                )
                for one in found
            ],
            roles=roles,
        )

    def _serving(self, name: str) -> RoleInfo:
        try:
            plan = planned(self._control.gateway, LOCAL, name, {})
        except Refusal as refused:  # such as a role of embeddings over a provider without chats
            return RoleInfo(role=name, serves=None, then=[], why=refused.message)
        order = plan["candidates"]
        rejected = "; ".join(f"{one['upstream']}: {one['reason']}" for one in plan["rejected"])
        return RoleInfo(
            role=name,
            serves=order[0]["label"] if order else None,
            then=[one["label"] for one in order[1:]],
            why=rejected,
        )
