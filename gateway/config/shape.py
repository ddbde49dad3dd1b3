"""The shape of gateway.yaml. This is the only file that imports pydantic, and nothing imports it before it must."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from gateway.config import scalars
from gateway.config.kinds import KINDS
from gateway.core.names import nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema, ErrorDetails

    from gateway.config.source import Path


def _whole(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.strip().isdecimal():
        return int(value)  # "${PORT:-8400}" is text after it has been filled in
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError("must be a whole number")
    return value


def _flag(value: object) -> object:
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _kind(value: object) -> object:
    if isinstance(value, str) and value not in KINDS:
        raise ValueError(
            f"unknown kind {quoted(value)}{nearest(value, KINDS)}"
            ' (any other OpenAI-compatible endpoint: kind "openai-compatible" and its base_url)'
        )
    return value


def _url(value: object) -> object:
    return scalars.base_url(value) if isinstance(value, str) else value


def _params_or_preset(value: object) -> object:
    if not isinstance(value, (str, dict)):
        raise ValueError("must be the name of a preset or a mapping of parameters")
    return value


Whole = Annotated[int, BeforeValidator(_whole)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Duration = Annotated[
    float,
    BeforeValidator(scalars.seconds),
    WithJsonSchema({"type": ["string", "number"], "examples": ["30s", "500ms", "10m"]}),
]
Size = Annotated[
    int, BeforeValidator(scalars.octets), WithJsonSchema({"type": ["string", "integer"], "examples": ["32MB"]})
]
KindName = Annotated[str, BeforeValidator(_kind), WithJsonSchema({"type": "string", "enum": sorted(KINDS)})]
BaseUrl = Annotated[str, BeforeValidator(_url)]
Params = Annotated[
    dict[str, Any],
    Field(
        description="Request parameters that are added where the client does not say. Those under `force` replace "
        "what the client says; `null` takes an inherited value away.",
        examples=[{"temperature": 0.1, "force": {"max_tokens": 4096}}],
    ),
]
ParamsOrPreset = Annotated[
    Any,
    BeforeValidator(_params_or_preset),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "object", "additionalProperties": True}]}),
    Field(description="The name of a preset, or parameters as under `defaults`.", examples=["precise"]),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, protected_namespaces=())

    shorthand: ClassVar[str | None] = None
    """The field that a value stands for which is no mapping: `main: openai/gpt-5`."""
    shorthand_is_list: ClassVar[bool] = False

    @model_validator(mode="before")
    @classmethod
    def _written_short(cls, value: object) -> object:
        if value is None:
            return {}
        if cls.shorthand and isinstance(value, str):
            return {cls.shorthand: [value] if cls.shorthand_is_list else value}
        if isinstance(value, dict):  # `api_key:` with nothing behind it is not said
            return {key: inner for key, inner in value.items() if inner is not None}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        long = handler.resolve_ref_schema(handler(core))
        if not cls.shorthand:
            return long
        return {"anyOf": [{"type": "string"}, long], "description": long.pop("description", "")}


class ServerTimeouts(_Strict):
    """How long the gateway waits for a client."""

    header: Duration = Field(default=10.0, description="For the request line and headers.")
    body: Duration = Field(default=60.0, description="For the request body.")
    write: Duration = Field(default=60.0, description="For a client that does not read its answer.")


class Server(_Strict):
    """Where and how the gateway listens. A change needs a restart."""

    host: str = Field(
        default="127.0.0.1",
        min_length=1,
        description="The address to bind. Beyond loopback, set api_keys. GATEWAY_HOST wins.",
        examples=["0.0.0.0"],
    )
    port: Whole = Field(default=8400, ge=0, le=65535, description="The port to bind. GATEWAY_PORT wins.")
    workers: Whole = Field(default=1, ge=1, le=256, description="How many processes serve.")
    api_keys: list[str] = Field(
        default=[],
        description="The keys that clients may present, 16 characters or more. Empty entries are dropped. "
        "GATEWAY_API_KEY is added.",
        examples=[["${GATEWAY_API_KEY:-}"]],
    )
    max_body: Size = Field(default=32 * 1024 * 1024, description="The largest request body.")
    timeouts: ServerTimeouts = Field(default=ServerTimeouts(), description="How long to wait for a client.")
    drain: Duration = Field(default=30.0, description="How long calls in flight may go on after a stop.")


class Timeouts(_Strict):
    """The timers of a call to a provider. What is left out is inherited."""

    connect: Duration | None = Field(default=None, description="Until the connection stands (5s).")
    first_byte: Duration | None = Field(default=None, description="Until the first byte of the answer (30s).")
    first_token: Duration | None = Field(default=None, description="Until a stream's first content (60s).")
    idle: Duration | None = Field(default=None, description="Between two pieces of a stream (60s).")
    total: Duration | None = Field(default=None, description="The whole call with all its attempts (10m).")


class Defaults(_Strict):
    """What holds unless a provider, model or role says otherwise."""

    provider: str | None = Field(default=None, description="Takes a bare model id that no provider is known to list.")
    timeouts: Timeouts = Field(default=Timeouts(), description="The timers of a call.")
    max_attempts: Whole = Field(default=4, ge=1, le=20, description="The most upstreams tried for one call.")
    stream_usage: Flag = Field(default=True, description="Ask providers for the usage of streams.")
    params: Params = Field(default={})


class Provider(_Strict):
    """An endpoint that serves models."""

    kind: KindName | None = Field(default=None, description="What it is. By default, what its name says.")
    base_url: BaseUrl | None = Field(default=None, description="Where it is, up to and including /v1 or the like.")
    api_key: str | None = Field(
        default=None,
        description="The key. Left out, the usual variable of the kind is read; empty, the provider is passed over.",
        examples=["${OPENAI_API_KEY:-}"],
    )
    headers: dict[str, str] = Field(default={}, description="Static headers, sent with every request.")
    timeouts: Timeouts = Field(default=Timeouts(), description="Timers that differ from the defaults.")
    endpoint_id: str | None = Field(
        default=None, pattern=r"^[A-Za-z0-9_-]+$", description="The RunPod endpoint (kind runpod)."
    )
    api_version: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9._-]+$",
        description="The api-version query of Azure OpenAI (kind azure).",
        examples=["2024-10-21"],
    )
    model_override: str | None = Field(
        default=None, min_length=1, description="The one model it serves, whatever the client called it."
    )
    models: list[Annotated[str, Field(min_length=1)]] = Field(
        default=[], description="Model ids it is known to serve; they can be asked for without the provider's name."
    )
    params: Params = Field(default={})
    local: Flag | None = Field(
        default=None, description="It runs on this machine or network and costs nothing. By default, judged by the URL."
    )
    stream_usage: Flag | None = Field(
        default=None, description="It understands stream_options.include_usage. By default, what the kind does."
    )
    enabled: Flag = Field(default=True, description="false: it is never a candidate.")


class Alias(_Strict):
    """A second name for a model: `main: openai/gpt-5`, or a mapping with parameters."""

    shorthand = "model"
    model: str = Field(min_length=1, description="provider/model, another alias, or a model id some provider lists.")
    params: ParamsOrPreset = Field(default={})


class Role(_Strict):
    """A job: a target, or a mapping with a list of them in the order of preference."""

    shorthand = "models"
    shorthand_is_list = True
    models: list[Annotated[str, Field(min_length=1)]] = Field(
        min_length=1, description="Aliases, provider/model names or other roles (role:NAME), the preferred first."
    )
    params: ParamsOrPreset = Field(default={})


def _section(value: object) -> object:
    return {} if value is None else value  # `models:` with nothing below it


class File(_Strict):
    """The configuration of the gateway."""

    server: Server = Field(default=Server(), description="Where and how the gateway listens.")
    defaults: Defaults = Field(default=Defaults(), description="What holds unless something says otherwise.")
    providers: dict[str, Provider] = Field(default={}, description="Name -> endpoint that serves models.")
    models: dict[str, Alias] = Field(default={}, description="Alias -> what it stands for.")
    roles: dict[str, Role] = Field(default={}, description="Job -> who may do it. Asked for as role:NAME.")
    fallback: dict[str, list[str]] = Field(
        default={}, description="Alias -> who steps in, when the alias is used by its own name."
    )
    presets: dict[str, Params] = Field(default={}, description="Name -> parameters that roles and aliases refer to.")


# Where each model stands in the file; * is any name.
_LEVELS: Mapping[Path, type[_Strict]] = {
    (): File,
    ("server",): Server,
    ("server", "timeouts"): ServerTimeouts,
    ("defaults",): Defaults,
    ("defaults", "timeouts"): Timeouts,
    ("providers", "*"): Provider,
    ("providers", "*", "timeouts"): Timeouts,
    ("models", "*"): Alias,
    ("roles", "*"): Role,
}


def validated(value: object) -> tuple[File, list[tuple[Path, bool, str]]]:
    """Check what a file says; return it without the mistakes, and each mistake as (path, at its key?, message).

    So that later checks can go on: a wrong value is dropped (its default counts), a wrong list item or named entry
    gives way to a harmless stand-in, because other places may refer to it.
    """
    mistakes: list[tuple[Path, bool, str]] = []
    if not isinstance(value, dict):
        return File(), [] if value is None else [((), False, "must be a mapping, with keys like providers and models")]
    tree = deepcopy(value)
    for _ in range(MOST_REPAIRS):
        try:
            return File.model_validate(tree), mistakes
        except ValidationError as error:
            found = [_mistake(detail) for detail in error.errors(include_url=False, include_input=False)]
            # What a repair leads to is no mistake of the author's.
            mistakes = mistakes or found
            for path, _at_key, _message in found:
                _repair(tree, path)
    return File(), mistakes


# A repair may uncover the next mistake in the same entry; after that the entry itself is replaced.
MOST_REPAIRS = 8


def _mistake(detail: ErrorDetails) -> tuple[Path, bool, str]:
    path, kind = detail["loc"], detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        level = _LEVELS.get(path[:-1]) or _LEVELS.get((*path[:1], "*", *path[2:-1]))
        known = list(level.model_fields) if level else []
        near = nearest(str(path[-1]), known) or f"; here may stand {', '.join(known)}"
        return path, True, f"unknown key {quoted(str(path[-1]))}{near}"
    if kind == "missing":
        return path, False, f'"{path[-1]}" is missing'
    if kind == "value_error":
        return path, False, str(context["error"])
    if kind == "model_type" and len(path) == 2 and path[0] in ("models", "roles"):
        return path, False, f"must be a name or a mapping: {'{models: […]}' if path[0] == 'roles' else '{model: …}'}"
    return path, False, _PLAIN.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]


_PLAIN: Mapping[str, str] = {
    "string_type": "must be text; if it looks like a number, put it in quotes",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "has characters that do not belong here",
    "too_short": "must not be empty",
    "list_type": "must be a list: [one, another]",
    "dict_type": "must be a mapping: name: value",
    "model_type": "must be a mapping: name: value",
}

_STAND_IN = "demo/echo"


def _repair(tree: dict[str, Any], path: Path) -> None:
    """Take the value at `path` out of the tree, or put a stand-in where others may refer to it."""
    holder: Any = tree
    for depth, part in enumerate(path[:-1]):
        inner = holder.get(part) if isinstance(holder, dict) else holder[part]
        if not isinstance(inner, (dict, list)):  # written short: the path goes deeper than the text
            path = path[: depth + 1]
            break
        holder = inner
    if path[0] in _NAMED and len(path) == 2:
        holder[path[1]] = _NAMED[path[0]]
    elif isinstance(holder, dict) and path[-1] not in holder:
        holder[path[-1]] = [_STAND_IN] if path[-1] == "models" else _STAND_IN
    elif isinstance(holder, list):
        holder[int(path[-1])] = _STAND_IN
    else:
        holder.pop(path[-1], None)


_STAND_IN = "demo/echo"
_NAMED: Mapping[str | int, Any] = {"providers": {"kind": "demo"}, "models": _STAND_IN, "roles": _STAND_IN}


def schema() -> dict[str, Any]:
    """Return the JSON Schema of gateway.yaml, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway.yaml",
        **File.model_json_schema(),
    }
