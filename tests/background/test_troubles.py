"""Somebody is told when an upstream or an account is in trouble, once, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from gateway.background.troubles import AGAIN_S, Troubles
from gateway.config.settings import AlertSettings
from gateway.core.troubles import Trouble
from gateway.core.turns import Turn, What
from tests.background.test_alerts import TOLD, telling, until
from tests.faults import Client, FaultyUpstream, chat, error_json
from tests.serving import serving

if TYPE_CHECKING:
    from gateway.background.alerts import Alerts

EJECTED = Turn("shop/m", What.EJECTED, "server_error", 5.0)
BACK = Turn("shop/m", What.RETURNED, "server_error")
BROKE = Turn("shop", What.SET_ASIDE, "no_credit", 60.0)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def following(alerts: Alerts, url: str, *on: Trouble, clock: Clock | None = None) -> Troubles:
    settings = AlertSettings(url, frozenset(on or Trouble))
    return Troubles(alerts, lambda: settings, clock or Clock())


async def posted(alerts: Alerts, server: FaultyUpstream, count: int) -> list[tuple[str, str]]:
    """Return the event and the sentence of everything posted, once there is so much."""
    await until(lambda: alerts.posted == count)
    bodies = [msgspec.json.decode(one.body) for one in server.requests]
    assert all(one["text"] == one["content"] and one["allowed_mentions"] == {"parse": []} for one in bodies)
    return [(one["event"], one["text"]) for one in bodies]


async def test_a_trouble_and_its_end() -> None:
    """Nothing is posted of what another process has told, and no recovery of what nobody was told of."""
    async with FaultyUpstream(TOLD) as server, telling() as alerts:
        troubles = following(alerts, server.base_url)
        for turn in (BACK, EJECTED._replace(is_hearsay=True), EJECTED, BACK, BACK, BROKE):
            troubles.turned(turn)
        troubles.degraded("shop/n", "3.1 s to the first token, usually 0.4 s")
        troubles.degraded("shop/n", "")
        troubles.degraded("shop/o", "")
        assert await posted(alerts, server, 5) == [
            ("ejected", "shop/m is ejected: server_error; next probe in 5 s"),
            ("recovered", "shop/m is back to normal (it was: ejected)"),
            ("no_credit", "shop has no credit left; the gateway leaves it alone and looks again in 60 s"),
            ("degraded", "shop/n is degraded: 3.1 s to the first token, usually 0.4 s"),
            ("recovered", "shop/n is back to normal (it was: degraded)"),
        ]


async def test_one_that_flaps_is_told_of_now_and_then() -> None:
    clock = Clock()
    async with FaultyUpstream(TOLD) as server, telling() as alerts:
        troubles = following(alerts, server.base_url, clock=clock)
        for _ in range(5):
            troubles.turned(EJECTED)
            troubles.turned(BACK)
        clock.now += AGAIN_S
        troubles.turned(EJECTED)
        assert [event for event, _ in await posted(alerts, server, 3)] == ["ejected", "recovered", "ejected"]


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/hook"])
async def test_what_is_not_asked_for(url: str) -> None:
    async with telling() as alerts:
        following(alerts, url, Trouble.QUOTA).turned(EJECTED)
        assert repr(alerts) == "<Alerts 0 waiting, 0 posted, 0 failed>"


async def test_from_the_configuration_to_the_webhook() -> None:
    """Failing calls eject an upstream, and the webhook hears of it."""
    async with FaultyUpstream(error_json(500), strict=False) as upstream, FaultyUpstream(TOLD) as hook:
        yaml = (
            f"providers: {{shop: {{kind: openai-compatible, base_url: '{upstream.base_url}', probe: false}}}}\n"
            f"alerts: {{webhook: '{hook.base_url}', on: [ejected, no_credit]}}\n"
        )
        async with serving(yaml, remember=True) as running, Client(running.port) as client:
            for _ in range(6):
                await client.send(chat("Hi", model="shop/m"))
                assert (await client.response()).status >= 500
            asked = await hook.wait_request()
            said = msgspec.json.decode(asked.body)
            assert (said["event"], said["name"], said["reason"]) == ("ejected", "shop/m", "server_error")
