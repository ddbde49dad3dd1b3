"""Read a request of the Responses API into the pivot.

An answer is several items here and one message in other dialects. So the items of one answer (thoughts, messages, calls
of tools) become one turn, and the results after it become the next: a chat's server wants the results right behind
their calls.

A field of an unexpected type is no word of the pivot: it rides in `rest`. Four fields mean a state that only the
provider has, and without it the call would be another one: it is refused (`_STATES`).

Two kinds of fields ride in `marks`, because nobody misses them in another dialect. Some are about the provider's own
store and cache (`_QUIET`). Others ask for what is done anyway: `reasoning.summary`, `truncation: disabled`,
`store: false`, and all that may be included but the logprobs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gateway.dialects.answers import decode
from gateway.dialects.deltas import (
    Ask,
    Format,
    OpaquePart,
    Part,
    Role,
    TextPart,
    Tool,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
)
from gateway.dialects.responses.parts import part_in
from gateway.dialects.responses.thoughts import thought_in
from gateway.dialects.responses.tools import Toolbox, wrapped
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from gateway.types import Call

NAME = "responses"
CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
RESULTS = frozenset({"function_call_output", "custom_tool_call_output"})
LOGPROBS = "message.output_text.logprobs"

_ROLES: dict[str, Role] = {"system": "system", "developer": "developer", "user": "user", "assistant": "assistant"}
_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("any")}
_NATIVELY = "or use a provider that speaks the Responses API itself"
_STATES = {
    "previous_response_id": f"send the whole conversation in \"input\", {_NATIVELY}",
    "conversation": f"send the whole conversation in \"input\", {_NATIVELY}",
    "prompt": f"send the prompt itself in \"instructions\" and \"input\", {_NATIVELY}",
    "background": f"leave it out, {_NATIVELY}",
}  # fmt: skip
_READ = frozenset({"model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "stream", *_STATES})
_QUIET = (
    "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "client_metadata", "metadata",
    "stream_options", "safety_identifier",
)  # fmt: skip
# The values of a field by which it asks for what is done anyway.
_ANYWAY: dict[str, tuple[Any, ...]] = {
    "store": (None, False), "truncation": (None, "disabled"), "service_tier": (None, "auto", "default"),
    "top_logprobs": (None, 0), "background": (None, False),
}  # fmt: skip
# Of an item, beside what it says.
_OF_ITEM = frozenset({"id", "status", "phase"})


def parse(call: Call) -> Ask:
    """Return what a request asks for.

    Raises:
        BadRequest: its input is no conversation, or a part of the conversation is known to one provider alone.
    """
    body = decode(call.body)
    for name, remedy in _STATES.items():
        if body.get(name):
            raise BadRequest(f'"{name}" means a state that this provider does not have; {remedy}', param=name)
    toolbox = Toolbox(body.get("tools"))
    left = {name: value for name, value in body.items() if name not in _READ}
    marks = _marks(left, body)
    tools = any(isinstance(one, Tool) for one in toolbox.tools)
    # Chats refuse a choice among no tools. Codex sends one when it compacts a conversation.
    asked = left if tools else marks
    if not tools and "tools" in body:
        marks["tools"] = body["tools"]
    parallel = _take(left, "parallel_tool_calls", bool)
    if not tools and parallel is not None:
        marks["parallel_tool_calls"], parallel = parallel, None
    temperature, top_p = _take(left, "temperature", float), _take(left, "top_p", float)
    reasoning = body.get("reasoning")
    return Ask(
        dialect=NAME,
        turns=(*_instructions(body.get("instructions"), left), *_turns(body.get("input"), toolbox)),
        tools=toolbox.tools,
        tool_choice=_tool_choice(body.get("tool_choice"), asked, is_asked=tools),
        parallel_tools=parallel,
        most_tokens=_take(left, "max_output_tokens", int),
        temperature=temperature,
        top_p=top_p,
        format=_text(body.get("text"), left),
        effort=_reasoning(reasoning, left, marks),
        user=_user(left, marks),
        stream=call.stream,
        rest={name: value for name, value in left.items() if value is not None},
        marks=marks,
    )


def _marks(left: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    """Take the fields that nobody misses out of `left`."""
    marks = {name: left.pop(name) for name in _QUIET if name in left}
    for name, values in _ANYWAY.items():
        if name in body and body[name] in values:
            marks[name] = body[name]
            left.pop(name, None)
    include = left.get("include")
    if "include" in left and not (isinstance(include, list) and LOGPROBS in include):
        marks["include"] = left.pop("include")
    return marks


def _user(left: dict[str, Any], marks: dict[str, Any]) -> str | None:
    """Return who asks. OpenAI has two words for that, and chats know the older one."""
    user, newer = _take(left, "user", str), marks.get("safety_identifier")
    return newer if user is None and isinstance(newer, str) else user


def _instructions(value: Any, left: dict[str, Any]) -> tuple[Turn, ...]:
    if isinstance(value, str):
        return (Turn("system", (TextPart(value),), marks={"instructions": True}),)
    if value is not None:
        left["instructions"] = value
    return ()


def _turns(value: Any, toolbox: Toolbox) -> list[Turn]:
    if isinstance(value, str):
        return [Turn("user", (TextPart(value),))]
    if not isinstance(value, list):
        raise BadRequest('the field "input" must be a text or a list of items', param="input")
    turns: list[Turn] = []
    parts: list[Part] = []
    role: Role = "assistant"
    for place, item in enumerate(value):
        said = _said(item, f"input[{place}]", toolbox)
        if isinstance(said, Turn):
            _close(turns, role, parts)
            turns.append(said)
            continue
        now: Role = "tool" if isinstance(said[0], ToolResultPart) else "assistant"
        if now != role:
            _close(turns, role, parts)
            role = now
        parts += said
    _close(turns, role, parts)
    return turns


def _close(turns: list[Turn], role: Role, parts: list[Part]) -> None:
    if parts:
        turns.append(Turn(role, tuple(parts)))
        parts.clear()


def _said(item: Any, where: str, toolbox: Toolbox) -> Turn | list[Part]:
    """Return a turn of its own, or parts of the model's turn or of the results that follow it."""
    if not isinstance(item, dict):
        raise BadRequest(f"{where} must be an item", param=where)
    kind = item.get("type")
    if kind == "message" or (kind is None and "role" in item):
        return _message(item, where)
    if kind == "item_reference" or kind is None:
        raise BadRequest(
            f"{where} refers to an item that this provider does not have; send the item itself "
            f'(with "store": false SDKs do), {_NATIVELY}', param=where,
        )  # fmt: skip
    if kind == "reasoning":
        return [thought_in(item)]
    if not isinstance(kind, str):
        return [OpaquePart(item)]
    if kind in CALLS and isinstance(name := item.get("name"), str) and isinstance(item.get(CALLS[kind]), str):
        marks = {key: value for key, value in item.items() if key not in ("call_id", CALLS[kind])}
        written = item[CALLS[kind]]
        arguments = written if kind == "function_call" else wrapped(written)
        return [ToolUsePart(_call_id(item), toolbox.joined(name, item.get("namespace")), arguments, marks=marks)]
    if kind in RESULTS and isinstance(item.get("output"), (str, list)):
        marks = {key: value for key, value in item.items() if key not in ("call_id", "output")}
        output = item["output"]
        parts = (TextPart(output),) if isinstance(output, str) else tuple(part_in(one, {}) for one in output)
        return [ToolResultPart(_call_id(item), parts, marks=marks)]
    return [OpaquePart(item)]


