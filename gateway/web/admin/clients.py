"""The lines that make each client use this gateway, as `gateway connect` prints them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from gateway.control.snippets import CLIENTS, NO_KEY, UNKNOWN_CONTEXT, Target
from gateway.errors import BadRequest
from gateway.web.admin.shapes import Name  # noqa: TC001  # msgspec reads the annotations
from gateway.web.admin.table import Row, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.web.admin.control import Control
    from gateway.web.admin.table import Asked

# Nothing that a shell or a file of settings could take for its own syntax.
_URL = re.compile(r"https?://[\w.:\[\]/~%-]+", re.ASCII)


class ClientsQuery(Strict, frozen=True, kw_only=True):
    """`url`: the gateway as clients reach it. `model`: the name that they ask for."""

    url: Name
    model: Name


class SnippetInfo(msgspec.Struct, kw_only=True, frozen=True):
    """Lines for one place: a file, or a shell."""

    place: str
    language: str
    text: str


class ClientInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A program that can use the gateway, and the lines that make it do so."""

    client: str
    title: str
    page: str
    about: str
    snippets: list[SnippetInfo]


class ClientList(msgspec.Struct, kw_only=True, frozen=True):
    """All clients. `wants_key`: the lines refer to a key of the gateway, which the variable GATEWAY_API_KEY holds."""

    data: list[ClientInfo]
    wants_key: bool
    object: Literal["list"] = "list"


class Clients:
    """The handler."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def rows(self) -> Iterator[Row]:
        """Yield the route."""
        yield Row(
            "GET", "/clients", "about", "Show the lines that make each client use this gateway.", self.every,
            ClientList, query=ClientsQuery,
        )  # fmt: skip

    async def every(self, asked: Asked) -> ClientList:
        query, gateway = asked.query, self._control.gateway
        root = query.url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
        if _URL.fullmatch(root) is None:
            raise BadRequest("write the URL like http://127.0.0.1:8400", param="url")
        route = gateway.resolve(query.model, gateway.now)
        known = next((one.upstream.ability.context_tokens for one in route.candidates), None)
        ring = self._control.keyring.ring
        wants_key = bool(gateway.now.api_keys) or (ring is not None and ring.wants_key)
        to = Target(root, query.model, query.model, None if wants_key else NO_KEY, known or UNKNOWN_CONTEXT)
        return ClientList(
            data=[
                ClientInfo(
                    client=name,
                    title=one.title,
                    page=one.page,
                    about=one.about,
                    snippets=[
                        SnippetInfo(place=each.place, language=each.language, text=each.text) for each in one.write(to)
                    ],
                )
                for name, one in CLIENTS.items()
            ],
            wants_key=wants_key,
        )
