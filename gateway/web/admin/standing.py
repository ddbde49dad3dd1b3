"""`GET /status`: how each provider is, and who serves each role now."""

from __future__ import annotations

from dataclasses import asdict
from time import time
from typing import TYPE_CHECKING

from gateway.control.standing import standing_of
from gateway.core.keys import LOCAL
from gateway.core.names import ROLE
from gateway.errors import Refusal
from gateway.kinds import kind_of
from gateway.web.admin import shapes
from gateway.web.admin.table import Row
from gateway.web.explain import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked


class Standings:
    """The handler."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the route."""
        words = "Tell how each provider is, and who serves each role now."
        yield Row("GET", "/status", "routing", words, self.status, shapes.Standings)

    async def status(self, _: Asked) -> shapes.Standings:
        gateway, now = self._control.gateway, time()
        refreshed, directory = self._control.refreshed(), gateway.directory
        found = [
            standing_of(one, gateway.memory.facts, gateway.memory.quotas, refreshed.get(one.name), now)
            for one in directory.providers.values()
            if not kind_of(one).built_in
        ]
        roles = [self._serving(name) for name in directory.routes if name.startswith(ROLE)]
        return shapes.Standings(
            providers=[
                shapes.StandingInfo(
                    **{
                        **asdict(one),
                        "breakers": dict(one.breakers),
                        "quota": [shapes.QuotaInfo(**asdict(left)) for left in one.quota],
                    }
                )
                for one in found
            ],
            roles=roles,
        )

    def _serving(self, name: str) -> shapes.RoleInfo:
        try:
            plan = planned(self._control.gateway, LOCAL, name, {})
        except Refusal as refused:  # such as a role of embeddings over a provider without chats
            return shapes.RoleInfo(role=name, serves=None, then=[], why=refused.message)
        order = plan["candidates"]
        rejected = "; ".join(f"{one['upstream']}: {one['reason']}" for one in plan["rejected"])
        return shapes.RoleInfo(
            role=name,
            serves=order[0]["label"] if order else None,
            then=[one["label"] for one in order[1:]],
            why=rejected,
        )