def _call_id(item: dict[str, Any]) -> str:
    identity = item.get("call_id")
    return identity if isinstance(identity, str) else ""


def _message(item: dict[str, Any], where: str) -> Turn | list[Part]:
    said = item.get("role")
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        known = ", ".join(_ROLES)
        raise BadRequest(f'{where} must be a message whose "role" is one of: {known}', param=f"{where}.role")
    content = item.get("content")
    if not isinstance(content, (str, list)):
        raise BadRequest(f'"content" of {where} must be a text or a list of parts', param=f"{where}.content")
    values = [{"type": "input_text", "text": content}] if isinstance(content, str) else content
    rest = {name: value for name, value in item.items() if name not in ("type", "role", "content")}
    if role != "assistant":
        marks = {name: rest.pop(name) for name in _OF_ITEM & rest.keys()}
        return Turn(role, tuple(part_in(one, {}) for one in values), rest, marks)
    if not values:
        return [TextPart("", marks={"item": rest, "is_empty": True})]
    return [part_in(one, {} if place else {"item": rest}) for place, one in enumerate(values)]


def _tool_choice(value: Any, left: dict[str, Any], *, is_asked: bool) -> ToolChoice | None:
    """Return which tools may be called. `left`: takes what cannot be said of it."""
    if value is None:
        return None
    if not is_asked:
        left["tool_choice"] = value
        return None
    if isinstance(value, str) and value in _MODES:
        return _MODES[value]
    match value:
        case {"type": "function" | "custom", "name": str(name), **more} if not more:
            return ToolChoice("one", name)
        case {"type": "allowed_tools", "mode": "required"}:
            left["tool_choice"] = value
            return ToolChoice("any")
    left["tool_choice"] = value
    return None


def _text(value: Any, left: dict[str, Any]) -> Format | None:
    """Return the format of the answer. All else that `text` says is left, each under a name of its own."""
    if not isinstance(value, dict):
        if value is not None:
            left["text"] = value
        return None
    left |= {f"text.{name}": one for name, one in value.items() if name != "format" and one is not None}
    form = value.get("format")
    match form:
        case None | {"type": "text"}:
            return None
        case {"type": "json_object"}:
            return Format()
        case {"type": "json_schema", "schema": dict(schema)}:
            rest = {name: one for name, one in form.items() if name not in ("type", "schema", "name", "strict")}
            strict = form.get("strict")
            name = form.get("name")
            known = {key: one for key, one in rest.items() if one is not None}
            return Format(
                schema, name if isinstance(name, str) else "", strict if isinstance(strict, bool) else None, known
            )
    left["text.format"] = form
    return None


def _reasoning(value: Any, left: dict[str, Any], marks: dict[str, Any]) -> str | None:
    if not isinstance(value, dict):
        if value is not None:
            left["reasoning"] = value
        return None
    said = {name: one for name, one in value.items() if one is not None}
    effort = said.get("effort")
    if isinstance(effort, str):
        del said["effort"]
    for name in ("summary", "generate_summary"):
        if name in said:
            marks[f"reasoning.{name}"] = said.pop(name)
    left |= {f"reasoning.{name}": one for name, one in said.items()}
    return effort if isinstance(effort, str) else None


def _take(left: dict[str, Any], name: str, kind: type) -> Any:
    """Take a field out of `left` if it is of a type. A whole number is a float too, and a truth value is no number."""
    value = left.get(name)
    if isinstance(value, bool) and kind is not bool:
        return None
    if isinstance(value, kind) or (kind is float and isinstance(value, int)):
        del left[name]
        return value
    return None
