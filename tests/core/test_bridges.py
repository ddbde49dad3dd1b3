"""Candidates that speak the client's dialect come first; a route may say otherwise, or refuse a bridge."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.core.bridges import over_bridges, with_bridge
from gateway.types import Bridging, Candidate, Provider, Rejected, Route, RouteKind, Upstream

LOST = {"chat": ("top_k", "thinking"), "responses": ()}
ASKED_IN = {"native": "", "chatty": "chat", "modern": "responses", "mute": None}


def candidate(name: str, rank: int = 0) -> Candidate:
    return Candidate(Upstream(Provider(name, "openai", "http://127.0.0.1:9/v1"), "m"), rank=rank)


def route(*names: str, bridging: Bridging = Bridging.LAST, is_lossless: bool = False, fallbacks: str = "") -> Route:
    found = [candidate(name) for name in names] + [candidate(name, 1) for name in fallbacks.split()]
    earlier = (Rejected("gone/m", "no key"),)
    return Route("r", RouteKind.ROLE, tuple(found), earlier, bridging=bridging, is_lossless=is_lossless)


def taken(which: Route) -> tuple[list[tuple[str, str]], dict[str, str]]:
    got = over_bridges(which, "messages", ASKED_IN, LOST)
    assert got.rejected[0] == which.rejected[0]
    order = [(one.upstream.provider.name, one.bridge) for one in got.candidates]
    return order, {one.upstream_id: one.reason for one in got.rejected[1:]}


@pytest.mark.parametrize(
    ("which", "order", "rejected"),
    [
        (route("native"), ["native"], []),
        (route("chatty", "native", "modern"), ["native", "chatty:chat", "modern:responses"], []),
        (route("chatty", "native", bridging=Bridging.LISTED), ["chatty:chat", "native"], []),
        (route("chatty", "native", bridging=Bridging.NEVER), ["native"], ["chatty/m"]),
        (route("chatty", "mute"), ["chatty:chat"], ["mute/m"]),
        (route("mute"), [], ["mute/m"]),
        # a fallback stays behind, even where it alone speaks the dialect
        (route("chatty", fallbacks="native modern"), ["chatty:chat", "native", "modern:responses"], []),
        # over one bridge the call would lose something, over the other it would not
        (route("chatty", "modern", is_lossless=True), ["modern:responses"], ["chatty/m"]),
        (route("chatty", "native", is_lossless=True, bridging=Bridging.LISTED), ["native"], ["chatty/m"]),
    ],
)
def test_the_order(which: Route, order: list[str], rejected: list[str]) -> None:
    got, refused = taken(which)
    assert [f"{name}:{far}".rstrip(":") for name, far in got] == order
    assert list(refused) == rejected


def test_ranks_keep_candidates_apart_when_the_plan_sorts_them() -> None:
    """The plan sorts by rank first, so ranks must say the same as the order."""
    got = over_bridges(route("chatty", "native", fallbacks="modern native"), "messages", ASKED_IN, LOST)
    assert [one.rank for one in got.candidates] == sorted(one.rank for one in got.candidates)
    assert len({one.rank for one in got.candidates}) == 4


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (route("chatty", bridging=Bridging.NEVER), "speaks chat and not messages, and the route says bridge: never"),
        (
            route("chatty", is_lossless=True),
            "speaks chat, in which the call would lose top_k, thinking, and the route says lossy: refuse",
        ),
        (route("mute"), "does not speak messages, and this operation has no translation"),
    ],
)
def test_an_objection_says_what_to_change(which: Route, words: str) -> None:
    assert list(taken(which)[1].values()) == [words]


def test_an_explanation_names_the_dialect() -> None:
    plain = candidate("a")
    assert with_bridge(plain, "listed=0") == "listed=0"
    assert with_bridge(replace(plain, bridge="chat"), "listed=0") == "listed=0, translated to chat"
