"""The bodies, queries and answers of the admin API. Their docstrings and types are the document's."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Limit = Annotated[int, Meta(ge=1, le=10_000)]


class Named(msgspec.Struct, kw_only=True, frozen=True):
    """A value of the configuration. Secrets are masked; references to variables stay."""

    name: str
    value: Any
    set_in: Literal["file", "run_time", "both"]


class NamedList(msgspec.Struct, kw_only=True, frozen=True):
    """Values of one section."""

    data: list[Named]
    version: str
    object: Literal["list"] = "list"


class Flaw(msgspec.Struct, kw_only=True, frozen=True):
    """A mistake that a change would bring."""

    path: str
    message: str


class Changed(msgspec.Struct, kw_only=True, frozen=True):
    """A change. `in_use`: new calls use it. `breaks`: what has no upstream because of it."""

    version: str
    stored: bool
    in_use: bool
    diff: str
    breaks: list[str]
    problems: list[Flaw]
    note: str = ""


class FieldInfo(msgspec.Struct, kw_only=True, frozen=True):
    """A setting that a kind of provider has."""

    key: str
    label: str
    hint: str
    sensitive: bool
    required: bool


class UpstreamInfo(msgspec.Struct, kw_only=True, frozen=True):
    """What past calls tell about one model at one provider."""

    upstream: str
    breaker: str
    success: float
    first_token_s: float | None
    in_flight: int
    usable_in_s: float
    last_error: str | None
