"""The notations of gateway.yaml as pydantic types: durations, sizes, names, lists and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from gateway.config import scalars
from gateway.core.cors import origin
from gateway.core.names import nearest, quoted
from gateway.core.rules import LANGUAGES
from gateway.core.spend import WEEKDAYS
from gateway.core.strategies import STRATEGIES
from gateway.core.troubles import Trouble
from gateway.dialects.endpoints import ENDPOINTS
from gateway.kinds import KINDS
from gateway.types import BodyKind, Capability, LimitScope, Unit, Window
from gateway.types import Bridging as When
from gateway.types import OnUnknown as WhenUnknown
from gateway.types import Scope as BudgetFor

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

CAPABILITIES = tuple(one.value for one in Capability)
POLICIES = tuple(STRATEGIES)
ENDPOINT_NAMES = tuple(one.name for one in ENDPOINTS)
JSON_ENDPOINTS = tuple(one.name for one in ENDPOINTS if one.body is BodyKind.JSON)
SCOPES = tuple(one.value for one in LimitScope)
ON_POLICY = ("stay", "failover")
BRIDGING = tuple(one.value for one in When)
LOSSY = ("allow", "refuse")
SPOKEN = ("chat", "completions", "responses", "messages", "embeddings")
DURABILITIES = ("process", "strict")
BUDGET_SCOPES = tuple(one.value for one in BudgetFor)
WINDOWS = tuple(one.value for one in Window)
ON_UNKNOWN = tuple(one.value for one in WhenUnknown)
THEN = ("refuse", "downgrade")
TROUBLES = tuple(one.value for one in Trouble)
UNITS = tuple(one.value for one in Unit)


def _whole(value: object) -> object:
    if isinstance(value, str) and value.isascii() and value.strip().isdecimal():
        return int(value)  # a filled-in "${PORT:-8400}" is text
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


def _one_of(what: str, known: Collection[str]) -> Callable[[object], object]:
    def checked(value: object) -> object:
        if isinstance(value, str) and value not in known:
            near = nearest(value, known) or f"; there are {', '.join(known)}"
            raise ValueError(f"unknown {what} {quoted(value)}{near}")
        return value

    return checked


def _url(value: object) -> object:
    return scalars.base_url(value) if isinstance(value, str) else value


def _params_or_preset(value: object) -> object:
    if not isinstance(value, (str, dict)):
        raise ValueError("must be the name of a preset or a mapping of parameters")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _but_blank(value: object) -> object:
    """Drop empty entries, which unset variables leave behind."""
    listed = _listed(value)
    return [one for one in listed if one != ""] if isinstance(listed, list) else listed


def _origin(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("an origin is text")
    return origin(value)


def _each_once(names: list[str]) -> list[str]:
    twice = next((one for i, one in enumerate(names) if one in names[:i]), None)
    if twice is not None:
        raise ValueError(f"{quoted(twice)} is listed twice")
    return names


def _names(known: Collection[str]) -> dict[str, Any]:
    return {"type": "string", "enum": list(known)}


def _name_or_names(name: dict[str, Any]) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": [name, {"type": "array", "items": name, "minItems": 1}]})


Whole = Annotated[int, BeforeValidator(_whole)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Name = Annotated[str, Field(min_length=1)]
Duration = Annotated[
    float,
    BeforeValidator(scalars.seconds),
    WithJsonSchema({"type": ["string", "number"], "examples": ["30s", "500ms", "10m"]}),
]
Wait = Annotated[
    float, BeforeValidator(scalars.wait), WithJsonSchema({"type": ["string", "number"], "examples": ["10s", 0]})
]
Size = Annotated[
    int, BeforeValidator(scalars.octets), WithJsonSchema({"type": ["string", "integer"], "examples": ["32MB"]})
]
Tokens = Annotated[
    int, BeforeValidator(scalars.tokens), WithJsonSchema({"type": ["string", "integer"], "examples": ["128k", 8192]})
]
Usd = Annotated[
    int, BeforeValidator(scalars.nano_usd), WithJsonSchema({"type": ["string", "number"], "examples": ["$2", 0.25]})
]
Hours = Annotated[
    tuple[int, int],
    BeforeValidator(scalars.hours),
    WithJsonSchema({"type": "string", "examples": ["16:30-00:30"]}),
]
TimeZone = Annotated[
    ZoneInfo,
    BeforeValidator(scalars.time_zone),
    WithJsonSchema({"type": "string", "examples": ["Europe/Berlin", "America/New_York"]}),
]
Weekday = Annotated[str, BeforeValidator(_one_of("day", WEEKDAYS)), WithJsonSchema(_names(WEEKDAYS))]
Weight = Annotated[float, BeforeValidator(scalars.share), WithJsonSchema({"type": "number", "minimum": 0})]
Glob = Annotated[str, Field(min_length=1, max_length=200)]
KindName = Annotated[str, BeforeValidator(_kind), WithJsonSchema({"type": "string", "enum": sorted(KINDS)})]
BaseUrl = Annotated[str, BeforeValidator(_url)]

Scope = Annotated[str, BeforeValidator(_one_of("scope", SCOPES)), WithJsonSchema(_names(SCOPES))]
OnPolicy = Annotated[str, BeforeValidator(_one_of("choice", ON_POLICY)), WithJsonSchema(_names(ON_POLICY))]
Bridging = Annotated[str, BeforeValidator(_one_of("choice", BRIDGING)), WithJsonSchema(_names(BRIDGING))]
Lossy = Annotated[str, BeforeValidator(_one_of("choice", LOSSY)), WithJsonSchema(_names(LOSSY))]
DialectName = Annotated[str, BeforeValidator(_one_of("dialect", SPOKEN)), WithJsonSchema(_names(SPOKEN))]
CapabilityName = Annotated[
    str, BeforeValidator(_one_of("capability", CAPABILITIES)), WithJsonSchema(_names(CAPABILITIES))
]
PolicyName = Annotated[str, BeforeValidator(_one_of("policy", POLICIES)), WithJsonSchema(_names(POLICIES))]
EndpointName = Annotated[str, BeforeValidator(_one_of("endpoint", ENDPOINT_NAMES))]
JsonEndpointName = Annotated[str, BeforeValidator(_one_of("JSON endpoint", JSON_ENDPOINTS))]
LanguageName = Annotated[str, BeforeValidator(_one_of("language", LANGUAGES))]

Durability = Annotated[str, BeforeValidator(_one_of("durability", DURABILITIES)), WithJsonSchema(_names(DURABILITIES))]
BudgetScope = Annotated[str, BeforeValidator(_one_of("scope", BUDGET_SCOPES)), WithJsonSchema(_names(BUDGET_SCOPES))]
BudgetWindow = Annotated[str, BeforeValidator(_one_of("window", WINDOWS)), WithJsonSchema(_names(WINDOWS))]
OnUnknown = Annotated[str, BeforeValidator(_one_of("choice", ON_UNKNOWN)), WithJsonSchema(_names(ON_UNKNOWN))]
Then = Annotated[str, BeforeValidator(_one_of("choice", THEN)), WithJsonSchema(_names(THEN))]
Webhook = Annotated[str, BeforeValidator(scalars.webhook)]
Location = Annotated[str, BeforeValidator(scalars.location)]
Fraction = Annotated[
    float,
    BeforeValidator(scalars.fraction),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
                {"type": "string", "pattern": "^[0-9.]+ ?%?$", "examples": ["20%"]},
            ]
        }
    ),
]
StickyUnit = Annotated[str, BeforeValidator(_one_of("unit", UNITS)), WithJsonSchema(_names(UNITS))]
Tags = Annotated[
    list[Annotated[str, Field(pattern=r"^(user|metadata\.[A-Za-z0-9_.-]{1,64})$")]], AfterValidator(_each_once)
]
TroubleName = Annotated[str, BeforeValidator(_one_of("trouble", TROUBLES)), WithJsonSchema(_names(TROUBLES))]
Troubles = Annotated[list[TroubleName], AfterValidator(_each_once)]
Arm = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Days = Annotated[
    int, BeforeValidator(scalars.days), WithJsonSchema({"type": ["string", "integer"], "examples": ["90d", 400]})
]

Capabilities = Annotated[list[CapabilityName], AfterValidator(_each_once)]
Dialects = Annotated[list[DialectName], AfterValidator(_each_once)]
Order = Annotated[list[PolicyName], Field(min_length=1), AfterValidator(_each_once)]
Endpoints = Annotated[
    list[EndpointName], Field(min_length=1), BeforeValidator(_listed), _name_or_names(_names(ENDPOINT_NAMES))
]
Languages = Annotated[
    list[LanguageName], Field(min_length=1), BeforeValidator(_listed), _name_or_names(_names(LANGUAGES))
]
Origins = Annotated[
    list[Annotated[str, BeforeValidator(_origin)]], BeforeValidator(_but_blank), _name_or_names({"type": "string"})
]
Globs = Annotated[list[Glob], Field(min_length=1), BeforeValidator(_listed), _name_or_names({"type": "string"})]

_ADAPTING: dict[str, Any] = {
    "drop": {
        "type": ["array", "string"], "items": {"type": "string"},
        "description": "Fields that are never sent.", "examples": [["logprobs"]],
    },
    "rename": {
        "type": "object", "additionalProperties": {"type": ["string", "null"]},
        "description": "The client's name of a field -> the provider's.",
        "examples": [{"max_tokens": "max_completion_tokens"}],
    },
    "clamp": {
        "type": "object", "additionalProperties": {"type": ["array", "object", "null"]},
        "description": "Name of a number -> its bounds; a number beyond becomes the nearer bound.",
        "examples": [{"temperature": [0, 1]}],
    },
}  # fmt: skip
_PARAMS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "default": {"type": "object", "description": "Parameters for fields that the client leaves out."},
        "force": {"type": "object", "description": "Parameters that replace the client's own."},
        **_ADAPTING,
    },
    "additionalProperties": True,
}
Params = Annotated[
    dict[str, Any],
    WithJsonSchema(_PARAMS),
    Field(
        description="Request parameters for fields that the client leaves out. Parameters under `force` replace the "
        "client's own; `null` removes an inherited value. `drop`, `rename` and `clamp` then adapt fields to the "
        "provider.",
        examples=[{"temperature": 0.1, "force": {"max_tokens": 4096}, "clamp": {"temperature": [0, 1]}}],
    ),
]
ParamsOrPreset = Annotated[
    Any,
    BeforeValidator(_params_or_preset),
    WithJsonSchema({"anyOf": [{"type": "string"}, _PARAMS]}),
    Field(description="The name of a preset, or parameters as under `defaults`.", examples=["precise"]),
]
Drop = Annotated[Any, WithJsonSchema(_ADAPTING["drop"])]
Rename = Annotated[Any, WithJsonSchema(_ADAPTING["rename"])]
Clamp = Annotated[Any, WithJsonSchema(_ADAPTING["clamp"])]
