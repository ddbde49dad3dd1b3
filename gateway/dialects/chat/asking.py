"""Read a chat request into the pivot, and write one from it.

A field of an unexpected type is no word of the pivot: it rides in `rest`, and the server that gets it says what is
wrong with it. Only the conversation itself has to be one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec

from gateway.dialects.answers import decode
from gateway.dialects.chat.thoughts import details_of, thoughts_in
from gateway.dialects.deltas import (
    Ask,
    AudioPart,
    FilePart,
    Format,
    ImagePart,
    OpaquePart,
    Part,
    RefusalPart,
    Role,
    TextPart,
    ThinkingPart,
    Tool,
    ToolChoice,
    ToolResultPart,
    ToolUsePart,
    Turn,
    Written,
)
from gateway.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gateway.types import Call

T = TypeVar("T")

# OpenAI refuses a longer `user`, others one of 128. Claude Code's is JSON of some 150 letters.
LONGEST_USER = 64

NAME = "chat"
_ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
_NOT_ASKED = ("model", "messages", "tools", "tool_choice", "response_format", "stop", "stream", "stream_options")
_MODES = {"auto": ToolChoice("auto"), "none": ToolChoice("none"), "required": ToolChoice("any")}
_SHOWN = (ImagePart, AudioPart, FilePart)
_WORDS = {"auto": "auto", "none": "none", "any": "required"}


def parse(call: Call) -> Ask:
    """Return what a chat request asks for.

    Raises:
        BadRequest: its messages are no conversation.
    """
    body = decode(call.body)
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise BadRequest('the field "messages" must be a list of messages', param="messages")
    left = {name: value for name, value in body.items() if name not in _NOT_ASKED}
    newer, older = _take(left, "max_completion_tokens", int), _take(left, "max_tokens", int)
    options = body.get("stream_options")
    if isinstance(options, dict) and (others := _without(options, "include_usage")):
        left["stream_options"] = others
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str) and not _are(stop, str):
        left["stop"] = stop
    temperature, top_p = _take(left, "temperature", float), _take(left, "top_p", float)
    return Ask(
        dialect=NAME,
        turns=tuple(_turn(message, f"messages[{place}]") for place, message in enumerate(messages)),
        tools=_tools(body.get("tools"), left),
        tool_choice=_tool_choice(body.get("tool_choice"), left),
        parallel_tools=_take(left, "parallel_tool_calls", bool),
        most_tokens=older if newer is None else newer,
        temperature=temperature,
        top_p=top_p,
        stop=(stop,) if isinstance(stop, str) else tuple(stop) if _are(stop, str) else (),
        format=_format(body.get("response_format"), left),
        effort=_take(left, "reasoning_effort", str),
        user=_take(left, "user", str),
        answers=_take(left, "n", int) or 1,
        stream=call.stream,
        rest=left,
    )


def _turn(message: Any, where: str) -> Turn:
    said = message.get("role") if isinstance(message, dict) else None
    role = _ROLES.get(said) if isinstance(said, str) else None
    if role is None:
        known = ", ".join(_ROLES)
        raise BadRequest(f'{where} must be a message whose "role" is one of: {known}', param=f"{where}.role")
    left = _without(message, "role", "content")
    content = _parts(message.get("content"), where)
    if role == "tool":
        result = ToolResultPart(_take(left, "tool_call_id", str) or "", content, rest=left)
        return Turn(role, (result,))
    if role != "assistant":
        return Turn(role, content, left)
    thoughts = thoughts_in(left)
    declines = _take(left, "refusal", str)
    calls = _tool_uses(left)
    refusal = (RefusalPart(declines),) if declines else ()
    return Turn(role, (*thoughts, *content, *refusal, *calls), _known(left))


def _parts(content: Any, where: str) -> tuple[Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (TextPart(content),)
    if not isinstance(content, list):
        raise BadRequest(f'"content" of {where} must be a text or a list of parts', param=f"{where}.content")
    return tuple(TextPart(one) if isinstance(one, str) else _part(one) for one in content)


def _part(value: Any) -> Part:
    if not isinstance(value, dict):
        return OpaquePart(value)
    left = _without(value, "type")
    match value.get("type"):
        case "text" if (text := _take(left, "text", str)) is not None:
            return TextPart(text, left)
        case "refusal" if isinstance(text := value.get("refusal"), str):
            return RefusalPart(text)
        case "image_url" if isinstance(image := left.pop("image_url", None), dict) and _holds(image, "url"):
            detail = image.get("detail")
            return ImagePart(image["url"], detail if isinstance(detail, str) else None, left)
        case "input_audio" if isinstance(sound := left.pop("input_audio", None), dict) and _holds(sound, "data"):
            return AudioPart(sound["data"], str(sound.get("format", "")), left)
        case "file" if isinstance(file := left.pop("file", None), dict) and (_holds(file, "file_data", "file_id")):
            url, name = str(file.get("file_data", "")), str(file.get("filename", ""))
            return FilePart(url, str(file.get("file_id", "")), name, left)
    return OpaquePart(value)


def _tool_uses(left: dict[str, Any]) -> tuple[Part, ...]:
    """Take the calls of tools out of a message."""
    calls = left.pop("tool_calls", None)
    return tuple(_tool_use(one) for one in calls) if isinstance(calls, list) else ()


def _tool_use(value: Any) -> Part:
    kind = value.get("type", "function") if isinstance(value, dict) else None
    inner = value.get(kind) if kind in ("function", "custom") else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return OpaquePart(value)
    written = inner.get("input" if kind == "custom" else "arguments", "")
    arguments = written if isinstance(written, str) else msgspec.json.encode(written).decode()
    rest = _without(value, "id", "type", "function", "custom")
    return ToolUsePart(str(value.get("id") or ""), inner["name"], arguments, kind == "custom", rest)


def _tools(value: Any, left: dict[str, Any]) -> tuple[Tool | OpaquePart, ...]:
    if not isinstance(value, list):
        if value is not None:
            left["tools"] = value
        return ()
    return tuple(_tool(one) for one in value if one is not None)


def _tool(value: Any) -> Tool | OpaquePart:
    inner = value.get("function") if isinstance(value, dict) and value.get("type") == "function" else None
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        return OpaquePart(value)
    description, strict = inner.get("description"), inner.get("strict")
    return Tool(
        inner["name"],
        description if isinstance(description, str) else None,
        inner.get("parameters"),
        strict if isinstance(strict, bool) else None,
        _without(value, "type", "function"),
    )


def _tool_choice(value: Any, left: dict[str, Any]) -> ToolChoice | None:
    if isinstance(value, str) and value in _MODES:
        return _MODES[value]
    inner = value.get("function") if isinstance(value, dict) else None
    if isinstance(inner, dict) and isinstance(inner.get("name"), str):
        return ToolChoice("one", inner["name"])
    if value is not None:
        left["tool_choice"] = value
    return None


def _format(value: Any, left: dict[str, Any]) -> Format | None:
    kind = value.get("type") if isinstance(value, dict) else None
    if kind == "json_object":
        return Format()
    inner = value.get("json_schema") if kind == "json_schema" else None
    if isinstance(inner, dict) and inner.get("schema") is not None:
        strict = inner.get("strict")
        rest = _without(inner, "schema", "name", "strict")
        return Format(inner["schema"], str(inner.get("name", "")), strict if isinstance(strict, bool) else None, rest)
    if value is not None and kind != "text":
        left["response_format"] = value
    return None


def write(ask: Ask, model: str) -> Written:
    """Return the chat request that asks for the same."""
    return _Writer(ask).written(model)


class _Writer:
    """Writes one request, and remembers what it could not say."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._lost: dict[str, None] = {}

    def written(self, model: str) -> Written:
        ask = self._ask
        body: dict[str, Any] = {"model": model}
        body["messages"] = [message for turn in ask.turns for message in self._messages(turn)]
        body |= _said({
            "tools": [tool for one in ask.tools if (tool := self._tool(one)) is not None] or None,
            "tool_choice": _choice_of(ask.tool_choice),
            "parallel_tool_calls": ask.parallel_tools,
            # Every server reads this name. OpenAI's own newer one is a matter of its kind of provider.
            "max_tokens": ask.most_tokens,
            "temperature": ask.temperature,
            "top_p": ask.top_p,
            "stop": list(ask.stop) if len(ask.stop) > 1 else ask.stop[0] if ask.stop else None,
            "response_format": self._format(ask.format),
            "reasoning_effort": ask.effort,
            "user": self._user(ask.user),
            "n": ask.answers if ask.answers != 1 else None,
            "stream": ask.stream or None,
        })  # fmt: skip
        body |= self._left(ask.rest)
        return Written(msgspec.json.encode(body), tuple(self._lost))

    def _messages(self, turn: Turn) -> Iterable[dict[str, Any]]:
        if turn.role == "tool":
            seen: list[Part] = []
            for part in turn.parts:
                if isinstance(part, ToolResultPart):
                    yield self._result(part, seen)
            if seen:
                yield {"role": "user", "content": self._content(seen)}
            return
        message: dict[str, Any] = {"role": turn.role}
        contents = [part for part in turn.parts if not isinstance(part, (ThinkingPart, ToolUsePart, RefusalPart))]
        message["content"] = content = self._content(contents) if contents else None
        if content == [] and len(contents) == len(turn.parts) and self._ask.dialect != NAME:
            return  # all of it is lost, and servers refuse a message of nothing
        message |= self._left(turn.rest)
        if turn.role == "assistant":
            message |= details_of([part for part in turn.parts if isinstance(part, ThinkingPart)])
            declines = [part.text for part in turn.parts if isinstance(part, RefusalPart)]
            if declines:
                message["refusal"] = "".join(declines)
            calls = [self._call(part) for part in turn.parts if isinstance(part, ToolUsePart)]
            if calls:
                message["tool_calls"] = calls
        elif not contents:
            message["content"] = ""
        yield message

    def _result(self, part: ToolResultPart, seen: list[Part]) -> dict[str, Any]:
        """Put into `seen` what a tool showed in another dialect: in a chat, results hold nothing but text."""
        if part.is_error:
            self._lost["is_error"] = None  # the result itself says it
        parts = part.parts
        if self._ask.dialect != NAME:
            seen += [one for one in parts if isinstance(one, _SHOWN)]
            parts = tuple([one for one in parts if not isinstance(one, _SHOWN)])
        content = self._content(parts) if parts else ""
        return {"role": "tool", "tool_call_id": part.id, "content": content, **self._left(part.rest)}

    def _content(self, parts: Iterable[Part]) -> str | list[Any]:
        values = [value for part in parts if (value := self._part(part)) is not None]
        if len(values) == 1 and isinstance(values[0], dict) and values[0].keys() == {"type", "text"}:
            text: str = values[0]["text"]
            return text
        return values

    def _part(self, part: Part) -> Any:
        match part:
            case TextPart():
                return {"type": "text", "text": part.text, **self._left(part.rest)}
            case ImagePart():
                image = _said({"url": part.url, "detail": part.detail})
                return {"type": "image_url", "image_url": image, **self._left(part.rest)}
            case AudioPart():
                sound = {"data": part.data, "format": part.format}
                return {"type": "input_audio", "input_audio": sound, **self._left(part.rest)}
            case FilePart():
                named = {"file_data": part.url, "file_id": part.file_id, "filename": part.name}
                file = {name: value for name, value in named.items() if value}
                return {"type": "file", "file": file, **self._left(part.rest)}
            case OpaquePart():
                return self._opaque(part)
        return self._lose(type(part).__name__)

    def _call(self, part: ToolUsePart) -> dict[str, Any]:
        kind, written = ("custom", "input") if part.is_free else ("function", "arguments")
        inner = {"name": part.name, written: part.arguments}
        return {"id": part.id, "type": kind, kind: inner, **self._left(part.rest)}

    def _tool(self, tool: Tool | OpaquePart) -> Any:
        if isinstance(tool, OpaquePart):
            return self._opaque(tool)
        function = _said({
            "name": tool.name, "description": tool.description, "parameters": tool.schema, "strict": tool.strict,
        })  # fmt: skip
        return {"type": "function", "function": function, **self._left(tool.rest)}

    def _format(self, format_: Format | None) -> dict[str, Any] | None:
        if format_ is None:
            return None
        if format_.schema is None:
            return {"type": "json_object"}
        # A name is required here, and elsewhere there is none.
        schema = _said({"name": format_.name or "answer", "schema": format_.schema, "strict": format_.strict})
        return {"type": "json_schema", "json_schema": {**schema, **self._left(format_.rest)}}

    def _user(self, user: str | None) -> str | None:
        if user is None or len(user) <= LONGEST_USER or self._ask.dialect == NAME:
            return user
        self._lose("user")
        return None

    def _opaque(self, part: OpaquePart) -> Any:
        if self._ask.dialect == NAME:
            return part.value
        kind = part.value.get("type") if isinstance(part.value, dict) else None
        return self._lose(kind if isinstance(kind, str) else "a part")

    def _left(self, rest: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the rest, if it is in words of chats; else all of it is lost.

        So is Anthropic's `cache_control`. OpenRouter reads it here too, but takes Anthropic's requests as they are;
        Groq and Mistral refuse a chat with it.
        """
        if self._ask.dialect == NAME or not rest:
            return rest
        for name in rest:
            self._lose(name)
        return {}

    def _lose(self, name: str) -> None:
        self._lost[name] = None


def _choice_of(choice: ToolChoice | None) -> Any:
    if choice is None or choice.mode != "one":
        return None if choice is None else _WORDS[choice.mode]
    return {"type": "function", "function": {"name": choice.name}}


def _take(left: dict[str, Any], name: str, kind: type[T]) -> T | None:
    """Take a field out of `left` if it is of a type. A whole number is a float too, and a truth value is no number."""
    value = left.get(name)
    if isinstance(value, bool) and kind is not bool:
        return None
    if isinstance(value, kind) or (kind is float and isinstance(value, int)):
        del left[name]
        return value  # type: ignore[return-value]  # an int where a float is asked for
    return None


def _said(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _without(value: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: one for name, one in value.items() if name not in names}


def _known(left: dict[str, Any]) -> dict[str, Any]:
    """Return a message's rest without what SDKs write where there is nothing."""
    return {name: value for name, value in left.items() if value is not None}


def _holds(value: dict[str, Any], *names: str) -> bool:
    return any(isinstance(value.get(name), str) for name in names)


def _are(value: Any, kind: type) -> bool:
    return isinstance(value, list) and all(isinstance(one, kind) for one in value)
