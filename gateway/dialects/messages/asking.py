"""Read a request of the Messages API into the pivot.

A field of an unexpected type is no word of the pivot: it rides in `rest`, and the server that gets it says what is
wrong with it. Only the conversation itself has to be one.

One message of the user may be two turns: results of tools are a turn of their own. `writing` joins them again.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from gateway.dialects.answers import decode
from gateway.dialects.deltas import Ask, Format, OpaquePart, TextPart, Tool, ToolChoice, ToolResultPart, Turn
from gateway.dialects.messages.blocks import parts_of
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gateway.dialects.deltas import Part, Role
    from gateway.types import Call

T = TypeVar("T")

NAME = "messages"
BILLING = "x-anthropic-billing-header"
"""Claude Code begins its system prompt with a line of that name, which differs from one conversation to the next. For
other providers it would spoil the cache of the prompt that follows, so that it is no part of the conversation here."""
_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
_NOT_ASKED = ("model", "system", "messages", "tools", "tool_choice", "stream", "stop_sequences")
_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "any": ToolChoice("any")}
_ADAPTIVE = {"type": "adaptive"}
# How hard a model thinks that may spend up to so many tokens on it; for more it is the next word.
_BUDGETS = ((4_096, "low"), (16_384, "medium"), (32_768, "high"))


def parse(call: Call) -> Ask:
    """Return what a request asks for.

    Raises:
        BadRequest: its messages are no conversation.
    """
    body = decode(call.body)
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise BadRequest('the field "messages" must be a list of messages', param="messages")
    left = {name: value for name, value in body.items() if name not in _NOT_ASKED}
    turns = [*_system(body.get("system"), left)]
    for place, message in enumerate(messages):
        turns += _turns(message, f"messages[{place}]")
    choice = _tool_choice(body.get("tool_choice"), left)
    effort = _effort(left)
    # An effort elsewhere is that of a model that thinks as it sees fit.
    marks = {"thinking": left.pop("thinking")} if effort and left.get("thinking") == _ADAPTIVE else {}
    stop = body.get("stop_sequences")
    are_texts = isinstance(stop, list) and all(isinstance(one, str) for one in stop)
    if stop is not None and not are_texts:
        left["stop_sequences"] = stop
    return Ask(
        dialect=NAME,
        turns=tuple(turns),
        tools=_tools(body.get("tools"), left),
        tool_choice=choice[0],
        parallel_tools=choice[1],
        most_tokens=_take(left, "max_tokens", int),
        temperature=_take(left, "temperature", float),
        top_p=_take(left, "top_p", float),
        stop=tuple(stop) if are_texts else (),
        format=_format(left),
        effort=effort,
        user=_inner(left, "metadata", "user_id", str),
        stream=call.stream,
        rest=left,
        marks=marks,
    )


def _system(value: Any, left: dict[str, Any]) -> Iterator[Turn]:
    if value is None:
        return
    parts = parts_of(value)
    if parts is None:
        left["system"] = value
        return
    if parts and isinstance(first := parts[0], TextPart) and first.text.startswith(f"{BILLING}:") and not first.rest:
        left[BILLING] = first.text
        parts = parts[1:]
    if parts:
        yield Turn("system", parts)


def _turns(message: Any, where: str) -> Iterator[Turn]:
    said = message.get("role") if isinstance(message, dict) else None
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        raise BadRequest(f'{where} must be a message whose "role" is user, assistant or system', param=f"{where}.role")
    parts = parts_of(message.get("content"))
    if parts is None:
        raise BadRequest(f'"content" of {where} must be a text or a list of blocks', param=f"{where}.content")
    rest = {name: value for name, value in message.items() if name not in ("role", "content")}
    if role != "user" or not any(isinstance(part, ToolResultPart) for part in parts):
        yield Turn(role, parts, rest)
        return
    for are_results, group in groupby(parts, _is_result):
        yield Turn("tool" if are_results else role, tuple(group), rest)


def _is_result(part: Part) -> bool:
    return isinstance(part, ToolResultPart)


def _tools(value: Any, left: dict[str, Any]) -> tuple[Tool | OpaquePart, ...]:
    if not isinstance(value, list):
        if value is not None:
            left["tools"] = value
        return ()
    return tuple([_tool(one) for one in value if one is not None])


def _tool(value: Any) -> Tool | OpaquePart:
    """Read a tool. One that the provider carries out has a type of its own, and no schema."""
    match value:
        case {"name": str() as name, "input_schema": schema} if value.get("type") in (None, "custom"):
            rest = dict(value)
            for read in ("name", "input_schema", "type"):
                rest.pop(read, None)
            return Tool(name, _take(rest, "description", str), schema, _take(rest, "strict", bool), rest)
    return OpaquePart(value)


def _tool_choice(value: Any, left: dict[str, Any]) -> tuple[ToolChoice | None, bool | None]:
    """Return the choice of a tool, and whether several may be called at once."""
    kind = value.get("type") if isinstance(value, dict) else None
    choice = _MODES.get(kind) if isinstance(kind, str) else None
    if kind == "tool" and isinstance(value.get("name"), str):
        choice = ToolChoice("one", value["name"])
    if choice is None:
        if value is not None:
            left["tool_choice"] = value
        return None, None
    disabled = value.get("disable_parallel_tool_use")
    return choice, not disabled if isinstance(disabled, bool) else None


def _format(left: dict[str, Any]) -> Format | None:
    """Take the format of the answer."""
    config = left.get("output_config")
    match config:
        case {"format": {"type": "json_schema", "schema": schema} as said} if schema is not None:
            _drop(left, "output_config", "format")
            return Format(schema, rest={name: one for name, one in said.items() if name not in ("type", "schema")})
    return None


def _effort(left: dict[str, Any]) -> str | None:
    """Take how hard the model is to think.

    `thinking` of type `disabled` or `enabled` decides. A budget is only nearly an effort, so it stays in the rest too.
    """
    match left.get("thinking"):
        case {"type": "disabled", **more}:
            if not more:
                del left["thinking"]
            return "none"
        case {"type": "enabled", "budget_tokens": int() as budget}:
            return next((effort for most, effort in _BUDGETS if budget <= most), "xhigh")
    return _inner(left, "output_config", "effort", str)


def _inner(left: dict[str, Any], name: str, key: str, kind: type[T]) -> T | None:
    """Take a word of the pivot out of an object of the rest."""
    value = left.get(name)
    one = value.get(key) if isinstance(value, dict) else None
    if not isinstance(one, kind):
        return None
    _drop(left, name, key)
    return one


def _drop(left: dict[str, Any], name: str, key: str) -> None:
    if others := {one: value for one, value in left[name].items() if one != key}:
        left[name] = others
    else:
        del left[name]


def _take(left: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Take a field out of `left` if it is of a type. A whole number is a float too, and a truth value is no number."""
    value = left.get(name)
    if isinstance(value, bool) and kind is not bool:
        return None
    if isinstance(value, kind) or (kind is float and isinstance(value, int)):
        del left[name]
        return value  # type: ignore[return-value]  # an int where a float is asked for
    return None
